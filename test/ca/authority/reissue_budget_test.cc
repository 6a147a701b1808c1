#include "ca/authority/reissue_budget.h"

#include "gtest/gtest.h"

namespace meshca {
namespace {

TEST(ReissueBudget, GrowsWithTheCoresUnlessTheOperatorGaveANumber) {
  EXPECT_EQ(ReissuePerSecond(/*wanted=*/0, /*cores=*/1), 500);
  EXPECT_EQ(ReissuePerSecond(/*wanted=*/0, /*cores=*/16), 8000);
  EXPECT_EQ(ReissuePerSecond(/*wanted=*/7, /*cores=*/16), 7);
}

}  // namespace
}  // namespace meshca
