// The WriteSink above a RowWriter: applies a batch of jobs in one transaction, and recovers after a failure.
#ifndef MESHCA_STORAGE_ROW_SINK_H_
#define MESHCA_STORAGE_ROW_SINK_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/authority/key_encryption.h"
#include "ca/issuance/issuance_store.h"
#include "storage/group_commit_writer.h"
#include "storage/issuance_appender.h"
#include "storage/row_database.h"

namespace meshca::storage {

// What a job may use inside the batch's transaction.
struct WriteContext {
  Tables& tables;
  IssuanceAppender& issuances;
};

// A job for RowSink. Every job that is submitted to its writer must be one.
class StoreJob : public WriteJob {
 public:
  // Writes the job's rows. An error fails this job alone, unless the database itself failed (RowWriter::fault): then
  // the whole batch fails.
  virtual absl::Status Apply(WriteContext& context) = 0;
  // Whether Apply may fail after it has written something, which must then be undone.
  virtual bool MayNeedUndoing() const { return false; }
  // The issuance that this job writes; null: none. It tells whether a commit of unknown outcome is in the database.
  virtual const IssuanceRecord* issuance() const { return nullptr; }
};

// Used on the writer's thread alone, except the constructor.
class RowSink final : public WriteSink {
 public:
  // `writer` and `keys` outlive the sink.
  RowSink(RowWriter& writer, const KeyEncryption& keys);

  absl::Status Write(std::span<const WriteJobPtr> jobs, std::span<absl::Status> results) override;
  absl::StatusOr<bool> Recover() override;
  absl::Status AfterBatch() override;

 private:
  // What tells whether the last batch is in the database: one of its issuances, or else the batch number that it wrote.
  struct Mark {
    std::optional<SerialNumber> serial;
    std::string certificate_sha256;
    int64_t batch = 0;
  };

  absl::Status ApplyAll(std::span<const WriteJobPtr> jobs, std::span<absl::Status> results);
  absl::Status ApplyOne(StoreJob& job);
  absl::Status WriteBatchNumber();
  // Whether the batch of last_ is in the database. Also writes a batch number, which proves that writing works again.
  absl::StatusOr<bool> LookUpLastBatch();

  RowWriter& writer_;
  const KeyEncryption& keys_;
  std::optional<IssuanceAppender> appender_;  // nullopt between a failed Recover and the next
  Mark last_;
  int64_t batch_number_ = 0;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_ROW_SINK_H_
