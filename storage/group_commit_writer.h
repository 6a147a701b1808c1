// One thread that writes for all: whatever arrived during the last fsync becomes the next transaction.
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

// The database under the writer. Every call comes from the writer thread.
class WriteSink {
 public:
  virtual ~WriteSink() = default;

  // Writes the jobs as one transaction. Ok: it survives power loss, and results[i] is job i's own outcome: a bad row
  // fails alone. Otherwise nobody knows whether the batch is in (results hold what counts if it is), and the handle is
  // not trusted any more: the status says why, and the writer goes to Recover.
  virtual absl::Status Write(std::span<const WriteJobPtr> jobs, std::span<absl::Status> results) = 0;

  // Closes the handle, opens the database again, verifies it, makes everything visible in it durable, and proves that
  // it can be written. True: the batch whose Write failed last is in the database after all.
  virtual absl::StatusOr<bool> Recover() = 0;

  // Housekeeping once a batch's callers have their answers (checkpoint). An error leads to Recover.
  virtual absl::Status AfterBatch() { return absl::OkStatus(); }
};

struct WriterLimits {
  // Of what waits, by WriteLane.
  std::array<size_t, kWriteLanes> jobs_max = {1024, 65536, 4096};
  std::array<size_t, kWriteLanes> bytes_max = {64 << 20, 64 << 20, 64 << 20};
  size_t batch_rows_max = 1000;  // a single larger job is a batch of its own
  // Between two attempts to get a broken database back; doubles from the one to the other.
  absl::Duration retry_min = absl::Milliseconds(100);
  absl::Duration retry_max = absl::Seconds(5);
};

// Thread-safe. While the database is broken, jobs are answered Unavailable at once and the writer tries to recover, by
// itself, with backoff.
class GroupCommitWriter final : public WriteQueue {
 public:
  // `sink` outlives the writer, is open, and is touched by the writer's thread alone from here on.
  GroupCommitWriter(WriteSink& sink, const WriterLimits& limits);
  ~GroupCommitWriter() override;  // Close()

  void Submit(WriteJobPtr job) override;
  // Does not wait for the backoff to end. A healthy database answers Ok at once.
  absl::Status RecoverNow() override;

  // Writes what is queued, answers the rest Unavailable, ends the thread. Idempotent.
  void Close();

  WriteStats stats() const override;
  bool OnWriterThread() const override { return std::this_thread::get_id() == thread_.get_id(); }

 private:
  // Takes `job` when it answers Ok; otherwise leaves it to its owner.
  absl::Status TryQueue(WriteJobPtr& job);
  void Run();
  // One batch from the queue, in order; empty when closed and drained, or when it is time to recover.
  std::vector<WriteJobPtr> NextBatch();
  void WriteBatch(std::vector<WriteJobPtr> batch);
  // One attempt to get the database back; the sink's answer. Ok: writable again.
  absl::StatusOr<bool> TryRecover();
  void MarkBroken(const absl::Status& why);

  WriteSink& sink_;
  const WriterLimits limits_;

  mutable Mutex mutex_;
  CondVar wake_;       // the writer: a job, Close, or RecoverNow
  CondVar recovered_;  // RecoverNow: an attempt ended
  std::deque<WriteJobPtr> queue_ ABSL_GUARDED_BY(mutex_);
  std::array<size_t, kWriteLanes> jobs_ ABSL_GUARDED_BY(mutex_) = {};
  std::array<size_t, kWriteLanes> bytes_ ABSL_GUARDED_BY(mutex_) = {};
  bool waiting_ ABSL_GUARDED_BY(mutex_) = false;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool retry_now_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t attempts_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status broken_ ABSL_GUARDED_BY(mutex_);  // Ok: healthy
  uint64_t batches_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t rows_ ABSL_GUARDED_BY(mutex_) = 0;

  absl::Duration backoff_;  // writer thread
  std::thread thread_;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_GROUP_COMMIT_WRITER_H_
