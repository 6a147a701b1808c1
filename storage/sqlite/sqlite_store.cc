#include "storage/sqlite/sqlite_store.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "ca/base/check.h"
#include "ca/base/log.h"
#include "ca/base/status.h"
#include "storage/sqlite/access_rows.h"
#include "storage/sqlite/audit_rows.h"
#include "storage/sqlite/authority_rows.h"
#include "storage/sqlite/backup.h"
#include "storage/sqlite/check.h"
#include "storage/sqlite/entry_apply.h"
#include "storage/sqlite/entry_gate.h"
#include "storage/sqlite/issuance_rows.h"
#include "storage/sqlite/open_database.h"
#include "storage/sqlite/reader_pool.h"
#include "storage/sqlite/renewal_rows.h"
#include "storage/sqlite/revocation_rows.h"
#include "storage/sqlite/revoke.h"
#include "storage/sqlite/schema.h"
#include "storage/sqlite/sqlite_jobs.h"
#include "storage/sqlite/state_folder.h"
#include "storage/sqlite/subscriber_rows.h"
#include "storage/sqlite/unreplaced_leaves.h"

namespace meshca::storage {
namespace {

// One transaction of pruning holds up issuance for a few milliseconds at most.
constexpr uint64_t kPruneChunk = 200;

// Each has staged rows in the database until it ends.
constexpr size_t kOpenAppliesMax = 8;

SinkOptions SinkOptionsOf(const SqliteOptions& options) {
  SinkOptions sink;
  sink.connection = WriterConnection(options);
  sink.keys = options.keys;
  sink.checkpoint_pages = options.limits.checkpoint_pages;
  return sink;
}

}  // namespace

// Members end in reverse: the writer writes what is queued, readers close before the last writing connection does (so
// the close moves the log into the file), and then the lock goes.
class SqliteStore::Impl {
 public:
  Impl(const SqliteOptions& options, UniqueFd lock, std::unique_ptr<Database> database)
      : options_(options),
        lock_(std::move(lock)),
        sink_(SinkOptionsOf(options), std::move(database)),
        readers_(ReaderConnection(options)),
        writer_(sink_, options.limits.writer) {}

  // Runs `body` in the writer's next transaction, and waits.
  absl::Status Write(ControlJob::Body body) {
    MESHCA_CHECK(!writer_.OnWriterThread());
    ControlJob::Outcome outcome;
    writer_.Submit(std::make_unique<ControlJob>(body, outcome));
    return outcome.Wait();
  }

  // `deed`, and its line in the audit log.
  absl::Status WriteAudited(const AuditEntry& audit, ControlJob::Body deed) {
    return Write([&](Database& database) {
      MESHCA_RETURN_IF_ERROR(deed(database));
      return InsertAudit(database, audit);
    });
  }

  // All of what is revoked whose certificates ended before `expired_before`.
  absl::Status PruneRevoked(absl::Time expired_before) {
    MutexLock nothing_is_staged(revoking_);
    bool any = false;
    for (uint64_t deleted = 1; deleted != 0; any |= deleted != 0) {
      MESHCA_RETURN_IF_ERROR(Write([&](Database& database) {
        MESHCA_ASSIGN_OR_RETURN(deleted, PruneRevocations(database, expired_before, kPruneChunk));
        return absl::OkStatus();
      }));
    }
    if (any) return Write(PruneOperations);
    return absl::OkStatus();
  }

  // `body` of an apply's steps.
  template <typename Steps>
  auto WithApplyAccess(Steps steps) {
    const auto read = [this](ApplyAccess::Body body) { return Read(body); };
    const auto write = [this](ApplyAccess::Body body) { return Write(body); };
    return steps(ApplyAccess{read, write, *options_.keys});
  }

  absl::Status Settle(uint64_t apply, absl::FunctionRef<void(uint64_t, uint64_t)> progress) {
    return WithApplyAccess([&](const ApplyAccess& access) { return SettleApply(access, apply, progress); });
  }

  bool IsOpen(uint64_t apply) {
    MutexLock lock(applies_mutex_);
    return open_applies_.contains(apply);
  }

  // Somebody works on it from now on, so that it does not give way. How many entries it was given. Aborted: it has.
  absl::StatusOr<uint64_t> WorkOn(uint64_t apply) {
    MutexLock lock(applies_mutex_);
    const auto found = open_applies_.find(apply);
    if (found == open_applies_.end()) {
      return absl::AbortedError(
          "this apply of entries was left alone while others waited, and gave way to them: nothing was changed; apply "
          "the entries again");
    }
    found->second.at_work = true;
    return found->second.given;
  }

  void Rest(uint64_t apply, uint64_t given) {
    MutexLock lock(applies_mutex_);
    if (const auto found = open_applies_.find(apply); found != open_applies_.end()) {
      found->second = {given, false, std::chrono::steady_clock::now()};
    }
  }

  // A place for one more: one that nobody went on with gives its own. What it was given is abandoned, as after a crash.
  bool HasPlaceForApply() ABSL_EXCLUSIVE_LOCKS_REQUIRED(applies_mutex_) {
    if (open_applies_.size() < kOpenAppliesMax) return true;
    const auto before = std::chrono::steady_clock::now() - absl::ToChronoNanoseconds(options_.apply_silence_max);
    const auto silent = std::find_if(open_applies_.begin(), open_applies_.end(), [&](const auto& open) {
      return !open.second.at_work && open.second.rests_since <= before;
    });
    if (silent == open_applies_.end()) return false;
    open_applies_.erase(silent);
    return true;
  }

  // Brings to rest what a crash or a broken database left of applies.
  absl::Status SettleAbandoned() {
    for (;;) {
      MESHCA_ASSIGN_OR_RETURN(const uint64_t apply, Read([&](Database& database) {
                                return AbandonedApply(database, [&](uint64_t ref) { return IsOpen(ref); });
                              }));
      if (apply == 0) return absl::OkStatus();
      MESHCA_RETURN_IF_ERROR(Settle(apply, [](uint64_t, uint64_t) {}));
    }
  }

  void CloseApply(uint64_t apply) {
    MutexLock lock(applies_mutex_);
    open_applies_.erase(apply);
  }

  // `question`, of a StatusOr, on a reader.
  template <typename Question>
  auto Read(Question question) -> decltype(question(std::declval<Database&>())) {
    auto reader = readers_.Acquire();
    if (!reader.ok()) return reader.status();
    return question(**reader);
  }

  struct OpenApply {
    uint64_t given = 0;  // entries
    bool at_work = false;
    std::chrono::steady_clock::time_point rests_since = std::chrono::steady_clock::now();
  };

  const SqliteOptions options_;
  std::atomic<uint64_t> pruned_ = 0;
  // Held through a revocation, and while revocations are pruned: what one stages, the other would delete.
  Mutex revoking_;
  // Held while an apply ends, and while abandoned ones are brought to rest.
  Mutex applying_;
  EntryGate entry_gate_;
  Mutex applies_mutex_;
  std::map<uint64_t, OpenApply> open_applies_ ABSL_GUARDED_BY(applies_mutex_);
  const UniqueFd lock_;
  SqliteSink sink_;
  ReaderPool readers_;
  GroupCommitWriter writer_;
};

SqliteStore::SqliteStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SqliteStore::~SqliteStore() = default;

absl::StatusOr<std::unique_ptr<SqliteStore>> OpenSqliteStore(const SqliteOptions& options) {
  MESHCA_CHECK(options.keys != nullptr && options.clock != nullptr);
  MESHCA_RETURN_IF_ERROR(PrepareFolder(options.path));
  MESHCA_ASSIGN_OR_RETURN(UniqueFd lock, LockDatabase(options.path));
  MESHCA_RETURN_IF_ERROR(FinishRestore(options.path));
  MESHCA_ASSIGN_OR_RETURN(std::unique_ptr<Database> database, OpenWritable(options));
  return std::unique_ptr<SqliteStore>(
      new SqliteStore(std::make_unique<SqliteStore::Impl>(options, std::move(lock), std::move(database))));
}

void SqliteStore::Append(std::shared_ptr<const IssuanceRecord> record, AppendDone done) {
  impl_->writer_.Submit(std::make_unique<AppendJob>(std::move(record), std::move(done)));
}

absl::StatusOr<IssuanceRecord> SqliteStore::Find(const SerialNumber& serial) {
  return impl_->Read([&](Database& database) { return SelectIssuance(database, serial); });
}

absl::Status SqliteStore::List(const IssuanceFilter& filter, absl::FunctionRef<bool(const IssuanceRecord&)> visit) {
  return impl_->Read([&](Database& database) { return VisitIssuances(database, filter, visit); });
}

absl::StatusOr<uint64_t> SqliteStore::CountIssuances() { return impl_->Read(CountIssuanceRows); }

absl::StatusOr<IssuanceRecord> SqliteStore::JudgePresented(
    const PresentedCertificate& shown, const std::shared_ptr<const std::vector<std::string>>& trusted_issuers) {
  return impl_->Read(
      [&](Database& database) { return JudgeShown(database, *impl_->options_.keys, shown, trusted_issuers.get()); });
}

absl::StatusOr<RevocationResult> SqliteStore::Revoke(const RevocationSelection& selection, RevocationReason reason,
                                                     bool dry_run, const AuditEntry& audit,
                                                     absl::FunctionRef<bool(const IssuanceRecord&)> visit) {
  const auto read = [this](RevokeAccess::Body body) { return impl_->Read(body); };
  const auto write = [this](RevokeAccess::Body body) { return impl_->Write(body); };
  MutexLock one_at_a_time(impl_->revoking_);
  return RevokeInSteps({read, write, *impl_->options_.keys}, selection, reason, dry_run, audit, visit);
}

absl::Status SqliteStore::Backup(const std::string& path, const AuditEntry& audit) {
  MESHCA_RETURN_IF_ERROR(impl_->Read([&](Database& database) { return BackupTo(database, path); }));
  return impl_->Write([&](Database& database) { return InsertAudit(database, audit); });
}

absl::Status SqliteStore::Check() {
  return impl_->Read([&](Database& database) { return CheckDatabase(database, *impl_->options_.keys); });
}

absl::StatusOr<uint64_t> SqliteStore::Prune(absl::Time expired_before, uint64_t rows_max) {
  uint64_t total = 0;
  while (total < rows_max) {
    const uint64_t wanted = std::min(kPruneChunk, rows_max - total);
    uint64_t pruned = 0;
    MESHCA_RETURN_IF_ERROR(impl_->Write([&](Database& database) {
      MESHCA_ASSIGN_OR_RETURN(pruned, PruneIssuances(database, expired_before, wanted));
      return absl::OkStatus();
    }));
    total += pruned;
    impl_->pruned_.fetch_add(pruned, std::memory_order_relaxed);
    if (pruned < wanted) break;
  }
  // Issuances first: who asks for few rows at a time gets to the tokens when those are done.
  while (total < rows_max) {
    const uint64_t wanted = std::min(kPruneChunk, rows_max - total);
    uint64_t pruned = 0;
    MESHCA_RETURN_IF_ERROR(impl_->Write([&](Database& database) {
      MESHCA_ASSIGN_OR_RETURN(pruned, PruneTokens(database, expired_before, wanted));
      return absl::OkStatus();
    }));
    total += pruned;
    if (pruned < wanted) break;
  }
  MESHCA_RETURN_IF_ERROR(impl_->PruneRevoked(expired_before));
  MutexLock no_apply_ends(impl_->applying_);
  MESHCA_RETURN_IF_ERROR(impl_->SettleAbandoned());
  return total;
}

absl::Status SqliteStore::Probe() {
  MESHCA_RETURN_IF_ERROR(impl_->writer_.RecoverNow());
  // A batch without an issuance writes its number: that is the throw-away value.
  return impl_->Write([](Database&) { return absl::OkStatus(); });
}

StoreHealth SqliteStore::Health() const {
  GroupCommitWriter::Stats stats = impl_->writer_.stats();
  StoreHealth health;
  health.writable = stats.writable;
  health.queued = stats.queued_jobs;
  health.batches = stats.batches;
  health.records = stats.rows;
  health.pruned = impl_->pruned_.load(std::memory_order_relaxed);
  health.database_bytes = DatabaseBytes(impl_->options_.path);
  health.schema_version = Migrations().back().version;
  return health;
}

absl::Status SqliteStore::RecordAudit(const AuditEntry& audit) {
  return impl_->Write([&](Database& database) { return InsertAudit(database, audit); });
}

absl::Status SqliteStore::ListAudit(absl::FunctionRef<bool(const AuditEntry&)> visit) {
  return impl_->Read([&](Database& database) { return VisitAudit(database, visit); });
}

absl::StatusOr<AuthoritiesAndBundle> SqliteStore::LoadAuthorities() {
  return impl_->Read([&](Database& database) { return SelectAuthorities(database, *impl_->options_.keys); });
}

absl::StatusOr<uint64_t> SqliteStore::CommitAuthorities(const AuthorityChange& change) {
  uint64_t revision = 0;
  MESHCA_RETURN_IF_ERROR(impl_->Write([&](Database& database) {
    MESHCA_ASSIGN_OR_RETURN(revision, ApplyAuthorityChange(database, *impl_->options_.keys, change));
    return absl::OkStatus();
  }));
  return revision;
}

absl::StatusOr<std::map<std::string, uint64_t>> SqliteStore::CountLiveLeaves(absl::Time now) {
  return impl_->Read([&](Database& database) { return CountLiveRows(database, now); });
}

absl::StatusOr<std::string> SqliteStore::GetSetting(absl::string_view name) {
  return impl_->Read([&](Database& database) { return SelectSetting(database, name); });
}

absl::Status SqliteStore::PutSetting(absl::string_view name, absl::string_view value) {
  return impl_->Write([&](Database& database) { return UpsertSetting(database, name, value); });
}

absl::StatusOr<std::string> SqliteStore::GetSealedSetting(absl::string_view name) {
  return impl_->Read([&](Database& database) { return SelectSealedSetting(database, *impl_->options_.keys, name); });
}

absl::Status SqliteStore::PutSealedSetting(absl::string_view name, absl::string_view value) {
  return impl_->Write(
      [&](Database& database) { return UpsertSealedSetting(database, *impl_->options_.keys, name, value); });
}

absl::Status SqliteStore::VisitUnreplaced(const LeafQuery& query, absl::FunctionRef<bool(const LiveLeaf&)> visit) {
  return VisitUnreplacedLeaves(ReaderConnection(impl_->options_), query, visit);
}

void SqliteStore::SaveSubscribers(std::vector<SubscriberRecord> rows, SaveDone done) {
  impl_->writer_.Submit(std::make_unique<SubscribersJob>(std::move(rows), std::move(done)));
}

absl::StatusOr<std::vector<SubscriberRecord>> SqliteStore::LoadSubscribers() { return impl_->Read(SelectSubscribers); }

void SqliteStore::DeleteSubscribers(std::vector<std::string> instances, SaveDone done) {
  impl_->writer_.Submit(std::make_unique<ForgetSubscribersJob>(std::move(instances), std::move(done)));
}

absl::Status SqliteStore::CreateToken(const JoinToken& token, const AuditEntry& audit) {
  return impl_->WriteAudited(audit,
                             [&](Database& database) { return InsertToken(database, *impl_->options_.keys, token); });
}

absl::StatusOr<JoinToken> SqliteStore::FindToken(absl::string_view secret_sha256) {
  return impl_->Read([&](Database& database) { return SelectToken(database, *impl_->options_.keys, secret_sha256); });
}

absl::StatusOr<std::vector<JoinToken>> SqliteStore::ListTokens() {
  return impl_->Read([&](Database& database) { return SelectTokens(database, *impl_->options_.keys); });
}

absl::Status SqliteStore::DeleteToken(absl::string_view id, const AuditEntry& audit) {
  return impl_->WriteAudited(audit, [&](Database& database) { return DeleteTokenRow(database, id); });
}

absl::Status SqliteStore::CreateEntry(const RegistrationEntry& entry, const AuditEntry& audit) {
  return impl_->entry_gate_.Change([&] {
    return impl_->WriteAudited(audit,
                               [&](Database& database) { return InsertEntry(database, *impl_->options_.keys, entry); });
  });
}

absl::Status SqliteStore::PutEntry(const RegistrationEntry& entry, const AuditEntry& audit) {
  return impl_->entry_gate_.Change([&] {
    return impl_->WriteAudited(audit,
                               [&](Database& database) { return UpsertEntry(database, *impl_->options_.keys, entry); });
  });
}

absl::StatusOr<std::vector<RegistrationEntry>> SqliteStore::ListEntries() {
  return impl_->Read([&](Database& database) { return SelectEntries(database, *impl_->options_.keys); });
}

absl::Status SqliteStore::DeleteEntry(absl::string_view id, const AuditEntry& audit) {
  return impl_->entry_gate_.Change(
      [&] { return impl_->WriteAudited(audit, [&](Database& database) { return DeleteEntryRow(database, id); }); });
}

absl::StatusOr<uint64_t> SqliteStore::BeginApply() {
  // Held throughout: an apply that is written and not yet listed would look abandoned.
  MutexLock lock(impl_->applies_mutex_);
  if (!impl_->HasPlaceForApply()) {
    return absl::ResourceExhaustedError("too many applies of entries are under way; try again when one has ended");
  }
  MESHCA_ASSIGN_OR_RETURN(const uint64_t apply, impl_->WithApplyAccess(BeginEntryApply));
  impl_->open_applies_[apply] = {};
  return apply;
}

absl::Status SqliteStore::StageEntries(uint64_t apply, std::span<const GivenEntry> part, size_t* at) {
  *at = 0;
  MESHCA_ASSIGN_OR_RETURN(const uint64_t given, impl_->WorkOn(apply));
  uint64_t taken = given;
  const absl::Cleanup rest = [&] { impl_->Rest(apply, taken); };
  if (given + part.size() > kApplyEntriesMax) {
    *at = kApplyEntriesMax - given;
    return absl::InvalidArgumentError(
        absl::StrCat("one apply holds at most ", kApplyEntriesMax, " entries; this is the next"));
  }
  MESHCA_RETURN_IF_ERROR(
      impl_->WithApplyAccess([&](const ApplyAccess& access) { return StageInSteps(access, apply, given, part, at); }));
  taken += part.size();
  return absl::OkStatus();
}

absl::StatusOr<EntryApplyCounts> SqliteStore::FinishApply(uint64_t apply, const EntryApplyOptions& options,
                                                          const AuditEntry& audit, const EntryApplyListener& listener,
                                                          uint64_t* at) {
  MESHCA_ASSIGN_OR_RETURN(const uint64_t given, impl_->WorkOn(apply));
  MutexLock one_at_a_time(impl_->applying_);
  EntryApplyCounts counts;
  uint64_t place = 1;
  absl::Status settled = impl_->SettleAbandoned();
  absl::StatusOr<bool> active = false;
  if (!settled.ok()) {
    active = settled;
  } else {
    active = impl_->entry_gate_.Judging([&] {
      return impl_->WithApplyAccess([&](const ApplyAccess& access) {
        return JudgeAndActivate(access, apply, options, audit, listener, counts, &place);
      });
    });
  }
  *at = place - 1;
  settled = impl_->Settle(apply, [&](uint64_t done, uint64_t of) {
    if (of > 0) listener.progress(given + done * given / of, 2 * given);
  });
  impl_->CloseApply(apply);
  // What counts, counts: the rest is tidying, and pruning comes back to it.
  if (!settled.ok())
    LogWarning("an apply of entries is not tidied up yet", {{"error", std::string(settled.message())}});
  MESHCA_RETURN_IF_ERROR(active.status());
  return counts;
}

void SqliteStore::DropApply(uint64_t apply) {
  if (!impl_->WorkOn(apply).ok()) return;
  // What stays behind counts for nothing, and pruning comes back to it.
  if (const absl::Status settled = impl_->Settle(apply, [](uint64_t, uint64_t) {}); !settled.ok()) {
    LogWarning("the parts of an apply of entries that was given up are still stored; pruning removes them",
               {{"error", std::string(settled.message())}});
  }
  impl_->CloseApply(apply);
}

void SqliteStore::LeaveApply(uint64_t apply) { impl_->CloseApply(apply); }

}  // namespace meshca::storage
