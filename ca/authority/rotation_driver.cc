#include "ca/authority/rotation_driver.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/authority/retire_not_before.h"
#include "ca/authority/rotation_forecast.h"
#include "ca/authority/rotation_steps.h"
#include "ca/base/check.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

constexpr absl::Duration kStepAgainAfterError = absl::Seconds(1);
// Steps one Tick takes: more than a rotation has.
constexpr int kStepsMax = 8;

RotationWatch::Parts WatchParts(const RotationDriver::Parts& parts) {
  RotationWatch::Parts watch;
  watch.authorities = parts.authorities;
  watch.clock = &parts.authorities->clock_watch();
  watch.inventory = parts.inventory;
  watch.evidence = parts.evidence;
  watch.reissuer = parts.reissuer;
  watch.advisor = parts.advisor;
  watch.policy = parts.policy;
  watch.reissue_per_second = parts.reissue_per_second;
  watch.own_spiffe_id = absl::StrCat(parts.authorities->options().trust_domain.Id(), "/meshca/server");
  return watch;
}

// A part that is missing would be missed only once a rotation has come to the step that needs it.
const RotationDriver::Parts& Whole(const RotationDriver::Parts& parts) {
  MESHCA_CHECK(parts.authorities != nullptr && parts.store != nullptr && parts.inventory != nullptr);
  MESHCA_CHECK(parts.evidence != nullptr && parts.reissuer != nullptr && parts.sleep != nullptr);
  return parts;
}

}  // namespace

RotationDriver::RotationDriver(Parts parts)
    : authorities_(*Whole(parts).authorities),
      store_(*parts.store),
      watch_(WatchParts(parts)),
      commands_(authorities_, store_, watch_, reporter_, std::move(parts.sleep)) {}

absl::Time RotationDriver::Tick(absl::Time now) {
  MutexLock lock(turn_);
  absl::StatusOr<Advanced> last = Advanced::kMoved;
  for (int step = 0; step < kStepsMax && last.ok() && *last == Advanced::kMoved; ++step) last = Advance();
  // What went wrong stands until the step was judged again.
  if (!last.ok() || *last != Advanced::kNotJudged) reporter_.KeepError(last.status());
  if (!watch_.FindRunning().has_value()) return now + absl::Hours(1);
  return now + (last.ok() ? watch_.UntilNextTurn() : kStepAgainAfterError);
}

absl::StatusOr<RotationDriver::Advanced> RotationDriver::Advance() {
  const std::optional<RootRotation> rotation = watch_.FindRunning();
  if (!rotation.has_value()) return Advanced::kWaits;
  const absl::StatusOr<absl::Time> now = watch_.BelievedNow();
  if (!now.ok()) return Advanced::kWaits;
  if (watch_.WasJustJudged(*rotation)) {
    watch_.GoOnReplacingKeys(*rotation);
    return Advanced::kNotJudged;
  }
  MESHCA_ASSIGN_OR_RETURN(const RotationView view, watch_.JudgeStep(*rotation, *now));
  MESHCA_ASSIGN_OR_RETURN(const absl::Time retire_not_before,
                          RetireNotBeforeOf(*rotation, *authorities_.Current(), store_));
  const RotationDecision decision = watch_.DecideNext(view, retire_not_before);
  reporter_.KeepView(view, decision.waiting_for, watch_.EstimateEnd(view, retire_not_before));
  if (decision.act == RotationDecision::Act::kWait) return Advanced::kWaits;
  MESHCA_RETURN_IF_ERROR(
      TakeRotationStep(authorities_, decision.act, ForcedByName(decision.forced_by), view, kMeshcaItself));
  watch_.JudgeAgainAtOnce();
  return Advanced::kMoved;
}

RotationReport RotationDriver::Report() {
  RotationReport report = reporter_.MakeReport(*authorities_.Current(), watch_.policy().emergency_grace,
                                               authorities_.clock_watch().FindingNow());
  const std::optional<RootRotation>& rotation = report.rotation;
  if (watch_.advisor() != nullptr && rotation.has_value() && !rotation->Ended() &&
      rotation->step != RotationStep::kRetire) {
    for (std::string& restart : watch_.advisor()->NeededRestarts(*rotation)) {
      report.warnings.push_back(std::move(restart));
    }
  }
  return report;
}

absl::StatusOr<RotationForecast> RotationDriver::Forecast() {
  return ForecastRotation(watch_, *authorities_.Current(), authorities_.options().plugged_in_folder, store_,
                          authorities_.clock().Now());
}

absl::Status RotationDriver::Begin(const RotationOptions& options, const std::string& actor) {
  MutexLock lock(turn_);
  return commands_.Begin(options, actor);
}

absl::Status RotationDriver::Activate(bool force, const std::string& actor) {
  MutexLock lock(turn_);
  return commands_.Activate(force, actor);
}

absl::Status RotationDriver::Retire(bool force, bool external_confirmed, const std::string& actor) {
  MutexLock lock(turn_);
  return commands_.Retire(force, external_confirmed, actor);
}

absl::Status RotationDriver::Abort(const std::string& actor) {
  MutexLock lock(turn_);
  return commands_.Abort(actor);
}

absl::Status RotationDriver::Rollback(const std::string& actor) {
  MutexLock lock(turn_);
  return commands_.RollBack(actor);
}

absl::Status RotationDriver::Taint(absl::string_view id_prefix, const std::string& actor) {
  MutexLock lock(turn_);
  return commands_.Taint(id_prefix, actor);
}

}  // namespace meshca
