// The order in which a loop serves what is ready: sources take turns.
#ifndef MESHCA_CA_RPC_TURNS_H_
#define MESHCA_CA_RPC_TURNS_H_

#include <sys/epoll.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace meshca::rpc {

// What epoll wakes.
class EventTarget {
 public:
  virtual void OnEvents(uint32_t events) = 0;
  // Whose turn it is when this is served: connections of one source share one. By default nobody else's.
  virtual const void* Taker() const { return this; }

 protected:
  ~EventTarget() = default;
};

// A source with three thousand connections that are ready waits for itself: whoever has one is served after at most one
// of each other source. One thread; its memory is used again.
class Turns {
 public:
  struct Ready {
    EventTarget* target;
    uint32_t events;
    uint32_t turn;  // how many of the same source come before; the order is by this
  };

  // `ready` is epoll_wait's result, with EventTargets. Of each source its first comes first, counted in a circle from
  // `ready[first]`. Valid until the next call.
  std::span<const Ready> Arrange(std::span<const epoll_event> ready, size_t first);

 private:
  absl::flat_hash_map<const void*, uint32_t> taken_;
  std::vector<Ready> given_;
  std::vector<Ready> arranged_;
  std::vector<size_t> begins_;
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_TURNS_H_
