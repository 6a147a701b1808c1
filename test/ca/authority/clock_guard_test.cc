#include "ca/authority/clock_guard.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meshca {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1767323045);

// One look: how far wall clock and time since boot have come since kStart, and what must be found.
struct Look {
  absl::Duration wall;
  absl::Duration boot;
  ClockVerdict verdict;
  absl::Duration mark;  // the mark afterwards, since kStart
};

struct GuardCase {
  const char* name;
  absl::Duration mark;  // of an earlier life, since kStart
  std::vector<Look> looks;
};

class ClockGuardTest : public testing::TestWithParam<GuardCase> {};

TEST_P(ClockGuardTest, Finds) {
  ClockGuard guard(kStart + GetParam().mark);
  int number = 0;
  for (const Look& look : GetParam().looks) {
    SCOPED_TRACE(++number);
    EXPECT_EQ(guard.Observe(kStart + look.wall, absl::Hours(5) + look.boot), look.verdict);
    EXPECT_EQ(guard.mark(), kStart + look.mark);
    EXPECT_EQ(guard.finding().empty(), look.verdict == ClockVerdict::kSteady);
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
  ClockGuard guard(kStart);
  guard.Observe(kStart - absl::Hours(3), absl::Hours(1));
  EXPECT_THAT(guard.finding(), testing::HasSubstr("3h behind"));
}

}  // namespace
}  // namespace meshca
