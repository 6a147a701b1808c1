// The rows of one SQLite file.
#ifndef MESHCA_STORAGE_SQLITE_SQLITE_DATABASE_H_
#define MESHCA_STORAGE_SQLITE_SQLITE_DATABASE_H_

#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "ca/base/unique_fd.h"
#include "storage/row_database.h"
#include "storage/sqlite/reader_pool.h"
#include "storage/sqlite/sqlite_row_writer.h"
#include "storage/sqlite/sqlite_store.h"

namespace meshca::storage {

// One writing connection, and as many reading ones as read at once: readers see the last commit.
class SqliteDatabase final : public RowDatabase {
 public:
  // `lock` keeps other processes out (LockDatabase); `database` is the writing connection, open and up to date.
  SqliteDatabase(const SqliteOptions& options, UniqueFd lock, std::unique_ptr<Database> database);

  RowWriter& writer() override { return writer_; }
  absl::Status Read(absl::FunctionRef<absl::Status(Tables&)> body) override;
  absl::Status VisitUnreplaced(const LeafQuery& query, absl::FunctionRef<bool(const LiveLeaf&)> visit) override;
  absl::Status BackUp(const std::string& path) override;
  uint64_t size_bytes() const override;
  uint32_t schema_version() const override;

 private:
  const SqliteOptions options_;
  // Members end in reverse: readers close before the last writing connection does, so that its close moves the log into
  // the file; and then the lock goes.
  const UniqueFd lock_;
  SqliteRowWriter writer_;
  ReaderPool readers_;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_SQLITE_DATABASE_H_
