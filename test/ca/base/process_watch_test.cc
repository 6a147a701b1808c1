// The end of real processes, by pidfd and by /proc.
#include "ca/base/process_watch.h"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "ca/base/process_stat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

extern char** environ;

namespace meshca {
namespace {

// A child that runs until it is killed.
class Child {
 public:
  Child() {
    const char* const arguments[] = {"sleep", "600", nullptr};
    EXPECT_EQ(::posix_spawnp(&pid_, "sleep", nullptr, nullptr, const_cast<char**>(arguments), environ), 0);
    const absl::StatusOr<uint64_t> began = ProcessStartTicks(pid_);
    EXPECT_TRUE(began.ok()) << began.status();
    name_ = {pid_, began.value_or(0)};
  }
  ~Child() {
    Kill();
    Reap();
  }
  void Kill() {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
  }
  void Reap() {
    if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  // Ended, and not reaped.
  void AwaitZombie() {
    siginfo_t info{};
    EXPECT_EQ(::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT), 0);
  }
  const ProcessName& name() const { return name_; }

 private:
  pid_t pid_ = 0;
  ProcessName name_;
};

// What a watch tells.
class Told {
 public:
  void Start(ProcessWatch& watch) {
    watch.Start([this](const std::vector<ProcessName>& ended) {
      MutexLock lock(mutex_);
      told_.insert(told_.end(), ended.begin(), ended.end());
      changed_.NotifyAll();
    });
  }
  // Waits until so many were told.
  std::vector<ProcessName> Await(size_t count) {
    const absl::Time until = absl::Now() + absl::Seconds(60);
    MutexLock lock(mutex_);
    while (told_.size() < count && absl::Now() < until) changed_.WaitFor(mutex_, absl::Milliseconds(100));
    return told_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::vector<ProcessName> told_ ABSL_GUARDED_BY(mutex_);
};

// Both ways to learn it.
class ProcessWatchBoth : public testing::TestWithParam<size_t> {
 protected:
  ProcessWatchBoth() { told_.Start(watch_); }
  ~ProcessWatchBoth() override { watch_.Shutdown(); }
  Told told_;
  SystemProcessWatch watch_{{.descriptors_max = GetParam()}};
};
INSTANTIATE_TEST_SUITE_P(Ways, ProcessWatchBoth, testing::Values(100, 0),
                         [](const auto& info) { return info.param > 0 ? "Pidfd" : "Proc"; });

TEST_P(ProcessWatchBoth, TellsTheEndOfEachOnceAndOfNobodyElse) {
  Child first, second, lives;
  for (const Child* child : {&first, &second, &lives}) {
    EXPECT_TRUE(watch_.Watch(child->name()));
    EXPECT_TRUE(watch_.Watch(child->name())) << "again";
  }
  EXPECT_EQ(watch_.watched(), 3u);
  EXPECT_EQ(watch_.descriptors(), GetParam() > 0 ? 3u : 0u);
  first.Kill();
  EXPECT_EQ(told_.Await(1), std::vector<ProcessName>{first.name()}) << "not reaped yet";
  second.Kill();
  second.Reap();
  EXPECT_THAT(told_.Await(2), testing::ElementsAre(first.name(), second.name()));
  EXPECT_EQ(watch_.watched(), 1u);
}

TEST_P(ProcessWatchBoth, OneThatHasEndedIsKnownAtOnce) {
  Child zombie, reaped, lives;
  zombie.Kill();
  zombie.AwaitZombie();
  reaped.Kill();
  reaped.Reap();
  EXPECT_FALSE(watch_.Watch(zombie.name()));
  EXPECT_FALSE(watch_.Watch(reaped.name()));
  EXPECT_FALSE(watch_.Watch({lives.name().pid, lives.name().start_ticks + 1})) << "its number is another's now";
  EXPECT_EQ(watch_.watched(), 0u);
}

TEST_P(ProcessWatchBoth, ForgetsWhatNobodyNeeds) {
  Child needed, not_needed;
  watch_.Watch(needed.name());
  watch_.Watch(not_needed.name());
  const auto only_one = [&](const ProcessName& process) { return process == needed.name(); };
  watch_.Retain(only_one);
  EXPECT_EQ(watch_.watched(), 2u) << "whoever was just named may not be known yet";
  watch_.Retain(only_one);
  EXPECT_EQ(watch_.watched(), 1u);
  not_needed.Kill();
  not_needed.AwaitZombie();
  needed.Kill();
  EXPECT_EQ(told_.Await(1), std::vector<ProcessName>{needed.name()});
}

TEST(ProcessWatch, WhatCannotBeSeenCountsAsOneThatNeverEnds) {
  Told told;  // outlives the thread that tells it
  SystemProcessWatch watch;
  told.Start(watch);
  EXPECT_TRUE(watch.Watch({0, 7})) << "another PID namespace";
  EXPECT_TRUE(watch.Watch({::getpid(), 0})) << "/proc did not say when it began";
  EXPECT_EQ(watch.watched(), 0u);
}

TEST(ProcessWatch, HasAnEndToItsRoom) {
  Told told;  // outlives the thread that tells it
  SystemProcessWatch watch({.descriptors_max = 1, .processes_max = 2});
  told.Start(watch);
  Child first, second, third;
  for (const Child* child : {&first, &second, &third}) EXPECT_TRUE(watch.Watch(child->name()));
  EXPECT_EQ(watch.watched(), 2u);
  EXPECT_EQ(watch.descriptors(), 1u);
}

}  // namespace
}  // namespace meshca
