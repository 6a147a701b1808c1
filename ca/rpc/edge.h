// What all loops of one Server share.
#ifndef MESHCA_CA_RPC_EDGE_H_
#define MESHCA_CA_RPC_EDGE_H_

#include <nghttp2/nghttp2.h>
#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "ca/base/clock.h"
#include "ca/base/openssl_ptr.h"
#include "ca/base/unique_fd.h"
#include "ca/rpc/client_mistakes.h"
#include "ca/rpc/connection_plan.h"
#include "ca/rpc/fair_budget.h"
#include "ca/rpc/limits.h"
#include "ca/rpc/server.h"
#include "ca/rpc/shut_out_log.h"
#include "ca/rpc/source_table.h"

namespace meshca::rpc {

// Counters are touched by every loop; each on a cache line of its own would save little, as calls touch two.
struct Edge {
  GlobalLimits global;
  SourceLimits source;
  ConnectionPlan plan;  // immutable once serving
  Clock* clock = nullptr;
  SourceTable sources;
  ShutOutLog shut_out;
  std::array<std::atomic<uint32_t>, kRooms> connections{};  // by Room
  // Places promised to newcomers for which another loop has yet to end a connection.
  std::atomic<uint32_t> places_owed{0};
  std::atomic<uint32_t> handshakes{0};
  FairBudget streams;         // calls that were let in and are open
  FairBudget buffered_bytes;  // see GlobalLimits::buffered_bytes_max
  std::atomic<uint64_t> connection_ids{0};
  ClientMistakeLog mistakes;

  std::atomic<uint32_t>& Open(Room room) { return connections[static_cast<size_t>(room)]; }
  // Of all public listeners together.
  uint32_t PublicConnections() const {
    uint32_t total = 0;
    for (const Room room : {Room::kStranger, Room::kCertified, Room::kSocket}) {
      total += connections[static_cast<size_t>(room)].load(std::memory_order_relaxed);
    }
    return total;
  }
};

using Nghttp2OptionPtr = OpenSslPtr<nghttp2_option, nghttp2_option_del>;

// One bound socket and what its connections get. Immutable once serving.
struct Listener {
  ListenerOptions options;
  UniqueFd fd;
  bool is_unix = false;
  // Of the socket file, so that Shutdown removes ours and not a successor's.
  dev_t unix_device = 0;
  ino_t unix_inode = 0;
  // Where this router's methods start in LoopStats::methods.
  size_t methods_offset = 0;
  Nghttp2OptionPtr http2_options;
};

// Nanoseconds of the monotonic clock: every time inside the edge.
int64_t MonotonicNanos();

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_EDGE_H_
