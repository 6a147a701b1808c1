// A clock that knows whether its wall clock can be believed.
#ifndef MESHCA_CA_BASE_JUDGED_CLOCK_H_
#define MESHCA_CA_BASE_JUDGED_CLOCK_H_

#include <optional>

#include "absl/time/time.h"
#include "ca/base/clock.h"

namespace meshca {

// Looks at both clocks at the moment of asking: what was found a second ago says nothing of a jump since. Thread-safe.
class JudgedClock : public Clock {
 public:
  // The wall clock's time; nothing while it cannot be believed. Whatever forgets, deletes or moves on because something
  // has ended goes by this and nothing else: an hour that never passed must not end anything. What only refuses (an
  // expired certificate that is shown) may go by Now().
  virtual std::optional<absl::Time> BelievedNow() const = 0;

  // The best guess at the true time: the wall clock's, or while that is behind or has just jumped, the last time that
  // was believed and what has passed since boot. For what is remembered as seen, and for what is handed out.
  virtual absl::Time LikelyNow() const = 0;

  // Whether something may be made that the wall clock dates, or renewed because it says so. Not while it is behind, and
  // not in the first minute of a jump ahead: most are mended by then, and nothing made meanwhile would be of use.
  // Afterwards the clock may well be right, and what the CA's clients hold has ended.
  virtual bool MayMake() const = 0;
};

// Notices that the wall clock was set: that it moved otherwise than the boot clock. Any one thread at a time.
class ClockSetting {
 public:
  explicit ClockSetting(const Clock& clock) : clock_(clock), apart_(Apart()) {}

  // Whether it was set since the last call that said so, or the beginning. NTP that only makes it run faster or slower
  // moves it by less at a time.
  bool Changed() {
    const absl::Duration apart = Apart();
    if (absl::AbsDuration(apart - apart_) < absl::Seconds(1)) return false;
    apart_ = apart;
    return true;
  }

 private:
  absl::Duration Apart() const {
    const ClockReading reading = ReadTogether(clock_);
    return (reading.now - absl::UnixEpoch()) - reading.since_boot;
  }

  const Clock& clock_;
  absl::Duration apart_;
};

}  // namespace meshca

#endif  // MESHCA_CA_BASE_JUDGED_CLOCK_H_
