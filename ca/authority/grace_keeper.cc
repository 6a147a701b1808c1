#include "ca/authority/grace_keeper.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/authority/settings.h"
#include "ca/authority/unrecorded_grace.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"

namespace meshca {

absl::Status GraceKeeper::Load() {
  const absl::StatusOr<std::string> text = ledger_.store().GetSealedSetting(kSettingUnrecordedGrace);
  grace_.reset();
  if (absl::IsNotFound(text.status())) return absl::OkStatus();
  MESHCA_RETURN_IF_ERROR(text.status());
  if (text->empty()) return absl::OkStatus();
  grace_ = UnrecordedGraceFromText(*text);
  if (grace_.has_value()) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("setting ", kSettingUnrecordedGrace, " cannot be read: \"", *text, "\""));
}

// The grace and why it changed, in one transaction.
absl::Status GraceKeeper::Commit(const std::optional<UnrecordedGrace>& grace, const std::vector<AuditEntry>& audit) {
  MESHCA_RETURN_IF_ERROR(ledger_.Change([&](const AuthoritiesAndBundle& state) {
    AuthorityChange change = StartChange(state, ledger_.trust_domain());
    change.sealed_settings[std::string(kSettingUnrecordedGrace)] =
        grace.has_value() ? UnrecordedGraceToText(*grace) : "";
    change.audit = audit;
    return change;
  }));
  grace_ = grace;
  return absl::OkStatus();
}

absl::Status GraceKeeper::Begin(std::vector<std::string> authority_ids, const ChangeReason& reason) {
  UnrecordedGrace grace;
  grace.until = reason.now + leaf_lifetime_max_;
  grace.authority_ids = std::move(authority_ids);
  grace.why = reason.detail;
  ChangeReason audited = reason;
  audited.detail =
      absl::StrCat(reason.detail, ": certificates without a record may renew until ", OffsetText(grace.until));
  std::vector<AuditEntry> audit;
  for (const std::string& id : grace.authority_ids) audit.push_back(MakeAudit("unrecorded.allow", id, audited));
  return Commit(grace_.has_value() ? JoinGraces(*grace_, grace) : grace, audit);
}

std::optional<UnrecordedGrace> GraceKeeper::Remaining() const {
  if (!grace_.has_value()) return std::nullopt;
  return RemainingGrace(*grace_, ledger_.authorities(), clock_.NewestBelieved());
}

absl::Status GraceKeeper::EndWhatIsOver(absl::Time now) {
  if (!grace_.has_value()) return absl::OkStatus();
  std::optional<UnrecordedGrace> left = Remaining();
  std::vector<AuditEntry> audit;
  // Begun by a clock that was ahead, it would last as much longer than one longest lifetime.
  const absl::Time latest = now + leaf_lifetime_max_;
  if (left.has_value() && left->until > latest && clock_.Judge().verdict == ClockVerdict::kSteady) {
    left->until = latest;
    audit.push_back(
        MakeAudit("unrecorded.shorten", "", {kMeshcaItself, "it was begun by a clock that was ahead", now}));
  }
  if (left == grace_) return absl::OkStatus();
  for (const std::string& id : grace_->authority_ids) {
    if (left.has_value() &&
        std::find(left->authority_ids.begin(), left->authority_ids.end(), id) != left->authority_ids.end()) {
      continue;
    }
    audit.push_back(MakeAudit("unrecorded.end", id, {kMeshcaItself, grace_->why, now}));
  }
  return Commit(left, audit);
}

}  // namespace meshca
