// Owning names for SQLite 3: a connection, and a query on it.
#ifndef MESHCA_STORAGE_SQLITE_DATABASE_H_
#define MESHCA_STORAGE_SQLITE_DATABASE_H_

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "storage/canonical_bytes.h"

namespace meshca::storage {

struct ConnectionOptions {
  std::string path;
  std::string vfs;  // "" is the system's
  absl::Duration busy_timeout;
  int cache_kib = 1024;
  bool query_only = true;   // also: never checkpoints, not even at close
  bool temp_files = false;  // what a query has to keep aside goes to temporary files (see SQLite's SQLITE_TMPDIR)
};

// One connection with its prepared statements. Used by one thread at a time.
class Database {
 public:
  // The file must exist. Errors: as StatusOf.
  static absl::StatusOr<std::unique_ptr<Database>> Open(const ConnectionOptions& options);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Runs statements that answer nothing. Not cached.
  absl::Status Exec(const std::string& sql);
  // A whole number that a one-row query answers. Not cached.
  absl::StatusOr<int64_t> Int(const std::string& sql);

  // SQLite's last error as a Status that says `what` was tried and what to do: Unavailable (locked, full, read-only,
  // I/O), DataLoss (damaged: names the command to restore), AlreadyExists (a unique row), else Internal.
  absl::Status StatusOf(int code, absl::string_view what);

  // The first failure of the database itself since ClearFault, Ok where there was none: a row that breaks a constraint
  // is no such failure. After one the connection is not trusted.
  const absl::Status& fault() const { return fault_; }
  // SQLite says the file is damaged.
  bool damaged() const { return damaged_; }

  // The close must not touch the file again: the handle failed.
  void ForbidCheckpointOnClose();

  sqlite3* handle() { return handle_; }
  const std::string& path() const { return path_; }
  int64_t RowsChanged() { return sqlite3_changes64(handle_); }
  int64_t LastInsertRow() { return sqlite3_last_insert_rowid(handle_); }

 private:
  friend class Query;
  Database(sqlite3* handle, std::string path) : handle_(handle), path_(std::move(path)) {}
  absl::Status Configure(const ConnectionOptions& options);

  sqlite3* const handle_;  // owned
  const std::string path_;
  absl::Status fault_;
  bool damaged_ = false;
  // By the address of Query's `sql`. Owned.
  std::unordered_map<const char*, sqlite3_stmt*> statements_;
};

// One run of a cached statement; the next run begins where this object ends. Bytes given to Bind must live until then,
// and bytes from a column until the next row.
class Query {
 public:
  // `sql` lives as long as the process: its address is the key of the cache.
  Query(Database& database, const char* sql);
  ~Query();
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  // Parameters in order.
  Query& Bind(int64_t value);
  Query& Bind(uint64_t value) { return Bind(static_cast<int64_t>(value)); }
  Query& Bind(int value) { return Bind(static_cast<int64_t>(value)); }
  Query& Bind(bool value) { return Bind(static_cast<int64_t>(value)); }
  Query& Bind(absl::Time value) { return Bind(MicrosOf(value)); }
  Query& Bind(absl::string_view text);
  Query& Bind(const std::string& text) { return Bind(absl::string_view(text)); }
  Query& Bind(const char* text) { return Bind(absl::string_view(text)); }
  Query& BindBlob(absl::string_view bytes);
  Query& BindNull();

  // Is there a (next) row? False at the end and on failure: status() tells them apart.
  bool Next();
  absl::Status status() const { return status_; }
  // A statement without rows.
  absl::Status Run();

  // Columns of the row, in order.
  int64_t Int();
  uint64_t Uint() { return static_cast<uint64_t>(Int()); }
  absl::Time Time() { return TimeOfMicros(Int()); }
  absl::string_view Bytes();  // text or blob
  std::string String() { return std::string(Bytes()); }
  bool NextColumnIs(int type) { return sqlite3_column_type(statement_, column_) == type; }

 private:
  Database& database_;
  sqlite3_stmt* statement_ = nullptr;  // the database's
  absl::Status status_;
  int parameter_ = 0;
  int column_ = 0;
};

// BEGIN, and ROLLBACK unless Commit came first.
class Transaction {
 public:
  enum class Kind { kRead, kWrite };
  Transaction(Database& database, Kind kind);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  const absl::Status& status() const { return status_; }
  absl::Status Commit();

 private:
  Database& database_;
  absl::Status status_;
  bool open_ = false;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_DATABASE_H_
