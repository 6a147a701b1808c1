// A database in memory: it keeps rows, and knows no rule.
#ifndef MESHCA_TEST_FAKES_MEMORY_DATABASE_H_
#define MESHCA_TEST_FAKES_MEMORY_DATABASE_H_

#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/base/mutex.h"
#include "storage/row_database.h"
#include "test/fakes/memory_rows.h"
#include "test/fakes/memory_tables.h"

namespace meshca {

// Readers see the rows as they were when they began. Whoever writes holds mutex() from Begin to Commit.
class MemoryDatabase final : public storage::RowDatabase, public storage::RowWriter {
 public:
  MemoryDatabase() : tables_(rows_) {}

  Mutex& mutex() { return mutex_; }

  storage::RowWriter& writer() override { return *this; }
  absl::Status Read(absl::FunctionRef<absl::Status(storage::Tables&)> body) override;
  absl::Status VisitUnreplaced(const LeafQuery& query, absl::FunctionRef<bool(const LiveLeaf&)> visit) override;
  absl::Status BackUp(const std::string&) override { return absl::UnimplementedError("backup: this store is memory"); }
  uint64_t size_bytes() const override { return 0; }
  uint32_t schema_version() const override { return 1; }

  absl::Status Begin() override { return absl::OkStatus(); }
  absl::Status Commit() override { return absl::OkStatus(); }
  // Nothing in memory fails, so no transaction is ever undone whole.
  void Rollback() override;
  absl::Status BeginPart() override;
  absl::Status UndoPart() override;
  absl::Status KeepPart() override;
  storage::Tables& tables() override { return tables_.tables(); }
  absl::Status fault() const override { return absl::OkStatus(); }
  absl::StatusOr<int64_t> ReadBatchNumber() override { return rows_.batch; }
  absl::Status WriteBatchNumber(int64_t number) override;
  absl::Status Reopen() override { return absl::OkStatus(); }
  absl::Status AfterBatch() override { return absl::OkStatus(); }

 private:
  // A copy of the rows for one reader, given back under the lock.
  template <typename Body>
  absl::Status ReadCopy(Body body);

  Mutex mutex_;
  MemoryRows rows_;  // under mutex_, which a writer holds through more than one call
  std::optional<MemoryRows> before_part_;
  MemoryTables tables_;
};

}  // namespace meshca

#endif  // MESHCA_TEST_FAKES_MEMORY_DATABASE_H_
