// How many instances one caller, or one identity, can have counted.
#ifndef MESHCA_CA_SUBSCRIBERS_INSTANCE_ROOM_H_
#define MESHCA_CA_SUBSCRIBERS_INSTANCE_ROOM_H_

#include <cstddef>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"

namespace meshca {

// Counts instances by their SPIFFE ID and by their principal (SubscriberPrincipal), and keeps the pace of new ones. A
// caller that names itself anew (a node id) with each stream makes a new instance each time, and a rotation waits for
// each until its certificate ends. So a principal that has as many as it may have gets no new one: one that is
// forgotten to make room might still hold the old root. New ones come in a burst of a quarter of that, and as many a
// minute after it: whoever is evicted is not back at once in a thousand names. Not thread-safe; no clock of its own.
class InstanceRoom {
 public:
  struct Limits {
    size_t per_principal = 4096;
    size_t per_id = 16'384;
  };
  // What one instance is counted under.
  struct Place {
    std::string spiffe_id;
    std::string principal;
    friend bool operator==(const Place&, const Place&) = default;
  };

  explicit InstanceRoom(Limits limits) : limits_(limits) {}

  // May an instance that is not known yet come? ResourceExhausted: TOO_MANY_INSTANCES, INSTANCES_TOO_FAST; says what to
  // do. When it may, it has used up one of the new ones of its principal.
  absl::Status Admit(const Place& place, absl::Duration since_boot);

  // Changes under what an instance is counted: `before` is what it was, and becomes `now`; nothing: it is not counted.
  void Count(std::optional<Place>& before, const std::optional<Place>& now);

  // Drops what says nothing any more.
  void Tidy(absl::Duration since_boot);

  size_t principals() const { return principals_.size(); }

 private:
  struct Principal {
    size_t count = 0;
    double fresh = 0;  // new instances it may still make at once
    absl::Duration filled_at;
  };

  double Burst() const { return static_cast<double>(limits_.per_principal) / 4; }
  void Refill(Principal& principal, absl::Duration since_boot) const;
  Principal& Find(const std::string& name, absl::Duration since_boot);

  const Limits limits_;
  absl::flat_hash_map<std::string, size_t> ids_;
  absl::flat_hash_map<std::string, Principal> principals_;
};

}  // namespace meshca

#endif  // MESHCA_CA_SUBSCRIBERS_INSTANCE_ROOM_H_
