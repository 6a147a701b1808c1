#include "ca/authority/clock_watch.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "ca/authority/authority_change.h"
#include "ca/authority/retire_not_before.h"
#include "ca/authority/settings.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"

namespace meshca {

ClockWatch::ClockWatch(const Clock& clock, AuthorityLedger& ledger, absl::Duration leaf_lifetime_max)
    : ledger_(ledger), leaf_lifetime_max_(leaf_lifetime_max), clock_(clock, leaf_lifetime_max) {}

absl::StatusOr<absl::Time> ClockWatch::BelievedNow() const {
  const ClockLook look = clock_.Judge();
  if (look.verdict == ClockVerdict::kSteady) return look.now;
  return WithReason(absl::FailedPreconditionError(look.finding), "CLOCK_UNSTEADY");
}

absl::Status ClockWatch::Load() {
  MESHCA_ASSIGN_OR_RETURN(const std::string text, GetSettingOrEmpty(ledger_.store(), kSettingClockMark));
  if (text.empty()) return absl::OkStatus();
  const std::optional<ClockMark> mark = ClockMark::FromText(text);
  if (!mark.has_value()) {
    return absl::DataLossError(absl::StrCat("setting ", kSettingClockMark, " is no mark: \"", text, "\""));
  }
  clock_.Remember(*mark);
  mark_written_ = mark->newest;
  return absl::OkStatus();
}

ClockLook ClockWatch::Observe() {
  ClockLook look = clock_.Observe();
  const ClockMark mark = clock_.mark();
  if (mark.newest >= mark_written_ + kMarkEvery) {
    // A mark that cannot be written now is written with the next round: nothing else depends on it.
    if (ledger_.store().PutSetting(kSettingClockMark, mark.ToText()).ok()) mark_written_ = mark.newest;
  }
  return look;
}

absl::Status ClockWatch::Accept(const std::string& actor) {
  const absl::Time now = clock_.Now();
  MESHCA_RETURN_IF_ERROR(ledger_.Reload());
  const ChangeReason reason = {actor, absl::StrCat("the newest time seen was ", OffsetText(NewestBelieved())), now};
  AuthorityChange change = StartChange(ledger_.state(), ledger_.trust_domain());
  change.audit.push_back(MakeAudit("clock.accept", "", reason));
  MESHCA_RETURN_IF_ERROR(ledger_.Commit(change));
  clock_.Accept();
  const ClockMark mark = clock_.mark();
  MESHCA_RETURN_IF_ERROR(ledger_.store().PutSetting(kSettingClockMark, mark.ToText()));
  mark_written_ = mark.newest;
  return LimitRetireNotBefore(ledger_.store(), mark.newest + leaf_lifetime_max_);
}

}  // namespace meshca
