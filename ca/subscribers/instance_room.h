// Limits how many subscriber instances one caller, or one identity, may have, and how fast new ones may come.
#ifndef MESHCA_CA_SUBSCRIBERS_INSTANCE_ROOM_H_
#define MESHCA_CA_SUBSCRIBERS_INSTANCE_ROOM_H_

#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/node_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"

namespace meshca {

// Counts instances by their SPIFFE ID and by their principal, which is the caller that the kernel or a certificate
// proves (SubscriberPrincipal). A caller that gives another node id with each stream makes a new instance each time,
// and a rotation waits for each of them until its certificate ends. So a principal that has reached its limit gets no
// new instance; none is forgotten to make room, because it might still hold the old root. New instances are also
// limited in rate: a quarter of the limit at once, then as many a minute, so that a caller whose instances were evicted
// is not back at once under a thousand names. Not thread-safe; has no clock of its own.
class InstanceRoom {
 public:
  struct Limits {
    size_t per_principal = 4096;
    size_t per_id = 16'384;
  };
  // The two names under which one instance is counted.
  struct Place {
    std::string spiffe_id;
    std::string principal;
  };

  // Where one instance is counted; at first nowhere. Ten thousand instances have one each: it has no names of its own.
  class Seat;

  explicit InstanceRoom(Limits limits) : limits_(limits) {}

  // Checks that a new instance may come, and takes one from its principal's rate. It is not counted until Count.
  // ResourceExhausted, reason TOO_MANY_INSTANCES or INSTANCES_TOO_FAST; the message says what to do.
  absl::Status Admit(const Place& place, absl::Duration since_boot);

  // Counts the instance that has `seat` under `now`, and no longer where it was counted before. nullopt: not at all.
  void Count(Seat& seat, const std::optional<Place>& now);

  // Frees the memory of principals that have no instance and their full rate.
  void Tidy(absl::Duration since_boot);

  size_t principals() const { return principals_.size(); }

 private:
  struct Principal {
    size_t count = 0;
    double fresh = 0;          // new instances that it may still make at once
    absl::Duration filled_at;  // since boot: when `fresh` was last computed
  };

  double Burst() const { return static_cast<double>(limits_.per_principal) / 4; }
  void Refill(Principal& principal, absl::Duration since_boot) const;
  Principal& Find(const std::string& name, absl::Duration since_boot);

  const Limits limits_;
  // Seats point into both.
  absl::node_hash_map<std::string, size_t> ids_;
  absl::node_hash_map<std::string, Principal> principals_;
};

class InstanceRoom::Seat {
 private:
  friend class InstanceRoom;
  using Id = std::pair<const std::string, size_t>;
  Id* id_ = nullptr;                // in ids_; null: not counted
  Principal* principal_ = nullptr;  // in principals_, likewise
};

}  // namespace meshca

#endif  // MESHCA_CA_SUBSCRIBERS_INSTANCE_ROOM_H_
