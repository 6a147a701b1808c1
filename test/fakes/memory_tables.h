// storage/'s tables over rows in memory.
#ifndef MESHCA_TEST_FAKES_MEMORY_TABLES_H_
#define MESHCA_TEST_FAKES_MEMORY_TABLES_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ca/authority/leaf_inventory.h"
#include "storage/tables.h"
#include "test/fakes/memory_rows.h"

namespace meshca {

class MemoryTrustTable final : public storage::TrustTable {
 public:
  explicit MemoryTrustTable(MemoryRows& rows) : rows_(rows) {}

  absl::StatusOr<storage::TrustHead> ReadHead() override { return rows_.trust->head; }
  absl::Status WriteHead(const storage::TrustHead& head) override;
  absl::Status VisitAuthorities(absl::FunctionRef<absl::Status(storage::WithMac<StoredAuthority>)> visit) override;
  absl::Status PutAuthority(const StoredAuthority& authority, absl::string_view mac) override;
  absl::Status DeleteAuthority(const std::string& id) override;
  absl::StatusOr<std::optional<storage::Signer>> FindSigner(const std::string& id) override;
  absl::Status VisitJwtAuthorities(
      absl::FunctionRef<absl::Status(storage::WithMac<StoredJwtAuthority>)> visit) override;
  absl::Status PutJwtAuthority(const StoredJwtAuthority& authority, absl::string_view mac) override;
  absl::StatusOr<uint64_t> HighestBundleNumber() override;
  absl::StatusOr<std::optional<storage::WithMac<StoredBundle>>> FindNewestBundle() override;
  absl::Status VisitBundles(absl::FunctionRef<absl::Status(storage::WithMac<StoredBundle>)> visit) override;
  absl::Status InsertBundle(const StoredBundle& bundle, absl::string_view mac) override;
  absl::StatusOr<std::optional<storage::WithMac<storage::BundleJwtKeys>>> FindBundleJwtKeys(
      uint64_t sequence_number) override;
  absl::Status VisitBundleJwtKeys(
      absl::FunctionRef<absl::Status(storage::WithMac<storage::BundleJwtKeys>)> visit) override;
  absl::Status InsertBundleJwtKeys(const storage::BundleJwtKeys& keys, absl::string_view mac) override;
  absl::StatusOr<std::optional<storage::WithMac<RootRotation>>> FindNewestRotation() override;
  absl::Status VisitRotations(absl::FunctionRef<absl::Status(storage::WithMac<RootRotation>)> visit) override;
  absl::StatusOr<uint64_t> FindRunningRotationBeside(uint64_t number) override;
  absl::StatusOr<uint64_t> HighestRotationNumber() override;
  absl::StatusOr<bool> HasRotation(uint64_t number) override { return rows_.trust->rotations.contains(number); }
  absl::Status PutRotation(const RootRotation& rotation, absl::string_view mac) override;
  absl::Status DeleteRotation(uint64_t number) override;

 private:
  MemoryRows& rows_;
};

class MemorySettingTable final : public storage::SettingTable {
 public:
  explicit MemorySettingTable(MemoryRows& rows) : rows_(rows) {}

  absl::StatusOr<std::optional<storage::WithMac<storage::SettingRow>>> Find(absl::string_view name) override;
  absl::Status Put(absl::string_view name, absl::string_view value, absl::string_view mac) override;
  absl::Status VisitSealed(absl::FunctionRef<absl::Status(storage::WithMac<storage::SettingRow>)> visit) override;

 private:
  MemoryRows& rows_;
};

class MemoryAuditTable final : public storage::AuditTable {
 public:
  explicit MemoryAuditTable(MemoryRows& rows) : rows_(rows) {}

  absl::StatusOr<Last> FindLast() override;
  absl::Status Insert(const AuditEntry& entry) override;
  absl::Status Visit(absl::FunctionRef<bool(const AuditEntry&)> visit) override;

 private:
  MemoryRows& rows_;
};

class MemoryTokenTable final : public storage::TokenTable {
 public:
  explicit MemoryTokenTable(MemoryRows& rows) : rows_(rows) {}

  absl::Status Insert(const JoinToken& token, const storage::RowMacs& macs) override;
  absl::StatusOr<std::optional<storage::WithMac<JoinToken>>> FindById(absl::string_view id) override;
  absl::StatusOr<std::optional<storage::WithMac<JoinToken>>> FindBySecret(absl::string_view secret_sha256) override;
  absl::Status Visit(absl::FunctionRef<absl::Status(storage::WithMac<JoinToken>)> visit) override;
  absl::Status WriteUse(const JoinToken& token, absl::string_view mac) override;
  absl::StatusOr<bool> Delete(absl::string_view id) override;
  absl::Status DeleteOfNode(absl::string_view node) override;
  absl::Status DeleteAll() override;
  absl::StatusOr<uint64_t> Prune(absl::Time expired_before, uint64_t rows_max) override;

 private:
  MemoryRows& rows_;
};

class MemorySubscriberTable final : public storage::SubscriberTable {
 public:
  explicit MemorySubscriberTable(MemoryRows& rows) : rows_(rows) {}

  absl::Status Put(const SubscriberRecord& record) override;
  absl::StatusOr<std::vector<SubscriberRecord>> ReadAll() override;
  absl::Status Delete(const std::string& instance) override;

 private:
  MemoryRows& rows_;
};

class MemoryNodeTable final : public storage::NodeTable {
 public:
  explicit MemoryNodeTable(MemoryRows& rows) : rows_(rows) {}

  absl::StatusOr<std::optional<storage::WithMac<NodeRecord>>> Find(absl::string_view node) override;
  absl::Status Visit(absl::FunctionRef<absl::Status(storage::WithMac<NodeRecord>)> visit) override;
  absl::Status Put(const NodeRecord& node, absl::string_view mac) override;
  absl::StatusOr<bool> Delete(absl::string_view node) override;

 private:
  MemoryRows& rows_;
};

class MemoryEntryTable final : public storage::EntryTable {
 public:
  explicit MemoryEntryTable(MemoryRows& rows) : rows_(rows) {}

  absl::StatusOr<std::optional<storage::LiveEntry>> FindById(const std::string& id) override;
  absl::StatusOr<std::optional<storage::LiveEntry>> FindByIdentity(const SpiffeId& spiffe_id) override;
  absl::StatusOr<std::optional<std::string>> FindHolder(const RegistrationEntry& entry) override;
  absl::Status Visit(absl::FunctionRef<absl::Status(storage::WithMac<RegistrationEntry>)> visit) override;
  absl::Status Insert(const RegistrationEntry& entry, const storage::RowMacs& macs) override;
  absl::Status Replace(int64_t ref, const RegistrationEntry& entry, const storage::RowMacs& macs) override;
  absl::StatusOr<bool> Delete(absl::string_view id) override;

 private:
  MemoryRows& rows_;
};

class MemoryEntryApplyTable final : public storage::EntryApplyTable {
 public:
  explicit MemoryEntryApplyTable(MemoryRows& rows) : rows_(rows) {}

  absl::StatusOr<uint64_t> Begin() override;
  absl::StatusOr<std::optional<storage::EntryApplyRow>> Find(uint64_t apply) override;
  absl::Status Activate(uint64_t apply, absl::string_view actor, absl::Time applied_at) override;
  absl::Status Delete(uint64_t apply) override;
  absl::Status Visit(absl::FunctionRef<bool(uint64_t apply)> visit) override;
  absl::StatusOr<uint64_t> CountRows(uint64_t apply) override;
  absl::Status Stage(uint64_t apply, uint64_t place, const GivenEntry& given, const storage::RowMacs& macs) override;
  absl::StatusOr<std::optional<uint64_t>> FindPlace(uint64_t apply, const std::string& id) override;
  absl::StatusOr<std::vector<storage::StagedEntry>> ReadStaged(uint64_t apply, uint64_t after_place,
                                                               uint64_t rows_max) override;
  absl::Status WriteId(int64_t ref, const std::string& id, const storage::RowMacs& macs) override;
  absl::Status MarkUnchanged(int64_t ref) override;
  absl::StatusOr<std::vector<Absent>> ReadAbsent(uint64_t apply, int64_t after_ref, uint64_t rows_max) override;
  absl::Status TakeAway(uint64_t apply, int64_t ref) override;
  absl::StatusOr<std::vector<storage::TakenEntry>> ReadTaken(uint64_t apply, uint64_t rows_max) override;
  absl::Status Settle(int64_t ref) override;
  absl::Status DeleteRow(int64_t ref) override;
  absl::StatusOr<uint64_t> Undo(uint64_t apply, uint64_t rows_max) override;

 private:
  MemoryRows& rows_;
};

class MemoryIssuanceTable final : public storage::IssuanceTable {
 public:
  explicit MemoryIssuanceTable(MemoryRows& rows) : rows_(rows) {}

  absl::Status Insert(const storage::NewIssuance& row) override;
  absl::StatusOr<std::optional<storage::RecordedCertificate>> FindRecorded(absl::string_view serial) override;
  absl::StatusOr<std::optional<IssuanceRecord>> Find(const SerialNumber& serial) override;
  absl::StatusOr<bool> Has(absl::string_view serial) override { return rows_.issuances->by_serial.contains(serial); }
  absl::StatusOr<bool> HasCertificate(const SerialNumber& serial, absl::string_view certificate_sha256) override;
  absl::Status Visit(const IssuanceFilter& filter, absl::FunctionRef<bool(const IssuanceRecord&)> visit) override;
  absl::StatusOr<int64_t> NewestNumber() override { return rows_.issuances->last_number; }
  absl::StatusOr<uint64_t> Count() override { return rows_.issuances->rows.size(); }
  absl::StatusOr<uint64_t> CountSignedBy(const std::string& authority_id) override;
  absl::StatusOr<std::map<std::string, uint64_t>> CountLive(absl::Time now) override;
  absl::StatusOr<uint64_t> Prune(absl::Time expired_before, uint64_t rows_max) override;

 private:
  MemoryRows& rows_;
};

class MemoryRevocationTable final : public storage::RevocationTable {
 public:
  explicit MemoryRevocationTable(MemoryRows& rows) : rows_(rows) {}

  absl::StatusOr<std::optional<storage::Revocation>> FindLine(absl::string_view line) override;
  absl::StatusOr<std::optional<storage::Revocation>> FindKey(absl::string_view key_sha256) override;
  absl::StatusOr<bool> HasAnyKey() override { return !rows_.revocations->keys.empty(); }
  absl::Status VisitCandidates(const storage::RevocableQuery& query, storage::VisitRevocable visit) override;
  absl::StatusOr<int64_t> BeginOperation(absl::Time at, RevocationReason reason) override;
  absl::Status FinishOperation(int64_t operation) override;
  absl::Status PutCertificate(absl::string_view serial, int64_t not_after, int64_t operation) override;
  absl::Status PutLine(absl::string_view line, int64_t not_after, int64_t operation) override;
  absl::Status PutKey(absl::string_view key_sha256, int64_t not_after, int64_t operation) override;
  absl::StatusOr<uint64_t> Prune(absl::Time expired_before, uint64_t rows_max) override;
  absl::Status PruneOperations() override;

 private:
  MemoryRows& rows_;
};

// Memory is sound.
class MemoryConsistency final : public storage::Consistency {
 public:
  void CheckStructure(std::vector<std::string>&) override {}
  void CheckIssuances(std::vector<std::string>&) override {}
  absl::Status fault() const override { return absl::OkStatus(); }
  std::string name() const override { return "database in memory"; }
};

// LeafInventory::VisitUnreplaced.
absl::Status VisitUnreplacedIn(const MemoryRows& rows, const LeafQuery& query,
                               absl::FunctionRef<bool(const LiveLeaf&)> visit);

// All tables over `rows`, which outlive them.
class MemoryTables {
 public:
  explicit MemoryTables(MemoryRows& rows)
      : trust_(rows),
        settings_(rows),
        audit_(rows),
        tokens_(rows),
        entries_(rows),
        applies_(rows),
        issuances_(rows),
        revocations_(rows),
        subscribers_(rows),
        nodes_(rows),
        tables_{trust_,     settings_,    audit_,       tokens_, entries_,    applies_,
                issuances_, revocations_, subscribers_, nodes_,  consistency_} {}
  MemoryTables(const MemoryTables&) = delete;
  MemoryTables& operator=(const MemoryTables&) = delete;

  storage::Tables& tables() { return tables_; }

 private:
  MemoryTrustTable trust_;
  MemorySettingTable settings_;
  MemoryAuditTable audit_;
  MemoryTokenTable tokens_;
  MemoryEntryTable entries_;
  MemoryEntryApplyTable applies_;
  MemoryIssuanceTable issuances_;
  MemoryRevocationTable revocations_;
  MemorySubscriberTable subscribers_;
  MemoryNodeTable nodes_;
  MemoryConsistency consistency_;
  storage::Tables tables_;
};

}  // namespace meshca

#endif  // MESHCA_TEST_FAKES_MEMORY_TABLES_H_
