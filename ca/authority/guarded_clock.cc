#include "ca/authority/guarded_clock.h"

namespace meshca {

GuardedClock::GuardedClock(const Clock& clock, absl::Duration reboot_slack)
    : clock_(clock), reboot_slack_(reboot_slack), guard_(ClockMark(), clock.BootId(), reboot_slack) {}

void GuardedClock::Remember(ClockMark mark) {
  MutexLock lock(mutex_);
  guard_ = ClockGuard(std::move(mark), clock_.BootId(), reboot_slack_);
}

// Both clocks are read under the lock: a thread that was held up in between must not judge an old time.
ClockLook GuardedClock::Observe() {
  MutexLock lock(mutex_);
  return guard_.Observe(clock_.Now(), clock_.SinceBoot());
}

ClockLook GuardedClock::Judge() const {
  MutexLock lock(mutex_);
  return guard_.Judge(clock_.Now(), clock_.SinceBoot());
}

void GuardedClock::Accept() {
  MutexLock lock(mutex_);
  guard_.Accept(clock_.Now(), clock_.SinceBoot());
}

ClockMark GuardedClock::mark() const {
  MutexLock lock(mutex_);
  return guard_.mark();
}

std::optional<absl::Time> GuardedClock::BelievedNow() const {
  const ClockLook look = Judge();
  return look.verdict == ClockVerdict::kSteady ? std::optional<absl::Time>(look.now) : std::nullopt;
}

absl::Time GuardedClock::LikelyNow() const { return Judge().likely; }

bool GuardedClock::MayMake() const { return Judge().may_make; }

}  // namespace meshca
