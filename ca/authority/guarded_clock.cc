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
  const ClockReading reading = ReadTogether(clock_);
  return guard_.Observe(reading.now, reading.since_boot);
}

ClockLook GuardedClock::Judge() const {
  MutexLock lock(mutex_);
  const ClockReading reading = ReadTogether(clock_);
  return guard_.Judge(reading.now, reading.since_boot);
}

void GuardedClock::Accept() {
  MutexLock lock(mutex_);
  const ClockReading reading = ReadTogether(clock_);
  guard_.Accept(reading.now, reading.since_boot);
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
