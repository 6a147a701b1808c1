// Makes, keeps, renews and publishes the authorities of one trust domain.
#ifndef MESHCA_CA_AUTHORITY_AUTHORITY_MANAGER_H_
#define MESHCA_CA_AUTHORITY_AUTHORITY_MANAGER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/active_key.h"
#include "ca/authority/authority_ledger.h"
#include "ca/authority/authority_maker.h"
#include "ca/authority/authority_options.h"
#include "ca/authority/authority_renewal.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/authority/authority_store.h"
#include "ca/authority/clock_watch.h"
#include "ca/authority/grace_keeper.h"
#include "ca/authority/set_adoption.h"
#include "ca/authority/set_import.h"
#include "ca/authority/snapshot_publisher.h"
#include "ca/authority/source_watch.h"
#include "ca/base/clock.h"
#include "ca/base/entropy.h"
#include "ca/base/mutex.h"
#include "ca/x509/key_store.h"

namespace meshca {

// The front of the parts that keep the authorities. It lets them work one at a time, and ends each call with a round
// that does what is due and publishes the result. Every change is one AuthorityStore transaction, written before it is
// published; a crash between the two is mended at the next start, which reads the store. Thread-safe. Whoever only
// reads takes AuthoritySnapshots or clock() instead.
class AuthorityManager final : public AuthoritySnapshots {
 public:
  // All references outlive the manager. Start() comes before anything else. The errors of CheckAuthorityOptions.
  static absl::StatusOr<std::unique_ptr<AuthorityManager>> Create(AuthorityOptions options, AuthorityStore& store,
                                                                  KeyStore& keys, const Clock& clock,
                                                                  EntropySource& entropy);

  // Loads the store; on a fresh one makes root and issuing authority (or adopts the plugged-in set) first. Publishes
  // the first snapshot. FailedPrecondition: the store belongs to another trust domain (names both), or there is none
  // yet and the clock is not set (CLOCK_NOT_SET). DataLoss: its rows contradict each other, or its keys do not open.
  // The plugged-in set's errors on a fresh store only: later a broken set is refused, LastError says so, and what was
  // adopted before goes on.
  absl::Status Start();

  // Does what is due: renews the issuing authority, takes a changed plugged-in set, retires what has ended. It looks at
  // the clock itself, once its turn has come. Returns when to call again at the latest, counted from `now`: the
  // caller's own look at the clock. Called by the server's maintenance thread, and at once when the clock was set.
  absl::Time Tick(absl::Time now);

  // Commits what `make` says of the store as it is now (AuthorityLedger::Change), and publishes it.
  absl::Status Change(AuthorityLedger::MakeChange make);
  // SetImport::Import.
  absl::Status Import(const std::string& folder, const std::string& actor, const ImportOptions& options = {});
  // The operator's word that the clock is right as it is: what was frozen because of it goes on. Durable.
  absl::Status AcceptClock(const std::string& actor);

  std::shared_ptr<const AuthoritySnapshot> Current() const override { return publisher_.Current(); }
  void AddListener(Listener listener) override { publisher_.AddListener(std::move(listener)); }
  // SnapshotPublisher::WhyNotSigning.
  std::string WhyNotSigning() const { return publisher_.WhyNotSigning(); }

  // What is wrong: errors of the last round, a broken or held plugged-in set, a clock that cannot be believed, an
  // authority that ends; "" when well. Shown by status, check and a metric.
  std::string LastError() const;
  // The plugged-in folder holds a set that was refused or is held back.
  bool PluggedInRefused() const;

  // What may be asked of the clock by any thread; Observe and Accept are the manager's.
  const ClockWatch& clock_watch() const { return clock_; }
  const JudgedClock& clock() const { return clock_.clock(); }
  const AuthorityMaker& maker() const { return maker_; }
  const AuthorityOptions& options() const { return options_; }

 private:
  AuthorityManager(AuthorityOptions options, AuthorityStore& store, KeyStore& keys, const Clock& clock,
                   EntropySource& entropy);

  // Makes the authorities of a trust domain that has none yet.
  absl::Status BeginTrustDomain() ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  // Everything that is due, then publishes. Errors are kept for LastError, not returned. How long to wait until the
  // next round.
  absl::Duration RunRound() ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  // The part of a round that needs a clock by which something can be made.
  RenewalPlan TakeWhatIsDue(const ClockLook& look, std::vector<std::string>& errors)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  void Publish(const RenewalPlan& plan, std::vector<std::string>& errors) ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  void KeepErrors(const std::vector<std::string>& errors) ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);

  const AuthorityOptions options_;
  const AuthorityMaker maker_;
  SnapshotPublisher publisher_;

  Mutex turn_;  // held through a whole Start, Tick or command, the database's time included
  AuthorityLedger ledger_ ABSL_GUARDED_BY(turn_);
  ClockWatch clock_;  // its Load, Observe and Accept with turn_ held
  ActiveKey active_key_ ABSL_GUARDED_BY(turn_);
  GraceKeeper grace_ ABSL_GUARDED_BY(turn_);
  SetAdoption adoption_ ABSL_GUARDED_BY(turn_);
  SetImport import_ ABSL_GUARDED_BY(turn_);
  SourceWatch source_ ABSL_GUARDED_BY(turn_);
  AuthorityRenewal renewal_ ABSL_GUARDED_BY(turn_);

  mutable Mutex mutex_;  // short: for readers
  std::string last_error_ ABSL_GUARDED_BY(mutex_);
  bool plugged_in_refused_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_AUTHORITY_MANAGER_H_
