// The interface of an operator to root rotation: commands, report and forecast. RotationDriver implements it.
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
  std::optional<RootRotation> rotation;  // the newest, ended or not; nullopt: there never was one
  // Evidence of the present step, as of `as_of` (a big inventory is not read every second); empty if it has ended.
  RotationEvidence evidence;
  absl::Time as_of;
  uint64_t reissue_left = 0;  // keys that subscribers hold and that still have to be replaced
  std::string waiting_for;    // what the step waits for, one sentence; "" if the rotation has ended
  std::string error;          // why the last attempt at a step failed; "" if it did not
  // Not "": the clock cannot be believed, and the rotation does not move until it can. Says what is wrong with it.
  std::string frozen;
  // In an emergency: how long silent subscribers can hold up a step, and until when they can hold up this one.
  // Infinite: for as long as they are silent.
  absl::Duration emergency_grace = absl::InfiniteDuration();
  absl::Time grace_ends = absl::InfiniteFuture();
  absl::Time ends_about = absl::InfiniteFuture();  // estimated end of the step; InfiniteFuture: it cannot be known
  std::vector<std::string> warnings;               // such as: the new root cannot be certified by the old one
};

// What a rotation begun now would be like.
struct RotationForecast {
  struct Step {
    RotationStep step;
    std::string what;      // one sentence
    absl::Duration about;  // estimated duration; InfiniteDuration: it cannot be known
  };
  std::vector<Step> steps;
  absl::Duration total;
  uint64_t subscribers = 0;
  uint64_t live_leaves = 0;
  // Whose connections would fail if the rotation were forced through at once.
  RotationEvidence at_risk;
  std::vector<std::string> warnings;
};

struct RotationOptions {
  bool automatic = true;  // false: `root prepare`
  bool emergency = false;
  bool external_confirmed = false;
  absl::Time deadline = absl::InfiniteFuture();
  // For an emergency: wait for every subscriber, however long it is silent. Excludes a deadline.
  bool waits_for_silent = false;
};

// Checks that options given at `now` fit together. InvalidArgument says which do not: `waits_for_silent` and `deadline`
// are only for an emergency and exclude each other, and a deadline must be in the future.
absl::Status CheckRotationOptions(const RotationOptions& options, absl::Time now);

// Thread-safe. Calls block on the database. `actor` is who gives the command, for the audit log. Errors of all
// commands: Unavailable; FailedPrecondition with reason ROTATION_UNSAFE (the evidence is not complete; the message
// names the first who are behind, and what to do), ROTATION_RUNS, ROTATION_NONE, ROTATION_STEP or ROTATION_FROZEN (the
// clock).
class RotationControl {
 public:
  virtual ~RotationControl() = default;

  virtual RotationReport Report() = 0;
  virtual absl::StatusOr<RotationForecast> Forecast() = 0;

  // Begins a rotation and returns when both roots are published. `options` have passed CheckRotationOptions. If a
  // rotation begun by `root prepare` runs, that one goes on automatically instead. If an emergency is asked for while
  // any rotation has not activated its new root yet, that one becomes the emergency, so that silent subscribers cannot
  // hold it up. FailedPrecondition: another automatic rotation runs (ROTATION_RUNS).
  virtual absl::Status Begin(const RotationOptions& options, const std::string& actor) = 0;
  // Take the step now; it is done when they return Ok. Without complete evidence they are refused, or with `force` done
  // all the same and recorded with the names of those who were behind. `external_confirmed`: see RootRotation.
  virtual absl::Status Activate(bool force, const std::string& actor) = 0;
  virtual absl::Status Retire(bool force, bool external_confirmed, const std::string& actor) = 0;
  // Possible before activation: the new root is withdrawn from the bundle and deleted, unless it was trusted before the
  // rotation and is not tainted.
  virtual absl::Status Abort(const std::string& actor) = 0;
  // Possible from activation until retirement: the old root signs again, and the new one is retired instead of it.
  virtual absl::Status Rollback(const std::string& actor) = 0;
  // Marks an authority whose key is considered stolen. `id_prefix`: at least the first 8 characters of its id.
  // NotFound: there is no such authority.
  virtual absl::Status Taint(absl::string_view id_prefix, const std::string& actor) = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_ROTATION_CONTROL_H_
