// A store in memory: for tests of what stands on a store, and the first to pass test/storage's conformance suite.
#ifndef MESHCA_TEST_FAKES_MEMORY_STORE_H_
#define MESHCA_TEST_FAKES_MEMORY_STORE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/base/mutex.h"
#include "storage/renewal_rules.h"
#include "storage/revocation_plan.h"
#include "storage/store.h"

namespace meshca {

// Everything is "durable" at once: Append, SaveSubscribers and DeleteSubscribers run `done` before they return, on the
// caller's thread, with no lock held. Thread-safe.
class MemoryStore final : public storage::Store {
 public:
  MemoryStore();
  ~MemoryStore() override;

  // From now on every write answers `why` (Ok: heals). What was held back by HoldAppends stays held.
  void FailWrites(absl::Status why);
  // Appends are queued, not done, until ReleaseAppends: what a slow disk looks like. At most `queue_max` of them; more
  // answer ResourceExhausted.
  void HoldAppends(size_t queue_max);
  void ReleaseAppends();
  // The next `times` Appends answer Aborted, as when an activation overtook them.
  void AbortAppends(int times);

  using IssuanceStore::Append;
  void Append(std::shared_ptr<const IssuanceRecord> record, AppendDone done) override;
  absl::StatusOr<IssuanceRecord> Find(const SerialNumber& serial) override;
  absl::Status List(const IssuanceFilter& filter, absl::FunctionRef<bool(const IssuanceRecord&)> visit) override;
  absl::StatusOr<IssuanceRecord> JudgePresented(
      const PresentedCertificate& shown,
      const std::shared_ptr<const std::vector<std::string>>& trusted_issuers) override;
  absl::StatusOr<uint64_t> CountIssuances() override;

  absl::StatusOr<RevocationResult> Revoke(const RevocationSelection& selection, RevocationReason reason, bool dry_run,
                                          const AuditEntry& audit,
                                          absl::FunctionRef<bool(const IssuanceRecord&)> visit) override;

  // Unimplemented: there is no file.
  absl::Status Backup(const std::string& path, const AuditEntry& audit) override;
  absl::Status Check() override;
  absl::StatusOr<uint64_t> Prune(absl::Time expired_before, uint64_t rows_max) override;
  absl::Status Probe() override;
  StoreHealth Health() const override;
  absl::Status RecordAudit(const AuditEntry& audit) override;
  absl::Status ListAudit(absl::FunctionRef<bool(const AuditEntry&)> visit) override;

  absl::StatusOr<AuthoritiesAndBundle> LoadAuthorities() override;
  absl::StatusOr<uint64_t> CommitAuthorities(const AuthorityChange& change) override;
  absl::StatusOr<std::map<std::string, uint64_t>> CountLiveLeaves(absl::Time now) override;
  absl::StatusOr<std::string> GetSetting(absl::string_view name) override;
  absl::Status PutSetting(absl::string_view name, absl::string_view value) override;
  absl::StatusOr<std::string> GetSealedSetting(absl::string_view name) override;
  absl::Status PutSealedSetting(absl::string_view name, absl::string_view value) override;

  absl::Status VisitUnreplaced(const LeafQuery& query, absl::FunctionRef<bool(const LiveLeaf&)> visit) override;

  void SaveSubscribers(std::vector<SubscriberRecord> rows, SaveDone done) override;
  absl::StatusOr<std::vector<SubscriberRecord>> LoadSubscribers() override;
  void DeleteSubscribers(std::vector<std::string> instances, SaveDone done) override;

  absl::Status CreateToken(const JoinToken& token, const AuditEntry& audit) override;
  absl::StatusOr<JoinToken> FindToken(absl::string_view secret_sha256) override;
  absl::StatusOr<std::vector<JoinToken>> ListTokens() override;
  absl::Status DeleteToken(absl::string_view id, const AuditEntry& audit) override;

  absl::Status CreateEntry(const RegistrationEntry& entry, const AuditEntry& audit) override;
  absl::Status PutEntry(const RegistrationEntry& entry, const AuditEntry& audit) override;
  absl::StatusOr<std::vector<RegistrationEntry>> ListEntries() override;
  absl::Status DeleteEntry(absl::string_view id, const AuditEntry& audit) override;

  absl::StatusOr<uint64_t> BeginApply() override;
  absl::Status StageEntries(uint64_t apply, std::span<const GivenEntry> part, size_t* at) override;
  absl::StatusOr<EntryApplyCounts> FinishApply(uint64_t apply, const EntryApplyOptions& options,
                                               const AuditEntry& audit, const EntryApplyListener& listener,
                                               uint64_t* at) override;
  void DropApply(uint64_t apply) override;
  void LeaveApply(uint64_t apply) override { DropApply(apply); }

 private:
  struct Held {
    IssuanceRecord record;
    AppendDone done;
  };

  absl::Status AppendLocked(IssuanceRecord record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Answers the rules of renewal from the rows below.
  class Rows;
  absl::StatusOr<storage::InheritedRight> InheritLocked(const IssuanceRecord& record)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status PlanLocked(const RevocationSelection& selection, absl::Time now, storage::RevocationPlan& plan)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void MarkRevokedLocked(IssuanceRecord& record) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status RedeemLocked(const IssuanceRecord& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status PutEntryLocked(const RegistrationEntry& entry, const AuditEntry& audit)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AuditLocked(AuditEntry entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckChangeLocked(const AuthorityChange& change) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckRotationLocked(const AuthorityChange& change) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  absl::Status broken_ ABSL_GUARDED_BY(mutex_);
  int aborts_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<size_t> held_max_ ABSL_GUARDED_BY(mutex_);
  std::vector<Held> held_ ABSL_GUARDED_BY(mutex_);
  std::vector<IssuanceRecord> issuances_ ABSL_GUARDED_BY(mutex_);  // oldest first
  std::map<SerialNumber, absl::Time> serials_ ABSL_GUARDED_BY(mutex_);
  // By the bytes of serial numbers and by the hashes of keys.
  std::map<std::string, storage::Revocation> revoked_certificates_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, storage::Revocation> revoked_lines_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, storage::Revocation> revoked_keys_ ABSL_GUARDED_BY(mutex_);
  AuthoritiesAndBundle trust_ ABSL_GUARDED_BY(mutex_);  // but for its rotation
  std::map<uint64_t, RootRotation> rotations_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::string> settings_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> sealed_settings_ ABSL_GUARDED_BY(mutex_);  // names of those that PutSealedSetting wrote
  std::map<std::string, SubscriberRecord> subscribers_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, JoinToken> tokens_ ABSL_GUARDED_BY(mutex_);  // by id
  std::map<std::string, RegistrationEntry> entries_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, std::vector<GivenEntry>> applies_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_apply_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<AuditEntry> audit_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca

#endif  // MESHCA_TEST_FAKES_MEMORY_STORE_H_
