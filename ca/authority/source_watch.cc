#include "ca/authority/source_watch.h"

#include "absl/strings/str_cat.h"
#include "ca/base/log.h"
#include "ca/base/status.h"

namespace meshca {

absl::Status SourceWatch::AdoptFirst(absl::Time now) {
  MESHCA_ASSIGN_OR_RETURN(const AuthoritySet set, source_->Load(now));
  return adoption_.Adopt(set, KeyPlace::kWhereItIs, {kMeshcaItself, "first start", now});
}

void SourceWatch::TakeChanges(absl::Time now) {
  const absl::StatusOr<std::string> fingerprint = source_->Fingerprint();
  if (!fingerprint.ok()) {
    error_ = fingerprint.status();
    return;
  }
  if (fingerprint->empty() || *fingerprint == taken_fingerprint_) return;
  const absl::Status taken = TakeSet(now);
  // The files may have been exchanged while they were read: what is said of them is said of what stands still.
  const absl::StatusOr<std::string> after = source_->Fingerprint();
  if (!after.ok() || *after != *fingerprint) return;
  error_ = taken.ok() ? absl::OkStatus() : Annotate(taken, "plugged-in CA");
  taken_fingerprint_ = taken.ok() ? *fingerprint : std::string();
}

absl::Status SourceWatch::TakeSet(absl::Time now) {
  MESHCA_ASSIGN_OR_RETURN(AuthoritySet set, source_->Load(now));
  const std::string left_out = adoption_.LeaveOutLostRoots(set);
  const StoredAuthority* root = FindActive(ledger_.state(), AuthorityRole::kRoot);
  if (!adoption_.IsActive(set)) {
    const std::string detail = absl::StrCat("changed set in ", folder_);
    if (root != nullptr && root->id != set.root.spki_sha256_hex()) {
      MESHCA_RETURN_IF_ERROR(adoption_.RotateTo(set, folder_, KeyPlace::kWhereItIs,
                                                {kMeshcaItself, absl::StrCat(detail, " with a new root"), now}));
    } else {
      MESHCA_RETURN_IF_ERROR(adoption_.Adopt(set, KeyPlace::kWhereItIs, {kMeshcaItself, detail, now}));
    }
  }
  if (!left_out.empty()) {
    LogWarning("the plugged-in CA lists roots that were retired or tainted here; they stay untrusted",
               {{"folder", folder_}, {"roots", left_out}});
  }
  return absl::OkStatus();
}

}  // namespace meshca
