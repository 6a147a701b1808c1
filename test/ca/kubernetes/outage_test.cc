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

// Answers once a second from `from` on; when it counts as back.
double BackAt(Outage& outage, double from) {
  for (double second = from; second < from + 100; ++second) {
    if (outage.Answered(At(second))) return second - from;
  }
  return -1;
}

TEST_F(OutageTest, OneThatFlapsHasToAnswerForLongerAndLonger) {
  double now = 0;
  for (const double held : {0, 5, 10, 20, 30, 30}) {
    GoAway(At(now));
    EXPECT_EQ(BackAt(outage, now + 1), held);
    now += 1 + held + 10;
  }
  now += 60;
  GoAway(At(now));
  EXPECT_EQ(BackAt(outage, now + 1), 0) << "it was steady for a minute";
}

TEST_F(OutageTest, OneThatFlapsIsProbedWhileItHasToAnswer) {
  GoAway(At(0));
  EXPECT_TRUE(outage.Answered(At(1)));
  GoAway(At(2));
  EXPECT_FALSE(outage.Answered(At(3)));
  EXPECT_EQ(outage.NextProbe(), At(4));
  outage.ProbeFailed(At(4));
  EXPECT_EQ(BackAt(outage, 5), 5) << "counted anew";
}

}  // namespace
}  // namespace meshca::kubernetes
