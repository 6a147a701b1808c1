#include "ca/base/bounded_queue.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace meshca {
namespace {

TEST(BoundedQueue, GivesBackInOrder) {
  BoundedQueue<int> queue({3});
  for (int i : {1, 2, 3}) EXPECT_TRUE(queue.TryPush(i));
  EXPECT_EQ(queue.size(), 3u);
  EXPECT_EQ(queue.Pop(), 1);
  EXPECT_EQ(queue.Pop(), 2);
  EXPECT_EQ(queue.Pop(), 3);
}

TEST(BoundedQueue, RefusesWhenFullAndLeavesTheItem) {
  BoundedQueue<std::unique_ptr<int>> queue({1});
  auto first = std::make_unique<int>(1);
  auto second = std::make_unique<int>(2);
  EXPECT_TRUE(queue.TryPush(first));
  EXPECT_EQ(first, nullptr);
  EXPECT_FALSE(queue.TryPush(second));
  ASSERT_NE(second, nullptr);
  queue.Pop();
  EXPECT_TRUE(queue.TryPush(second));
}

TEST(BoundedQueue, ServesLaneZeroFirstAndLimitsEachAlone) {
  BoundedQueue<std::string, 2> queue({1, 1});
  std::string bulk = "bulk", more = "more", renewal = "renewal";
  EXPECT_TRUE(queue.TryPush(bulk, 1));
  EXPECT_FALSE(queue.TryPush(more, 1));
  EXPECT_TRUE(queue.TryPush(renewal, 0)) << "a full bulk lane turned a renewal away";
  EXPECT_EQ(queue.Pop(), "renewal");
  EXPECT_EQ(queue.Pop(), "bulk");
}

TEST(BoundedQueue, DrainsAfterCloseAndThenEnds) {
  BoundedQueue<int> queue({2});
  int one = 1, two = 2;
  EXPECT_TRUE(queue.TryPush(one));
  queue.Close();
  EXPECT_FALSE(queue.TryPush(two));
  EXPECT_EQ(queue.Pop(), 1);
  EXPECT_EQ(queue.Pop(), std::nullopt);
}

TEST(BoundedQueue, CloseWakesEveryWaiter) {
  BoundedQueue<int> queue({1});
  std::vector<std::thread> waiters;
  for (int i = 0; i < 4; ++i) {
    waiters.emplace_back([&] { EXPECT_EQ(queue.Pop(), std::nullopt); });
  }
  queue.Close();
  for (std::thread& waiter : waiters) waiter.join();
}

TEST(BoundedQueue, LosesNothingBetweenManyThreads) {
  constexpr int kThreads = 4;
  constexpr int kItems = 5000;
  BoundedQueue<int> queue({64});
  std::atomic<int64_t> sum{0};
  std::vector<std::thread> poppers, pushers;
  for (int i = 0; i < kThreads; ++i) {
    poppers.emplace_back([&] {
      while (auto item = queue.Pop()) sum += *item;
    });
    pushers.emplace_back([&] {
      for (int n = 1; n <= kItems; ++n) {
        int item = n;
        while (!queue.TryPush(item)) std::this_thread::yield();
      }
    });
  }
  for (std::thread& pusher : pushers) pusher.join();
  queue.Close();
  for (std::thread& popper : poppers) popper.join();
  EXPECT_EQ(sum, int64_t{kThreads} * kItems * (kItems + 1) / 2);
}

}  // namespace
}  // namespace meshca
