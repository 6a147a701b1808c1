#include "ca/base/clock.h"

#include <ctime>
#include <fstream>

#include "absl/time/clock.h"

namespace meshca {
namespace {

class RealClock final : public Clock {
 public:
  absl::Time Now() const override { return absl::Now(); }
  absl::Duration SinceBoot() const override {
    timespec time{};
    clock_gettime(CLOCK_BOOTTIME, &time);
    return absl::DurationFromTimespec(time);
  }
  std::string BootId() const override {
    std::string id;
    std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
    return id;
  }
};

}  // namespace

ClockReading ReadTogether(const Clock& clock) {
  // On a machine that holds the thread up at every turn the last reading has to do.
  constexpr int kTurns = 10;
  ClockReading reading;
  for (int turn = 0; turn < kTurns; ++turn) {
    const absl::Duration before = clock.SinceBoot();
    reading = {clock.Now(), clock.SinceBoot()};
    if (reading.since_boot - before <= kReadTogether) break;
  }
  return reading;
}

Clock& SystemClock() {
  static RealClock clock;
  return clock;
}

}  // namespace meshca
