// One thread, its queue, and what it does as time passes.
#include "ca/base/serial_executor.h"

#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/fakes/awaited_counter.h"
#include "test/fakes/fake_clock.h"

namespace meshca {
namespace {

using ::testing::ElementsAre;

// Returns when everything that was given before has run.
void Drain(SerialExecutor& executor) {
  std::promise<void> passed;
  executor.Run([&passed] { passed.set_value(); });
  passed.get_future().wait();
}

TEST(SerialExecutor, RunsWorkInTheOrderInWhichItWasGiven) {
  const FakeClock clock;
  std::vector<int> ran;  // the executor's thread, then this one
  SerialExecutor executor(clock);
  for (int i = 0; i < 3; ++i) executor.Run([&ran, i] { ran.push_back(i); });
  EXPECT_TRUE(ran.empty()) << "it has not started";
  executor.Start();
  for (int i = 3; i < 100; ++i) executor.Run([&ran, i] { ran.push_back(i); });
  Drain(executor);
  ASSERT_EQ(ran.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(ran[i], i);
}

TEST(SerialExecutor, RunsAllWorkOnOneThreadThatIsItsOwn) {
  const FakeClock clock;
  SerialExecutor executor(clock);
  executor.Start();
  std::thread::id first, second;
  executor.Run([&] { first = std::this_thread::get_id(); });
  Drain(executor);
  executor.Run([&] { second = std::this_thread::get_id(); });
  Drain(executor);
  EXPECT_EQ(first, second);
  EXPECT_NE(first, std::this_thread::get_id());
}

TEST(SerialExecutor, ShutdownRunsWhatIsQueuedAndWhatThatGives) {
  const FakeClock clock;
  SerialExecutor executor(clock);
  executor.Start();
  std::promise<void> begun, hold;
  std::vector<int> ran;
  executor.Run([&] {
    begun.set_value();
    hold.get_future().wait();
    ran.push_back(1);
  });
  begun.get_future().wait();
  executor.Run([&] {
    ran.push_back(2);
    executor.Run([&] { ran.push_back(3); });
  });
  std::thread stopper([&] { executor.Shutdown(); });
  hold.set_value();
  stopper.join();
  EXPECT_THAT(ran, ElementsAre(1, 2, 3));
}

TEST(SerialExecutor, AfterShutdownWorkRunsAtOnceOnTheCallersThread) {
  const FakeClock clock;
  SerialExecutor executor(clock);
  executor.Start();
  executor.Shutdown();
  executor.Shutdown();
  std::thread::id ran_on;
  executor.Run([&] { ran_on = std::this_thread::get_id(); });
  EXPECT_EQ(ran_on, std::this_thread::get_id());
}

TEST(SerialExecutor, OneThatWasNeverStartedLosesNoWork) {
  const FakeClock clock;
  bool ran = false;
  {
    SerialExecutor executor(clock);
    executor.Run([&] { ran = true; });
  }
  EXPECT_TRUE(ran);
}

TEST(SerialExecutor, TicksEveryFiveSecondsSinceBootWhateverTheWallClockSays) {
  FakeClock clock;
  AwaitedCounter ticks;
  SerialExecutor executor(clock);
  executor.OnTick([&] { ticks.Add(); });
  executor.Start();
  Drain(executor);
  clock.Advance(SerialExecutor::kTick - absl::Milliseconds(1));
  clock.JumpTo(clock.Now() + absl::Hours(1));
  Drain(executor);
  Drain(executor);
  EXPECT_EQ(ticks.count(), 0);
  clock.Advance(absl::Milliseconds(1));
  executor.Nudge();
  EXPECT_TRUE(ticks.Await(1));
  Drain(executor);
  EXPECT_EQ(ticks.count(), 1);
}

TEST(SerialExecutor, ATickRunsOnceInItsOwnTimeHoweverManyRoundsThereAre) {
  FakeClock clock;
  AwaitedCounter ticks, slow_ticks, rounds;
  SerialExecutor executor(clock);
  executor.OnTick([&] { ticks.Add(); }, absl::Seconds(1));
  executor.OnTick([&] { slow_ticks.Add(); });
  executor.AddDuty([&] {
    rounds.Add();
    return absl::InfiniteDuration();
  });
  executor.Start();
  Drain(executor);
  for (int second = 1; second <= 4; ++second) {
    clock.Advance(absl::Seconds(1));
    executor.Nudge();
    ASSERT_TRUE(ticks.Await(second));
    for (int i = 0; i < 10; ++i) Drain(executor);
    EXPECT_EQ(ticks.count(), second);
  }
  EXPECT_GE(rounds.count(), 40);
  EXPECT_EQ(slow_ticks.count(), 0);
}

TEST(SerialExecutor, WakeTicksAtOnce) {
  const FakeClock clock;
  AwaitedCounter first, second;
  SerialExecutor executor(clock);
  executor.OnTick([&] { first.Add(); });
  executor.OnTick([&] { second.Add(); });
  executor.Start();
  executor.Wake();
  EXPECT_TRUE(first.Await(1));
  EXPECT_TRUE(second.Await(1));
}

TEST(SerialExecutor, ADutyRunsBeforeTheWorkThatWasGivenWithIt) {
  const FakeClock clock;
  int changed = 0, seen = 0;  // `changed` is written before the work that reads `seen` is given
  Mutex mutex;
  SerialExecutor executor(clock);
  executor.AddDuty([&] {
    MutexLock lock(mutex);
    seen = changed;
    return absl::InfiniteDuration();
  });
  executor.Start();
  for (int i = 1; i <= 1000; ++i) {
    {
      MutexLock lock(mutex);
      changed = i;
    }
    int seen_by_work = 0;
    executor.Run([&] {
      MutexLock lock(mutex);
      seen_by_work = seen;
    });
    Drain(executor);
    ASSERT_EQ(seen_by_work, i);
  }
}

TEST(SerialExecutor, ADutyRunsAgainWhenTheTimeItAskedForHasPassed) {
  const FakeClock clock;
  AwaitedCounter runs;
  SerialExecutor executor(clock);
  executor.AddDuty([&] {
    runs.Add();
    return absl::Milliseconds(1);  // of the machine's time: waiting is not the fake clock's
  });
  executor.Start();
  EXPECT_TRUE(runs.Await(100)) << "looked at once a second";
}

TEST(SerialExecutor, ADutyRunsAtOnceWhenItIsNudged) {
  const FakeClock clock;
  AwaitedCounter runs;
  SerialExecutor executor(clock);
  executor.AddDuty([&] {
    runs.Add();
    return absl::InfiniteDuration();
  });
  executor.Start();
  const absl::Time begun = absl::Now();
  for (int i = 0; i < 200; ++i) {
    const int before = runs.count();
    executor.Nudge();
    ASSERT_TRUE(runs.Await(before + 1));
  }
  EXPECT_LT(absl::Now() - begun, absl::Seconds(100)) << "looked at once a second";
}

TEST(SerialExecutor, ANudgeFromADutyBringsAnotherRound) {
  const FakeClock clock;
  AwaitedCounter runs;
  SerialExecutor executor(clock);
  executor.AddDuty([&] {
    runs.Add();
    if (runs.count() < 50) executor.Nudge();
    return absl::InfiniteDuration();
  });
  executor.Start();
  EXPECT_TRUE(runs.Await(50));
}

}  // namespace
}  // namespace meshca
