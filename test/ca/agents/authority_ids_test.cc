// One object for one text, and none for what nobody has any more.
#include "ca/agents/authority_ids.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace meshca {
namespace {

TEST(AuthorityIds, OneTextIsOneObject) {
  AuthorityIds ids;
  const AuthorityIds::Id first = ids.Of("0a1b");
  EXPECT_EQ(*first, "0a1b");
  EXPECT_EQ(ids.Of("0a1b"), first);
  EXPECT_NE(ids.Of("0a1c"), first);
  EXPECT_EQ(*ids.Of(""), "");
}

TEST(AuthorityIds, WhatNobodyHasIsLetGoAndWhatIsHeldStays) {
  AuthorityIds ids;
  const AuthorityIds::Id held = ids.Of("held");
  for (int i = 0; i < 10'000; ++i) ids.Of(absl::StrCat("told once ", i));
  EXPECT_LE(ids.size(), 64u);
  EXPECT_EQ(ids.Of("held"), held);
}

TEST(AuthorityIds, ManyThatAreHeldAreNotLookedThroughAgainAndAgain) {
  AuthorityIds ids;
  std::vector<AuthorityIds::Id> held;
  for (int i = 0; i < 1000; ++i) held.push_back(ids.Of(absl::StrCat("held ", i)));
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(ids.Of(absl::StrCat("held ", i)), held[i]);
  EXPECT_EQ(ids.size(), 1000u);
}

}  // namespace
}  // namespace meshca
