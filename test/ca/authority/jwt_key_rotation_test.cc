// What the keys of JWT-SVIDs need next, as tables: whom the next key waits for, and when a key comes, signs and goes.
#include "ca/authority/jwt_key_rotation.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meshca {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using JwtAct = JwtKeyDecision::Act;

const absl::Time kJwtNow = absl::FromUnixSeconds(1767323045);

JwtAuthority JwtRow(const std::string& id, AuthorityState state, absl::Duration age = absl::Hours(1)) {
  JwtAuthority key;
  key.key.key_id = id;
  key.state = state;
  key.created_at = kJwtNow - age;
  key.published_version = 7;
  if (state != AuthorityState::kPrepared) key.activated_at = kJwtNow - age;
  if (state == AuthorityState::kOld) key.replaced_at = kJwtNow - age;
  return key;
}
JwtAuthority ActiveJwtRow(absl::Duration age = absl::Hours(1)) {
  return JwtRow("active", AuthorityState::kActive, age);
}
JwtAuthority PreparedJwtRow() { return JwtRow("next", AuthorityState::kPrepared); }

SubscriberRecord JwtConsumer(const std::string& instance, TrustVersion holds) {
  SubscriberRecord record;
  record.instance = instance;
  record.spiffe_id = "spiffe://td.test/" + instance;
  record.connected = true;
  record.takes_jwt_keys = true;
  record.trust_version = holds;
  record.first_seen = record.last_seen = kJwtNow - absl::Hours(2);
  return record;
}

struct ConsumerCase {
  const char* name;
  void (*make)(SubscriberRecord&);
  bool counts;
  bool behind;
};

class JwtEvidence : public testing::TestWithParam<ConsumerCase> {};

TEST_P(JwtEvidence, Counts) {
  JwtKeyFacts facts{kJwtNow, {ActiveJwtRow(), PreparedJwtRow()}, {JwtConsumer("c1", 6)}};
  GetParam().make(facts.subscribers[0]);
  const RotationEvidence evidence = JudgeJwtKey(facts, EvidencePolicy());
  EXPECT_EQ(evidence.subscribers, GetParam().counts ? 1u : 0u);
  EXPECT_EQ(evidence.subscribers_behind, GetParam().behind ? 1u : 0u);
  EXPECT_EQ(evidence.laggards.size(), GetParam().behind ? 1u : 0u);
}

INSTANTIATE_TEST_SUITE_P(
    Consumers, JwtEvidence,
    testing::Values(ConsumerCase{"WhoHoldsAnOlderTrust", [](SubscriberRecord&) {}, true, true},
                    ConsumerCase{"WhoHoldsTheKey", [](SubscriberRecord& r) { r.trust_version = 7; }, true, false},
                    ConsumerCase{"WhoHoldsALaterTrust", [](SubscriberRecord& r) { r.trust_version = 12; }, true, false},
                    ConsumerCase{"NotWhoTakesRootsAlone",
                                 [](SubscriberRecord& r) {
                                   r.takes_jwt_keys = false;
                                   r.takes_bundle = r.takes_key = true;
                                 },
                                 false, false},
                    ConsumerCase{"NotWhoWasEvicted", [](SubscriberRecord& r) { r.evicted_at = kJwtNow; }, false, false},
                    ConsumerCase{"WhoLeftAnHourAgo",
                                 [](SubscriberRecord& r) {
                                   r.connected = false;
                                   r.last_seen = kJwtNow - absl::Hours(1);
                                 },
                                 true, true},
                    ConsumerCase{"NotWhoLeftALeafsLifeAgo",
                                 [](SubscriberRecord& r) {
                                   r.connected = false;
                                   r.last_seen = kJwtNow - absl::Hours(25);
                                 },
                                 false, false},
                    ConsumerCase{"WhoLeftWithALiveCertificate",
                                 [](SubscriberRecord& r) {
                                   r.connected = false;
                                   r.last_seen = kJwtNow - absl::Hours(25);
                                   r.certificate_expires = kJwtNow + absl::Minutes(1);
                                 },
                                 true, true},
                    ConsumerCase{"NotWhoLeftAndWhoseCertificateEnded",
                                 [](SubscriberRecord& r) {
                                   r.connected = false;
                                   r.certificate_expires = kJwtNow - absl::Minutes(10);
                                 },
                                 false, false}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(JwtEvidence, NamesThoseWhoCanActFirstAndNobodyWhereNoKeyIsPrepared) {
  JwtKeyFacts facts{kJwtNow, {ActiveJwtRow(), PreparedJwtRow()}, {JwtConsumer("gone", 0), JwtConsumer("here", 0)}};
  facts.subscribers[0].connected = false;
  RotationEvidence evidence = JudgeJwtKey(facts, EvidencePolicy());
  ASSERT_EQ(evidence.laggards.size(), 2u);
  EXPECT_EQ(evidence.laggards[0].instance, "here");
  EXPECT_THAT(evidence.laggards[1].detail, HasSubstr("meshca subscriber evict 'gone'"));
  EXPECT_EQ(evidence.connected_behind, 1u);
  EXPECT_EQ(evidence.until, kJwtNow + absl::Hours(22));
  facts.keys.pop_back();
  EXPECT_TRUE(JudgeJwtKey(facts, EvidencePolicy()).Satisfied());
  EXPECT_EQ(JudgeJwtKey(facts, EvidencePolicy()).subscribers, 0u);
}

TEST(JwtEvidence, NamesTheFirstHundredAndCountsAll) {
  JwtKeyFacts facts{kJwtNow, {PreparedJwtRow()}, {}};
  for (int i = 0; i < 250; ++i) facts.subscribers.push_back(JwtConsumer(absl::StrCat("c", i), 0));
  const RotationEvidence evidence = JudgeJwtKey(facts, EvidencePolicy());
  EXPECT_EQ(evidence.subscribers_behind, 250u);
  EXPECT_EQ(evidence.laggards.size(), RotationEvidence::kLaggardsShown);
}

struct JwtDecisionCase {
  const char* name;
  std::vector<JwtAuthority> keys;
  uint64_t behind;
  absl::Duration satisfied_for;  // only where nobody is behind
  JwtAct act;
  const char* key_id;
  const char* waiting_for;
};

class JwtDecision : public testing::TestWithParam<JwtDecisionCase> {};

TEST_P(JwtDecision, IsTheNextAct) {
  const JwtDecisionCase& each = GetParam();
  RotationEvidence evidence;
  evidence.subscribers = 3;
  evidence.subscribers_behind = evidence.connected_behind = each.behind;
  const absl::Time since = each.behind > 0 ? absl::InfiniteFuture() : kJwtNow - each.satisfied_for;
  const JwtKeyDecision decision = DecideNextJwtAct({kJwtNow, each.keys, {}}, evidence, since, JwtKeyPolicy());
  EXPECT_EQ(decision.act, each.act);
  EXPECT_EQ(decision.key_id, each.key_id);
  EXPECT_THAT(decision.waiting_for, HasSubstr(each.waiting_for));
  if (decision.act == JwtAct::kWait) {
    EXPECT_GT(decision.due, kJwtNow);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Table, JwtDecision,
    testing::Values(
        JwtDecisionCase{"NothingWithoutKeys", {}, 0, {}, JwtAct::kWait, "", ""},
        JwtDecisionCase{"AYoungKeyGoesOn", {ActiveJwtRow()}, 0, {}, JwtAct::kWait, "", ""},
        JwtDecisionCase{
            "AMonthOldOneGetsASuccessor", {ActiveJwtRow(absl::Hours(24 * 30))}, 0, {}, JwtAct::kPublish, "", ""},
        JwtDecisionCase{"AnHourBeforeThatNot", {ActiveJwtRow(absl::Hours(24 * 30 - 1))}, 0, {}, JwtAct::kWait, "", ""},
        JwtDecisionCase{"OneMadeWhileTheClockWasAheadIsReplaced",
                        {ActiveJwtRow(-absl::Hours(24 * 400))},
                        0,
                        {},
                        JwtAct::kPublish,
                        "",
                        ""},
        JwtDecisionCase{"OneSuccessorAtATime",
                        {ActiveJwtRow(absl::Hours(24 * 90)), PreparedJwtRow()},
                        1,
                        {},
                        JwtAct::kWait,
                        "",
                        "the next key has to reach 1 of 3 subscribers"},
        JwtDecisionCase{"TheNextKeyWaitsForWhoIsBehind",
                        {ActiveJwtRow(), PreparedJwtRow()},
                        2,
                        {},
                        JwtAct::kWait,
                        "",
                        "2 of 3 subscribers"},
        JwtDecisionCase{
            "AndSettles", {ActiveJwtRow(), PreparedJwtRow()}, 0, absl::Seconds(1), JwtAct::kWait, "", "settling"},
        JwtDecisionCase{
            "AndSigns", {ActiveJwtRow(), PreparedJwtRow()}, 0, absl::Seconds(2), JwtAct::kActivate, "next", ""},
        JwtDecisionCase{"AnOldKeyStaysWhileItsTokensMayBeShown",
                        {JwtRow("old", AuthorityState::kOld, absl::Minutes(15) - absl::Seconds(1)), ActiveJwtRow()},
                        0,
                        {},
                        JwtAct::kWait,
                        "",
                        ""},
        JwtDecisionCase{"AndGoesAfterThat",
                        {JwtRow("old", AuthorityState::kOld, absl::Minutes(15)), ActiveJwtRow()},
                        0,
                        {},
                        JwtAct::kRetire,
                        "old",
                        ""},
        JwtDecisionCase{"ARetiredOneIsLeftAlone",
                        {JwtRow("gone", AuthorityState::kRetired, absl::Hours(24 * 90)), ActiveJwtRow()},
                        0,
                        {},
                        JwtAct::kWait,
                        "",
                        ""}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(JwtDecision, ARetirementNeverComesBeforeTheLeewayOfVerifiersHasPassed) {
  JwtKeyPolicy policy;
  policy.evidence.skew = absl::ZeroDuration();
  EXPECT_EQ(RetiresAt(kJwtNow, policy), kJwtNow + absl::Minutes(6));
}

TEST(JwtDecision, SaysWhenItIsDue) {
  RotationEvidence nobody;
  const auto due = [&](std::vector<JwtAuthority> keys, const RotationEvidence& evidence, absl::Time since) {
    return DecideNextJwtAct({kJwtNow, std::move(keys), {}}, evidence, since, JwtKeyPolicy()).due;
  };
  EXPECT_EQ(due({ActiveJwtRow()}, nobody, kJwtNow), kJwtNow + absl::Hours(24 * 30 - 1));
  EXPECT_EQ(due({JwtRow("old", AuthorityState::kOld, absl::Minutes(5)), ActiveJwtRow()}, nobody, kJwtNow),
            kJwtNow + absl::Minutes(10));
  EXPECT_EQ(due({ActiveJwtRow(), PreparedJwtRow()}, nobody, kJwtNow), kJwtNow + absl::Seconds(2));
  RotationEvidence gone;
  gone.subscribers_behind = 1;
  gone.until = kJwtNow + absl::Minutes(3);
  EXPECT_EQ(due({ActiveJwtRow(), PreparedJwtRow()}, gone, absl::InfiniteFuture()), gone.until);
  gone.connected_behind = 1;
  EXPECT_EQ(due({ActiveJwtRow(), PreparedJwtRow()}, gone, absl::InfiniteFuture()), absl::InfiniteFuture());
}

}  // namespace
}  // namespace meshca
