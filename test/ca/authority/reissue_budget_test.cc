#include "ca/authority/reissue_budget.h"

#include "gtest/gtest.h"

namespace meshca {
namespace {

TEST(ReissueBudget, GrowsWithTheCoresUnlessTheOperatorGaveANumber) {
  EXPECT_EQ(ReissuePerSecond(/*wanted=*/0, /*cores=*/1), 1000);
  EXPECT_EQ(ReissuePerSecond(/*wanted=*/0, /*cores=*/16), 16'000);
  EXPECT_EQ(ReissuePerSecond(/*wanted=*/7, /*cores=*/16), 7);
}

}  // namespace
}  // namespace meshca
