#include "storage/sqlite/reader_pool.h"

#include <utility>

#include "ca/base/status.h"

namespace meshca::storage {

ReaderPool::Reader::Reader(ReaderPool& pool, std::unique_ptr<Database> database)
    : pool_(&pool),
      database_(std::move(database)),
      transaction_(std::make_unique<Transaction>(*database_, Transaction::Kind::kRead)) {}

ReaderPool::Reader::~Reader() {
  if (database_ == nullptr) return;  // moved from
  transaction_.reset();
  pool_->Return(std::move(database_));
}

absl::StatusOr<ReaderPool::Reader> ReaderPool::Acquire() {
  std::unique_ptr<Database> database;
  {
    MutexLock lock(mutex_);
    if (!idle_.empty()) {
      database = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (database == nullptr) {
    MESHCA_ASSIGN_OR_RETURN(database, Database::Open(options_));
  }
  Reader reader(*this, std::move(database));
  MESHCA_RETURN_IF_ERROR(reader.transaction_->status());
  return reader;
}

void ReaderPool::Return(std::unique_ptr<Database> database) {
  if (!database->fault().ok()) return;
  MutexLock lock(mutex_);
  if (idle_.size() < kIdleMax) idle_.push_back(std::move(database));
}

}  // namespace meshca::storage
