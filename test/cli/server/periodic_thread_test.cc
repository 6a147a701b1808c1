// A thread whose waiting no wall clock lengthens.
#include "cli/server/periodic_thread.h"

#include "gtest/gtest.h"
#include "test/fakes/fake_clock.h"

namespace meshca::cli {
namespace {

// Counts runs, and waits for one; each asks for an hour.
class Runs {
 public:
  absl::Duration Run() {
    MutexLock lock(mutex_);
    ++count_;
    ran_.NotifyAll();
    return absl::Hours(1);
  }
  // False: it did not come within twenty seconds.
  bool Await(int count) {
    MutexLock lock(mutex_);
    while (count_ < count) {
      if (!ran_.WaitFor(mutex_, absl::Seconds(20))) return false;
    }
    return true;
  }
  int count() {
    MutexLock lock(mutex_);
    return count_;
  }

 private:
  Mutex mutex_;
  CondVar ran_;
  int count_ ABSL_GUARDED_BY(mutex_) = 0;
};

TEST(PeriodicThread, RunsAtOnceAndAgainWhenItsTimeHasPassedSinceBoot) {
  FakeClock clock;
  Runs runs;
  PeriodicThread thread(clock, absl::Milliseconds(1), [&runs] { return runs.Run(); });
  ASSERT_TRUE(runs.Await(1));
  clock.Advance(absl::Minutes(59));
  EXPECT_EQ(runs.count(), 1);
  clock.Advance(absl::Minutes(1));
  EXPECT_TRUE(runs.Await(2));
}

TEST(PeriodicThread, RunsWhenTheWallClockWasSetAndWaitsNoLongerBecauseOfIt) {
  FakeClock clock;
  Runs runs;
  PeriodicThread thread(clock, absl::Milliseconds(1), [&runs] { return runs.Run(); });
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
  Runs runs;
  PeriodicThread thread(clock, absl::Hours(1), [&runs] { return runs.Run(); });
  ASSERT_TRUE(runs.Await(1));
  thread.Wake();
  ASSERT_TRUE(runs.Await(2));
  thread.Stop();
  thread.Wake();
  EXPECT_EQ(runs.count(), 2);
}

}  // namespace
}  // namespace meshca::cli
