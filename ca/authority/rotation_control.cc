#include "ca/authority/rotation_control.h"

#include "absl/strings/str_cat.h"

namespace meshca {

absl::Status CheckRotationOptions(const RotationOptions& options, absl::Time now) {
  const bool has_deadline = options.deadline != absl::InfiniteFuture();
  if (options.waits_for_silent && !options.emergency) {
    return absl::InvalidArgumentError("wait is for an emergency: any other rotation waits for every subscriber anyway");
  }
  if (options.waits_for_silent && has_deadline) {
    return absl::InvalidArgumentError(
        "wait and deadline exclude each other: the one waits for every subscriber, the "
        "other cuts off whoever is behind; leave one of them away");
  }
  if (has_deadline && !options.emergency) {
    return absl::InvalidArgumentError(
        "deadline is for an emergency: it cuts off whoever is not done by then; ask for an emergency too, or leave it "
        "away");
  }
  if (options.deadline <= now) {
    return absl::InvalidArgumentError(
        absl::StrCat("deadline ", absl::FormatDuration(options.deadline - now), " is not in the future"));
  }
  return absl::OkStatus();
}

}  // namespace meshca
