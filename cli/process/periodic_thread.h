// A thread that looks at the clock from time to time.
#ifndef MESHCA_CLI_PROCESS_PERIODIC_THREAD_H_
#define MESHCA_CLI_PROCESS_PERIODIC_THREAD_H_

#include <algorithm>
#include <functional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "ca/base/judged_clock.h"
#include "ca/base/mutex.h"

namespace meshca::cli {

// Runs `work` at once and then whenever the time it asked for has passed, by the boot clock: a wall clock that was
// wrong for eight seconds delays nothing. It also runs `work` when the wall clock was set, which it notices within
// `look_max`. Ends with its life, after the run under way.
class PeriodicThread {
 public:
  // Returns how long to wait before it runs again; called on the thread, one at a time.
  using Work = std::function<absl::Duration()>;

  // `clock` outlives the thread.
  PeriodicThread(const Clock& clock, absl::Duration look_max, Work work)
      : clock_(clock), look_max_(look_max), work_(std::move(work)), setting_(clock), thread_([this] { Run(); }) {}
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
    absl::Duration due = -absl::InfiniteDuration();
    for (;;) {
      {
        MutexLock lock(mutex_);
        while (!stop_ && !now_ && clock_.SinceBoot() < due && !setting_.Changed()) {
          wake_.WaitFor(mutex_, std::clamp(due - clock_.SinceBoot(), absl::Milliseconds(1), look_max_));
        }
        if (stop_) return;
        now_ = false;
      }
      const absl::Duration began = clock_.SinceBoot();
      const absl::Duration wait = work_();
      due = began + wait;
    }
  }

  const Clock& clock_;
  const absl::Duration look_max_;
  const Work work_;
  ClockSetting setting_;  // Run's
  Mutex mutex_;
  CondVar wake_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  bool now_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: Run uses all of the above
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_PROCESS_PERIODIC_THREAD_H_
