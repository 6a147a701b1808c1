#include "cli/rotation/rotation_follow.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "cli/terminal/people_time.h"

namespace meshca::cli {
namespace {

namespace v1 = ::meshca::admin::v1;

bool SameRotation(const v1::RotationStatus& a, const v1::RotationStatus& b) {
  return a.number() == b.number() && a.started_at().seconds() == b.started_at().seconds() &&
         a.started_at().nanos() == b.started_at().nanos();
}

std::string StateOf(const v1::RotationStatus& status, const std::string& root_id) {
  for (const v1::Authority& root : status.roots()) {
    if (root.id() == root_id) return root.state();
  }
  return "";
}

// What became of `followed`, whose row `now` no longer shows: an aborted rotation has taken its new root with it, and
// after one that ended another may have begun between two looks.
RotationOutcome OutcomeOfMissing(const v1::RotationStatus& followed, const v1::RotationStatus& now) {
  const std::string stays = StateOf(now, followed.new_root_id());
  if (stays.empty()) return RotationOutcome::kAborted;
  const bool turned = stays == "retired" && StateOf(now, followed.old_root_id()) != "retired";
  return turned ? RotationOutcome::kRolledBack : RotationOutcome::kDone;
}

// Nothing while it goes on.
std::optional<RotationOutcome> Outcome(const v1::RotationStatus& followed, const v1::RotationStatus& now) {
  if (!SameRotation(followed, now)) return OutcomeOfMissing(followed, now);
  if (now.running()) return std::nullopt;
  // Who began to follow on the way back knows.
  return now.rolled_back() && !followed.rolled_back() ? RotationOutcome::kRolledBack : RotationOutcome::kDone;
}

}  // namespace

bool IsPassing(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) || absl::IsResourceExhausted(status);
}

absl::StatusOr<RotationOutcome> FollowRotation(v1::RotationStatus& status, const FollowParts& parts) {
  const v1::RotationStatus followed = status;
  std::optional<absl::Duration> away_since;
  for (;;) {
    if (!away_since.has_value()) {
      parts.display.ShowStatus(status);
      if (const auto outcome = Outcome(followed, status)) {
        parts.display.Finish();
        return *outcome;
      }
    }
    if (parts.wait(kFollowEvery)) {
      parts.display.Finish();
      return RotationOutcome::kDetached;
    }
    absl::StatusOr<v1::RotationStatus> answer = parts.ask();
    if (answer.ok()) {
      status = *std::move(answer);
      away_since.reset();
      continue;
    }
    const absl::Duration now = parts.clock.SinceBoot();
    if (!away_since.has_value()) away_since = now;
    if (!IsPassing(answer.status()) || now - *away_since >= kFollowPatience) {
      parts.display.Finish();
      return Annotate(answer.status(),
                      absl::StrCat("rotation ", followed.number(),
                                   " goes on without this command (return with `meshca root status --watch`)"));
    }
    parts.display.ShowAway(answer.status(), now - *away_since, kFollowPatience);
  }
}

}  // namespace meshca::cli
