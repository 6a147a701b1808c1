// Reading connections: as many as read at once, few kept.
#ifndef MESHCA_STORAGE_SQLITE_READER_POOL_H_
#define MESHCA_STORAGE_SQLITE_READER_POOL_H_

#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/base/mutex.h"
#include "storage/sqlite/database.h"

namespace meshca::storage {

// Thread-safe. Outlives its readers.
class ReaderPool {
 public:
  explicit ReaderPool(ConnectionOptions options) : options_(std::move(options)) {}

  // A connection inside a read transaction: every query on it sees the same commit. Goes back to the pool when it ends,
  // unless it failed.
  class Reader {
   public:
    Reader(ReaderPool& pool, std::unique_ptr<Database> database);
    Reader(Reader&&) = default;
    ~Reader();
    Database& operator*() { return *database_; }

   private:
    friend class ReaderPool;
    ReaderPool* pool_;
    std::unique_ptr<Database> database_;
    std::unique_ptr<Transaction> transaction_;
  };
  absl::StatusOr<Reader> Acquire();

 private:
  static constexpr size_t kIdleMax = 2;
  void Return(std::unique_ptr<Database> database);

  const ConnectionOptions options_;
  Mutex mutex_;
  std::vector<std::unique_ptr<Database>> idle_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_READER_POOL_H_
