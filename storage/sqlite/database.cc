#include "storage/sqlite/database.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/check.h"
#include "ca/base/status.h"
#include "storage/restore_advice.h"

namespace meshca::storage {
namespace {

// Counting every allocation under a lock costs the writer a few per cent, and nobody reads the count.
void ConfigureLibraryOnce() {
  static std::once_flag once;
  std::call_once(once, [] { sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); });
}

absl::StatusCode CodeOf(int code) {
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_FULL:
    case SQLITE_READONLY:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_PROTOCOL:
    case SQLITE_INTERRUPT:
    case SQLITE_NOMEM: return absl::StatusCode::kUnavailable;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return absl::StatusCode::kDataLoss;
    case SQLITE_CONSTRAINT: return absl::StatusCode::kAlreadyExists;
    default: return absl::StatusCode::kInternal;
  }
}

// What the operator can do about it.
absl::string_view AdviceOf(int code) {
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return "; another process holds the database: end it (lsof names it)";
    case SQLITE_FULL: return "; make room on the disk: writing resumes by itself";
    case SQLITE_READONLY: return "; the file or its file system is read-only";
    case SQLITE_IOERR: return "; see the kernel's log about the disk";
    default: return "";
  }
}

// The statement's first words: which table it was about, without the rest of its text.
absl::string_view Gist(absl::string_view sql) {
  constexpr size_t kBytesMax = 48;
  return sql.substr(0, std::min(sql.find_first_of("(;\n"), kBytesMax));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const ConnectionOptions& options) {
  ConfigureLibraryOnce();
  sqlite3* handle = nullptr;
  // One thread at a time uses a connection, so SQLite's own lock per connection is left out. The file is made
  // beforehand, with its mode: SQLite would make it readable for others.
  int code = sqlite3_open_v2(options.path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                             options.vfs.empty() ? nullptr : options.vfs.c_str());
  MESHCA_CHECK(handle != nullptr);
  std::unique_ptr<Database> database(new Database(handle, options.path));
  if (code != SQLITE_OK) return database->StatusOf(code, "open");
  MESHCA_RETURN_IF_ERROR(database->Configure(options));
  return database;
}

absl::Status Database::Configure(const ConnectionOptions& options) {
  sqlite3_extended_result_codes(handle_, 1);
  sqlite3_busy_timeout(handle_, static_cast<int>(absl::ToInt64Milliseconds(options.busy_timeout)));
  // A database file is input: no schema trick in it may run code, and damaged pages are found when they are read.
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  // Only the writer checkpoints, and it says when: SQLite before 3.51.3 can lose commits when two connections do.
  if (options.query_only) ForbidCheckpointOnClose();
  // EXTRA is FULL, and syncs the folder when a rollback journal is unlinked. There is one only while a new file turns
  // to WAL, but a power loss could bring that one back, and SQLite would then undo everything since.
  return Exec(absl::StrCat("PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=EXTRA; PRAGMA temp_store=",
                           options.temp_files ? "FILE" : "MEMORY",
                           "; PRAGMA mmap_size=0; PRAGMA cell_size_check=ON; PRAGMA cache_size=-", options.cache_kib,
                           "; PRAGMA query_only=", options.query_only ? "ON" : "OFF"));
}

Database::~Database() {
  for (auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  MESHCA_CHECK(sqlite3_close(handle_) == SQLITE_OK);
}

void Database::ForbidCheckpointOnClose() { sqlite3_db_config(handle_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr); }

absl::Status Database::Exec(const std::string& sql) {
  int code = sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : StatusOf(code, Gist(sql));
}

absl::StatusOr<int64_t> Database::Int(const std::string& sql) {
  sqlite3_stmt* statement = nullptr;
  int code = sqlite3_prepare_v2(handle_, sql.c_str(), -1, &statement, nullptr);
  if (code == SQLITE_OK) code = sqlite3_step(statement);
  const int64_t value = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
  absl::Status status = code == SQLITE_ROW ? absl::OkStatus() : StatusOf(code, Gist(sql));
  sqlite3_finalize(statement);
  if (!status.ok()) return status;
  return value;
}

absl::Status Database::StatusOf(int code, absl::string_view what) {
  absl::StatusCode status_code = CodeOf(code);
  std::string text = absl::StrCat("database ", path_, ": ", what, ": ", sqlite3_errmsg(handle_), AdviceOf(code));
  if (status_code == absl::StatusCode::kDataLoss) {
    damaged_ = true;
    absl::StrAppend(&text, "; ", RestoreAdvice());
  }
  absl::Status status(status_code, text);
  if (status_code != absl::StatusCode::kAlreadyExists && fault_.ok()) fault_ = status;
  return status;
}

Query::Query(Database& database, const char* sql) : database_(database) {
  sqlite3_stmt*& cached = database.statements_[sql];
  if (cached == nullptr) {
    int code = sqlite3_prepare_v3(database.handle_, sql, -1, SQLITE_PREPARE_PERSISTENT, &cached, nullptr);
    if (code != SQLITE_OK) status_ = database.StatusOf(code, Gist(sql));
  }
  // Two runs of one statement at once would share its cursor.
  MESHCA_CHECK(cached == nullptr || !sqlite3_stmt_busy(cached));
  statement_ = cached;
}

Query::~Query() {
  if (statement_ != nullptr) sqlite3_reset(statement_);
}

Query& Query::Bind(int64_t value) {
  if (statement_ != nullptr) MESHCA_CHECK(sqlite3_bind_int64(statement_, ++parameter_, value) == SQLITE_OK);
  return *this;
}

Query& Query::Bind(absl::string_view text) {
  // A null pointer would bind NULL.
  const char* data = text.empty() ? "" : text.data();
  if (statement_ != nullptr) {
    MESHCA_CHECK(sqlite3_bind_text64(statement_, ++parameter_, data, text.size(), SQLITE_STATIC, SQLITE_UTF8) ==
                 SQLITE_OK);
  }
  return *this;
}

Query& Query::BindBlob(absl::string_view bytes) {
  const char* data = bytes.empty() ? "" : bytes.data();
  if (statement_ != nullptr) {
    MESHCA_CHECK(sqlite3_bind_blob64(statement_, ++parameter_, data, bytes.size(), SQLITE_STATIC) == SQLITE_OK);
  }
  return *this;
}

Query& Query::BindNull() {
  if (statement_ != nullptr) MESHCA_CHECK(sqlite3_bind_null(statement_, ++parameter_) == SQLITE_OK);
  return *this;
}

bool Query::Next() {
  if (statement_ == nullptr || !status_.ok()) return false;
  column_ = 0;
  int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) status_ = database_.StatusOf(code, Gist(sqlite3_sql(statement_)));
  return false;
}

absl::Status Query::Run() {
  while (Next()) {
  }
  return status_;
}

int64_t Query::Int() { return sqlite3_column_int64(statement_, column_++); }

absl::string_view Query::Bytes() {
  const int column = column_++;
  const char* data = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  const int size = sqlite3_column_bytes(statement_, column);
  return data == nullptr ? absl::string_view() : absl::string_view(data, static_cast<size_t>(size));
}

Transaction::Transaction(Database& database, Kind kind) : database_(database) {
  status_ = Query(database, kind == Kind::kWrite ? "BEGIN IMMEDIATE" : "BEGIN").Run();
  open_ = status_.ok();
}

Transaction::~Transaction() {
  // SQLite may have rolled back by itself (disk full): then there is nothing left to end.
  if (open_ && sqlite3_get_autocommit(database_.handle()) == 0) Query(database_, "ROLLBACK").Run().IgnoreError();
}

absl::Status Transaction::Commit() {
  status_ = Query(database_, "COMMIT").Run();
  open_ = !status_.ok();
  return status_;
}

}  // namespace meshca::storage
