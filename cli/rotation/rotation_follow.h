// Follows one rotation to its end, across restarts of the server.
#ifndef MESHCA_CLI_ROTATION_ROTATION_FOLLOW_H_
#define MESHCA_CLI_ROTATION_ROTATION_FOLLOW_H_

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/base/clock.h"
#include "cli/rotation/rotation_display.h"
#include "meshca/admin/v1/admin.pb.h"

namespace meshca::cli {

inline constexpr absl::Duration kFollowEvery = absl::Milliseconds(500);
// How long a server may be away: an upgrade takes seconds, a check of a large database minutes.
inline constexpr absl::Duration kFollowPatience = absl::Minutes(5);

// Worth asking again: the server is away, busy, or slow.
bool IsPassing(const absl::Status& status);

// What became of the rotation that was followed.
enum class RotationOutcome {
  kDone,
  kRolledBack,  // while it was followed: the root that was to go is the one that stays
  kAborted,     // before the new root signed
  kDetached,    // the operator left; it goes on
};

struct FollowParts {
  // GetRotation.
  absl::FunctionRef<absl::StatusOr<meshca::admin::v1::RotationStatus>()> ask;
  // Waits; true: the operator wants to leave.
  absl::FunctionRef<bool(absl::Duration)> wait;
  const Clock& clock;
  RotationDisplay& display;
};

// Asks twice a second until the rotation in `status` has ended, and leaves there what was answered last. A rotation is
// known by its number and when it was begun: an aborted one leaves its number to the next. Blocks. Errors: those of
// `ask` that do not pass, and those that have not passed within kFollowPatience; the rotation goes on all the same, and
// the message says how to come back.
absl::StatusOr<RotationOutcome> FollowRotation(meshca::admin::v1::RotationStatus& status, const FollowParts& parts);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_ROTATION_ROTATION_FOLLOW_H_
