// Renews the agent's own certificate.
#ifndef MESHCA_CLI_AGENT_OWN_RENEWAL_H_
#define MESHCA_CLI_AGENT_OWN_RENEWAL_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/base/entropy.h"
#include "ca/base/judged_clock.h"
#include "ca/base/mutex.h"
#include "ca/base/serial_executor.h"
#include "cli/agent/agent_state.h"
#include "cli/agent/ca_caller.h"
#include "cli/agent/full_jitter.h"
#include "cli/agent/own_identity.h"
#include "cli/agent/signed_answer.h"
#include "cli/agent/told_trust.h"

namespace meshca::agent {

struct OwnRenewalOptions {
  // The fraction of the certificate's life after which it is renewed, up to a tenth earlier or later, so that a fleet
  // that joined together does not renew together.
  double renew_at = 0.5;
  // The waits between attempts that failed (FullJitter).
  absl::Duration retry_first = absl::Seconds(2);
  absl::Duration retry_max = absl::Minutes(2);
};

// With a new key each time, by Sign for the agent's own ID. A certificate is written to the state before it is used.
// Where the disk cannot take it, it is kept and written as soon as that works, so that no further ones are asked for;
// and used unwritten once the written one has ended, for an agent without a certificate serves nobody. One that comes
// after the agent has joined anew is forgotten. Goes by the wall clock, and does nothing while that is not to be
// believed.
//
// A duty of the executor: everything runs there, and blocks on the disk there. RenewSoon and last_failure: any thread.
class OwnRenewal {
 public:
  struct Parts {
    CaCaller& ca;
    const ToldTrust& trust;
    AgentState& state;
    OwnIdentityHolder& identity;
  };

  // Before executor.Start(). `renewed` runs on the executor after each change of `parts.identity`. References outlive
  // this, and this outlives the executor's Shutdown.
  OwnRenewal(OwnRenewalOptions options, Parts parts, std::function<void()> renewed, const JudgedClock& clock,
             EntropySource& entropy, SerialExecutor& executor);

  // Renews now, whatever the certificate's age.
  void RenewSoon();

  // Why the last attempt brought no certificate, or why the last certificate could not be saved; Ok: it did.
  absl::Status last_failure() const;

 private:
  absl::Duration Advance();
  void ForgetWhatIsOvertaken(const OwnIdentity& identity);
  bool IsDue(const OwnIdentity& identity) const;
  void Ask(const OwnIdentity& identity);
  absl::StatusOr<std::shared_ptr<const SoftwareKey>> NewKey(const OwnIdentity& identity);
  void TakeAnswer(std::shared_ptr<const SoftwareKey> key, const SpiffeId& id,
                  const absl::StatusOr<std::string>& response);
  absl::StatusOr<OwnIdentityPtr> ReadAnswer(std::shared_ptr<const SoftwareKey> key, const SpiffeId& id,
                                            const absl::StatusOr<std::string>& response);
  void Save();
  void Use(OwnIdentityPtr identity);
  void NoteFailure(const absl::Status& why);

  const OwnRenewalOptions options_;
  const Parts parts_;
  const std::function<void()> renewed_;
  const JudgedClock& clock_;
  EntropySource& entropy_;
  SerialExecutor& executor_;

  // The executor's.
  FullJitter jitter_;
  absl::Duration next_ = absl::ZeroDuration();  // by the boot clock: not before
  absl::Time renew_at_ = absl::InfinitePast();  // of the certificate `timed_`
  std::string timed_;                           // its serial number
  bool asked_ = false;                          // an answer is on its way
  bool soon_ = false;
  std::string parent_;      // serial number of the certificate that was asked about last
  OwnIdentityPtr unsaved_;  // in place of `parent_`; null: everything is written
  SignedAnswerReader reader_;

  mutable Mutex mutex_;
  absl::Status last_failure_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca::agent

#endif  // MESHCA_CLI_AGENT_OWN_RENEWAL_H_
