// The time, as the loops see it. Rules take an absl::Time and never hold a Clock.
#ifndef MESHCA_CA_BASE_CLOCK_H_
#define MESHCA_CA_BASE_CLOCK_H_

#include <string>

#include "absl/time/time.h"

namespace meshca {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;

  // Wall clock (CLOCK_REALTIME): what certificates are dated by. May jump.
  virtual absl::Time Now() const = 0;

  // Time since boot, suspend included (CLOCK_BOOTTIME): what tells a jump of the wall clock from time that passed.
  virtual absl::Duration SinceBoot() const = 0;

  // Another one after each boot; "" where that cannot be known. No blank in it.
  virtual std::string BootId() const = 0;
};

// What both clocks of a machine say at one moment.
struct ClockReading {
  absl::Time now;
  absl::Duration since_boot;
};

// Reads both within kReadTogether: where the thread was held up in between, which would pass for a wall clock that was
// set, it reads them again.
inline constexpr absl::Duration kReadTogether = absl::Milliseconds(10);
ClockReading ReadTogether(const Clock& clock);

// The machine's clock; lives as long as the process.
Clock& SystemClock();

}  // namespace meshca

#endif  // MESHCA_CA_BASE_CLOCK_H_
