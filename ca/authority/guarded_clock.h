// The thread-safe clock for all code that declares something ended: it says whether the wall clock can be believed.
#ifndef MESHCA_CA_AUTHORITY_GUARDED_CLOCK_H_
#define MESHCA_CA_AUTHORITY_GUARDED_CLOCK_H_

#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "ca/authority/clock_guard.h"
#include "ca/base/clock.h"
#include "ca/base/judged_clock.h"
#include "ca/base/mutex.h"

namespace meshca {

// Reads the machine's clocks and lets a ClockGuard judge them at each call. Thread-safe; never blocks.
class GuardedClock final : public JudgedClock {
 public:
  // `clock` outlives this object. `reboot_slack`: see ClockGuard.
  GuardedClock(const Clock& clock, absl::Duration reboot_slack);

  absl::Time Now() const override { return clock_.Now(); }
  absl::Duration SinceBoot() const override { return clock_.SinceBoot(); }
  std::string BootId() const override { return clock_.BootId(); }
  std::optional<absl::Time> BelievedNow() const override;
  absl::Time LikelyNow() const override;
  bool MayMake() const override;

  // Gives the mark that an earlier process stored. Called before any other method.
  void Remember(ClockMark mark);
  // Looks at the clocks, and moves the mark on if the clock is steady. To be called at least every minute.
  ClockLook Observe();
  // Looks at the clocks and leaves the mark as it is.
  ClockLook Judge() const;
  // The operator says that the clock is right as it is now.
  void Accept();
  ClockMark mark() const;

 private:
  const Clock& clock_;
  const absl::Duration reboot_slack_;
  mutable Mutex mutex_;
  mutable ClockGuard guard_ ABSL_GUARDED_BY(mutex_);  // mutable: it remembers when it first saw a jump
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_GUARDED_CLOCK_H_
