#include "ca/base/serial_executor.h"

#include <algorithm>
#include <utility>

namespace meshca {

void SerialExecutor::Start() {
  thread_ = std::thread([this] { RunRounds(); });
}

void SerialExecutor::Run(Work work) {
  {
    MutexLock lock(mutex_);
    if (!stopped_) {
      queue_.push_back(std::move(work));
      changed_.NotifyOne();
      return;
    }
  }
  std::move(work)();
}

void SerialExecutor::Nudge() {
  MutexLock lock(mutex_);
  nudged_ = true;
  changed_.NotifyOne();
}

void SerialExecutor::Wake() {
  MutexLock lock(mutex_);
  woken_ = true;
  changed_.NotifyOne();
}

absl::Duration SerialExecutor::RunDuties() {
  absl::Duration wait = kLook;
  for (const auto& duty : duties_) wait = std::min(wait, duty());
  return wait;
}

void SerialExecutor::RunRounds() {
  absl::Duration ticked = clock_.SinceBoot();
  while (true) {
    std::vector<Work> work;
    bool tick;
    {
      MutexLock lock(mutex_);
      if (queue_.empty() && stopping_) {
        stopped_ = true;
        return;
      }
      work = std::exchange(queue_, {});
      tick = std::exchange(woken_, false) || clock_.SinceBoot() - ticked >= kTick;
      nudged_ = false;
    }
    absl::Duration wait = RunDuties();
    for (Work& piece : work) std::move(piece)();
    if (tick) {
      ticked = clock_.SinceBoot();
      for (const auto& run : ticks_) run();
    }
    // Work may have changed what a duty sees: another round, which finds that out.
    if (tick || !work.empty()) continue;
    wait = std::min(wait, kTick - (clock_.SinceBoot() - ticked));
    MutexLock lock(mutex_);
    if (!queue_.empty() || nudged_ || woken_ || stopping_) continue;
    changed_.WaitFor(mutex_, std::max(wait, absl::Milliseconds(1)));
  }
}

void SerialExecutor::Shutdown() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyOne();
  }
  if (thread_.joinable()) return thread_.join();
  // It was never started, or has ended.
  std::vector<Work> left;
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    left = std::exchange(queue_, {});
  }
  for (Work& piece : left) std::move(piece)();
}

}  // namespace meshca
