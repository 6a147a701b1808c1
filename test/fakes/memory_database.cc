#include "test/fakes/memory_database.h"

#include "ca/base/check.h"

namespace meshca {

template <typename Body>
absl::Status MemoryDatabase::ReadCopy(Body body) {
  std::optional<MemoryRows> copy;
  {
    MutexLock lock(mutex_);
    copy = rows_;
  }
  absl::Status status = body(*copy);
  MutexLock lock(mutex_);
  copy.reset();
  return status;
}

absl::Status MemoryDatabase::Read(absl::FunctionRef<absl::Status(storage::Tables&)> body) {
  return ReadCopy([&](MemoryRows& rows) {
    MemoryTables tables(rows);
    return body(tables.tables());
  });
}

absl::Status MemoryDatabase::VisitUnreplaced(const LeafQuery& query, absl::FunctionRef<bool(const LiveLeaf&)> visit) {
  return ReadCopy([&](const MemoryRows& rows) { return VisitUnreplacedIn(rows, query, visit); });
}

void MemoryDatabase::Rollback() { MESHCA_CHECK(false); }

absl::Status MemoryDatabase::BeginPart() {
  before_part_ = rows_;
  return absl::OkStatus();
}

absl::Status MemoryDatabase::UndoPart() {
  rows_ = *before_part_;
  return absl::OkStatus();
}

absl::Status MemoryDatabase::KeepPart() {
  before_part_.reset();
  return absl::OkStatus();
}

absl::Status MemoryDatabase::WriteBatchNumber(int64_t number) {
  rows_.batch = number;
  return absl::OkStatus();
}

}  // namespace meshca
