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

const RequestAsker kA{"a"}, kB{"b"}, kC{"c"}, kFlood{"flood"}, kHonest{"honest"}, kLate{"late"};

constexpr absl::Duration At(int seconds) { return absl::Seconds(seconds); }

std::vector<std::string> TakeAll(DueRequests& due, absl::Duration now) {
  std::vector<std::string> all;
  while (std::optional<std::string> uid = due.Take(now)) all.push_back(*std::move(uid));
  return all;
}

TEST(DueRequests, OfOneAskerComeInTheirOrderAndNoneBeforeItsTime) {
  DueRequests due;
  due.Put(kA, "third", At(3));
  due.Put(kA, "first", At(1));
  due.Put(kA, "second", At(2));
  EXPECT_EQ(due.Next(), At(1));
  EXPECT_EQ(due.Take(At(0)), std::nullopt);
  EXPECT_THAT(TakeAll(due, At(2)), ElementsAre("first", "second"));
  EXPECT_EQ(due.Next(), At(3));
  EXPECT_THAT(TakeAll(due, At(9)), ElementsAre("third"));
  EXPECT_EQ(due.Next(), absl::InfiniteDuration());
}

TEST(DueRequests, TheAskersTakeTurnsHoweverManyOneHas) {
  DueRequests due;
  for (int i = 0; i < 5; ++i) due.Put(kFlood, absl::StrCat("f", i), At(i));
  due.Put(kHonest, "h0", At(5));
  due.Put(kLate, "l0", At(7));
  EXPECT_THAT(TakeAll(due, At(6)), ElementsAre("f0", "h0", "f1", "f2", "f3", "f4"));
  EXPECT_THAT(TakeAll(due, At(7)), ElementsAre("l0"));
}

TEST(DueRequests, WhatIsRemovedIsNotTaken) {
  DueRequests due;
  due.Put(kA, "1", At(1));
  due.Put(kA, "2", At(2));
  due.Put(kB, "3", At(1));
  due.Remove(kA, "1", At(1));
  due.Remove(kA, "1", At(1));
  due.Remove(kC, "1", At(1));
  EXPECT_THAT(TakeAll(due, At(1)), ElementsAre("3"));
  due.Remove(kA, "2", At(2));
  EXPECT_EQ(due.Next(), absl::InfiniteDuration());
  due.Put(kA, "4", At(1));
  EXPECT_THAT(TakeAll(due, At(1)), ElementsAre("4"));
}

TEST(DueRequests, InAPartyTheNamespacesTakeTurnsAndInANamespaceTheAccounts) {
  DueRequests due;
  const auto at_node = [](const char* namespace_name, const char* account) {
    return RequestAsker{"node n", namespace_name, account};
  };
  for (int i = 0; i < 4; ++i) due.Put(at_node("web", "flood"), absl::StrCat("f", i), At(i));
  due.Put(at_node("web", "honest"), "h0", At(4));
  due.Put(at_node("web", "honest"), "h1", At(4));
  // Accounts are free to make: each has a turn in its namespace, which has no more of them for that.
  for (int i = 0; i < 3; ++i)
    due.Put(at_node("made", absl::StrCat("account-", i).c_str()), absl::StrCat("m", i), At(0));
  due.Put(kA, "a0", At(5));
  due.Put(kA, "a1", At(5));
  EXPECT_THAT(TakeAll(due, At(9)), ElementsAre("a0", "m0", "a1", "f0", "m1", "h0", "m2", "f1", "h1", "f2", "f3"));
}

TEST(DueRequests, WhoHasMostGivesUpTheLast) {
  DueRequests due;
  for (int i = 0; i < 3; ++i) due.Put(kFlood, absl::StrCat("f", i), At(i));
  due.Put(kHonest, "h", At(0));
  EXPECT_EQ(due.GivesWayTo(kHonest), "f2");
  EXPECT_EQ(due.GivesWayTo(kC), "f2");
  EXPECT_EQ(due.GivesWayTo(kFlood), std::nullopt);
  due.Put(kHonest, "h1", At(0));
  EXPECT_EQ(due.GivesWayTo(kHonest), std::nullopt) << "it would have as many itself";
  due.Take(At(9));
  EXPECT_EQ(due.GivesWayTo(kC), "h1");
}

TEST(DueRequests, WhoHasMostOfAPartyGivesUpTheLastWhereNoOtherPartyHasMore) {
  DueRequests due;
  const RequestAsker flood{"namespace web", "", "flood"}, honest{"namespace web", "", "honest"};
  for (int i = 0; i < 3; ++i) due.Put(flood, absl::StrCat("f", i), At(i));
  due.Put(honest, "h", At(0));
  EXPECT_EQ(due.GivesWayTo(honest), "f2");
  EXPECT_EQ(due.GivesWayTo(flood), std::nullopt);
  for (int i = 0; i < 6; ++i) due.Put(kB, absl::StrCat("b", i), At(i));
  EXPECT_EQ(due.GivesWayTo(flood), "b5");
}

TEST(DueRequests, WhatIsCostlyIsGivenUpWhereThereIsNothingElse) {
  DueRequests due;
  due.Put(kFlood, "cheap", At(0));
  for (int i = 1; i < 4; ++i) due.Put(kFlood, absl::StrCat("costly", i), At(i), true);
  EXPECT_EQ(due.GivesWayTo(kHonest), "cheap");
  due.Remove(kFlood, "cheap", At(0));
  EXPECT_EQ(due.GivesWayTo(kHonest), "costly3");
  EXPECT_THAT(TakeAll(due, At(9)), ElementsAre("costly1", "costly2", "costly3"));
}

}  // namespace
}  // namespace meshca
