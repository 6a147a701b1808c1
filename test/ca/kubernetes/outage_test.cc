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
    outage.ProbeFailed(now, now);
    ASSERT_TRUE(outage.away());
  }

  Outage outage{OutageTerms()};
};

TEST_F(OutageTest, NothingIsProbedWhileAllIsWell) {
  EXPECT_EQ(outage.NextProbe(), absl::InfiniteDuration());
  EXPECT_FALSE(outage.Answered(At(0)));
  outage.ProbeFailed(At(0), At(0));
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
    outage.ProbeFailed(At(second), At(second));
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

TEST_F(OutageTest, AProbeFromBeforeAnAnswerSaysNothing) {
  GoAway(At(0));
  EXPECT_TRUE(outage.Answered(At(2)));
  outage.Unanswered(At(2.5), At(2.5));
  EXPECT_FALSE(outage.ProbeFailed(At(1), At(4)));
  EXPECT_FALSE(outage.away());
  EXPECT_EQ(outage.NextProbe(), At(3.5)) << "another one decides";
  EXPECT_TRUE(outage.ProbeFailed(At(4), At(4.1)));
  EXPECT_TRUE(outage.away());
}

TEST_F(OutageTest, AProbeThatCouldNotBeMadeIsMadeAgainAndChangesNothing) {
  outage.Unanswered(At(0), At(0));
  outage.ProbeUnknown(At(1));
  EXPECT_FALSE(outage.away());
  EXPECT_EQ(outage.NextProbe(), At(2));
  outage.ProbeFailed(At(2), At(2));
  outage.ProbeUnknown(At(3));
  EXPECT_TRUE(outage.away());
  EXPECT_EQ(outage.NextProbe(), At(4));
}

// It goes away at `now`, and answers after `away` seconds, again and again. How long it takes from then until the
// outage is over.
double DelayOfReturn(Outage& outage, double now, double away) {
  outage.Unanswered(At(now), At(now));
  EXPECT_TRUE(outage.ProbeFailed(At(now), At(now))) << "one begins";
  for (double delay = 0; delay < 100; ++delay) {
    if (outage.Answered(At(now + away + delay))) return delay;
    EXPECT_FALSE(outage.away()) << "whoever has something to send may send it";
    EXPECT_GT(outage.NextProbe(), At(now + away + delay));
    EXPECT_LE(outage.NextProbe(), At(now + away + delay + 30)) << "it is looked after";
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
  EXPECT_EQ(outage.NextProbe(), At(11)) << "ten seconds after the one before";
  outage.ProbeFailed(At(20), At(20));
  EXPECT_TRUE(outage.away());
  EXPECT_TRUE(outage.Answered(At(21)));
}

// As where one of three members behind a load balancer is dead: nearly every call is answered.
TEST_F(OutageTest, OneThatFlapsIsNotAwayWhileItAnswersAndIsOneOutage) {
  EXPECT_EQ(DelayOfReturn(outage, 0, 1), 0);
  int begun = 0;
  int over = 0;
  for (double now = 2; now < 11; ++now) {
    outage.Unanswered(At(now), At(now));
    begun += outage.ProbeFailed(At(now + 0.1), At(now + 0.1)) ? 1 : 0;
    ASSERT_TRUE(outage.away());
    over += outage.Answered(At(now + 0.2)) ? 1 : 0;
    ASSERT_FALSE(outage.away());
  }
  EXPECT_EQ(begun, 1) << "it is said once";
  EXPECT_EQ(over, 0);
  EXPECT_TRUE(outage.Answered(At(11)));
}

}  // namespace
}  // namespace meshca::kubernetes
