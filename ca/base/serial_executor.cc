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

bool SerialExecutor::RunTicks(bool all, absl::Duration& wait) {
  bool ran = false;
  for (Tick& tick : ticks_) {
    const absl::Duration now = clock_.SinceBoot();
    if (!all && now - tick.ran_at < tick.every) {
      wait = std::min(wait, tick.every - (now - tick.ran_at));
      continue;
    }
    tick.ran_at = now;
    tick.run();
    ran = true;
  }
  return ran;
}

void SerialExecutor::RunRounds() {
  for (Tick& tick : ticks_) tick.ran_at = clock_.SinceBoot();
  while (true) {
    std::vector<Work> work;
    bool woken;
    {
      MutexLock lock(mutex_);
      if (queue_.empty() && stopping_) {
        stopped_ = true;
        return;
      }
      work = std::exchange(queue_, {});
      woken = std::exchange(woken_, false);
      nudged_ = false;
    }
    absl::Duration wait = RunDuties();
    for (Work& piece : work) std::move(piece)();
    // Ticks and work may have changed what a duty sees: another round, which finds that out.
    if (RunTicks(woken, wait) || !work.empty()) continue;
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
