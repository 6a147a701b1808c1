#include "storage/row_store.h"

#include <algorithm>
#include <utility>

#include "ca/base/check.h"
#include "ca/base/status.h"
#include "storage/audit_log.h"
#include "storage/issuance_appender.h"
#include "storage/node_rules.h"
#include "storage/renewal_rules.h"
#include "storage/revocation_steps.h"
#include "storage/setting_rules.h"
#include "storage/store_check.h"
#include "storage/store_jobs.h"
#include "storage/stored_entries.h"
#include "storage/token_rules.h"
#include "storage/trust_rules.h"

namespace meshca::storage {
namespace {

// One transaction of pruning holds up issuance for a few milliseconds at most.
constexpr uint64_t kPruneChunk = 200;

}  // namespace

RowStore::RowStore(const RowStoreOptions& options, std::unique_ptr<RowDatabase> database, MakeQueue make_queue)
    : database_(std::move(database)),
      sink_(database_->writer(), *options.keys),
      queue_(make_queue(sink_, *database_)),
      transactions_(*database_, *queue_, *options.keys),
      applies_(transactions_, entry_gate_, options.apply_silence_max),
      revisions_(options.revision_poll) {}

RowStore::~RowStore() = default;

void RowStore::Append(std::shared_ptr<const IssuanceRecord> record, AppendDone done) {
  queue_->Submit(std::make_unique<AppendJob>(std::move(record), std::move(done)));
}

void RowStore::AppendTogether(std::vector<Appended> records) {
  std::vector<WriteJobPtr> jobs;
  jobs.reserve(records.size());
  for (Appended& one : records) {
    jobs.push_back(std::make_unique<AppendJob>(std::move(one.record), std::move(one.done)));
  }
  queue_->SubmitTogether(std::move(jobs));
}

absl::StatusOr<IssuanceRecord> RowStore::Find(const SerialNumber& serial) {
  return transactions_.Ask<IssuanceRecord>([&](Tables& tables) { return FindIssuance(tables, serial); });
}

absl::Status RowStore::List(const IssuanceFilter& filter, absl::FunctionRef<bool(const IssuanceRecord&)> visit) {
  return transactions_.Read([&](Tables& tables) { return tables.issuances.Visit(filter, visit); });
}

absl::StatusOr<uint64_t> RowStore::CountIssuances() {
  return transactions_.Ask<uint64_t>([](Tables& tables) { return tables.issuances.Count(); });
}

absl::StatusOr<IssuanceRecord> RowStore::JudgePresented(const PresentedCertificate& shown,
                                                        const std::shared_ptr<const TrustedOrigins>& trusted_origins) {
  return transactions_.Ask<IssuanceRecord>(
      [&](Tables& tables) { return storage::JudgePresented(tables, keys(), shown, trusted_origins.get()); });
}

absl::StatusOr<RevocationResult> RowStore::Revoke(const RevocationSelection& selection, RevocationReason reason,
                                                  bool dry_run, const AuditEntry& audit,
                                                  absl::FunctionRef<bool(const IssuanceRecord&)> visit) {
  MutexLock one_at_a_time(revoking_);
  return RevokeInSteps(transactions_, selection, reason, dry_run, audit, visit);
}

absl::Status RowStore::Backup(const std::string& path, const AuditEntry& audit) {
  MESHCA_RETURN_IF_ERROR(database_->BackUp(path));
  return RecordAudit(audit);
}

absl::Status RowStore::Check() {
  return transactions_.Read([&](Tables& tables) { return CheckStored(tables, keys()); });
}

absl::Status RowStore::PruneInChunks(uint64_t rows_max, uint64_t& total,
                                     absl::FunctionRef<absl::StatusOr<uint64_t>(Tables&, uint64_t)> prune_chunk) {
  while (total < rows_max) {
    const uint64_t wanted = std::min(kPruneChunk, rows_max - total);
    uint64_t pruned = 0;
    MESHCA_RETURN_IF_ERROR(transactions_.Write([&](Tables& tables) -> absl::Status {
      MESHCA_ASSIGN_OR_RETURN(pruned, prune_chunk(tables, wanted));
      return absl::OkStatus();
    }));
    total += pruned;
    if (pruned < wanted) break;
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> RowStore::Prune(absl::Time expired_before, uint64_t rows_max) {
  uint64_t total = 0;
  const absl::Status issuances = PruneInChunks(
      rows_max, total, [&](Tables& tables, uint64_t wanted) { return tables.issuances.Prune(expired_before, wanted); });
  pruned_.fetch_add(total, std::memory_order_relaxed);
  MESHCA_RETURN_IF_ERROR(issuances);
  // Issuances first: who asks for few rows at a time gets to the tokens when those are done. A token that was used ends
  // when it expires: until then its key may repeat. The audit log keeps what it says of them.
  MESHCA_RETURN_IF_ERROR(PruneInChunks(
      rows_max, total, [&](Tables& tables, uint64_t wanted) { return tables.tokens.Prune(expired_before, wanted); }));
  {
    MutexLock nothing_is_staged(revoking_);
    MESHCA_RETURN_IF_ERROR(PruneRevocations(transactions_, expired_before));
  }
  MESHCA_RETURN_IF_ERROR(applies_.SettleAbandoned());
  return total;
}

absl::Status RowStore::Probe() {
  MESHCA_RETURN_IF_ERROR(queue_->RecoverNow());
  // A batch without an issuance writes its number: that is the throw-away value.
  return transactions_.Write([](Tables&) { return absl::OkStatus(); });
}

StoreHealth RowStore::Health() const {
  WriteStats stats = queue_->stats();
  StoreHealth health;
  health.writable = stats.writable;
  health.queued = stats.queued_jobs;
  health.batches = stats.batches;
  health.records = stats.rows;
  health.pruned = pruned_.load(std::memory_order_relaxed);
  health.database_bytes = database_->size_bytes();
  health.schema_version = database_->schema_version();
  return health;
}

absl::Status RowStore::RecordAudit(const AuditEntry& audit) {
  return transactions_.Write([&](Tables& tables) { return AppendAudit(tables, audit); });
}

absl::Status RowStore::ListAudit(absl::FunctionRef<bool(const AuditEntry&)> visit) {
  return transactions_.Read([&](Tables& tables) { return tables.audit.Visit(visit); });
}

absl::StatusOr<AuthoritiesAndBundle> RowStore::LoadAuthorities() {
  return transactions_.Ask<AuthoritiesAndBundle>([&](Tables& tables) { return LoadTrust(tables, keys()); });
}

absl::StatusOr<uint64_t> RowStore::CommitAuthorities(const AuthorityChange& change) {
  uint64_t revision = 0;
  MESHCA_RETURN_IF_ERROR(transactions_.Write([&](Tables& tables) -> absl::Status {
    MESHCA_ASSIGN_OR_RETURN(revision, ApplyAuthorityChange(tables, keys(), change));
    return absl::OkStatus();
  }));
  revisions_.Announce(revision);
  return revision;
}

absl::StatusOr<uint64_t> RowStore::WaitForRevisionAbove(uint64_t known, absl::Duration wait_max) {
  return revisions_.WaitAbove(known, wait_max, [this] {
    return transactions_.Ask<uint64_t>([](Tables& tables) -> absl::StatusOr<uint64_t> {
      MESHCA_ASSIGN_OR_RETURN(const TrustHead head, tables.trust.ReadHead());
      return head.revision;
    });
  });
}

absl::StatusOr<std::map<std::string, uint64_t>> RowStore::CountLiveLeaves(absl::Time now) {
  return transactions_.Ask<std::map<std::string, uint64_t>>(
      [&](Tables& tables) { return tables.issuances.CountLive(now); });
}

absl::StatusOr<std::string> RowStore::GetSetting(absl::string_view name) {
  return transactions_.Ask<std::string>([&](Tables& tables) { return storage::GetSetting(tables, name); });
}

absl::Status RowStore::PutSetting(absl::string_view name, absl::string_view value) {
  return transactions_.Write([&](Tables& tables) { return storage::PutSetting(tables, name, value); });
}

absl::StatusOr<std::string> RowStore::GetSealedSetting(absl::string_view name) {
  return transactions_.Ask<std::string>(
      [&](Tables& tables) { return storage::GetSealedSetting(tables, keys(), name); });
}

absl::Status RowStore::PutSealedSetting(absl::string_view name, absl::string_view value) {
  return transactions_.Write([&](Tables& tables) { return storage::PutSealedSetting(tables, keys(), name, value); });
}

absl::Status RowStore::VisitUnreplaced(const LeafQuery& query, absl::FunctionRef<bool(const LiveLeaf&)> visit) {
  return database_->VisitUnreplaced(query, visit);
}

void RowStore::SaveSubscribers(std::vector<SubscriberRecord> rows, SaveDone done) {
  queue_->Submit(std::make_unique<SubscribersJob>(std::move(rows), std::move(done)));
}

absl::StatusOr<std::vector<SubscriberRecord>> RowStore::LoadSubscribers() {
  return transactions_.Ask<std::vector<SubscriberRecord>>([](Tables& tables) { return tables.subscribers.ReadAll(); });
}

void RowStore::DeleteSubscribers(std::vector<std::string> instances, SaveDone done) {
  queue_->Submit(std::make_unique<ForgetSubscribersJob>(std::move(instances), std::move(done)));
}

absl::Status RowStore::CreateToken(const JoinToken& token, const AuditEntry& audit) {
  return transactions_.WriteAudited(audit, [&](Tables& tables) { return storage::CreateToken(tables, keys(), token); });
}

absl::StatusOr<JoinToken> RowStore::FindToken(absl::string_view secret_sha256) {
  return transactions_.Ask<JoinToken>(
      [&](Tables& tables) { return storage::FindToken(tables, keys(), secret_sha256); });
}

absl::StatusOr<std::vector<JoinToken>> RowStore::ListTokens() {
  return transactions_.Ask<std::vector<JoinToken>>([&](Tables& tables) { return storage::ListTokens(tables, keys()); });
}

absl::Status RowStore::DeleteToken(absl::string_view id, const AuditEntry& audit) {
  return transactions_.WriteAudited(audit, [&](Tables& tables) { return storage::DeleteToken(tables, id); });
}

absl::Status RowStore::CreateEntry(const RegistrationEntry& entry, const AuditEntry& audit) {
  return entry_gate_.Change([&] {
    return transactions_.WriteAudited(audit,
                                      [&](Tables& tables) { return storage::CreateEntry(tables, keys(), entry); });
  });
}

absl::Status RowStore::PutEntry(const RegistrationEntry& entry, const AuditEntry& audit) {
  return entry_gate_.Change([&] {
    return transactions_.WriteAudited(audit, [&](Tables& tables) { return storage::PutEntry(tables, keys(), entry); });
  });
}

absl::StatusOr<std::vector<RegistrationEntry>> RowStore::ListEntries() {
  return transactions_.Ask<std::vector<RegistrationEntry>>(
      [&](Tables& tables) { return storage::ListEntries(tables, keys()); });
}

absl::Status RowStore::DeleteEntry(absl::string_view id, const AuditEntry& audit) {
  return entry_gate_.Change([&] {
    return transactions_.WriteAudited(audit, [&](Tables& tables) { return storage::DeleteEntry(tables, id); });
  });
}

absl::StatusOr<uint64_t> RowStore::BeginApply() { return applies_.Begin(); }

absl::Status RowStore::StageEntries(uint64_t apply, std::span<const GivenEntry> part, size_t* at) {
  return applies_.Stage(apply, part, at);
}

absl::StatusOr<EntryApplyCounts> RowStore::FinishApply(uint64_t apply, const EntryApplyOptions& options,
                                                       const AuditEntry& audit, const EntryApplyListener& listener,
                                                       uint64_t* at) {
  return applies_.Finish(apply, options, audit, listener, at);
}

void RowStore::DropApply(uint64_t apply) { applies_.Drop(apply); }

void RowStore::LeaveApply(uint64_t apply) { applies_.Leave(apply); }

absl::StatusOr<NodeRecord> RowStore::FindNode(absl::string_view node) {
  return transactions_.Ask<NodeRecord>([&](Tables& tables) { return storage::FindNode(tables, keys(), node); });
}

absl::StatusOr<std::vector<NodeRecord>> RowStore::ListNodes() {
  return transactions_.Ask<std::vector<NodeRecord>>([&](Tables& tables) { return storage::ListNodes(tables, keys()); });
}

absl::StatusOr<NodeBan> RowStore::BanNode(absl::string_view node, absl::string_view reason, const AuditEntry& audit) {
  NodeBan ban;
  // The ban first and alone: while its certificates are looked up and revoked the node gets no new ones.
  MESHCA_RETURN_IF_ERROR(transactions_.WriteAudited(audit, [&](Tables& tables) -> absl::Status {
    MESHCA_ASSIGN_OR_RETURN(ban.node, storage::BanNode(tables, keys(), node, reason, audit));
    return absl::OkStatus();
  }));
  AuditEntry revoked = audit;
  revoked.action = "certificate.revoke";
  RevocationSelection selection;
  selection.node = ban.node.node;
  const absl::StatusOr<RevocationResult> result = Revoke(selection, RevocationReason::kPrivilegeWithdrawn, false,
                                                         revoked, [](const IssuanceRecord&) { return false; });
  if (result.ok()) ban.certificates = result->certificates;
  if (!result.ok() && !absl::IsNotFound(result.status())) return result.status();
  return ban;
}

absl::Status RowStore::ForgetNode(absl::string_view node, const AuditEntry& audit) {
  return transactions_.WriteAudited(audit,
                                    [&](Tables& tables) { return storage::ForgetNode(tables, keys(), node, audit); });
}

}  // namespace meshca::storage
