#include "storage/row_sink.h"

#include <utility>

#include "ca/base/status.h"

namespace meshca::storage {

RowSink::RowSink(RowWriter& writer, const KeyEncryption& keys) : writer_(writer), keys_(keys) {
  appender_.emplace(writer_.tables(), keys_);
}

absl::Status RowSink::Write(std::span<const WriteJobPtr> jobs, std::span<absl::Status> results) {
  last_ = Mark();
  // Authorities, entries and revoked keys are read anew in each transaction.
  appender_->Forget();
  MESHCA_RETURN_IF_ERROR(writer_.Begin());
  absl::Status status = ApplyAll(jobs, results);
  if (status.ok()) status = writer_.Commit();
  if (!status.ok()) writer_.Rollback();
  return status;
}

absl::Status RowSink::ApplyAll(std::span<const WriteJobPtr> jobs, std::span<absl::Status> results) {
  for (size_t i = 0; i < jobs.size(); ++i) {
    auto& job = static_cast<StoreJob&>(*jobs[i]);
    results[i] = ApplyOne(job);
    MESHCA_RETURN_IF_ERROR(writer_.fault());
    const IssuanceRecord* record = job.issuance();
    if (results[i].ok() && record != nullptr && !last_.serial) {
      last_.serial = record->serial;
      last_.certificate_sha256 = record->certificate_sha256;
    }
  }
  return last_.serial ? absl::OkStatus() : WriteBatchNumber();
}

absl::Status RowSink::ApplyOne(StoreJob& job) {
  WriteContext context{writer_.tables(), *appender_};
  if (!job.MayNeedUndoing()) return job.Apply(context);
  // The job may change what the records behind it are judged by.
  appender_->Forget();
  MESHCA_RETURN_IF_ERROR(writer_.BeginPart());
  absl::Status status = job.Apply(context);
  // After a fault the database may have ended the transaction by itself, and the part with it.
  MESHCA_RETURN_IF_ERROR(writer_.fault());
  if (!status.ok()) MESHCA_RETURN_IF_ERROR(writer_.UndoPart());
  MESHCA_RETURN_IF_ERROR(writer_.KeepPart());
  return status;
}

absl::Status RowSink::WriteBatchNumber() {
  last_.batch = ++batch_number_;
  return writer_.WriteBatchNumber(batch_number_);
}

absl::StatusOr<bool> RowSink::LookUpLastBatch() {
  MESHCA_ASSIGN_OR_RETURN(batch_number_, writer_.ReadBatchNumber());
  bool is_in = last_.batch != 0 && batch_number_ == last_.batch;
  if (last_.serial) {
    MESHCA_ASSIGN_OR_RETURN(is_in, writer_.tables().issuances.HasCertificate(*last_.serial, last_.certificate_sha256));
  }
  MESHCA_RETURN_IF_ERROR(writer_.WriteBatchNumber(++batch_number_));
  return is_in;
}

absl::StatusOr<bool> RowSink::Recover() {
  appender_.reset();
  MESHCA_RETURN_IF_ERROR(writer_.Reopen());
  appender_.emplace(writer_.tables(), keys_);
  MESHCA_RETURN_IF_ERROR(writer_.Begin());
  // In a transaction that itself writes and commits: what is found to be in stays in.
  absl::StatusOr<bool> is_in = LookUpLastBatch();
  absl::Status status = is_in.status();
  if (status.ok()) status = writer_.Commit();
  if (status.ok()) return is_in;
  writer_.Rollback();
  return status;
}

absl::Status RowSink::AfterBatch() { return writer_.AfterBatch(); }

}  // namespace meshca::storage
