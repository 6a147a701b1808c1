// The database under the group-commit writer.
#ifndef MESHCA_STORAGE_SQLITE_SQLITE_SINK_H_
#define MESHCA_STORAGE_SQLITE_SQLITE_SINK_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/authority/key_encryption.h"
#include "ca/issuance/issuance_store.h"
#include "storage/group_commit_writer.h"
#include "storage/sqlite/database.h"
#include "storage/sqlite/issuance_rows.h"

namespace meshca::storage {

// What a job may do inside the batch's transaction.
struct WriteContext {
  Database& database;
  IssuanceWriter& issuances;
};

// A job for SqliteSink: every job that its writer gets is one.
class SqliteJob : public WriteJob {
 public:
  // An error fails this job alone, unless the database itself failed (Database::fault): then the batch does.
  virtual absl::Status Apply(WriteContext& context) = 0;
  // May fail half-way, so that its rows need undoing.
  virtual bool NeedsSavepoint() const { return false; }
  // The issuance by which an unknown commit is looked up; null: it holds none.
  virtual const IssuanceRecord* issuance() const { return nullptr; }
};

struct SinkOptions {
  ConnectionOptions connection;
  const KeyEncryption* keys = nullptr;
  int checkpoint_pages = 0;
};

// The one writing connection. Writer thread, but for the constructor.
class SqliteSink final : public WriteSink {
 public:
  // `database` is open, up to date, and made from options.connection.
  SqliteSink(SinkOptions options, std::unique_ptr<Database> database);
  ~SqliteSink() override;

  absl::Status Write(std::span<const WriteJobPtr> jobs, std::span<absl::Status> results) override;
  absl::StatusOr<bool> Recover() override;
  absl::Status AfterBatch() override;

  // Moves the whole log into the database file and fsyncs it, so that what can be read now survives power loss.
  // Unavailable: a reader still needs the log.
  static absl::Status MakeDurable(Database& database);

 private:
  // What tells whether the last batch is in the database: an issuance of it, or else the number it wrote.
  struct Mark {
    std::optional<SerialNumber> serial;
    std::string certificate_sha256;
    int64_t batch = 0;
  };

  void Adopt(std::unique_ptr<Database> database);
  absl::Status ApplyAll(std::span<const WriteJobPtr> jobs, std::span<absl::Status> results);
  absl::Status ApplyOne(SqliteJob& job);
  absl::Status WriteBatchNumber();
  absl::StatusOr<bool> IsIn(Database& database, const Mark& mark);

  const SinkOptions options_;
  std::unique_ptr<Database> database_;  // null between a failed Recover and the next
  std::optional<IssuanceWriter> issuances_;
  Mark last_;
  int64_t batch_number_ = 0;
  int log_pages_ = 0;  // set by SQLite at each commit
  absl::Status damaged_;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_SQLITE_SINK_H_
