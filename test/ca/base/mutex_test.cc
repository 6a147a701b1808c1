#include "ca/base/mutex.h"

#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace meshca {
namespace {

class Mailbox {
 public:
  void Put(int value) {
    {
      MutexLock lock(mutex_);
      value_ = value;
      full_ = true;
    }
    changed_.NotifyOne();
  }
  int Take() {
    MutexLock lock(mutex_);
    while (!full_) changed_.Wait(mutex_);
    full_ = false;
    return value_;
  }
  bool TakeWithin(absl::Duration timeout) {
    MutexLock lock(mutex_);
    while (!full_) {
      if (!changed_.WaitFor(mutex_, timeout)) return full_;
    }
    return true;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  int value_ ABSL_GUARDED_BY(mutex_) = 0;
  bool full_ ABSL_GUARDED_BY(mutex_) = false;
};

TEST(Mutex, KeepsCountersWhole) {
  Mutex mutex;
  int count = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 10000; ++n) {
        MutexLock lock(mutex);
        ++count;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(count, 40000);
}

TEST(Mutex, TryLockFailsWhileAnotherHoldsIt) {
  Mutex mutex;
  MutexLock lock(mutex);
  std::thread([&] {
    bool got = mutex.TryLock();
    EXPECT_FALSE(got);
    if (got) mutex.Unlock();
  }).join();
}

TEST(CondVar, WakesTheWaiterWithTheValue) {
  Mailbox mailbox;
  std::thread putter([&] { mailbox.Put(42); });
  EXPECT_EQ(mailbox.Take(), 42);
  putter.join();
}

TEST(CondVar, TimesOutOnNothing) {
  Mailbox mailbox;
  EXPECT_FALSE(mailbox.TakeWithin(absl::Milliseconds(1)));
  EXPECT_FALSE(mailbox.TakeWithin(absl::ZeroDuration()));
  EXPECT_FALSE(mailbox.TakeWithin(-absl::Hours(1)));
  EXPECT_FALSE(mailbox.TakeWithin(-absl::InfiniteDuration()));
}

TEST(CondVar, WaitsWithoutEndWhenAskedTo) {
  Mailbox mailbox;
  std::thread putter([&] { mailbox.Put(1); });
  EXPECT_TRUE(mailbox.TakeWithin(absl::InfiniteDuration()));
  putter.join();
}

}  // namespace
}  // namespace meshca
