#include "cli/agent_process/told_revocations.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace meshca::cli {
namespace {

TEST(ToldRevocations, KnowsWhatItWasTold) {
  ToldRevocations told;
  EXPECT_FALSE(told.IsRevoked("aa").value());
  told.Add({"aa", "bb", "aa"});
  EXPECT_TRUE(told.IsRevoked("aa").value());
  EXPECT_TRUE(told.IsRevoked("bb").value());
  EXPECT_FALSE(told.IsRevoked("cc").value());
}

TEST(ToldRevocations, ForgetsTheOldestBeyondItsRoom) {
  ToldRevocations told;
  told.Add({"first", "second"});
  std::vector<std::string> many;
  for (size_t i = 0; i < ToldRevocations::kRememberedMax - 1; ++i) many.push_back(absl::StrCat("s", i));
  told.Add(many);
  EXPECT_FALSE(told.IsRevoked("first").value());
  EXPECT_TRUE(told.IsRevoked("second").value());
  EXPECT_TRUE(told.IsRevoked("s0").value());
}

}  // namespace
}  // namespace meshca::cli
