// One thread of its own for work that must not run where it arises: in order, with duties that come with time.
#ifndef MESHCA_CA_BASE_SERIAL_EXECUTOR_H_
#define MESHCA_CA_BASE_SERIAL_EXECUTOR_H_

#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "ca/base/clock.h"
#include "ca/base/mutex.h"

namespace meshca {

// Runs work in the order in which it was given, one piece at a time. Time goes by the boot clock, which a wall clock
// that is set does not move. Thread-safe; Start and what comes before it are one thread's.
class SerialExecutor {
 public:
  using Work = absl::AnyInvocable<void() &&>;

  // A duty is looked after at least this often: a clock that jumps goes unseen no longer.
  static constexpr absl::Duration kLook = absl::Seconds(1);
  // Time between two ticks, where nothing else is said.
  static constexpr absl::Duration kTick = absl::Seconds(5);

  // `clock` outlives the executor.
  explicit SerialExecutor(const Clock& clock) : clock_(clock) {}
  ~SerialExecutor() { Shutdown(); }

  // Before Start. `duty` runs on the thread in every round: before the work that had been given when the round began,
  // so that whoever gives work knows that the duty has seen everything before it. Returns after how long it wants to
  // run again at the latest; any time up to kLook is kept.
  void AddDuty(std::function<absl::Duration()> duty) { duties_.push_back(std::move(duty)); }
  // Before Start. `tick` runs on the thread each time that `every` has passed, however many rounds there were
  // meanwhile, and whenever Wake was called. It is for what costs too much to be done in every round.
  void OnTick(std::function<void()> tick, absl::Duration every = kTick) {
    ticks_.push_back({std::move(tick), every, {}});
  }

  void Start();

  // Runs `work` on the thread, where it may block; after Shutdown at once, on the caller's.
  void Run(Work work);
  // Something has changed for a duty: it runs now and not only when its time has come. It may be called by a duty, and
  // with locks held that a duty takes.
  void Nudge();
  // Duties and ticks run now: after a jump of the clock, in tests.
  void Wake();

  // Runs what was given so far, and what that gives, then ends the thread. Without Start it runs it here. Idempotent.
  void Shutdown();

 private:
  struct Tick {
    std::function<void()> run;
    absl::Duration every;
    absl::Duration ran_at;  // since boot
  };

  void RunRounds();
  absl::Duration RunDuties();
  // Those that are due, or all. Whether there were any; if not, `wait` is until the next one at the most.
  bool RunTicks(bool all, absl::Duration& wait);

  const Clock& clock_;
  std::vector<std::function<absl::Duration()>> duties_;
  std::vector<Tick> ticks_;
  std::thread thread_;

  Mutex mutex_;
  CondVar changed_;
  std::vector<Work> queue_ ABSL_GUARDED_BY(mutex_);
  bool nudged_ ABSL_GUARDED_BY(mutex_) = false;
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace meshca

#endif  // MESHCA_CA_BASE_SERIAL_EXECUTOR_H_
