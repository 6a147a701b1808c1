// Lets threads wait for a new revision of the stored authorities.
#ifndef MESHCA_STORAGE_REVISION_WATCH_H_
#define MESHCA_STORAGE_REVISION_WATCH_H_

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/base/mutex.h"

namespace meshca::storage {

// A commit in this process announces its revision, which wakes every waiter at once. A commit that is not announced (of
// another process, or one of ours whose outcome was unknown for a while) is found by polling. Thread-safe.
class RevisionWatch {
 public:
  // A waiter reads the stored revision when it begins to wait, and then every `poll`.
  explicit RevisionWatch(absl::Duration poll) : poll_(poll) {}

  // To be called when `revision` was committed.
  void Announce(uint64_t revision);

  // Blocks until a revision above `known` is announced or stored, and returns it. `read_stored` reads the stored one;
  // an error of it is returned. DeadlineExceeded: `wait_max` ran out. Cancelled: Stop was called.
  absl::StatusOr<uint64_t> WaitAbove(uint64_t known, absl::Duration wait_max,
                                     absl::FunctionRef<absl::StatusOr<uint64_t>()> read_stored);

  // Ends every wait, and those that begin later, with Cancelled.
  void Stop();

 private:
  const absl::Duration poll_;
  Mutex mutex_;
  CondVar changed_;
  uint64_t announced_ ABSL_GUARDED_BY(mutex_) = 0;  // the highest that was announced
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_REVISION_WATCH_H_
