// Makes, keeps, renews and publishes the authorities of one trust domain.
#ifndef MESHCA_CA_AUTHORITY_AUTHORITY_MANAGER_H_
#define MESHCA_CA_AUTHORITY_AUTHORITY_MANAGER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authority/authority_change.h"
#include "ca/authority/authority_maker.h"
#include "ca/authority/authority_options.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/authority/authority_source.h"
#include "ca/authority/authority_store.h"
#include "ca/authority/guarded_clock.h"
#include "ca/authority/renewal_plan.h"
#include "ca/authority/settings.h"
#include "ca/base/clock.h"
#include "ca/base/entropy.h"
#include "ca/base/mutex.h"
#include "ca/x509/key_store.h"

namespace meshca {

// What `meshca root import` may ask for beside the folder.
struct ImportOptions {
  // Change over at once though certificates live under the present root: their holders may break.
  bool force = false;
  // Certificates under the imported authority that this CA has no record of may renew for one longest leaf lifetime.
  bool renew_unrecorded = false;
  // How many of the live certificates are the CA's own TLS certificates, which it replaces itself.
  uint64_t own_leaves = 0;
};

// Holds the state machine of the authorities: every change is one AuthorityStore transaction, written before it is
// published; a crash between the two is mended at the next start, which reads the store. Thread-safe; Start, Tick and
// the commands run one at a time.
class AuthorityManager final : public AuthoritySnapshots {
 public:
  // All references outlive the manager. Start() comes before anything else.
  // Errors: CheckAuthorityOptions'.
  static absl::StatusOr<std::unique_ptr<AuthorityManager>> Create(AuthorityOptions options, AuthorityStore& store,
                                                                  KeyStore& keys, const Clock& clock,
                                                                  EntropySource& entropy);

  // Loads the store; on a fresh one makes root and issuing authority (or adopts the plugged-in set) first. Publishes
  // the first snapshot. FailedPrecondition: the store belongs to another trust domain (names both), or there is none
  // yet and the clock is not set (CLOCK_NOT_SET). DataLoss: its rows contradict each other, or its keys do not open.
  // The plugged-in set's errors on a fresh store only: later a broken set is refused, LastError says so, and what was
  // adopted before goes on.
  absl::Status Start();

  std::shared_ptr<const AuthoritySnapshot> Current() const override;
  void AddListener(Listener listener) override;
  // Why nothing signs while the newest snapshot has no issuing authority, for people.
  std::string WhyNotSigning() const;

  // Does what is due (RenewalPlan): renews the issuing authority, takes a changed plugged-in set, retires what has
  // ended. It looks at the clock itself, once its turn has come. Returns when to call again at the latest, counted from
  // `now`: the caller's own look at the clock. Called by the server's maintenance thread, and at once when the clock
  // was set.
  absl::Time Tick(absl::Time now);

  // Adopts the set in `folder` (`meshca root import`), its key sealed into the database. The error names file and
  // fault. Ok and nothing done: it is the active one already, or the rotation that runs leads to it.
  //   same root, or nothing lives under the present one   active at once
  //   a new root while certificates live                  a rotation to it begins: it is trusted beside the present one
  //                                                       first, and signs once everybody holds it
  //   the same, with `force`                              active at once; the present root stays trusted beside it
  // FailedPrecondition: a rotation to another root runs; the set's root was retired here (ROOT_RETIRED) or is tainted.
  absl::Status Import(const std::string& folder, const std::string& actor, const ImportOptions& options = {});

  // Commits what `make` says of the store as it is now, and publishes it. Judged again, up to five times, when another
  // server's change came first. `make`'s errors, and the store's.
  using MakeChange = absl::FunctionRef<absl::StatusOr<AuthorityChange>(const AuthoritiesAndBundle& state)>;
  absl::Status Change(MakeChange make);

  const AuthorityOptions& options() const { return options_; }
  const AuthorityMaker& maker() const { return maker_; }

  // What is wrong: errors of the last Tick, a broken or held plugged-in set, a clock that cannot be believed, an
  // authority that ends; "" when well. Shown by status, check and a metric.
  std::string LastError() const;

  // The clock that everything goes by which forgets, deletes or moves on.
  const JudgedClock& clock() const { return clock_; }
  // Nothing may be declared ended while this is false: the wall clock jumped or went backwards. A look at it now.
  bool ClockIsSteady() const { return clock_.BelievedNow().has_value(); }
  // The time, for what declares something ended by it. FailedPrecondition (CLOCK_UNSTEADY): says what is wrong.
  absl::StatusOr<absl::Time> BelievedNow() const;
  // The operator's word that the clock is right as it is: what was frozen because of it goes on. Durable.
  absl::Status AcceptClock(const std::string& actor);
  // What is wrong with the clock; "" when steady.
  std::string ClockFinding() const { return clock_.Judge().finding; }
  // The plugged-in folder holds a set that was refused or is held back.
  bool PluggedInRefused() const;

 private:
  AuthorityManager(AuthorityOptions options, AuthorityStore& store, KeyStore& keys, const Clock& clock,
                   EntropySource& entropy);

  absl::Status Reload() ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  absl::Status Commit(const AuthorityChange& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  absl::Status MakeFirst(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  absl::Status LoadMark() ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  absl::Status FinishRestore(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  // One round of everything that is due; errors are collected for LastError, not returned.
  // How long to wait until the next round.
  absl::Duration Work() ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  GuardedClock::Look LookAtClock() ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  absl::Status MendRetireNotBefore(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  void LookAtSource(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  absl::Status TakeChangedSet(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  RenewalPlan DoWhatIsDue(const GuardedClock::Look& look, std::vector<std::string>& errors)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  // `key` of the issuing authority that a step makes: generated here where it is null, and kept for the next attempt.
  absl::Status TakeStep(const RenewalStep& step, absl::Time now, std::unique_ptr<NewKey>& key)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  // Begins a rotation to the new root of `set`, which stands in `folder`.
  absl::Status RotateTo(const AuthoritySet& set, const std::string& folder, bool seal_key, const ChangeReason& reason)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  // Import's change itself, judged on what the store holds now.
  absl::Status TakeImported(const AuthoritySet& set, const std::string& folder, const std::string& actor,
                            const ImportOptions& options, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  // From now on certificates under `authority_ids` may renew without a record, for one longest leaf lifetime.
  absl::Status BeginGrace(std::vector<std::string> authority_ids, const ChangeReason& reason)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  absl::Status LoadGrace() ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  // `grace` and why, in one transaction.
  absl::Status CommitGrace(const std::optional<UnrecordedGrace>& grace, const std::vector<AuditEntry>& audit)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  // Ends the grace, or what of it has ended, durably.
  absl::Status LookAtGrace(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  // The active issuing authority's row, its key sealed into it where that stands in a folder whose files have changed.
  absl::StatusOr<std::optional<StoredAuthority>> KeepIssuingKey() ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  // Makes `set` the active authority by one transaction.
  absl::Status Adopt(const AuthoritySet& set, bool seal_key, bool drop_old_roots, const ChangeReason& reason)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  absl::StatusOr<AuthorityRows> RowsOf(const AuthoritySet& set, bool seal_key, absl::Time now) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  // `set` without the roots that were retired or tainted here; those are named in the log when it is taken.
  AuthoritySet WithoutLostRoots(AuthoritySet set, std::string& left_out) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  // Live certificates that do not chain to `root_id`, the CA's own left out.
  absl::StatusOr<uint64_t> LeavesOutside(absl::string_view root_id, uint64_t own_leaves, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  absl::Status OpenActiveKey() ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  void Publish(absl::string_view issuing_id, std::vector<std::string>& errors) ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  void Say(const std::vector<std::string>& errors) ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);

  const AuthorityOptions options_;
  const RenewalPolicy policy_;
  AuthorityStore& store_;
  GuardedClock clock_;
  const AuthorityMaker maker_;

  Mutex turn_;  // held through a whole Start, Tick or command, the database's time included
  const std::unique_ptr<AuthoritySource> source_ ABSL_PT_GUARDED_BY(turn_);
  AuthoritiesAndBundle state_ ABSL_GUARDED_BY(turn_);                 // as last read
  std::vector<SigningAuthority> authorities_ ABSL_GUARDED_BY(turn_);  // state_'s, parsed
  std::shared_ptr<const SigningKey> key_ ABSL_GUARDED_BY(turn_);  // of authority key_id_, which was active when opened
  std::string key_id_ ABSL_GUARDED_BY(turn_);
  absl::Time mark_written_ ABSL_GUARDED_BY(turn_) = absl::InfinitePast();
  std::string source_fingerprint_ ABSL_GUARDED_BY(turn_);  // of the set last taken
  absl::Status source_error_ ABSL_GUARDED_BY(turn_);
  std::optional<UnrecordedGrace> grace_ ABSL_GUARDED_BY(turn_);  // as it is kept

  mutable Mutex mutex_;  // short: for readers
  std::shared_ptr<const AuthoritySnapshot> current_ ABSL_GUARDED_BY(mutex_);
  std::vector<Listener> listeners_ ABSL_GUARDED_BY(mutex_);
  std::string last_error_ ABSL_GUARDED_BY(mutex_);
  std::string why_not_signing_ ABSL_GUARDED_BY(mutex_);
  bool plugged_in_refused_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_AUTHORITY_MANAGER_H_
