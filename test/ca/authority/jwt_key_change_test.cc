// Each change of the keys of JWT-SVIDs, from one stored state to what is committed.
#include "ca/authority/jwt_key_change.h"

#include <map>
#include <string>
#include <vector>

#include "ca/authority/jwt_authority_rows.h"
#include "ca/authority/rotation_change.h"
#include "ca/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/fakes/fake_key_store.h"

namespace meshca {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;
using testing::UnorderedElementsAre;

const absl::Time kChangedAt = absl::FromUnixSeconds(1767323045);
const ChangeReason kJwtReason = {"uid 0", "because", kChangedAt};

TrustDomain JwtDomain() { return TrustDomain::Parse("cluster.local").value(); }

StoredJwtAuthority StoredJwt(const std::string& id, AuthorityState state, uint64_t published = 3) {
  StoredJwtAuthority row;
  row.key_id = id;
  row.state = state;
  row.public_key_der = "public " + id;
  row.published_sequence = published;
  if (state == AuthorityState::kRetired) return row;
  row.key_reference = "sealed";
  row.sealed_key = "private " + id;
  return row;
}
StoredJwtAuthority NewJwt(const std::string& id) { return StoredJwt(id, AuthorityState::kPrepared, 0); }

// "old", "active" and, where `prepared`, "next"; one that is retired.
AuthoritiesAndBundle JwtState(bool prepared = true) {
  AuthoritiesAndBundle state;
  state.revision = 7;
  state.trust_domain = "cluster.local";
  state.jwt_authorities = {StoredJwt("gone", AuthorityState::kRetired), StoredJwt("old", AuthorityState::kOld),
                           StoredJwt("active", AuthorityState::kActive)};
  state.bundle = StoredBundle{5, {"root"}, kChangedAt - absl::Hours(1), {"public old", "public active"}};
  if (!prepared) return state;
  state.jwt_authorities.push_back(StoredJwt("next", AuthorityState::kPrepared, 5));
  state.bundle->jwt_keys_der.push_back("public next");
  return state;
}

std::map<std::string, AuthorityState> JwtStates(const AuthorityChange& change) {
  std::map<std::string, AuthorityState> states;
  for (const StoredJwtAuthority& row : change.jwt_authorities) {
    EXPECT_TRUE(states.emplace(row.key_id, row.state).second) << row.key_id << " twice";
  }
  return states;
}
const StoredJwtAuthority& JwtRowOf(const AuthorityChange& change, const std::string& id) {
  return *FindJwtKey(change.jwt_authorities, id);
}

TEST(JwtKeyChange, PublishingAddsTheKeyAndSaysSinceWhichBundle) {
  const AuthorityChange change = PublishJwtKey(JwtState(false), JwtDomain(), NewJwt("next"), kJwtReason).value();
  EXPECT_EQ(change.expected_revision, 7u);
  EXPECT_THAT(JwtStates(change), ElementsAre(Pair("next", AuthorityState::kPrepared)));
  EXPECT_EQ(change.bundle->sequence_number, 6u);
  EXPECT_EQ(change.bundle->published_at, kChangedAt);
  EXPECT_THAT(change.bundle->roots_der, ElementsAre("root"));
  EXPECT_THAT(change.bundle->jwt_keys_der, ElementsAre("public old", "public active", "public next"));
  EXPECT_EQ(JwtRowOf(change, "next").published_sequence, 6u);
  EXPECT_EQ(change.audit.front().action, "jwt.publish");
  EXPECT_EQ(change.audit.front().target, "next");
}

TEST(JwtKeyChange, ASecondNextKeyIsRefused) {
  const absl::Status refused = PublishJwtKey(JwtState(), JwtDomain(), NewJwt("more"), kJwtReason).status();
  EXPECT_EQ(ReasonOf(refused), "JWT_ROTATION_RUNS");
  EXPECT_THAT(std::string(refused.message()), HasSubstr("meshca jwt keys"));
}

TEST(JwtKeyChange, ActivationIsNoNewBundle) {
  const AuthorityChange change = ActivateJwtKey(JwtState(), JwtDomain(), "next", kJwtReason).value();
  EXPECT_FALSE(change.bundle.has_value()) << "nobody has to be told";
  EXPECT_THAT(JwtStates(change),
              UnorderedElementsAre(Pair("active", AuthorityState::kOld), Pair("next", AuthorityState::kActive)));
  EXPECT_EQ(JwtRowOf(change, "active").replaced_at, kChangedAt);
  EXPECT_EQ(JwtRowOf(change, "next").activated_at, kChangedAt);
  EXPECT_EQ(JwtRowOf(change, "next").published_sequence, 5u);
  EXPECT_EQ(ReasonOf(ActivateJwtKey(JwtState(), JwtDomain(), "old", kJwtReason).status()), "JWT_KEY_STATE");
  EXPECT_EQ(ReasonOf(ActivateJwtKey(JwtState(), JwtDomain(), "none", kJwtReason).status()), "JWT_KEY_STATE");
}

TEST(JwtKeyChange, RetirementTakesTheKeyOutOfTheBundleAndDestroysIt) {
  const AuthorityChange change = RetireJwtKey(JwtState(), JwtDomain(), "old", kJwtReason).value();
  EXPECT_THAT(change.bundle->jwt_keys_der, ElementsAre("public active", "public next"));
  const StoredJwtAuthority& row = JwtRowOf(change, "old");
  EXPECT_EQ(row.state, AuthorityState::kRetired);
  EXPECT_EQ(row.retired_at, kChangedAt);
  EXPECT_EQ(row.sealed_key, "");
  EXPECT_EQ(row.key_reference, "");
  EXPECT_FALSE(row.tainted);
  EXPECT_EQ(ReasonOf(RetireJwtKey(JwtState(), JwtDomain(), "active", kJwtReason).status()), "JWT_KEY_STATE");
  EXPECT_EQ(ReasonOf(RetireJwtKey(JwtState(), JwtDomain(), "next", kJwtReason).status()), "JWT_KEY_STATE");
}

TEST(JwtKeyChange, ATaintedActiveKeyLeavesAtOnceAndThePreparedOneSigns) {
  EXPECT_FALSE(NeedsSuccessor(JwtState(), "active"));
  const AuthorityChange change = TaintJwtKey(JwtState(), JwtDomain(), "active", std::nullopt, kJwtReason).value();
  EXPECT_THAT(JwtStates(change),
              UnorderedElementsAre(Pair("active", AuthorityState::kRetired), Pair("next", AuthorityState::kActive)));
  EXPECT_TRUE(JwtRowOf(change, "active").tainted);
  EXPECT_EQ(JwtRowOf(change, "active").sealed_key, "");
  EXPECT_EQ(change.bundle->sequence_number, 6u);
  EXPECT_THAT(change.bundle->jwt_keys_der, ElementsAre("public old", "public next"));
  EXPECT_EQ(change.audit.front().action, "jwt.taint");
  EXPECT_EQ(change.audit.back().action, "jwt.activate");
}

TEST(JwtKeyChange, WithoutAPreparedKeyANewOneSignsInstead) {
  EXPECT_TRUE(NeedsSuccessor(JwtState(false), "active"));
  EXPECT_TRUE(absl::IsAborted(TaintJwtKey(JwtState(false), JwtDomain(), "active", std::nullopt, kJwtReason).status()));
  const AuthorityChange change =
      TaintJwtKey(JwtState(false), JwtDomain(), "active", NewJwt("fresh"), kJwtReason).value();
  EXPECT_THAT(JwtStates(change),
              UnorderedElementsAre(Pair("active", AuthorityState::kRetired), Pair("fresh", AuthorityState::kActive)));
  EXPECT_THAT(change.bundle->jwt_keys_der, ElementsAre("public old", "public fresh"));
  EXPECT_EQ(JwtRowOf(change, "fresh").published_sequence, 6u);
}

TEST(JwtKeyChange, TaintingWhatDoesNotSignLeavesTheSignerAlone) {
  for (const char* id : {"old", "next"}) {
    const AuthorityChange change = TaintJwtKey(JwtState(), JwtDomain(), id, NewJwt("fresh"), kJwtReason).value();
    EXPECT_THAT(JwtStates(change), ElementsAre(Pair(id, AuthorityState::kRetired))) << id;
    EXPECT_EQ(change.bundle->jwt_keys_der.size(), 2u);
  }
  EXPECT_EQ(ReasonOf(TaintJwtKey(JwtState(), JwtDomain(), "gone", std::nullopt, kJwtReason).status()), "JWT_KEY_STATE");
  EXPECT_TRUE(absl::IsNotFound(TaintJwtKey(JwtState(), JwtDomain(), "none", std::nullopt, kJwtReason).status()));
}

TEST(JwtKeyChange, ADatabaseWithoutKeysGetsItsFirstAndPublishesIt) {
  AuthoritiesAndBundle state = JwtState();
  EXPECT_EQ(JwtKeysFault(state), "");
  state.jwt_authorities.clear();
  state.bundle->jwt_keys_der.clear();
  EXPECT_THAT(JwtKeysFault(state), HasSubstr("no key signs"));
  EXPECT_TRUE(NeedsFirstJwtKey(state));
  EXPECT_TRUE(absl::IsAborted(MendJwtKeys(state, JwtDomain(), std::nullopt, kJwtReason).status()));
  const AuthorityChange change = MendJwtKeys(state, JwtDomain(), NewJwt("first"), kJwtReason).value();
  EXPECT_THAT(JwtStates(change), ElementsAre(Pair("first", AuthorityState::kActive)));
  EXPECT_EQ(change.bundle->sequence_number, 6u);
  EXPECT_THAT(change.bundle->jwt_keys_der, ElementsAre("public first"));
  EXPECT_EQ(JwtRowOf(change, "first").published_sequence, 6u);
  EXPECT_EQ(change.audit.front().action, "jwt.mend");
  EXPECT_EQ(JwtKeysFault({}), "") << "a trust domain that has not begun lacks nothing";
}

TEST(JwtKeyChange, WhatAnEarlierMeshcaLeftOutOfABundleIsPublishedAgainAndCountsAnew) {
  AuthoritiesAndBundle state = JwtState();
  state.bundle->sequence_number = 9;
  state.bundle->jwt_keys_der.clear();
  EXPECT_THAT(JwtKeysFault(state), HasSubstr("bundle 9 lacks keys"));
  const AuthorityChange change = MendJwtKeys(state, JwtDomain(), std::nullopt, kJwtReason).value();
  EXPECT_EQ(change.bundle->sequence_number, 10u);
  EXPECT_THAT(change.bundle->jwt_keys_der, ElementsAre("public old", "public active", "public next"));
  EXPECT_EQ(JwtRowOf(change, "next").state, AuthorityState::kPrepared);
  EXPECT_EQ(JwtRowOf(change, "next").published_sequence, 10u);
}

TEST(JwtKeyChange, AfterARestoreTheNextKeyComesAndItsEvidenceBeginsAnew) {
  for (const bool prepared : {false, true}) {
    AuthorityChange change;
    const AuthoritiesAndBundle state = JwtState(prepared);
    change.bundle = state.bundle;
    change.bundle->sequence_number = 1000;
    RestartJwtKeys(state, NewJwt("fresh"), kJwtReason, change);
    const std::string next = prepared ? "next" : "fresh";
    EXPECT_THAT(JwtStates(change), ElementsAre(Pair(next, AuthorityState::kPrepared)));
    EXPECT_EQ(JwtRowOf(change, next).published_sequence, 1000u);
    EXPECT_THAT(change.bundle->jwt_keys_der, ElementsAre("public old", "public active", "public " + next));
  }
  AuthorityChange nothing;
  RestartJwtKeys({}, NewJwt("fresh"), kJwtReason, nothing);
  EXPECT_TRUE(nothing.jwt_authorities.empty()) << "the first key is made by another change";
}

TEST(JwtKeyChange, RootsChangeWithoutTouchingTheKeys) {
  AuthorityChange change;
  PublishRoots(JwtState(), {"root", "another"}, kChangedAt, change);
  EXPECT_EQ(change.bundle->sequence_number, 6u);
  EXPECT_EQ(change.bundle->jwt_keys_der, JwtState().bundle->jwt_keys_der);
}

// ---- rows ----

TEST(JwtAuthorityRows, AKeyOpensFromItsOwnRowAlone) {
  FakeKeyStore keys;
  const StoredJwtAuthority one = MakeJwtAuthority(keys, kChangedAt).value();
  const StoredJwtAuthority two = MakeJwtAuthority(keys, kChangedAt).value();
  EXPECT_EQ(one.key_id.size(), 43u);
  EXPECT_NE(one.key_id, two.key_id);
  EXPECT_EQ(OpenJwtKey(keys, one).value()->key_id, one.key_id);
  EXPECT_EQ(ToJwtAuthority(one)->key.key_id, one.key_id);
  StoredJwtAuthority exchanged = one;
  exchanged.sealed_key = two.sealed_key;
  EXPECT_TRUE(absl::IsDataLoss(OpenJwtKey(keys, exchanged).status()));
  StoredJwtAuthority renamed = one;
  renamed.key_id = two.key_id;
  EXPECT_TRUE(absl::IsDataLoss(OpenJwtKey(keys, renamed).status()));
  EXPECT_TRUE(absl::IsDataLoss(ToJwtAuthority(renamed).status()));
  keys.UseLetter('x');
  EXPECT_TRUE(absl::IsDataLoss(OpenJwtKey(keys, one).status()));
}

TEST(JwtAuthorityRows, NoKidCanBeTakenForAnOption) {
  FakeKeyStore keys;
  for (int i = 0; i < 200; ++i) EXPECT_NE(MakeJwtAuthority(keys, kChangedAt)->key_id[0], '-');
  EXPECT_GE(keys.generated, 200);
}

}  // namespace
}  // namespace meshca
