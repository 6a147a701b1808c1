// Carries out a RenewalPlan: makes new issuing authorities in time, and retires authorities that have ended.
#ifndef MESHCA_CA_AUTHORITY_AUTHORITY_RENEWAL_H_
#define MESHCA_CA_AUTHORITY_AUTHORITY_RENEWAL_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/authority/authority_ledger.h"
#include "ca/authority/authority_maker.h"
#include "ca/authority/clock_guard.h"
#include "ca/authority/renewal_plan.h"
#include "ca/x509/key_store.h"

namespace meshca {

// One thread at a time.
class AuthorityRenewal {
 public:
  // `ledger` and `maker` outlive this object.
  AuthorityRenewal(AuthorityLedger& ledger, const AuthorityMaker& maker, const RenewalPolicy& policy)
      : ledger_(ledger), maker_(maker), policy_(policy) {}

  struct Outcome {
    RenewalPlan plan;    // made again from what is stored afterwards
    absl::Status error;  // why a step that is due could not be taken; Ok: all were
  };
  // Takes the steps that are due at `look.now`, one after another; the plan is made again from the stored state before
  // each. While the clock is not believed nothing is retired, and an authority is made only if nothing could sign
  // without it.
  Outcome TakeDueSteps(const ClockLook& look);

 private:
  // `key` is for the issuing authority that a step makes. It is generated if it is null, and kept for the next attempt
  // when another server's change came first.
  absl::Status TakeStep(const RenewalStep& step, absl::Time now, std::unique_ptr<NewKey>& key);

  AuthorityLedger& ledger_;
  const AuthorityMaker& maker_;
  const RenewalPolicy policy_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_AUTHORITY_RENEWAL_H_
