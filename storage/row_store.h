// Implements Store: all rules of storage/, above the rows of any RowDatabase.
#ifndef MESHCA_STORAGE_ROW_STORE_H_
#define MESHCA_STORAGE_ROW_STORE_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/key_encryption.h"
#include "ca/base/mutex.h"
#include "storage/entry_applies.h"
#include "storage/entry_gate.h"
#include "storage/revision_watch.h"
#include "storage/row_database.h"
#include "storage/row_sink.h"
#include "storage/store.h"
#include "storage/transactions.h"
#include "storage/write_queue.h"

namespace meshca::storage {

struct RowStoreOptions {
  // Makes and checks the MACs of rows that grant trust. Outlives the store.
  const KeyEncryption* keys = nullptr;
  // When too many applies of entries are open, one whose client has been silent for this long is closed (EntryApplies).
  absl::Duration apply_silence_max = absl::Minutes(1);
  // How often a waiter reads the stored revision, in case that another process committed one (RevisionWatch).
  absl::Duration revision_poll = absl::Seconds(1);
};

// See the interfaces for what each call does. The rules are functions over the tables of a transaction (trust_rules,
// token_rules, stored_entries, issuance_appender, revocation_steps ...); this class runs each call in a transaction.
// Thread-safe.
class RowStore : public Store {
 public:
  // Makes the queue in front of `sink`, which writes to `database`. The store destroys the queue before both.
  using MakeQueue = absl::FunctionRef<std::unique_ptr<WriteQueue>(WriteSink& sink, RowDatabase& database)>;

  RowStore(const RowStoreOptions& options, std::unique_ptr<RowDatabase> database, MakeQueue make_queue);
  ~RowStore() override;

  using IssuanceStore::Append;
  void Append(std::shared_ptr<const IssuanceRecord> record, AppendDone done) override;
  void AppendTogether(std::vector<Appended> records) override;
  absl::StatusOr<IssuanceRecord> Find(const SerialNumber& serial) override;
  absl::Status List(const IssuanceFilter& filter, absl::FunctionRef<bool(const IssuanceRecord&)> visit) override;
  absl::StatusOr<IssuanceRecord> JudgePresented(const PresentedCertificate& shown,
                                                const std::shared_ptr<const TrustedOrigins>& trusted_origins) override;
  absl::StatusOr<uint64_t> CountIssuances() override;

  absl::StatusOr<RevocationResult> Revoke(const RevocationSelection& selection, RevocationReason reason, bool dry_run,
                                          const AuditEntry& audit,
                                          absl::FunctionRef<bool(const IssuanceRecord&)> visit) override;

  absl::Status Backup(const std::string& path, const AuditEntry& audit) override;
  absl::Status Check() override;
  absl::StatusOr<uint64_t> Prune(absl::Time expired_before, uint64_t rows_max) override;
  absl::Status Probe() override;
  StoreHealth Health() const override;
  absl::Status RecordAudit(const AuditEntry& audit) override;
  absl::Status ListAudit(absl::FunctionRef<bool(const AuditEntry&)> visit) override;

  absl::StatusOr<AuthoritiesAndBundle> LoadAuthorities() override;
  absl::StatusOr<uint64_t> CommitAuthorities(const AuthorityChange& change) override;
  absl::StatusOr<uint64_t> WaitForRevisionAbove(uint64_t known, absl::Duration wait_max) override;
  void EndRevisionWaits() override { revisions_.Stop(); }
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
  void LeaveApply(uint64_t apply) override;

  absl::StatusOr<NodeRecord> FindNode(absl::string_view node) override;
  absl::StatusOr<std::vector<NodeRecord>> ListNodes() override;
  absl::StatusOr<NodeBan> BanNode(absl::string_view node, absl::string_view reason, const AuditEntry& audit) override;
  absl::Status ForgetNode(absl::string_view node, const AuditEntry& audit) override;

 protected:
  WriteQueue& queue() { return *queue_; }

 private:
  const KeyEncryption& keys() const { return transactions_.keys(); }
  // Calls `prune_chunk`, each time in a transaction of few rows, until `total` is `rows_max` or nothing is left.
  absl::Status PruneInChunks(uint64_t rows_max, uint64_t& total,
                             absl::FunctionRef<absl::StatusOr<uint64_t>(Tables&, uint64_t)> prune_chunk);

  // Members are destroyed in reverse order: the queue writes what waits before the database is closed.
  const std::unique_ptr<RowDatabase> database_;
  RowSink sink_;
  const std::unique_ptr<WriteQueue> queue_;
  const Transactions transactions_;
  EntryGate entry_gate_;
  EntryApplies applies_;
  RevisionWatch revisions_;
  // Held during a whole revocation, and while revocations are pruned, which would delete what the former has staged.
  Mutex revoking_;
  std::atomic<uint64_t> pruned_ = 0;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_ROW_STORE_H_
