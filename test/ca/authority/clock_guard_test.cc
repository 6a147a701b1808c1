#include "ca/authority/clock_guard.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meshca {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1767323045);

// One look: how far wall clock and time since boot have come since kStart, and what must be found.
struct ExpectedLook {
  absl::Duration wall;
  absl::Duration boot;
  ClockVerdict verdict;
  absl::Duration mark;  // the mark afterwards, since kStart
};

struct GuardCase {
  const char* name;
  absl::Duration mark;  // of an earlier life, since kStart
  std::vector<ExpectedLook> looks;
};

class ClockGuardTest : public testing::TestWithParam<GuardCase> {};

TEST_P(ClockGuardTest, Finds) {
  ClockMark mark;
  mark.newest = kStart + GetParam().mark;
  ClockGuard guard(mark, "boot", absl::Hours(1));
  int number = 0;
  for (const ExpectedLook& look : GetParam().looks) {
    SCOPED_TRACE(++number);
    const ClockLook found = guard.Observe(kStart + look.wall, absl::Hours(5) + look.boot);
    EXPECT_EQ(found.verdict, look.verdict);
    EXPECT_EQ(guard.mark().newest, kStart + look.mark);
    EXPECT_EQ(found.finding.empty(), look.verdict == ClockVerdict::kSteady);
  }
}

constexpr ClockVerdict kSteady = ClockVerdict::kSteady;
constexpr ClockVerdict kBehind = ClockVerdict::kBehind;
constexpr ClockVerdict kJumped = ClockVerdict::kJumped;

absl::Duration S(int seconds) { return absl::Seconds(seconds); }

INSTANTIATE_TEST_SUITE_P(
    Clocks, ClockGuardTest,
    testing::Values(
        GuardCase{"FirstLifeTakesAnyTime", -absl::InfiniteDuration(), {{S(0), S(0), kSteady, S(0)}}},
        GuardCase{"TimePasses", S(0), {{S(10), S(0), kSteady, S(10)}, {S(70), S(60), kSteady, S(70)}}},
        GuardCase{"SmallStepBackIsNtp", S(100), {{S(0), S(0), kSteady, S(100)}, {S(60), S(60), kSteady, S(100)}}},
        GuardCase{"BehindAnEarlierLife", S(1000), {{S(0), S(0), kBehind, S(1000)}}},
        GuardCase{"BehindAndRightAgain",
                  S(0),
                  {{S(0), S(0), kSteady, S(0)}, {S(-3600), S(10), kBehind, S(0)}, {S(20), S(20), kSteady, S(20)}}},
        GuardCase{
            "BehindUntilTheMarkIsReached", S(500), {{S(0), S(0), kBehind, S(500)}, {S(380), S(380), kSteady, S(500)}}},
        GuardCase{"AheadWithinSlack", S(0), {{S(0), S(0), kSteady, S(0)}, {S(69), S(10), kSteady, S(69)}}},
        GuardCase{"JumpDoesNotMoveTheMarkWithIt",
                  S(0),
                  {{S(0), S(0), kSteady, S(0)}, {S(90000), S(10), kJumped, S(10)}, {S(90060), S(70), kJumped, S(70)}}},
        GuardCase{"JumpTakenBack",
                  S(0),
                  {{S(0), S(0), kSteady, S(0)}, {S(90000), S(10), kJumped, S(10)}, {S(20), S(20), kSteady, S(20)}}},
        GuardCase{"SuspendMovesBoth", S(0), {{S(0), S(0), kSteady, S(0)}, {S(90000), S(90000), kSteady, S(90000)}}}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(ClockGuard, SaysHowFar) {
  ClockMark mark;
  mark.newest = kStart;
  ClockGuard guard(mark, "boot", absl::Hours(1));
  EXPECT_THAT(guard.Observe(kStart - absl::Hours(3), absl::Hours(1)).finding, testing::HasSubstr("3h behind"));
}

TEST(ClockGuard, WithinOneBootARestartForgetsNothing) {
  ClockGuard first(ClockMark(), "boot", absl::Hours(24));
  first.Observe(kStart, absl::Hours(5));
  const auto kept = ClockMark::FromText(first.mark().ToText());
  ASSERT_TRUE(kept.has_value());
  ClockGuard second(*kept, "boot", absl::Hours(24));
  const ClockLook jump = second.Observe(kStart + absl::Hours(2), absl::Hours(5) + S(10));
  EXPECT_EQ(jump.verdict, kJumped);
  EXPECT_THAT(jump.finding, testing::HasSubstr("jumped forward by 1h59m50s"));
  EXPECT_EQ(second.Observe(kStart + absl::Hours(2), absl::Hours(7)).verdict, kSteady);
}

TEST(ClockGuard, AfterARebootALongTimeTakesTheOperatorsWord) {
  ClockMark mark;
  mark.newest = mark.wall = kStart;
  mark.boot_id = "before";
  ClockGuard guard(mark, "boot", absl::Hours(24));
  EXPECT_EQ(guard.Observe(kStart + absl::Hours(24), S(10)).verdict, kSteady);
  guard = ClockGuard(mark, "boot", absl::Hours(24));
  EXPECT_EQ(guard.Observe(kStart + absl::Hours(25), S(10)).verdict, kJumped);
  const ClockLook later = guard.Observe(kStart + absl::Hours(25), S(20));
  EXPECT_EQ(later.verdict, kJumped);
  EXPECT_THAT(later.finding, testing::HasSubstr("meshca check --accept-clock"));
  EXPECT_EQ(guard.mark().newest, kStart);
  guard.Accept(kStart + absl::Hours(25), S(30));
  EXPECT_EQ(guard.Observe(kStart + absl::Hours(25) + S(5), S(35)).verdict, kSteady);
}

TEST(ClockGuard, TheOperatorMayTakeTheMarkBack) {
  ClockMark mark;
  mark.newest = kStart + absl::Hours(9000);
  ClockGuard guard(mark, "boot", absl::Hours(1));
  EXPECT_EQ(guard.Observe(kStart, S(10)).verdict, kBehind);
  guard.Accept(kStart, S(20));
  EXPECT_EQ(guard.Observe(kStart + S(1), S(21)).verdict, kSteady);
}

TEST(ClockMark, ReadsWhatEarlierVersionsWroteAndNothingElse) {
  EXPECT_EQ(ClockMark::FromText("1767323045")->newest, kStart);
  for (const char* wrong : {"", "x", "1 2", "1 2 x boot", "1 2 3 boot more"}) {
    EXPECT_FALSE(ClockMark::FromText(wrong).has_value()) << wrong;
  }
}

}  // namespace
}  // namespace meshca
