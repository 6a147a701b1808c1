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
#include "ca/authority/active_jwt_key.h"
#include "ca/authority/active_key.h"
#include "ca/authority/authority_ledger.h"
#include "ca/authority/authority_maker.h"
#include "ca/authority/authority_options.h"
#include "ca/authority/authority_renewal.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/authority/authority_store.h"
#include "ca/authority/clock_watch.h"
#include "ca/authority/exported_authority.h"
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

// The front of all classes that keep the authorities. It lets them work one at a time, and ends each call with a round
// that does what is due and publishes the result. Every change is one AuthorityStore transaction and is durable before
// it is published; after a crash between the two, the next start reads it from the store. Thread-safe. Code that only
// reads uses AuthoritySnapshots or clock() instead of this class.
class AuthorityManager final : public AuthoritySnapshots {
 public:
  // All references outlive the manager. Start() comes before anything else. Errors: CheckAuthorityOptions'.
  static absl::StatusOr<std::unique_ptr<AuthorityManager>> Create(AuthorityOptions options, AuthorityStore& store,
                                                                  KeyStore& keys, const Clock& clock,
                                                                  EntropySource& entropy);

  // Loads the store and publishes the first snapshot. In a fresh store it first makes the root and the issuing
  // authority, or adopts the plugged-in set. FailedPrecondition: the store belongs to another trust domain (the message
  // names both), or it is fresh and the clock is not set (CLOCK_NOT_SET). DataLoss: the rows contradict each other, or
  // the keys do not open. A plugged-in set that is refused is an error in a fresh store only; later LastError reports
  // it, and what was adopted before goes on signing.
  absl::Status Start();

  // Does what is due: renews the issuing authority, takes in a changed plugged-in set, retires what has ended. Reads
  // the clock itself, because it may have to wait for other calls first. Returns the latest time for the next call,
  // counted from `now`, the caller's own reading. Called by the server's maintenance thread, and at once when the clock
  // was set.
  absl::Time Tick(absl::Time now);

  // Commits what `make` computes from the stored state (AuthorityLedger::Change), and publishes it.
  absl::Status Change(AuthorityLedger::MakeChange make);
  // See SetImport::Import.
  absl::Status Import(const SetFiles& files, const std::string& actor, const ImportOptions& options = {});
  // Makes an issuing authority under the present root for a key that somebody else holds (exported_authority.h). It is
  // durable and audited when this returns. Errors: MakeExported's; FailedPrecondition also: the clock cannot be
  // believed (CLOCK_UNSTEADY).
  absl::StatusOr<ExportedSet> Export(const ExportRequest& request, const std::string& actor);
  // The operator says that the clock is right as it is, so what was frozen because of it goes on. Durable when Ok.
  absl::Status AcceptClock(const std::string& actor);

  std::shared_ptr<const AuthoritySnapshot> Current() const override { return publisher_.Current(); }
  void AddListener(Listener listener) override { publisher_.AddListener(std::move(listener)); }
  // See SnapshotPublisher::WhyNotSigning.
  std::string WhyNotSigning() const { return publisher_.WhyNotSigning(); }

  // For people, what is wrong: errors of the last round, a plugged-in set that was refused or is held back, a clock
  // that cannot be believed, an authority that ends soon; "" if nothing. `meshca check` and others show it.
  std::string LastError() const;
  // Whether the plugged-in folder holds a set that was refused or is held back.
  bool PluggedInRefused() const;

  // For any thread's questions about the clock. Only the manager calls Observe and Accept.
  const ClockWatch& clock_watch() const { return clock_; }
  const JudgedClock& clock() const { return clock_.clock(); }
  const AuthorityMaker& maker() const { return maker_; }
  const AuthorityOptions& options() const { return options_; }

 private:
  AuthorityManager(AuthorityOptions options, AuthorityStore& store, KeyStore& keys, const Clock& clock,
                   EntropySource& entropy);

  // Makes the authorities of a trust domain that has none yet.
  absl::Status BeginTrustDomain() ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  // Does everything that is due, then publishes. Errors are kept for LastError, not returned. Returns how long to wait
  // until the next round.
  absl::Duration RunRound() ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  // The part of a round that is left out while ClockLook::may_make is false.
  RenewalPlan TakeWhatIsDue(const ClockLook& look, std::vector<std::string>& errors)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  void Publish(const ClockLook& look, const RenewalPlan& plan, std::vector<std::string>& errors)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  // The opened keys, for a snapshot.
  Signers OpenSigners(const ClockLook& look, const RenewalPlan& plan, std::vector<std::string>& errors)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  void KeepErrors(const std::vector<std::string>& errors) ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);

  const AuthorityOptions options_;
  const AuthorityMaker maker_;
  SnapshotPublisher publisher_;

  Mutex turn_;  // held through a whole Start, Tick or command, the database's time included
  AuthorityLedger ledger_ ABSL_GUARDED_BY(turn_);
  ClockWatch clock_;  // its Load, Observe and Accept with turn_ held
  ActiveKey active_key_ ABSL_GUARDED_BY(turn_);
  ActiveJwtKey active_jwt_key_ ABSL_GUARDED_BY(turn_);
  GraceKeeper grace_ ABSL_GUARDED_BY(turn_);
  SetAdoption adoption_ ABSL_GUARDED_BY(turn_);
  SetImport import_ ABSL_GUARDED_BY(turn_);
  SourceWatch source_ ABSL_GUARDED_BY(turn_);
  AuthorityRenewal renewal_ ABSL_GUARDED_BY(turn_);

  mutable Mutex mutex_;  // held only for a copy, so that readers do not wait for turn_
  std::string last_error_ ABSL_GUARDED_BY(mutex_);
  bool plugged_in_refused_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_AUTHORITY_MANAGER_H_
