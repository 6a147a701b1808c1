// A write queue without a thread: what is submitted is a transaction of its own, on its caller's thread.
#ifndef MESHCA_TEST_FAKES_INLINE_QUEUE_H_
#define MESHCA_TEST_FAKES_INLINE_QUEUE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "ca/base/mutex.h"
#include "storage/group_commit_writer.h"
#include "storage/write_queue.h"

namespace meshca {

// What a test does to an InlineQueue. Thread-safe.
class QueueFaults {
 public:
  // From now on every write answers `why` (Ok: heals).
  void FailWrites(absl::Status why);
  // Issuances wait, at most `queue_max` of them, until Release.
  void Hold(size_t queue_max);
  // Ends the waiting; what waited, oldest first.
  std::vector<storage::WriteJobPtr> Release();
  // The next `times` issuances are aborted.
  void Abort(int times);

  // Takes `job` when it has to wait. ResourceExhausted: too many do.
  absl::Status HoldBack(storage::WriteJobPtr& job);
  // What befalls `job` in place of being written; Ok: nothing.
  absl::Status Befall(const storage::WriteJob& job);
  absl::Status broken() const;
  uint64_t held() const;

 private:
  mutable Mutex mutex_;
  absl::Status broken_ ABSL_GUARDED_BY(mutex_);
  int aborts_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<size_t> held_max_ ABSL_GUARDED_BY(mutex_);
  std::vector<storage::WriteJobPtr> held_ ABSL_GUARDED_BY(mutex_);
};

// Thread-safe. Done runs before Submit returns, with no lock held.
class InlineQueue final : public storage::WriteQueue {
 public:
  // `database` is locked around each write. Both outlive the queue, which shares `faults`.
  InlineQueue(storage::WriteSink& sink, Mutex& database, std::shared_ptr<QueueFaults> faults)
      : sink_(sink), database_(database), faults_(std::move(faults)) {}
  ~InlineQueue() override;

  void Submit(storage::WriteJobPtr job) override;
  void SubmitTogether(std::vector<storage::WriteJobPtr> jobs) override;
  absl::Status RecoverNow() override { return faults_->broken(); }
  storage::WriteStats stats() const override;
  bool OnWriterThread() const override { return false; }

  // Writes `jobs` as one transaction, whatever is held back.
  void Write(std::vector<storage::WriteJobPtr> jobs);

 private:
  storage::WriteSink& sink_;
  Mutex& database_;
  const std::shared_ptr<QueueFaults> faults_;
  uint64_t written_ ABSL_GUARDED_BY(database_) = 0;  // issuances
  uint64_t batches_ ABSL_GUARDED_BY(database_) = 0;  // in so many transactions
};

}  // namespace meshca

#endif  // MESHCA_TEST_FAKES_INLINE_QUEUE_H_
