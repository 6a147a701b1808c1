#include "storage/revision_watch.h"

#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca::storage {
namespace {

// Time since some moment before. Not the wall clock: a wait must not end early, or never, because somebody set that.
absl::Duration MonotonicNow() { return absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch()); }

}  // namespace

void RevisionWatch::Announce(uint64_t revision) {
  MutexLock lock(mutex_);
  announced_ = std::max(announced_, revision);
  changed_.NotifyAll();
}

void RevisionWatch::Stop() {
  MutexLock lock(mutex_);
  stopped_ = true;
  changed_.NotifyAll();
}

absl::StatusOr<uint64_t> RevisionWatch::WaitAbove(uint64_t known, absl::Duration wait_max,
                                                  absl::FunctionRef<absl::StatusOr<uint64_t>()> read_stored) {
  const absl::Duration end = MonotonicNow() + wait_max;
  for (;;) {
    // Read without the lock: a commit that is announced meanwhile is seen below.
    MESHCA_ASSIGN_OR_RETURN(const uint64_t stored, read_stored());
    if (stored > known) return stored;
    const absl::Duration look_again = std::min(end, MonotonicNow() + poll_);
    MutexLock lock(mutex_);
    while (!stopped_ && announced_ <= known && MonotonicNow() < look_again) {
      changed_.WaitFor(mutex_, look_again - MonotonicNow());
    }
    if (stopped_) return absl::CancelledError("authorities: the server is shutting down");
    if (announced_ > known) return announced_;
    if (MonotonicNow() >= end) {
      return absl::DeadlineExceededError(
          absl::StrCat("authorities: no revision above ", known, " within ", absl::FormatDuration(wait_max)));
    }
  }
}

}  // namespace meshca::storage
