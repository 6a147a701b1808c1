// A thread that looks at the clock from time to time.
#ifndef MESHCA_CLI_PERIODIC_THREAD_H_
#define MESHCA_CLI_PERIODIC_THREAD_H_

#include <algorithm>
#include <functional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "ca/base/clock.h"
#include "ca/base/mutex.h"

namespace meshca::cli {

// Runs `work` at once and then whenever the time it returned has come. The wall clock may jump, so it looks at least
// every `look_max`. Ends with its life, after the run under way.
class PeriodicThread {
 public:
  // Returns when it wants to run next; called on the thread, one at a time.
  using Work = std::function<absl::Time(absl::Time now)>;

  // `clock` outlives the thread.
  PeriodicThread(const Clock& clock, absl::Duration look_max, Work work)
      : clock_(clock), look_max_(look_max), work_(std::move(work)), thread_([this] { Run(); }) {}
  ~PeriodicThread() { Stop(); }

  // Waits for the run under way and ends the thread; Wake does nothing from then on. Idempotent, one thread at a time.
  void Stop() {
    {
      MutexLock lock(mutex_);
      stop_ = true;
    }
    wake_.NotifyAll();
    if (thread_.joinable()) thread_.join();
  }

  // Runs `work` now instead of later. Any thread.
  void Wake() {
    {
      MutexLock lock(mutex_);
      now_ = true;
    }
    wake_.NotifyAll();
  }

 private:
  void Run() {
    absl::Time due = absl::InfinitePast();
    for (;;) {
      {
        MutexLock lock(mutex_);
        while (!stop_ && !now_ && clock_.Now() < due) {
          wake_.WaitFor(mutex_, std::clamp(due - clock_.Now(), absl::Milliseconds(1), look_max_));
        }
        if (stop_) return;
        now_ = false;
      }
      due = work_(clock_.Now());
    }
  }

  const Clock& clock_;
  const absl::Duration look_max_;
  const Work work_;
  Mutex mutex_;
  CondVar wake_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  bool now_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: Run uses all of the above
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_PERIODIC_THREAD_H_
