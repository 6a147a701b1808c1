#include "storage/sqlite/sqlite_row_writer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "storage/restore_advice.h"
#include "storage/sqlite/schema.h"

namespace meshca::storage {

SqliteRowWriter::SqliteRowWriter(ConnectionOptions connection, int checkpoint_pages, std::unique_ptr<Database> database)
    : connection_(std::move(connection)), checkpoint_pages_(checkpoint_pages) {
  Adopt(std::move(database));
}

SqliteRowWriter::~SqliteRowWriter() = default;

void SqliteRowWriter::Adopt(std::unique_ptr<Database> database) {
  database_ = std::move(database);
  tables_.emplace(*database_);
  log_pages_ = 0;
  sqlite3_wal_hook(
      database_->handle(),
      [](void* writer, sqlite3*, const char*, int pages) {
        static_cast<SqliteRowWriter*>(writer)->log_pages_ = pages;
        return SQLITE_OK;
      },
      this);
}

absl::Status SqliteRowWriter::Begin() {
  tables_->issuances().BeginTransaction();
  transaction_.emplace(*database_, Transaction::Kind::kWrite);
  return transaction_->status();
}

absl::Status SqliteRowWriter::Commit() {
  MESHCA_RETURN_IF_ERROR(tables_->issuances().WriteCounters());
  MESHCA_RETURN_IF_ERROR(transaction_->Commit());
  transaction_.reset();
  return absl::OkStatus();
}

void SqliteRowWriter::Rollback() {
  transaction_.reset();
  tables_->issuances().ForgetTransaction();
}

absl::Status SqliteRowWriter::BeginPart() {
  // Before the savepoint: undoing the part must not undo what was counted before it.
  MESHCA_RETURN_IF_ERROR(tables_->issuances().WriteCounters());
  return Query(*database_, "SAVEPOINT part").Run();
}

absl::Status SqliteRowWriter::UndoPart() { return Query(*database_, "ROLLBACK TO part").Run(); }

absl::Status SqliteRowWriter::KeepPart() { return Query(*database_, "RELEASE part").Run(); }

absl::StatusOr<int64_t> SqliteRowWriter::ReadBatchNumber() { return database_->Int("SELECT batch FROM meta"); }

absl::Status SqliteRowWriter::WriteBatchNumber(int64_t number) {
  return Query(*database_, "UPDATE meta SET batch = ?").Bind(number).Run();
}

bool SqliteRowWriter::Abandon() {
  if (database_ == nullptr) return false;
  const bool damaged = database_->damaged();
  // After a failed fsync the kernel may hold pages for clean that are not on the disk. Nothing read through this handle
  // counts, and it must not write on its way out.
  database_->ForbidCheckpointOnClose();
  transaction_.reset();
  tables_.reset();
  database_.reset();
  return damaged;
}

absl::Status SqliteRowWriter::CheckDamage(Database& database) {
  Query findings(database, "PRAGMA quick_check(1)");
  std::string finding = findings.Next() ? findings.String() : std::string(findings.status().message());
  std::replace(finding.begin(), finding.end(), '\n', ' ');
  if (finding == "ok") return absl::OkStatus();
  damaged_ =
      absl::DataLossError(absl::StrCat("database ", database.path(), ": damaged: ", finding, "; ", RestoreAdvice()));
  return damaged_;
}

absl::Status SqliteRowWriter::Reopen() {
  MESHCA_RETURN_IF_ERROR(damaged_);
  const bool suspect = Abandon();
  MESHCA_ASSIGN_OR_RETURN(std::unique_ptr<Database> database, Database::Open(connection_));
  MESHCA_RETURN_IF_ERROR(SchemaVersion(*database, Migrations()).status());
  // SQLite called it damaged. Looked at once, whole: a passing fault of the disk leaves it sound.
  if (suspect) MESHCA_RETURN_IF_ERROR(CheckDamage(*database));
  // The log may hold a commit that was never fsynced: copied into the database file, and that fsynced, it counts.
  MESHCA_RETURN_IF_ERROR(MakeDurable(*database));
  Adopt(std::move(database));
  return absl::OkStatus();
}

absl::Status SqliteRowWriter::MakeDurable(Database& database) {
  int pages = 0;
  int moved = 0;
  int code = sqlite3_wal_checkpoint_v2(database.handle(), nullptr, SQLITE_CHECKPOINT_PASSIVE, &pages, &moved);
  if (code != SQLITE_OK) return database.StatusOf(code, "checkpoint");
  if (pages == moved) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("database ", database.path(), ": a reader still needs the log"));
}

absl::Status SqliteRowWriter::AfterBatch() {
  if (log_pages_ < checkpoint_pages_) return absl::OkStatus();
  // PASSIVE never waits: what readers still need stays in the log until the next time.
  int code = sqlite3_wal_checkpoint_v2(database_->handle(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  log_pages_ = 0;
  return code == SQLITE_OK || code == SQLITE_BUSY ? absl::OkStatus() : database_->StatusOf(code, "checkpoint");
}

}  // namespace meshca::storage
