// The one thread that writes to the database. All jobs that arrive during an fsync become the next transaction.
#ifndef MESHCA_STORAGE_GROUP_COMMIT_WRITER_H_
#define MESHCA_STORAGE_GROUP_COMMIT_WRITER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/base/mutex.h"
#include "storage/write_queue.h"

namespace meshca::storage {

// The database as the writer uses it. Every call comes from the writer's thread.
class WriteSink {
 public:
  virtual ~WriteSink() = default;

  // Writes the jobs as one transaction. Ok: the transaction survives power loss, and results[i] is the outcome of job
  // i, which may have failed alone. After an error it is not known whether the transaction is in the database
  // (`results` holds the outcomes in case it is), the database handle is not trusted any more, and the writer calls
  // Recover.
  virtual absl::Status Write(std::span<const WriteJobPtr> jobs, std::span<absl::Status> results) = 0;

  // Closes the handle, opens the database again, verifies it, makes everything visible in it durable, and proves that
  // it can be written. True: the transaction of the last Write, which failed, is in the database after all.
  virtual absl::StatusOr<bool> Recover() = 0;

  // Housekeeping (a checkpoint) after a batch was answered. After an error the writer calls Recover.
  virtual absl::Status AfterBatch() { return absl::OkStatus(); }
};

struct WriterLimits {
  // The most that may wait, by WriteLane.
  std::array<size_t, kWriteLanes> jobs_max = {1024, 65536, 4096};
  std::array<size_t, kWriteLanes> bytes_max = {64 << 20, 64 << 20, 64 << 20};
  size_t batch_rows_max = 1000;  // a single larger job, or larger jobs that belong together, are a batch of their own
  // The time between two attempts to recover a broken database: doubles from retry_min to retry_max.
  absl::Duration retry_min = absl::Milliseconds(100);
  absl::Duration retry_max = absl::Seconds(5);
};

// Thread-safe. While the database is broken, jobs are answered Unavailable at once, and the writer tries to recover
// with backoff.
class GroupCommitWriter final : public WriteQueue {
 public:
  // `sink` is open and outlives the writer. From now on only the writer's thread uses it.
  GroupCommitWriter(WriteSink& sink, const WriterLimits& limits);
  ~GroupCommitWriter() override;  // Close()

  void Submit(WriteJobPtr job) override;
  void SubmitTogether(std::vector<WriteJobPtr> jobs) override;
  // Attempts a recovery at once, without waiting for the backoff. Ok at once if the database is not broken.
  absl::Status RecoverNow() override;

  // Writes what is queued, answers later jobs Unavailable, ends the thread. Blocks. Idempotent.
  void Close();

  WriteStats stats() const override;
  bool OnWriterThread() const override { return std::this_thread::get_id() == thread_.get_id(); }

 private:
  struct Queued {
    WriteJobPtr job;
    // Of the job and of those behind it that belong to the same transaction; 0: it belongs to the one of the job
    // before.
    size_t rows_together;
  };
  // Why `job` cannot be queued now.
  absl::Status CheckRoom(const WriteJob& job) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Run();
  // Waits for and takes the next batch, in order; empty: closed and nothing is left, or it is time to recover.
  std::vector<WriteJobPtr> NextBatch();
  void WriteBatch(std::vector<WriteJobPtr> batch);
  // One attempt to recover; returns what WriteSink::Recover returned. Ok: the database can be written again.
  absl::StatusOr<bool> TryRecover();
  void MarkBroken(const absl::Status& why);

  WriteSink& sink_;
  const WriterLimits limits_;

  mutable Mutex mutex_;
  CondVar wake_;       // wakes the writer for a job, Close or RecoverNow
  CondVar recovered_;  // wakes RecoverNow when an attempt has ended
  std::deque<Queued> queue_ ABSL_GUARDED_BY(mutex_);
  std::array<size_t, kWriteLanes> jobs_ ABSL_GUARDED_BY(mutex_) = {};
  std::array<size_t, kWriteLanes> bytes_ ABSL_GUARDED_BY(mutex_) = {};
  bool waiting_ ABSL_GUARDED_BY(mutex_) = false;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool retry_now_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t attempts_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status broken_ ABSL_GUARDED_BY(mutex_);  // Ok: healthy
  uint64_t batches_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t rows_ ABSL_GUARDED_BY(mutex_) = 0;

  absl::Duration backoff_;  // used by the writer's thread alone
  std::thread thread_;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_GROUP_COMMIT_WRITER_H_
