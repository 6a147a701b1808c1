#include "storage/sqlite/sqlite_sink.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "storage/sqlite/schema.h"

namespace meshca::storage {

SqliteSink::SqliteSink(SinkOptions options, std::unique_ptr<Database> database) : options_(std::move(options)) {
  Adopt(std::move(database));
}

SqliteSink::~SqliteSink() = default;

void SqliteSink::Adopt(std::unique_ptr<Database> database) {
  database_ = std::move(database);
  issuances_.emplace(*database_, *options_.keys);
  log_pages_ = 0;
  sqlite3_wal_hook(
      database_->handle(),
      [](void* sink, sqlite3*, const char*, int pages) {
        static_cast<SqliteSink*>(sink)->log_pages_ = pages;
        return SQLITE_OK;
      },
      this);
}

absl::Status SqliteSink::Write(std::span<const WriteJobPtr> jobs, std::span<absl::Status> results) {
  last_ = Mark();
  issuances_->BeginBatch();
  Transaction transaction(*database_, Transaction::Kind::kWrite);
  MESHCA_RETURN_IF_ERROR(transaction.status());
  absl::Status status = ApplyAll(jobs, results);
  if (status.ok()) status = transaction.Commit();
  if (!status.ok()) issuances_->Forget();
  return status;
}

absl::Status SqliteSink::ApplyAll(std::span<const WriteJobPtr> jobs, std::span<absl::Status> results) {
  for (size_t i = 0; i < jobs.size(); ++i) {
    auto& job = static_cast<SqliteJob&>(*jobs[i]);
    results[i] = ApplyOne(job);
    MESHCA_RETURN_IF_ERROR(database_->fault());
    const IssuanceRecord* record = job.issuance();
    if (results[i].ok() && record != nullptr && !last_.serial) {
      last_.serial = record->serial;
      last_.certificate_sha256 = record->certificate_sha256;
    }
  }
  MESHCA_RETURN_IF_ERROR(issuances_->FlushCounters());
  return last_.serial ? absl::OkStatus() : WriteBatchNumber();
}

absl::Status SqliteSink::ApplyOne(SqliteJob& job) {
  WriteContext context{*database_, *issuances_};
  if (!job.NeedsSavepoint()) return job.Apply(context);
  // Before the savepoint: undoing the job must not undo what was counted before it.
  MESHCA_RETURN_IF_ERROR(issuances_->MakeWay());
  MESHCA_RETURN_IF_ERROR(Query(*database_, "SAVEPOINT job").Run());
  absl::Status status = job.Apply(context);
  // After a fault SQLite may have ended the transaction by itself, and the savepoint with it.
  MESHCA_RETURN_IF_ERROR(database_->fault());
  if (!status.ok()) MESHCA_RETURN_IF_ERROR(Query(*database_, "ROLLBACK TO job").Run());
  MESHCA_RETURN_IF_ERROR(Query(*database_, "RELEASE job").Run());
  return status;
}

absl::Status SqliteSink::WriteBatchNumber() {
  last_.batch = ++batch_number_;
  return Query(*database_, "UPDATE meta SET batch = ?").Bind(batch_number_).Run();
}

absl::StatusOr<bool> SqliteSink::IsIn(Database& database, const Mark& mark) {
  if (mark.serial) {
    MESHCA_ASSIGN_OR_RETURN(const auto hash, CertificateHashOf(database, *mark.serial));
    return hash == mark.certificate_sha256;
  }
  MESHCA_ASSIGN_OR_RETURN(const int64_t batch, database.Int("SELECT batch FROM meta"));
  return mark.batch != 0 && batch == mark.batch;
}

absl::StatusOr<bool> SqliteSink::Recover() {
  if (!damaged_.ok()) return damaged_;
  const bool suspect = database_ != nullptr && database_->damaged();
  issuances_.reset();
  if (database_ != nullptr) {
    // After a failed fsync the kernel may hold pages for clean that are not on the disk. Nothing read through this
    // handle counts, and it must not write on its way out.
    database_->ForbidCheckpointOnClose();
    database_.reset();
  }
  MESHCA_ASSIGN_OR_RETURN(std::unique_ptr<Database> database, Database::Open(options_.connection));
  MESHCA_RETURN_IF_ERROR(SchemaVersion(*database, Migrations()).status());
  if (suspect) {
    // SQLite called it damaged. Looked at once, whole: a passing fault of the disk leaves it sound; else it stays
    // refused, because repeated reading would mend nothing.
    Query findings(*database, "PRAGMA quick_check(1)");
    std::string finding = findings.Next() ? findings.String() : std::string(findings.status().message());
    std::replace(finding.begin(), finding.end(), '\n', ' ');
    if (finding != "ok") {
      damaged_ = absl::DataLossError(
          absl::StrCat("database ", database->path(), ": damaged: ", finding, "; ", RestoreAdvice()));
      return damaged_;
    }
  }
  // The log may hold a commit that was never fsynced: copied into the database file, and that fsynced, it counts.
  MESHCA_RETURN_IF_ERROR(MakeDurable(*database));
  MESHCA_ASSIGN_OR_RETURN(const bool is_in, IsIn(*database, last_));
  MESHCA_ASSIGN_OR_RETURN(batch_number_, database->Int("SELECT batch FROM meta"));
  Adopt(std::move(database));
  // A write of its own proves that writing works again.
  Transaction transaction(*database_, Transaction::Kind::kWrite);
  MESHCA_RETURN_IF_ERROR(transaction.status());
  MESHCA_RETURN_IF_ERROR(WriteBatchNumber());
  MESHCA_RETURN_IF_ERROR(transaction.Commit());
  return is_in;
}

absl::Status SqliteSink::MakeDurable(Database& database) {
  int pages = 0;
  int moved = 0;
  int code = sqlite3_wal_checkpoint_v2(database.handle(), nullptr, SQLITE_CHECKPOINT_PASSIVE, &pages, &moved);
  if (code != SQLITE_OK) return database.StatusOf(code, "checkpoint");
  if (pages == moved) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("database ", database.path(), ": a reader still needs the log"));
}

absl::Status SqliteSink::AfterBatch() {
  if (log_pages_ < options_.checkpoint_pages) return absl::OkStatus();
  // PASSIVE never waits: what readers still need stays in the log until the next time.
  int code = sqlite3_wal_checkpoint_v2(database_->handle(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  log_pages_ = 0;
  return code == SQLITE_OK || code == SQLITE_BUSY ? absl::OkStatus() : database_->StatusOf(code, "checkpoint");
}

}  // namespace meshca::storage
