#include "ca/rpc/fair_budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <thread>
#include <vector>

namespace meshca::rpc {
namespace {

constexpr size_t kUnbounded = std::numeric_limits<size_t>::max();

struct PartsCase {
  const char* name;
  size_t whole;
  size_t source_max;
  size_t share;
  size_t little;
};
class FairBudgetParts : public testing::TestWithParam<PartsCase> {};

TEST_P(FairBudgetParts, NobodyHasMoreThanHalf) {
  FairBudget budget;
  budget.Part(GetParam().whole, GetParam().source_max);
  EXPECT_EQ(budget.share(), GetParam().share);
  EXPECT_EQ(budget.little(), GetParam().little);
  std::atomic<size_t> held{0};
  EXPECT_EQ(budget.Take(held, budget.share() + 1, false), Fit::kShareUsed);
  EXPECT_EQ(held, 0u);
  EXPECT_EQ(budget.used(), 0u);
  EXPECT_EQ(budget.Take(held, budget.share(), false), Fit::kFits);
}
INSTANTIATE_TEST_SUITE_P(Sizes, FairBudgetParts,
                         testing::Values(PartsCase{"AnAgents", 64 << 20, 64 << 20, 32 << 20, 256 << 10},
                                         PartsCase{"AServers", 256 << 20, 64 << 20, 64 << 20, 1 << 20},
                                         PartsCase{"Two", 2, kUnbounded, 1, 1}, PartsCase{"One", 1, 1, 1, 1},
                                         PartsCase{"None", 0, 0, 1, 1}, PartsCase{"SmallShare", 25'600, 7, 7, 7}),
                         [](const auto& info) { return info.param.name; });

// 25,600 in all: 12,800 for one source, 19,200 for all, 100 is little.
class FairBudgetTest : public testing::Test {
 protected:
  FairBudgetTest() { budget_.Part(25'600, kUnbounded); }
  Fit Take(std::atomic<size_t>& held, size_t amount, bool privileged = false) {
    return budget_.Take(held, amount, privileged);
  }
  FairBudget budget_;
  std::atomic<size_t> greedy_{0}, second_{0}, modest_{0};
};

TEST_F(FairBudgetTest, WhatOneLeavesAnotherHas) {
  ASSERT_EQ(Take(greedy_, 12'800), Fit::kFits);
  EXPECT_EQ(Take(greedy_, 1), Fit::kShareUsed);
  EXPECT_EQ(Take(second_, 6'400), Fit::kFits);
}

TEST_F(FairBudgetTest, TheLastQuarterIsForThoseThatHoldLittle) {
  ASSERT_EQ(Take(greedy_, 12'800), Fit::kFits);
  ASSERT_EQ(Take(second_, 6'400), Fit::kFits);
  EXPECT_EQ(Take(second_, 1), Fit::kNoneLeft);
  EXPECT_EQ(Take(modest_, 100), Fit::kFits);
  EXPECT_EQ(Take(modest_, 1), Fit::kNoneLeft) << "that is more than little";
  EXPECT_EQ(second_, 6'400u) << "nothing is taken by what is refused";
  EXPECT_EQ(modest_, 100u);
  EXPECT_EQ(budget_.used(), 19'300u);
}

TEST_F(FairBudgetTest, NeverMoreThanTheWhole) {
  ASSERT_EQ(Take(greedy_, 12'800), Fit::kFits);
  ASSERT_EQ(Take(second_, 6'400), Fit::kFits);
  std::vector<std::atomic<size_t>> crowd(65);
  for (size_t i = 0; i < 64; ++i) ASSERT_EQ(Take(crowd[i], 100), Fit::kFits) << i;
  EXPECT_EQ(Take(crowd[64], 1), Fit::kNoneLeft);
  EXPECT_EQ(budget_.used(), budget_.whole());
}

TEST_F(FairBudgetTest, PrivilegedOnesMayGoAnEighthBeyond) {
  ASSERT_EQ(Take(greedy_, 12'800), Fit::kFits);
  ASSERT_EQ(Take(second_, 6'400), Fit::kFits);
  std::vector<std::atomic<size_t>> crowd(64);
  for (auto& one : crowd) ASSERT_EQ(Take(one, 100), Fit::kFits);
  std::atomic<size_t> operators{0};
  EXPECT_EQ(Take(operators, 3'200, /*privileged=*/true), Fit::kFits);
  EXPECT_EQ(Take(operators, 1, /*privileged=*/true), Fit::kNoneLeft);
}

TEST_F(FairBudgetTest, WhatIsGivenBackIsThereAgain) {
  ASSERT_EQ(Take(greedy_, 12'800), Fit::kFits);
  ASSERT_EQ(Take(second_, 6'400), Fit::kFits);
  budget_.GiveBack(greedy_, 12'800);
  EXPECT_EQ(greedy_, 0u);
  EXPECT_EQ(Take(second_, 6'400), Fit::kFits);
}

TEST_F(FairBudgetTest, ThreadsLoseNothing) {
  std::vector<std::thread> threads;
  for (std::atomic<size_t>* held : {&greedy_, &greedy_, &second_, &modest_}) {
    threads.emplace_back([this, held] {
      for (int i = 0; i < 20'000; ++i) {
        if (Take(*held, 5'000) == Fit::kFits) budget_.GiveBack(*held, 5'000);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(budget_.used(), 0u);
  EXPECT_EQ(greedy_ + second_ + modest_, 0u);
}

}  // namespace
}  // namespace meshca::rpc
