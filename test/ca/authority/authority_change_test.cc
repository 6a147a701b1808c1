#include "ca/authority/authority_change.h"

#include <map>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meshca {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

constexpr AuthorityState kActive = AuthorityState::kActive;
constexpr AuthorityState kOld = AuthorityState::kOld;
constexpr AuthorityState kRetired = AuthorityState::kRetired;

const absl::Time kNow = absl::FromUnixSeconds(1767323045);
const ChangeReason kReason = {"uid 0", "because", kNow};

StoredAuthority Row(AuthorityRole role, AuthorityState state, const std::string& id) {
  StoredAuthority row;
  row.id = id;
  row.role = role;
  row.state = state;
  row.chain_der = {"der of " + id};
  row.key_reference = "sealed";
  row.sealed_key = "key of " + id;
  return row;
}
StoredAuthority Root(const std::string& id, AuthorityState state = kActive) {
  return Row(AuthorityRole::kRoot, state, id);
}
StoredAuthority Issuing(const std::string& id, AuthorityState state = kActive) {
  return Row(AuthorityRole::kIssuing, state, id);
}

TrustDomain Domain() { return TrustDomain::Parse("cluster.local").value(); }

AuthoritiesAndBundle State() {
  AuthoritiesAndBundle state;
  state.revision = 7;
  state.trust_domain = "cluster.local";
  state.authorities = {Root("O"), Issuing("o1"), Issuing("o0", kOld)};
  state.bundle = StoredBundle{3, {"der of O"}, kNow};
  return state;
}

std::map<std::string, AuthorityState> States(const AuthorityChange& change) {
  std::map<std::string, AuthorityState> states;
  for (const StoredAuthority& row : change.authorities) EXPECT_TRUE(states.emplace(row.id, row.state).second) << row.id;
  return states;
}

TEST(AuthorityChange, FirstAuthoritiesPublishTheFirstBundle) {
  AuthorityChange change = ChangeToRows({}, Domain(), {Root("O"), Issuing("o1"), {}}, false, kReason);
  EXPECT_EQ(change.expected_revision, 0u);
  EXPECT_EQ(change.trust_domain, "cluster.local");
  EXPECT_THAT(States(change), UnorderedElementsAre(Pair("O", kActive), Pair("o1", kActive)));
  EXPECT_EQ(change.bundle->sequence_number, 1u);
  EXPECT_THAT(change.bundle->roots_der, ElementsAre("der of O"));
  EXPECT_EQ(change.audit.size(), 2u);
  EXPECT_EQ(change.audit[0].actor, "uid 0");
  EXPECT_EQ(change.audit[0].detail, "because");
}

TEST(AuthorityChange, RenewalLeavesTheBundleAlone) {
  AuthorityChange change = ChangeIssuing(State(), Domain(), Issuing("o2"), kReason);
  EXPECT_EQ(change.expected_revision, 7u);
  EXPECT_THAT(States(change), UnorderedElementsAre(Pair("o1", kOld), Pair("o2", kActive)));
  EXPECT_FALSE(change.bundle.has_value());
}

TEST(AuthorityChange, NewRootStandsFirstAndTheOldOneStaysTrusted) {
  AuthorityChange change = ChangeToRows(State(), Domain(), {Root("N"), Issuing("n1"), {"der of X"}}, false, kReason);
  EXPECT_THAT(States(change),
              UnorderedElementsAre(Pair("O", kOld), Pair("o1", kOld), Pair("N", kActive), Pair("n1", kActive)));
  EXPECT_EQ(change.bundle->sequence_number, 4u);
  EXPECT_THAT(change.bundle->roots_der, ElementsAre("der of N", "der of X", "der of O"));
}

TEST(AuthorityChange, DroppedRootsAreRetiredWithAllUnderThemAndWithoutKeys) {
  AuthorityChange change = ChangeToRows(State(), Domain(), {Root("N"), Issuing("n1"), {}}, true, kReason);
  EXPECT_THAT(States(change), UnorderedElementsAre(Pair("O", kRetired), Pair("o1", kRetired), Pair("o0", kRetired),
                                                   Pair("N", kActive), Pair("n1", kActive)));
  EXPECT_THAT(change.bundle->roots_der, ElementsAre("der of N"));
  for (const StoredAuthority& row : change.authorities) {
    EXPECT_EQ(row.sealed_key.empty(), row.state == kRetired) << row.id;
    EXPECT_EQ(row.retired_at == kNow, row.state == kRetired) << row.id;
  }
}

// An import that is taken back: the root that comes back has what lives under it.
TEST(AuthorityChange, WhatIsUnderARootThatComesBackIsNotRetiredWithTheRootThatGoes) {
  AuthoritiesAndBundle state = State();
  for (const char* under : {"p1", "p2"}) {
    state.authorities.push_back(Issuing(under, kOld));
    state.authorities.back().root_id = "P";
  }
  state.authorities.push_back(Root("P", kOld));
  AuthorityChange change = ChangeToRows(state, Domain(), {Root("P"), Issuing("p1"), {}}, true, kReason);
  EXPECT_THAT(States(change), UnorderedElementsAre(Pair("O", kRetired), Pair("o1", kRetired), Pair("o0", kRetired),
                                                   Pair("P", kActive), Pair("p1", kActive)));
  EXPECT_THAT(change.bundle->roots_der, ElementsAre("der of P"));
}

TEST(AuthorityChange, SameRootWithAnotherIssuingAuthorityPublishesNothing) {
  AuthorityChange change = ChangeToRows(State(), Domain(), {Root("O"), Issuing("o2"), {}}, false, kReason);
  EXPECT_THAT(States(change), UnorderedElementsAre(Pair("o1", kOld), Pair("O", kActive), Pair("o2", kActive)));
  EXPECT_FALSE(change.bundle.has_value());
  EXPECT_EQ(change.audit.size(), 1u);
}

TEST(AuthorityChange, RetiringChangesOneRow) {
  AuthorityChange change = RetireAuthority(State(), Domain(), "o0", kReason);
  EXPECT_THAT(States(change), UnorderedElementsAre(Pair("o0", kRetired)));
  EXPECT_EQ(change.audit[0].action, "authority.retire");
  EXPECT_FALSE(change.bundle.has_value());
}

TEST(AuthorityChange, SequenceAfterARestoreIsAboveAllThatMayHaveBeenGivenOut) {
  AuthoritiesAndBundle state = State();
  EXPECT_EQ(SequenceAfterRestore(state, kNow), (uint64_t{1} << 32) + 3);
  EXPECT_EQ(SequenceAfterRestore(state, absl::FromUnixSeconds(int64_t{1} << 33)), uint64_t{1} << 33);
  state.bundle->sequence_number = uint64_t{1} << 40;
  EXPECT_EQ(SequenceAfterRestore(state, kNow), (uint64_t{1} << 40) + (uint64_t{1} << 32));
  EXPECT_GT(SequenceAfterRestore({}, absl::FromUnixSeconds(-5)), 0u);
}

}  // namespace
}  // namespace meshca
