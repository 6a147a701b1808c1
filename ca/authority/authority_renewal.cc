#include "ca/authority/authority_renewal.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "ca/authority/authority_change.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

// A clock that jumped ahead must not declare anything expired, nor date an authority that can wait. But it may be
// right, and then nothing would sign without a new one: should it be wrong, that one is replaced afterwards.
bool MustWaitForTheClock(const RenewalStep& step, const RenewalPlan& plan,
                         const std::vector<SigningAuthority>& authorities) {
  if (step.kind == RenewalStep::Kind::kRetire) return true;
  // What signs now can go on signing until the clock is believed again.
  return std::any_of(authorities.begin(), authorities.end(), [&plan](const SigningAuthority& authority) {
    return authority.id == plan.issuing_id && !authority.tainted;
  });
}

}  // namespace

AuthorityRenewal::Outcome AuthorityRenewal::TakeDueSteps(const ClockLook& look) {
  absl::Status status;
  std::unique_ptr<NewKey> key;  // of an issuing authority that is not committed yet
  for (int attempt = 0; attempt < AuthorityLedger::kAttemptsMax; ++attempt) {
    RenewalPlan plan = PlanRenewal(look.now, ledger_.authorities(), policy_);
    const auto step = std::find_if(plan.steps.begin(), plan.steps.end(), [&](const RenewalStep& candidate) {
      return look.verdict == ClockVerdict::kSteady || !MustWaitForTheClock(candidate, plan, ledger_.authorities());
    });
    if (step == plan.steps.end()) return {std::move(plan), absl::OkStatus()};
    // One step, then everything is judged anew on what the store holds then.
    status = TakeStep(*step, look.now, key);
    if (absl::IsAborted(status)) status = ledger_.Reload();
    if (!status.ok()) break;
  }
  return {PlanRenewal(look.now, ledger_.authorities(), policy_), std::move(status)};
}

absl::Status AuthorityRenewal::TakeStep(const RenewalStep& step, absl::Time now, std::unique_ptr<NewKey>& key) {
  const AuthoritiesAndBundle& state = ledger_.state();
  const ChangeReason reason = {kMeshcaItself, step.why, now};
  if (step.kind == RenewalStep::Kind::kRetire) {
    return ledger_.Commit(RetireAuthority(state, ledger_.trust_domain(), step.authority_id, reason));
  }
  if (key == nullptr) {
    MESHCA_ASSIGN_OR_RETURN(key, maker_.GenerateKey());
  }
  MESHCA_ASSIGN_OR_RETURN(StoredAuthority issuing,
                          maker_.MakeIssuing(*key, state, *FindById(state, step.authority_id), now));
  MESHCA_RETURN_IF_ERROR(ledger_.Commit(ChangeIssuing(state, ledger_.trust_domain(), std::move(issuing), reason)));
  key = nullptr;  // a second issuing authority gets a key of its own
  return absl::OkStatus();
}

}  // namespace meshca
