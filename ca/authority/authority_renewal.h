// Does what a RenewalPlan says: new issuing authorities in time, and retirement of those that have ended.
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
  // Both outlive it.
  AuthorityRenewal(AuthorityLedger& ledger, const AuthorityMaker& maker, const RenewalPolicy& policy)
      : ledger_(ledger), maker_(maker), policy_(policy) {}

  struct Outcome {
    RenewalPlan plan;    // as it stands afterwards, judged on what is stored
    absl::Status error;  // why a step that is due could not be taken
  };
  // Takes every step that is due at `look`, one after another, each judged on what the store holds then. By a clock
  // that jumped nothing is retired, and an authority is made only where nothing could sign without it.
  Outcome TakeDueSteps(const ClockLook& look);

 private:
  // `key` is that of the issuing authority that a step makes: generated where it is null, and kept for the next attempt
  // when another server's change comes first.
  absl::Status TakeStep(const RenewalStep& step, absl::Time now, std::unique_ptr<NewKey>& key);

  AuthorityLedger& ledger_;
  const AuthorityMaker& maker_;
  const RenewalPolicy policy_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_AUTHORITY_RENEWAL_H_
