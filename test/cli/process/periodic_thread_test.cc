// A thread whose waiting no wall clock lengthens.
#include "cli/process/periodic_thread.h"

#include "gtest/gtest.h"
#include "test/fakes/awaited_counter.h"
#include "test/fakes/fake_clock.h"

namespace meshca::cli {
namespace {

// Counts a run, and asks for the next in an hour.
PeriodicThread::Work Counting(AwaitedCounter& runs) {
  return [&runs] {
    runs.Add();
    return absl::Hours(1);
  };
}

TEST(PeriodicThread, RunsAtOnceAndAgainWhenItsTimeHasPassedSinceBoot) {
  FakeClock clock;
  AwaitedCounter runs;
  PeriodicThread thread(clock, absl::Milliseconds(1), Counting(runs));
  ASSERT_TRUE(runs.Await(1));
  clock.Advance(absl::Minutes(59));
  EXPECT_EQ(runs.count(), 1);
  clock.Advance(absl::Minutes(1));
  EXPECT_TRUE(runs.Await(2));
}

TEST(PeriodicThread, RunsWhenTheWallClockWasSetAndWaitsNoLongerBecauseOfIt) {
  FakeClock clock;
  AwaitedCounter runs;
  PeriodicThread thread(clock, absl::Milliseconds(1), Counting(runs));
  ASSERT_TRUE(runs.Await(1));
  const absl::Time then = clock.Now();
  clock.JumpTo(then + absl::Hours(24 * 29));
  ASSERT_TRUE(runs.Await(2));
  clock.JumpTo(then);
  ASSERT_TRUE(runs.Await(3));
  // What it asked for while the clock was ahead is an hour, and not 29 days and an hour.
  clock.Advance(absl::Hours(1));
  EXPECT_TRUE(runs.Await(4));
}

TEST(PeriodicThread, RunsWhenWokenAndEndsInTheMiddleOfAWait) {
  FakeClock clock;
  AwaitedCounter runs;
  PeriodicThread thread(clock, absl::Hours(1), Counting(runs));
  ASSERT_TRUE(runs.Await(1));
  thread.Wake();
  ASSERT_TRUE(runs.Await(2));
  thread.Stop();
  thread.Wake();
  EXPECT_EQ(runs.count(), 2);
}

}  // namespace
}  // namespace meshca::cli
