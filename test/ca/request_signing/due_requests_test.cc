#include "ca/request_signing/due_requests.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meshca {
namespace {

using testing::ElementsAre;

constexpr absl::Duration At(int seconds) { return absl::Seconds(seconds); }

std::vector<std::string> TakeAll(DueRequests& due, absl::Duration now) {
  std::vector<std::string> all;
  while (std::optional<std::string> uid = due.Take(now)) all.push_back(*std::move(uid));
  return all;
}

TEST(DueRequests, OfOneAskerComeInTheirOrderAndNoneBeforeItsTime) {
  DueRequests due;
  due.Put("a", "third", At(3));
  due.Put("a", "first", At(1));
  due.Put("a", "second", At(2));
  EXPECT_EQ(due.Next(), At(1));
  EXPECT_EQ(due.Take(At(0)), std::nullopt);
  EXPECT_THAT(TakeAll(due, At(2)), ElementsAre("first", "second"));
  EXPECT_EQ(due.Next(), At(3));
  EXPECT_THAT(TakeAll(due, At(9)), ElementsAre("third"));
  EXPECT_EQ(due.Next(), absl::InfiniteDuration());
}

TEST(DueRequests, TheAskersTakeTurnsHoweverManyOneHas) {
  DueRequests due;
  for (int i = 0; i < 5; ++i) due.Put("flood", absl::StrCat("f", i), At(i));
  due.Put("honest", "h0", At(5));
  due.Put("late", "l0", At(7));
  EXPECT_THAT(TakeAll(due, At(6)), ElementsAre("f0", "h0", "f1", "f2", "f3", "f4"));
  EXPECT_THAT(TakeAll(due, At(7)), ElementsAre("l0"));
}

TEST(DueRequests, WhatIsRemovedIsNotTaken) {
  DueRequests due;
  due.Put("a", "1", At(1));
  due.Put("a", "2", At(2));
  due.Put("b", "3", At(1));
  due.Remove("a", "1", At(1));
  due.Remove("a", "1", At(1));
  due.Remove("c", "1", At(1));
  EXPECT_THAT(TakeAll(due, At(1)), ElementsAre("3"));
  due.Remove("a", "2", At(2));
  EXPECT_EQ(due.Next(), absl::InfiniteDuration());
  due.Put("a", "4", At(1));
  EXPECT_THAT(TakeAll(due, At(1)), ElementsAre("4"));
}

TEST(DueRequests, WhoHasMostGivesUpTheLast) {
  DueRequests due;
  for (int i = 0; i < 3; ++i) due.Put("flood", absl::StrCat("f", i), At(i));
  due.Put("honest", "h", At(0));
  EXPECT_EQ(due.CountOf("flood"), 3u);
  EXPECT_EQ(due.CountOf("nobody"), 0u);
  EXPECT_EQ(due.LastOfWhoHasMoreThan(2), "f2");
  EXPECT_EQ(due.LastOfWhoHasMoreThan(3), std::nullopt);
  due.Take(At(9));
  EXPECT_EQ(due.LastOfWhoHasMoreThan(2), std::nullopt);
}

TEST(DueRequests, WhatIsCostlyIsGivenUpWhereThereIsNothingElse) {
  DueRequests due;
  due.Put("flood", "cheap", At(0));
  for (int i = 1; i < 4; ++i) due.Put("flood", absl::StrCat("costly", i), At(i), true);
  EXPECT_EQ(due.LastOfWhoHasMoreThan(1), "cheap");
  due.Remove("flood", "cheap", At(0));
  EXPECT_EQ(due.LastOfWhoHasMoreThan(1), "costly3");
  EXPECT_THAT(TakeAll(due, At(9)), ElementsAre("costly1", "costly2", "costly3"));
}

}  // namespace
}  // namespace meshca
