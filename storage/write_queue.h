// Where writes wait for their transaction.
#ifndef MESHCA_STORAGE_WRITE_QUEUE_H_
#define MESHCA_STORAGE_WRITE_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"

namespace meshca::storage {

// Who waits for a write. Each lane has limits of its own, so a flood of issuances never turns a rotation step away;
// the order of arrival holds across lanes.
enum class WriteLane { kControl = 0, kIssuance = 1, kSubscribers = 2 };
inline constexpr size_t kWriteLanes = 3;

// One thing to write, and who is to be told. Knows its own database: the sink casts it to the kind it made.
class WriteJob {
 public:
  virtual ~WriteJob() = default;
  virtual WriteLane lane() const = 0;
  virtual size_t rows() const { return 1; }  // for the batch limit
  virtual size_t bytes() const = 0;          // for the queue limit
  // Called once with the outcome, no lock held. Must not block on the store: it would wait for its own thread.
  virtual void Done(absl::Status status) = 0;
};
using WriteJobPtr = std::unique_ptr<WriteJob>;

struct WriteStats {
  absl::Status writable;  // the last failure until recovery
  uint64_t queued_jobs = 0;
  uint64_t batches = 0;  // since start
  uint64_t rows = 0;     // written Ok since start
};

// Thread-safe. The server's is GroupCommitWriter.
class WriteQueue {
 public:
  virtual ~WriteQueue() = default;

  // Takes `job` over; its Done runs on the writer's thread, or at once on the caller's when the job is refused:
  // ResourceExhausted (its lane is full), Unavailable (broken, closed).
  virtual void Submit(WriteJobPtr job) = 0;
  // Waits until a broken database was tried again. Ok: it is writable. Not for the writer's thread.
  virtual absl::Status RecoverNow() = 0;
  virtual WriteStats stats() const = 0;
  // For CHECKs: is this the thread that must not block on the store?
  virtual bool OnWriterThread() const = 0;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_WRITE_QUEUE_H_
