#include "ca/authority/restore_finish.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ca/authority/authority_change.h"
#include "ca/authority/jwt_key_change.h"
#include "ca/authority/retire_not_before.h"
#include "ca/authority/settings.h"
#include "ca/authority/unrecorded_grace.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

// The lost database may know of a theft or a revocation under the present issuing authority: another one signs, where
// the root's key is held.
absl::StatusOr<AuthorityChange> ReplaceIssuing(const AuthorityLedger& ledger, const AuthorityMaker& maker,
                                               const ChangeReason& reason) {
  const AuthoritiesAndBundle& state = ledger.state();
  const StoredAuthority* root = FindActive(state, AuthorityRole::kRoot);
  if (root == nullptr || root->key_reference.empty()) {
    const StoredAuthority* const issuing = FindActive(state, AuthorityRole::kIssuing);
    if (issuing != nullptr) return ChangeIssuing(state, ledger.trust_domain(), *issuing, reason);
    // Nothing could sign when the backup was made: what comes next (a plugged-in set) is another change.
    AuthorityChange change = StartChange(state, ledger.trust_domain());
    change.audit.push_back(MakeAudit("restore.finish", "", reason));
    return change;
  }
  MESHCA_ASSIGN_OR_RETURN(const std::unique_ptr<NewKey> key, maker.GenerateKey());
  MESHCA_ASSIGN_OR_RETURN(StoredAuthority issuing, maker.MakeIssuing(*key, state, *root, reason.now));
  return ChangeIssuing(state, ledger.trust_domain(), std::move(issuing), reason);
}

}  // namespace

absl::Status FinishRestore(AuthorityLedger& ledger, const AuthorityMaker& maker, const ClockWatch& clock,
                           GraceKeeper& grace, absl::Duration leaf_lifetime_max) {
  AuthorityStore& store = ledger.store();
  MESHCA_ASSIGN_OR_RETURN(const std::string recovered, GetSettingOrEmpty(store, kSettingRecovered));
  if (recovered.empty() || !ledger.state().bundle.has_value()) return absl::OkStatus();
  const ChangeReason reason = {kMeshcaItself, "restored from a backup", clock.clock().Now()};
  // What was issued after the backup was made has no record here, and its holders have nothing else to renew with. That
  // is granted to a restore alone: whoever writes the database could set the mark, and cannot seal it.
  std::vector<std::string> before = AuthoritiesBeforeRestore(ledger.authorities());
  if (store.GetSealedSetting(kSettingRecovered).ok() && !before.empty()) {
    MESHCA_RETURN_IF_ERROR(grace.Begin(std::move(before), {kMeshcaItself, reason.detail, clock.clock().LikelyNow()}));
  }
  MESHCA_ASSIGN_OR_RETURN(AuthorityChange change, ReplaceIssuing(ledger, maker, reason));
  change.bundle = ledger.state().bundle;
  change.bundle->sequence_number = SequenceAfterRestore(ledger.state(), reason.now);
  change.bundle->published_at = reason.now;
  MESHCA_ASSIGN_OR_RETURN(StoredJwtAuthority next, maker.MakeJwtKey(reason.now));
  RestartJwtKeys(ledger.state(), std::move(next), reason, change);
  MESHCA_RETURN_IF_ERROR(WriteRetireNotBefore(store, clock.clock().LikelyNow() + leaf_lifetime_max));
  MESHCA_RETURN_IF_ERROR(ledger.Commit(change));
  return store.PutSealedSetting(kSettingRecovered, "");
}

}  // namespace meshca
