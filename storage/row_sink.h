// The rules' side of the group-commit writer: one transaction for a batch of jobs, and the way back after a failure.
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

// What a job may do inside the batch's transaction.
struct WriteContext {
  Tables& tables;
  IssuanceAppender& issuances;
};

// A job for RowSink: every job that its writer gets is one.
class StoreJob : public WriteJob {
 public:
  // An error fails this job alone, unless the database itself failed (RowWriter::fault): then the batch does.
  virtual absl::Status Apply(WriteContext& context) = 0;
  // May fail half-way, so that its rows need undoing.
  virtual bool MayNeedUndoing() const { return false; }
  // The issuance by which an unknown commit is looked up; null: it holds none.
  virtual const IssuanceRecord* issuance() const { return nullptr; }
};

// Writer thread, but for the constructor.
class RowSink final : public WriteSink {
 public:
  // Both outlive the sink.
  RowSink(RowWriter& writer, const KeyEncryption& keys);

  absl::Status Write(std::span<const WriteJobPtr> jobs, std::span<absl::Status> results) override;
  absl::StatusOr<bool> Recover() override;
  absl::Status AfterBatch() override;

 private:
  // What tells whether the last batch is in the database: an issuance of it, or else the number it wrote.
  struct Mark {
    std::optional<SerialNumber> serial;
    std::string certificate_sha256;
    int64_t batch = 0;
  };

  absl::Status ApplyAll(std::span<const WriteJobPtr> jobs, std::span<absl::Status> results);
  absl::Status ApplyOne(StoreJob& job);
  absl::Status WriteBatchNumber();
  // Is the batch of last_ in the database? Writes a number of its own, which proves that writing works again.
  absl::StatusOr<bool> LookUpLastBatch();

  RowWriter& writer_;
  const KeyEncryption& keys_;
  std::optional<IssuanceAppender> appender_;  // nothing between a failed Recover and the next
  Mark last_;
  int64_t batch_number_ = 0;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_ROW_SINK_H_
