// Wakes those who wait for a change of trust.
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

// Who commits in this process announces the revision, which wakes every waiter at once. What nobody announces is found
// by looking: a commit of another process, or one of ours whose outcome was unknown for a while. Thread-safe.
class RevisionWatch {
 public:
  // A waiter looks at the stored revision when it begins to wait, and every `poll` from then on.
  explicit RevisionWatch(absl::Duration poll) : poll_(poll) {}

  // `revision` is committed.
  void Announce(uint64_t revision);

  // Blocks until a revision above `known` is announced or stored, and returns it. `read_stored` answers the stored one;
  // its error is the answer. DeadlineExceeded: `wait_max` ran out. Cancelled: Stop.
  absl::StatusOr<uint64_t> WaitAbove(uint64_t known, absl::Duration wait_max,
                                     absl::FunctionRef<absl::StatusOr<uint64_t>()> read_stored);

  // Ends every wait, those that begin later too.
  void Stop();

 private:
  const absl::Duration poll_;
  Mutex mutex_;
  CondVar changed_;
  uint64_t announced_ ABSL_GUARDED_BY(mutex_) = 0;  // the highest
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_REVISION_WATCH_H_
