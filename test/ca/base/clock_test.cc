// Two clocks read as one, and a wall clock that was set.
#include "ca/base/clock.h"

#include "ca/base/judged_clock.h"
#include "gtest/gtest.h"
#include "test/fakes/fake_clock.h"

namespace meshca {
namespace {

// Holds the thread up between the two readings, as a busy machine does, a number of times.
class HaltingClock final : public Clock {
 public:
  absl::Time Now() const override {
    const absl::Time now = clock.Now();
    if (halts > 0) {
      --halts;
      clock.Advance(absl::Minutes(2));
    }
    return now;
  }
  absl::Duration SinceBoot() const override { return clock.SinceBoot(); }
  std::string BootId() const override { return clock.BootId(); }

  mutable FakeClock clock;
  mutable int halts = 0;
};

TEST(ClockReading, AHaltBetweenTheTwoClocksIsNoJump) {
  HaltingClock halting;
  ClockSetting setting(halting);
  halting.halts = 3;
  EXPECT_FALSE(setting.Changed());
  EXPECT_EQ(halting.halts, 0);
  const ClockReading reading = ReadTogether(halting);
  EXPECT_EQ(reading.now, halting.clock.Now());
  EXPECT_EQ(reading.since_boot, halting.clock.SinceBoot());
}

TEST(ClockReading, AMachineThatHaltsAtEveryTurnIsAnsweredAllTheSame) {
  HaltingClock halting;
  halting.halts = 1000;
  ReadTogether(halting);
  EXPECT_GT(halting.halts, 900);
}

TEST(ClockSetting, IsNoticedOnceInEitherDirection) {
  FakeClock clock;
  ClockSetting setting(clock);
  clock.Advance(absl::Hours(1));
  EXPECT_FALSE(setting.Changed()) << "time passed";
  for (const absl::Duration jump : {absl::Hours(2), -absl::Hours(3)}) {
    clock.JumpTo(clock.Now() + jump);
    EXPECT_TRUE(setting.Changed());
    EXPECT_FALSE(setting.Changed());
  }
}

}  // namespace
}  // namespace meshca
