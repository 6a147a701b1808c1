#include "ca/kubernetes/outage.h"

#include "gtest/gtest.h"

namespace meshca::kubernetes {
namespace {

constexpr absl::Duration kStart = absl::Hours(7);

absl::Duration At(double seconds) { return kStart + absl::Seconds(seconds); }

class OutageTest : public testing::Test {
 protected:
  void GoAway(absl::Duration now) {
    outage.Unanswered(now, now);
    outage.ProbeFailed(now);
    ASSERT_TRUE(outage.away());
  }

  Outage outage{OutageTerms()};
};

TEST_F(OutageTest, NothingIsProbedWhileAllIsWell) {
  EXPECT_EQ(outage.NextProbe(), absl::InfiniteDuration());
  EXPECT_FALSE(outage.Answered(At(0)));
  outage.ProbeFailed(At(0));
  EXPECT_FALSE(outage.away()) << "somebody was answered while that probe was under way";
}

TEST_F(OutageTest, OneCallThatBreaksOffIsNoOutage) {
  outage.Unanswered(At(0), At(0));
  EXPECT_FALSE(outage.away());
  EXPECT_EQ(outage.NextProbe(), At(1));
  outage.Unanswered(At(0.9), At(0.9));
  EXPECT_EQ(outage.NextProbe(), At(1)) << "more of them put no probe off, for it alone decides";
  EXPECT_FALSE(outage.Answered(At(1))) << "it was not away, so nobody is told that it is back";
  EXPECT_EQ(outage.NextProbe(), absl::InfiniteDuration());
}

TEST_F(OutageTest, ItIsBackWithTheFirstAnswerToAnybody) {
  GoAway(At(0));
  for (int second = 1; second < 600; ++second) {
    ASSERT_EQ(outage.NextProbe(), At(second));
    outage.ProbeFailed(At(second));
  }
  EXPECT_TRUE(outage.Answered(At(599.5)));
  EXPECT_FALSE(outage.away());
  EXPECT_FALSE(outage.Answered(At(600))) << "once";
  EXPECT_EQ(outage.NextProbe(), absl::InfiniteDuration());
}

TEST_F(OutageTest, OthersAttemptsCountAsProbesOnceItIsAway) {
  GoAway(At(0));
  outage.Unanswered(At(0.8), At(0.8));
  EXPECT_EQ(outage.NextProbe(), At(1.8));
  outage.Unanswered(At(0.1), At(1.7));
  EXPECT_EQ(outage.NextProbe(), At(1.8)) << "that one hung, and tells of a time that is past";
}

// It goes away at `now`, and answers after `away` seconds, again and again. How long it takes from then until it counts
// as back.
double DelayOfReturn(Outage& outage, double now, double away) {
  outage.Unanswered(At(now), At(now));
  outage.ProbeFailed(At(now));
  for (double delay = 0; delay < 100; ++delay) {
    if (outage.Answered(At(now + away + delay))) return delay;
    EXPECT_EQ(outage.NextProbe(), At(now + away + delay + 1)) << "it is looked after meanwhile";
  }
  return -1;
}

TEST_F(OutageTest, OneThatFlapsIsBackMoreAndMoreSeldom) {
  double now = 0;
  for (const double delay : {0, 8, 18, 28, 28}) {
    EXPECT_EQ(DelayOfReturn(outage, now, 1), delay);
    now += 1 + delay + 1;
  }
  EXPECT_EQ(DelayOfReturn(outage, now + 29, 1), 0) << "in its own time, and forgiven";
  EXPECT_EQ(DelayOfReturn(outage, now + 31, 1), 8);
}

TEST_F(OutageTest, OneThatWasAwayForAWhileIsBackAtOnceHoweverShortItWasThere) {
  for (double now = 0; now < 200; now += 21) EXPECT_EQ(DelayOfReturn(outage, now, 20), 0);
}

TEST_F(OutageTest, OneThatAnswersTooSoonAndNotAnyMoreIsNotBackByTimeAlone) {
  EXPECT_EQ(DelayOfReturn(outage, 0, 1), 0);
  GoAway(At(2));
  EXPECT_FALSE(outage.Answered(At(3)));
  outage.ProbeFailed(At(20));
  EXPECT_TRUE(outage.away());
  EXPECT_TRUE(outage.Answered(At(21)));
}

}  // namespace
}  // namespace meshca::kubernetes
