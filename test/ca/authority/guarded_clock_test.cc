// The clock that everybody asks who ends something by it.
#include "ca/authority/guarded_clock.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/fakes/fake_clock.h"

namespace meshca {
namespace {

using testing::HasSubstr;

class GuardedClockTest : public testing::Test {
 protected:
  GuardedClockTest() { guarded_.Observe(); }

  FakeClock clock_;
  GuardedClock guarded_{clock_, absl::Hours(24)};
  const absl::Time then_ = clock_.Now();
};

TEST_F(GuardedClockTest, AJumpIsSeenAtTheMomentOfAskingAndNotWhenItWasLastLookedAt) {
  EXPECT_EQ(guarded_.BelievedNow(), then_);
  for (const absl::Duration jump : {absl::Minutes(2), absl::Hours(1), absl::Hours(24 * 29), -absl::Hours(1)}) {
    clock_.JumpTo(then_ + jump);
    EXPECT_EQ(guarded_.BelievedNow(), std::nullopt) << jump;
    EXPECT_EQ(guarded_.LikelyNow(), then_) << jump;
    clock_.JumpTo(then_);
    EXPECT_EQ(guarded_.BelievedNow(), then_) << jump;
  }
}

TEST_F(GuardedClockTest, AskingMovesNoMarkAndAJumpPoisonsNone) {
  clock_.Advance(absl::Seconds(30));
  EXPECT_TRUE(guarded_.BelievedNow().has_value());
  EXPECT_EQ(guarded_.mark().newest, then_);
  for (const absl::Duration jump : {absl::Hours(24 * 29), -absl::Hours(1)}) {
    clock_.JumpTo(then_ + jump);
    guarded_.Observe();
    clock_.JumpTo(then_ + absl::Seconds(30));
    EXPECT_EQ(guarded_.Observe().verdict, ClockVerdict::kSteady);
    EXPECT_EQ(guarded_.mark().newest, then_ + absl::Seconds(30));
  }
}

TEST_F(GuardedClockTest, NothingIsMadeInTheFirstMinuteOfAJumpAheadNorBehind) {
  clock_.JumpTo(then_ + absl::Hours(13));
  EXPECT_FALSE(guarded_.MayMake());
  clock_.Advance(absl::Seconds(59));
  EXPECT_FALSE(guarded_.MayMake());
  EXPECT_EQ(guarded_.LikelyNow(), then_ + absl::Seconds(59));
  // It stays: it may be right, and what others hold has ended.
  clock_.Advance(absl::Seconds(1));
  EXPECT_TRUE(guarded_.MayMake());
  EXPECT_EQ(guarded_.LikelyNow(), clock_.Now());
  EXPECT_EQ(guarded_.BelievedNow(), std::nullopt) << "but it ends nothing";
  clock_.JumpTo(then_ - absl::Hours(1));
  clock_.Advance(absl::Minutes(5));
  EXPECT_FALSE(guarded_.MayMake());
  EXPECT_EQ(guarded_.LikelyNow(), then_ + absl::Minutes(6));
}

TEST_F(GuardedClockTest, AfterARebootItSignsAtOnceAndEndsNothingByALongTime) {
  clock_.Reboot(then_ + absl::Hours(24 * 40));
  GuardedClock second(clock_, absl::Hours(24));
  second.Remember(guarded_.mark());
  const ClockLook look = second.Observe();
  EXPECT_EQ(look.verdict, ClockVerdict::kJumped);
  EXPECT_TRUE(look.may_make) << "the machine was off, most likely";
  EXPECT_THAT(look.finding, HasSubstr("meshca check --accept-clock"));
}

TEST_F(GuardedClockTest, TheOperatorsWordEndsAllDoubt) {
  for (const absl::Duration jump : {absl::Hours(13), -absl::Hours(13)}) {
    clock_.JumpTo(clock_.Now() + jump);
    EXPECT_FALSE(guarded_.MayMake());
    guarded_.Accept();
    EXPECT_TRUE(guarded_.MayMake());
    EXPECT_EQ(guarded_.BelievedNow(), clock_.Now());
  }
}

}  // namespace
}  // namespace meshca
