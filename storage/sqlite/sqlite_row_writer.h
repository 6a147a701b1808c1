// The one writing connection to an SQLite database.
#ifndef MESHCA_STORAGE_SQLITE_SQLITE_ROW_WRITER_H_
#define MESHCA_STORAGE_SQLITE_SQLITE_ROW_WRITER_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/row_database.h"
#include "storage/sqlite/database.h"
#include "storage/sqlite/sqlite_tables.h"

namespace meshca::storage {

// The only connection that moves the log into the database file (SQLite before 3.51.3 can lose commits when two do).
class SqliteRowWriter final : public RowWriter {
 public:
  // `database` is open, up to date, and made from `connection`. The log is moved once it has `checkpoint_pages`.
  SqliteRowWriter(ConnectionOptions connection, int checkpoint_pages, std::unique_ptr<Database> database);
  ~SqliteRowWriter() override;

  absl::Status Begin() override;
  absl::Status Commit() override;
  void Rollback() override;
  absl::Status BeginPart() override;
  absl::Status UndoPart() override;
  absl::Status KeepPart() override;
  Tables& tables() override { return tables_->tables(); }
  absl::Status fault() const override { return database_->fault(); }
  absl::StatusOr<int64_t> ReadBatchNumber() override;
  absl::Status WriteBatchNumber(int64_t number) override;
  absl::Status Reopen() override;
  absl::Status AfterBatch() override;

  // Moves the whole log into the database file and fsyncs it, so that what can be read now survives power loss.
  // Unavailable: a reader still needs the log.
  static absl::Status MakeDurable(Database& database);

 private:
  void Adopt(std::unique_ptr<Database> database);
  // Lets go of the connection without touching the file again. Was the database called damaged on it?
  bool Abandon();
  // Ok unless the whole database, read once, shows damage: then it stays refused, because repeated reading would mend
  // nothing.
  absl::Status CheckDamage(Database& database);

  const ConnectionOptions connection_;
  const int checkpoint_pages_;
  std::unique_ptr<Database> database_;  // null between a failed Reopen and the next; likewise what stands on it
  std::optional<SqliteTables> tables_;
  std::optional<Transaction> transaction_;
  int log_pages_ = 0;  // set by SQLite at each commit
  absl::Status damaged_;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_SQLITE_ROW_WRITER_H_
