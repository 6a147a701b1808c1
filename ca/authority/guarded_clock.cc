#include "ca/authority/guarded_clock.h"

namespace meshca {

GuardedClock::GuardedClock(const Clock& clock, absl::Duration reboot_slack)
    : clock_(clock), reboot_slack_(reboot_slack), guard_(ClockMark(), clock.BootId(), reboot_slack) {}

void GuardedClock::Remember(ClockMark mark) {
  MutexLock lock(mutex_);
  guard_ = ClockGuard(std::move(mark), clock_.BootId(), reboot_slack_);
}

// Both clocks are read under the lock: a thread that was held up in between must not judge an old time.
GuardedClock::Look GuardedClock::Judged(ClockVerdict verdict, absl::Time now, absl::Duration since_boot) const {
  return {now, verdict, guard_.MayMake(since_boot), guard_.finding()};
}

GuardedClock::Look GuardedClock::Observe() {
  MutexLock lock(mutex_);
  const absl::Time now = clock_.Now();
  const absl::Duration since_boot = clock_.SinceBoot();
  return Judged(guard_.Observe(now, since_boot), now, since_boot);
}

GuardedClock::Look GuardedClock::Judge() const {
  MutexLock lock(mutex_);
  const absl::Time now = clock_.Now();
  const absl::Duration since_boot = clock_.SinceBoot();
  return Judged(guard_.Judge(now, since_boot), now, since_boot);
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
  const Look look = Judge();
  return look.verdict == ClockVerdict::kSteady ? std::optional<absl::Time>(look.now) : std::nullopt;
}

absl::Time GuardedClock::LikelyNow() const {
  MutexLock lock(mutex_);
  const absl::Time now = clock_.Now();
  const absl::Duration since_boot = clock_.SinceBoot();
  guard_.Judge(now, since_boot);
  return guard_.Likely(now, since_boot);
}

bool GuardedClock::MayMake() const { return Judge().may_make; }

}  // namespace meshca
