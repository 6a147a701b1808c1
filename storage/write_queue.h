// The queue in which jobs wait to be written to the database.
#ifndef MESHCA_STORAGE_WRITE_QUEUE_H_
#define MESHCA_STORAGE_WRITE_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"

namespace meshca::storage {

// The kind of a job. Each lane has its own limits, so that a flood of issuances never causes a rotation step to be
// refused. Jobs of all lanes are written in order of arrival.
enum class WriteLane { kControl = 0, kIssuance = 1, kSubscribers = 2 };
inline constexpr size_t kWriteLanes = 3;

// One thing to write, and who is told the outcome. What to write is known to the derived class, to which the sink casts
// it (StoreJob).
class WriteJob {
 public:
  virtual ~WriteJob() = default;
  virtual WriteLane lane() const = 0;
  virtual size_t rows() const { return 1; }  // counts for the limit of a batch
  virtual size_t bytes() const = 0;          // counts for the limit of the queue
  // Called once with the outcome, with no lock held. Must not block on the store, because it runs on the writer's
  // thread.
  virtual void Done(absl::Status status) = 0;
};
using WriteJobPtr = std::unique_ptr<WriteJob>;

struct WriteStats {
  absl::Status writable;  // Ok; or the last failure, until the database has recovered
  uint64_t queued_jobs = 0;
  uint64_t batches = 0;  // since start
  uint64_t rows = 0;     // written successfully since start
};

// Thread-safe. The server uses GroupCommitWriter.
class WriteQueue {
 public:
  virtual ~WriteQueue() = default;

  // Queues `job` and returns. Its Done runs on the writer's thread, or at once on the caller's if the job is refused:
  // ResourceExhausted (its lane is full), Unavailable (the database is broken, or the queue closed).
  virtual void Submit(WriteJobPtr job) = 0;
  // The same for all of `jobs`; those that are queued are written in one transaction, each with an outcome of its own.
  virtual void SubmitTogether(std::vector<WriteJobPtr> jobs) = 0;
  // Blocks until recovery of a broken database was tried again. Ok: it can be written. Not on the writer's thread.
  virtual absl::Status RecoverNow() = 0;
  virtual WriteStats stats() const = 0;
  // Whether this is the writer's thread, which must not block on the store. For CHECKs.
  virtual bool OnWriterThread() const = 0;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_WRITE_QUEUE_H_
