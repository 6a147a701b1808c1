// What an operator can ask of root rotation, and what is answered. RotationDriver implements it.
#ifndef MESHCA_CA_AUTHORITY_ROTATION_CONTROL_H_
#define MESHCA_CA_AUTHORITY_ROTATION_CONTROL_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authority/root_rotation.h"
#include "ca/subscribers/laggard.h"

namespace meshca {

struct RotationReport {
  std::optional<RootRotation> rotation;  // the newest; nothing: there never was one
  // Of the step that runs; empty when it has ended. As of `as_of`: a big inventory is not read every second.
  RotationEvidence evidence;
  absl::Time as_of;
  uint64_t reissue_left = 0;  // keys that subscribers hold here and that still have to be replaced
  std::string waiting_for;    // one sentence; "" when ended
  std::string error;          // why the last attempt at a step failed; "" when it did not
  // The clock cannot be believed: nothing moves until it can. The sentence says what was found.
  std::string frozen;
  // Of an emergency: how long subscribers that are silent can hold up a step, and until when this one. Infinite: for as
  // long as they are silent.
  absl::Duration emergency_grace = absl::InfiniteDuration();
  absl::Time grace_ends = absl::InfiniteFuture();
  absl::Time ends_about = absl::InfiniteFuture();  // estimate, from the inventory; InfiniteFuture: nobody can know
  std::vector<std::string> warnings;               // such as: the new root cannot be certified by the old one
};

// What a rotation begun now would be like.
struct RotationForecast {
  struct Step {
    RotationStep step;
    std::string what;      // one sentence
    absl::Duration about;  // how long; InfiniteDuration: nobody can know
  };
  std::vector<Step> steps;
  absl::Duration total;
  uint64_t subscribers = 0;
  uint64_t live_leaves = 0;
  // Who would break if it were forced through at once.
  RotationEvidence at_risk;
  std::vector<std::string> warnings;
};

struct RotationOptions {
  bool automatic = true;  // false: `root prepare`
  bool emergency = false;
  bool external_confirmed = false;
  absl::Time deadline = absl::InfiniteFuture();
  // An emergency that waits for every subscriber, however long it is silent. Not beside a deadline.
  bool waits_for_silent = false;
};

// Do these options make sense together, ordered at `now`? InvalidArgument says which do not: `waits_for_silent` and
// `deadline` are for an emergency, exclude each other, and a deadline is in the future.
absl::Status CheckRotationOptions(const RotationOptions& options, absl::Time now);

// Thread-safe. Calls block on the database. `actor` is who orders it, for the audit log. Errors of all: Unavailable,
// FailedPrecondition (the step is unsafe or there is nothing to do it to; the message names the first of those who
// would break and what to do, reason ROTATION_UNSAFE, ROTATION_RUNS, ROTATION_NONE or ROTATION_FROZEN).
class RotationControl {
 public:
  virtual ~RotationControl() = default;

  virtual RotationReport Report() = 0;
  virtual absl::StatusOr<RotationForecast> Forecast() = 0;

  // Begins a rotation; `options` have passed CheckRotationOptions. Ok when both roots are published. One that `root
  // prepare` began is taken over: it goes on by itself. So is any that has not activated its new root yet, by an
  // emergency: it becomes one, because whoever is silent there must not hold up what the theft of a key asks for.
  // FailedPrecondition: another one runs by itself (ROTATION_RUNS).
  virtual absl::Status Begin(const RotationOptions& options, const std::string& actor) = 0;
  // Judges at once: done when it returns Ok. With `force` an unsafe one is done all the same, and what it broke
  // recorded.
  virtual absl::Status Activate(bool force, const std::string& actor) = 0;
  virtual absl::Status Retire(bool force, bool external_confirmed, const std::string& actor) = 0;
  // Before activation: the new root is withdrawn and forgotten.
  virtual absl::Status Abort(const std::string& actor) = 0;
  // From activation until retirement: the old root signs again, and the new one is drained and retired in its place.
  virtual absl::Status Rollback(const std::string& actor) = 0;
  // Marks an authority whose key is taken for stolen, by its whole id or 8 characters or more of it. NotFound.
  virtual absl::Status Taint(absl::string_view id_prefix, const std::string& actor) = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_ROTATION_CONTROL_H_
