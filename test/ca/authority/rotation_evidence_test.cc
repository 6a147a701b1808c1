#include "ca/authority/rotation_evidence.h"

#include <functional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meshca {
namespace {

using Act = RotationDecision::Act;
using For = EvidenceJudge::For;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const absl::Time kNow = absl::FromUnixSeconds(1767323045);
constexpr absl::Duration kHour = absl::Hours(1);

EvidencePolicy Policy() { return {absl::Seconds(2), absl::Minutes(10), absl::Hours(24)}; }

// An Envoy that holds both roots and a key under the old one, an hour after they were published.
SubscriberRecord Envoy(const std::string& instance) {
  SubscriberRecord record;
  record.instance = instance;
  record.spiffe_id = "spiffe://td/" + instance;
  record.node = "node-of-" + instance;
  record.kind = "sds-unix";
  record.connected = true;
  record.first_seen = kNow - 5 * kHour;
  record.last_seen = kNow - kHour;
  record.trust_version = 8;
  record.serial = "0a";
  record.authority_id = "issuing-old";
  record.takes_bundle = true;
  record.takes_key = true;
  record.certificate_expires = kNow + kHour;
  return record;
}

SubscriberRecord With(std::string instance, const std::function<void(SubscriberRecord&)>& change) {
  SubscriberRecord record = Envoy(instance);
  change(record);
  return record;
}

RotationFacts Facts(RotationStep step, std::vector<SubscriberRecord> subscribers) {
  RotationFacts facts;
  facts.now = kNow;
  facts.rotation.number = 1;
  facts.rotation.step = step;
  facts.rotation.automatic = true;
  facts.rotation.old_root_id = "old";
  facts.rotation.new_root_id = "new";
  facts.rotation.bundle_sequence = 8;
  facts.rotation.retire_sequence = 10;
  facts.rotation.published_at = kNow - kHour;
  facts.rotation.step_at = kNow - kHour;
  facts.subscribers = std::move(subscribers);
  facts.root_of = {{"issuing-old", "old"}, {"issuing-new", "new"}, {"old", "old"}, {"new", "new"}};
  return facts;
}

LiveLeaf Leaf(const std::string& instance, absl::Time not_after) {
  LiveLeaf leaf;
  leaf.serial = "0b";
  leaf.spiffe_id = "spiffe://td/foreign";
  leaf.instance = instance;
  leaf.caller = "token 5f";
  leaf.authority_id = "issuing-old";
  leaf.issued_at = kNow - 2 * kHour;
  leaf.not_after = not_after;
  return leaf;
}

// Of an authority that was exported before the rotation began, and ends tomorrow.
ExportedFact Exported(const std::string& root_id, absl::Time ends = kNow + 24 * kHour) {
  return {"3fa9c2e1b0d45678aaaa", root_id, "0e", kNow - 48 * kHour, ends};
}

struct ExportedCase {
  const char* name;
  For step;
  std::function<void(RotationFacts&)> facts;
  uint64_t behind;
  uint64_t unseen;  // whether leaves carry the cross-certificate
};

class ExportedEvidence : public testing::TestWithParam<ExportedCase> {};

TEST_P(ExportedEvidence, CountsLikeALeafUntilItEnds) {
  RotationFacts facts = Facts(RotationStep::kDrain, {});
  facts.exported = {Exported("old")};
  GetParam().facts(facts);
  const RotationEvidence evidence = EvidenceJudge(GetParam().step, facts, Policy()).Take();
  EXPECT_EQ(evidence.leaves_behind, GetParam().behind);
  EXPECT_EQ(evidence.roots_unseen, GetParam().unseen);
  ASSERT_THAT(evidence.laggards, SizeIs(GetParam().behind));
  if (evidence.laggards.empty()) return;
  EXPECT_EQ(LaggardReasonName(evidence.laggards[0].reason), "exported-authority");
  EXPECT_EQ(evidence.laggards[0].until, kNow + 24 * kHour);
  EXPECT_EQ(evidence.until, kNow + 24 * kHour);
  EXPECT_THAT(LaggardText(evidence.laggards[0]),
              HasSubstr("issuing authority 3fa9c2e1b0d45678: may sign elsewhere under the old root"));
}

INSTANTIATE_TEST_SUITE_P(
    Rules, ExportedEvidence,
    testing::Values(
        ExportedCase{"HoldsUpTheRetirement", For::kRetirement, [](RotationFacts&) {}, 1, 1},
        ExportedCase{"HoweverItsConsumersGetTheirRoots", For::kRetirement,
                     [](RotationFacts& f) { f.rotation.external_confirmed = true; }, 1, 0},
        ExportedCase{"NotUnderTheNewRoot", For::kRetirement, [](RotationFacts& f) { f.exported = {Exported("new")}; },
                     0, 0},
        ExportedCase{"NotWhenItHasEnded", For::kRetirement,
                     [](RotationFacts& f) { f.exported = {Exported("old", kNow)}; }, 0, 0},
        ExportedCase{"NotTheActivationWhereItIsCrossCertified", For::kActivation, [](RotationFacts&) {}, 0, 1},
        ExportedCase{"TheActivationWhereNothingElseServes", For::kActivation,
                     [](RotationFacts& f) { f.cross_certified = false; }, 1, 1},
        ExportedCase{"NotTheActivationByTheOperatorsWord", For::kActivation,
                     [](RotationFacts& f) { f.cross_certified = false, f.rotation.external_confirmed = true; }, 0, 0},
        ExportedCase{"NotTheEnd", For::kEnd, [](RotationFacts&) {}, 0, 0}),
    [](const auto& info) { return std::string(info.param.name); });

// What it signed is other people's: the grace of an emergency is for subscribers that are silent.
TEST(ExportedEvidence, IsLeftOutByNoGrace) {
  RotationFacts facts = Facts(RotationStep::kDrain, {});
  facts.exported = {Exported("old")};
  facts.rotation.emergency = true;
  facts.grace_ends = kNow - kHour;
  const RotationEvidence evidence = EvidenceJudge(For::kRetirement, facts, Policy()).Take();
  EXPECT_EQ(DecideNextAct(facts, evidence, absl::InfiniteFuture(), 0, absl::InfinitePast(), Policy()).act, Act::kWait);
  facts.rotation.deadline = kNow;
  EXPECT_EQ(DecideNextAct(facts, evidence, absl::InfiniteFuture(), 0, absl::InfinitePast(), Policy()).act,
            Act::kRetire);
}

struct EvidenceCase {
  const char* name;
  For step;
  std::function<void(RotationFacts&)> facts;
  uint64_t counted;  // instances that count
  uint64_t behind;
  const char* reason;  // of the first laggard; "" for none
};

class Evidence : public testing::TestWithParam<EvidenceCase> {};

TEST_P(Evidence, Counts) {
  RotationFacts facts = Facts(RotationStep::kDistribute, {});
  GetParam().facts(facts);
  const RotationEvidence evidence = EvidenceJudge(GetParam().step, facts, Policy()).Take();
  EXPECT_EQ(evidence.subscribers, GetParam().counted);
  EXPECT_EQ(evidence.subscribers_behind, GetParam().behind);
  EXPECT_EQ(evidence.Satisfied(), GetParam().behind == 0);
  ASSERT_THAT(evidence.laggards, SizeIs(GetParam().behind));
  EXPECT_EQ(evidence.laggards.empty() ? "" : LaggardReasonName(evidence.laggards[0].reason), GetParam().reason);
}

auto One(std::function<void(SubscriberRecord&)> change) {
  return [change = std::move(change)](RotationFacts& facts) { facts.subscribers = {With("a", change)}; };
}

INSTANTIATE_TEST_SUITE_P(
    Rules, Evidence,
    testing::Values(
        EvidenceCase{"NobodyIsEnough", For::kActivation, [](RotationFacts&) {}, 0, 0, ""},
        EvidenceCase{"HoldsBothRoots", For::kActivation, One([](auto&) {}), 1, 0, ""},
        EvidenceCase{"HoldsTheOldBundle", For::kActivation, One([](auto& r) { r.trust_version = 7; }), 1, 1,
                     "not-acknowledged"},
        EvidenceCase{"NeverAcknowledged", For::kActivation, One([](auto& r) { r.trust_version = 0; }), 1, 1,
                     "not-acknowledged"},
        EvidenceCase{"Rejected", For::kActivation,
                     One([](auto& r) { r.trust_version = 0, r.rejected = "no such curve"; }), 1, 1, "rejected"},
        EvidenceCase{"LeftAndItsCertificateLives", For::kActivation,
                     One([](auto& r) { r.connected = false, r.trust_version = 7; }), 1, 1, "not-acknowledged"},
        EvidenceCase{"LeftAndItsCertificateEndedLessThanTheSkewAgo", For::kActivation, One([](auto& r) {
                       r.connected = false, r.trust_version = 7, r.certificate_expires = kNow - absl::Minutes(9);
                     }),
                     1, 1, "not-acknowledged"},
        EvidenceCase{"LeftAndItsCertificateEnded", For::kActivation, One([](auto& r) {
                       r.connected = false, r.trust_version = 7, r.certificate_expires = kNow - absl::Minutes(10);
                     }),
                     0, 0, ""},
        EvidenceCase{"LeftWithoutACertificateCountsOneLeafLifetime", For::kActivation, One([](auto& r) {
                       r.connected = false, r.trust_version = 7, r.certificate_expires = absl::InfinitePast();
                       r.last_seen = kNow - absl::Hours(23);
                     }),
                     1, 1, "not-acknowledged"},
        EvidenceCase{"LeftWithoutACertificateLongAgo", For::kActivation, One([](auto& r) {
                       r.connected = false, r.trust_version = 7, r.certificate_expires = absl::InfinitePast();
                       r.last_seen = kNow - absl::Hours(24);
                     }),
                     0, 0, ""},
        EvidenceCase{"ConnectedCountsHoweverOldItsCertificate", For::kActivation,
                     One([](auto& r) { r.trust_version = 7, r.certificate_expires = kNow - absl::Hours(99); }), 1, 1,
                     "not-acknowledged"},
        EvidenceCase{"WasDeliveredBothRoots", For::kActivation, One([](auto& r) {
                       r.kind = std::string(kWorkloadApiKind);
                       r.acknowledged_at = absl::InfinitePast();
                       r.delivered_at = kNow;
                     }),
                     1, 0, ""},
        EvidenceCase{"TakesJwtKeysAlone", For::kActivation, One([](auto& r) {
                       r.kind = std::string(kWorkloadJwtKind);
                       r.takes_bundle = r.takes_key = false;
                       r.takes_jwt_keys = true;
                       r.trust_version = 0;
                     }),
                     0, 0, ""},
        EvidenceCase{"Evicted", For::kActivation,
                     One([](auto& r) { r.connected = false, r.trust_version = 7, r.evicted_at = kNow; }), 0, 0, ""},
        EvidenceCase{"TakesNothing", For::kActivation,
                     One([](auto& r) { r.takes_bundle = r.takes_key = false, r.trust_version = 0; }), 0, 0, ""},
        EvidenceCase{"KeyAloneBeforeActivation", For::kActivation,
                     One([](auto& r) { r.takes_bundle = false, r.trust_version = 0; }), 1, 0, ""},
        EvidenceCase{"KeyAloneWithoutACrossCertificate", For::kActivation,
                     [](RotationFacts& facts) {
                       facts.cross_certified = false;
                       facts.subscribers = {With("a", [](auto& r) { r.takes_bundle = false; })};
                     },
                     1, 1, "roots-unobserved"},
        EvidenceCase{"KeyUnderTheOldRoot", For::kRetirement, One([](auto&) {}), 1, 1, "old-key"},
        EvidenceCase{"KeyUnderTheNewRoot", For::kRetirement, One([](auto& r) { r.authority_id = "issuing-new"; }), 1, 0,
                     ""},
        EvidenceCase{"KeyOfAnUnknownAuthority", For::kRetirement, One([](auto& r) { r.authority_id = "who"; }), 1, 1,
                     "old-key"},
        EvidenceCase{"KeyNotYetAcknowledged", For::kRetirement, One([](auto& r) { r.authority_id = "", r.serial = ""; }),
                     1, 1, "old-key"},
        EvidenceCase{"NewKeyWithoutBothRoots", For::kRetirement,
                     One([](auto& r) { r.authority_id = "issuing-new", r.trust_version = 7; }), 1, 1,
                     "not-acknowledged"},
        EvidenceCase{"BundleAloneNeedsNoKey", For::kRetirement,
                     One([](auto& r) { r.takes_key = false, r.authority_id = ""; }), 1, 0, ""},
        EvidenceCase{"KeyAloneBeforeRetirement", For::kRetirement,
                     One([](auto& r) { r.takes_bundle = false, r.authority_id = "issuing-new"; }), 1, 1,
                     "roots-unobserved"},
        EvidenceCase{"KeyAloneConfirmed", For::kRetirement,
                     [](RotationFacts& facts) {
                       facts.rotation.external_confirmed = true;
                       facts.subscribers = {
                           With("a", [](auto& r) { r.takes_bundle = false, r.authority_id = "issuing-new"; })};
                     },
                     1, 0, ""},
        EvidenceCase{"TheEndWantsTheBundleWithoutTheOldRoot", For::kEnd, One([](auto& r) { r.trust_version = 9; }), 1,
                     1, "not-acknowledged"},
        EvidenceCase{"TheEndIsReached", For::kEnd, One([](auto& r) { r.trust_version = 10; }), 1, 0, ""},
        EvidenceCase{"TheEndDoesNotWaitForWhoLeft", For::kEnd, One([](auto& r) { r.connected = false; }), 0, 0, ""},
        EvidenceCase{"AnEmergencyDoesNotWaitForWhoLeft", For::kActivation,
                     [](RotationFacts& facts) {
                       facts.rotation.emergency = true;
                       facts.subscribers = {With("a", [](auto& r) { r.connected = false, r.trust_version = 7; }),
                                            With("b", [](auto& r) { r.trust_version = 7; })};
                     },
                     1, 1, "not-acknowledged"},
        EvidenceCase{"AnEmergencyWithoutACrossCertificateDoes", For::kActivation,
                     [](RotationFacts& facts) {
                       facts.rotation.emergency = true;
                       facts.cross_certified = false;
                       facts.subscribers = {With("a", [](auto& r) { r.connected = false, r.trust_version = 7; })};
                     },
                     1, 1, "not-acknowledged"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(EvidenceOf, SaysWhetherSomebodyMayHoldTheOldRootAlone) {
  const auto may = [](const RotationFacts& facts) {
    return MayHoldOldRootAlone(facts, EvidenceJudge(For::kActivation, facts, Policy()).Take());
  };
  RotationFacts facts = Facts(RotationStep::kDistribute, {Envoy("a")});
  EXPECT_FALSE(may(facts));
  facts.rotation.emergency = true;
  EXPECT_TRUE(may(facts)) << "who has left was not asked";
  facts = Facts(RotationStep::kDistribute, {With("a", [](auto& r) { r.trust_version = 7; })});
  EXPECT_TRUE(may(facts)) << "its activation would be forced";
  facts = Facts(RotationStep::kDistribute, {Envoy("a"), With("b", [](auto& r) { r.takes_bundle = false; })});
  EXPECT_TRUE(may(facts)) << "nobody knows which roots it reads";
  facts.rotation.external_confirmed = true;
  EXPECT_FALSE(may(facts));
  facts.rotation.external_confirmed = false;
  facts.subscribers[1].evicted_at = kNow;
  EXPECT_FALSE(may(facts));
}

TEST(EvidenceOf, LeavesCountUnlessTheirSubscriberIsKnown) {
  const RotationFacts facts = Facts(RotationStep::kDrain, {With("a", [](auto& r) { r.authority_id = "issuing-new"; })});
  EvidenceJudge judge(For::kRetirement, facts, Policy());
  judge.AddLeaf(Leaf("a", kNow + kHour));
  judge.AddLeaf(Leaf("", kNow + 2 * kHour));
  judge.AddLeaf(Leaf("pid 7", kNow + 3 * kHour));
  const RotationEvidence evidence = std::move(judge).Take();
  EXPECT_EQ(evidence.subscribers_behind, 0u);
  EXPECT_EQ(evidence.leaves_behind, 2u);
  EXPECT_EQ(evidence.until, kNow + 3 * kHour + absl::Minutes(10));
  EXPECT_FALSE(evidence.Satisfied());
}

TEST(EvidenceOf, ASharedLeafIsJudgedByItsHoldersAlone) {
  for (const char* held_under : {"issuing-old", "issuing-new"}) {
    RotationFacts facts = Facts(RotationStep::kDrain, {With("a", [&](auto& r) { r.authority_id = held_under; })});
    facts.shared_key_instances = {"shared"};
    EvidenceJudge judge(For::kRetirement, facts, Policy());
    judge.AddLeaf(Leaf("shared", kNow + kHour));
    const RotationEvidence evidence = std::move(judge).Take();
    EXPECT_EQ(evidence.leaves_behind, 0u) << "it is not a stranger's";
    EXPECT_EQ(evidence.subscribers_behind, held_under == std::string("issuing-old") ? 1u : 0u);
  }
}

TEST(EvidenceOf, ShowsAHundredAndCountsAll) {
  const RotationFacts facts = Facts(RotationStep::kDrain, {});
  EvidenceJudge judge(For::kRetirement, facts, Policy());
  for (int i = 0; i < 1000; ++i) judge.AddLeaf(Leaf("", kNow + absl::Seconds(i)));
  const RotationEvidence evidence = std::move(judge).Take();
  EXPECT_EQ(evidence.leaves_behind, 1000u);
  EXPECT_THAT(evidence.laggards, SizeIs(100));
  EXPECT_EQ(evidence.until, kNow + absl::Seconds(999) + absl::Minutes(10));
}

TEST(EvidenceOf, AsksForTheLeavesOfItsStep) {
  const RotationFacts facts = Facts(RotationStep::kDistribute, {});
  const auto before = EvidenceJudge(For::kActivation, facts, Policy()).Query("spiffe://td/meshca/server");
  ASSERT_TRUE(before.has_value());
  EXPECT_EQ(before->root_id, "");
  EXPECT_EQ(before->issued_before, facts.rotation.published_at + 10 * Policy().settle)
      << "an answer under way then held the bundle of before";
  EXPECT_EQ(before->alive_at, kNow - absl::Minutes(10));
  EXPECT_EQ(before->except_spiffe_id, "spiffe://td/meshca/server");
  const auto after = EvidenceJudge(For::kRetirement, facts, Policy()).Query("");
  ASSERT_TRUE(after.has_value());
  EXPECT_EQ(after->root_id, "old");
  EXPECT_EQ(after->issued_before, absl::InfiniteFuture());
  EXPECT_FALSE(EvidenceJudge(For::kEnd, facts, Policy()).Query("").has_value());
}

TEST(EvidenceOf, NamesWhoIsBehindAndWhatToDo) {
  const RotationFacts facts = Facts(
      RotationStep::kDistribute, {With("left", [](auto& r) { r.connected = false, r.trust_version = 7; }),
                                  With("loud", [](auto& r) { r.trust_version = 0, r.rejected = "unsupported key"; })});
  const RotationEvidence evidence = EvidenceJudge(For::kActivation, facts, Policy()).Take();
  ASSERT_THAT(evidence.laggards, SizeIs(2));
  // Who is connected comes first.
  EXPECT_THAT(LaggardText(evidence.laggards[0]),
              testing::AllOf(HasSubstr("spiffe://td/loud on node-of-loud (loud)"), HasSubstr("unsupported key")));
  EXPECT_THAT(LaggardText(evidence.laggards[1]),
              testing::AllOf(HasSubstr("holds bundle 7"), HasSubstr("until 2026-01-02 04:14:05 UTC"),
                             HasSubstr("meshca subscriber evict 'left'")));
}

// Knows that the holders of leaves with "gone" in their instance's name are gone.
class KnowsWhoIsGone final : public RotationAdvisor {
 public:
  bool HolderIsGone(const LiveLeaf& leaf) const override { return leaf.instance.find("gone") != std::string::npos; }
  void AdviseOn(const LiveLeaf&, const RootRotation&, Laggard& laggard) const override {
    laggard.renews_by = kNow + kHour;
    laggard.detail = "restart it";
  }
  std::vector<std::string> NeededRestarts(const RootRotation&) const override { return {}; }
};

TEST(EvidenceOf, LeavesOutWhoseHolderIsGoneAndSaysWhenOthersRenew) {
  const RotationFacts facts = Facts(RotationStep::kDrain, {});
  const KnowsWhoIsGone advisor;
  EvidenceJudge judge(For::kRetirement, facts, Policy(), &advisor);
  judge.AddLeaf(Leaf("gone pod", kNow + 24 * kHour));
  judge.AddLeaf(Leaf("pod web/front-1", kNow + 2 * kHour));
  const RotationEvidence evidence = std::move(judge).Take();
  EXPECT_EQ(evidence.leaves_behind, 1u);
  EXPECT_EQ(evidence.until, kNow + 2 * kHour + absl::Minutes(10));
  ASSERT_THAT(evidence.laggards, SizeIs(1));
  EXPECT_THAT(LaggardText(evidence.laggards[0]),
              testing::AllOf(HasSubstr("(pod web/front-1)"),
                             HasSubstr("renews by itself at the latest at 2026-01-02 04:04:05 UTC: restart it")));
}

struct DecisionCase {
  const char* name;
  RotationStep step;
  std::function<void(RotationFacts&)> facts;
  bool whole;                // the evidence
  absl::Duration whole_for;  // since when
  uint64_t reissue_left;
  Act act;
  const char* forced_by;
  const char* waiting_for;
  absl::Time retire_not_before = absl::InfinitePast();
  uint64_t leaves = 0;
};

class Decision : public testing::TestWithParam<DecisionCase> {};

TEST_P(Decision, Follows) {
  const DecisionCase& test = GetParam();
  RotationFacts facts = Facts(test.step, {});
  if (test.facts) test.facts(facts);
  RotationEvidence evidence;
  evidence.subscribers = 3;
  if (!test.whole) evidence.subscribers_behind = 1;
  evidence.leaves_behind = test.leaves;
  const RotationDecision decision =
      DecideNextAct(facts, evidence, test.whole ? kNow - test.whole_for : absl::InfiniteFuture(), test.reissue_left,
                    test.retire_not_before, Policy());
  EXPECT_EQ(decision.act, test.act);
  EXPECT_EQ(ForcedByName(decision.forced_by), test.forced_by);
  EXPECT_THAT(decision.waiting_for, HasSubstr(test.waiting_for));
  if (test.act != Act::kWait) {
    EXPECT_THAT(decision.waiting_for, IsEmpty());
  }
}

void ByHand(RotationFacts& facts) { facts.rotation.automatic = false; }
void PastDeadline(RotationFacts& facts) { facts.rotation.deadline = kNow; }
std::function<void(RotationFacts&)> Graced(absl::Duration left) {
  return [left](RotationFacts& facts) { facts.grace_ends = kNow + left; };
}
std::function<void(RotationFacts&)> ReissueEndsIn(absl::Duration left) {
  return [left](RotationFacts& facts) { facts.reissue_ends = kNow + left; };
}

INSTANTIATE_TEST_SUITE_P(
    Steps, Decision,
    testing::Values(
        DecisionCase{"PrepareIsPublished", RotationStep::kPrepare, nullptr, false, {}, 0, Act::kPublish, "", ""},
        DecisionCase{
            "DistributeWaits", RotationStep::kDistribute, nullptr, false, {}, 0, Act::kWait, "", "1 of 3 subscribers"},
        DecisionCase{"DistributeSettles", RotationStep::kDistribute, nullptr, true, absl::Seconds(1), 0, Act::kWait, "",
                     "settling"},
        DecisionCase{"DistributeEnds", RotationStep::kDistribute, nullptr, true, absl::Seconds(2), 0, Act::kActivate,
                     "", ""},
        DecisionCase{"DistributeByHand", RotationStep::kDistribute, ByHand, true, kHour, 0, Act::kWait, "",
                     "meshca root activate"},
        DecisionCase{"DistributeCutOff",
                     RotationStep::kDistribute,
                     PastDeadline,
                     false,
                     {},
                     0,
                     Act::kActivate,
                     "the deadline",
                     ""},
        DecisionCase{"NobodyIsCutOffWhereNobodyIsBehind", RotationStep::kDistribute, PastDeadline, true, kHour, 0,
                     Act::kActivate, "", ""},
        DecisionCase{"ReissueWaits", RotationStep::kReissue, nullptr, true, kHour, 7, Act::kWait, "", "7 keys"},
        DecisionCase{"ReissueEnds", RotationStep::kReissue, nullptr, false, {}, 0, Act::kDrain, "", ""},
        DecisionCase{"ReissueByHandEndsToo", RotationStep::kReissue, ByHand, false, {}, 0, Act::kDrain, "", ""},
        DecisionCase{"ReissueCutOff", RotationStep::kReissue, PastDeadline, false, {}, 7, Act::kDrain, "", ""},
        DecisionCase{"DrainWaits", RotationStep::kDrain, nullptr, false, {}, 0, Act::kWait, "", "under the old root"},
        DecisionCase{"DrainSettles", RotationStep::kDrain, nullptr, true, {}, 0, Act::kWait, "", "settling"},
        DecisionCase{"DrainEnds", RotationStep::kDrain, nullptr, true, kHour, 0, Act::kRetire, "", ""},
        DecisionCase{"DrainByHand", RotationStep::kDrain, ByHand, true, kHour, 0, Act::kWait, "", "meshca root retire"},
        DecisionCase{"DrainCutOff", RotationStep::kDrain, PastDeadline, false, {}, 0, Act::kRetire, "the deadline", ""},
        DecisionCase{"DrainAfterARestore", RotationStep::kDrain, nullptr, true, kHour, 0, Act::kWait, "",
                     "restored from a backup", kNow + kHour},
        DecisionCase{
            "RetireWaits", RotationStep::kRetire, nullptr, false, {}, 0, Act::kWait, "", "leave the bundles of 1 of 3"},
        DecisionCase{"RetireEnds", RotationStep::kRetire, nullptr, true, kHour, 0, Act::kFinish, "", ""},
        DecisionCase{"RetireEndsByHandToo", RotationStep::kRetire, ByHand, true, kHour, 0, Act::kFinish, "", ""},
        DecisionCase{"AnEmergencySaysHowLongTheSilentHoldItUp",
                     RotationStep::kDistribute,
                     Graced(kHour),
                     false,
                     {},
                     0,
                     Act::kWait,
                     "",
                     "subscribers hold an emergency up until 04:04:05Z"},
        DecisionCase{"AnEmergencyActivatesWithoutTheSilent",
                     RotationStep::kDistribute,
                     Graced({}),
                     false,
                     {},
                     0,
                     Act::kActivate,
                     "the emergency grace",
                     ""},
        DecisionCase{"AnEmergencyRetiresWithoutTheSilent",
                     RotationStep::kDrain,
                     Graced({}),
                     false,
                     {},
                     0,
                     Act::kRetire,
                     "the emergency grace",
                     ""},
        DecisionCase{"AnEmergencyEndsWithoutTheSilent",
                     RotationStep::kRetire,
                     Graced({}),
                     false,
                     {},
                     0,
                     Act::kFinish,
                     "the emergency grace",
                     ""},
        DecisionCase{"NobodyIsLeftOutWhereNobodyIsSilent", RotationStep::kDrain, Graced({}), true, kHour, 0,
                     Act::kRetire, "", ""},
        DecisionCase{"TheGraceLeavesNoForeignCertificateOut",
                     RotationStep::kDrain,
                     Graced({}),
                     false,
                     {},
                     0,
                     Act::kWait,
                     "",
                     "hold an emergency up no longer",
                     absl::InfinitePast(),
                     /*leaves=*/1},
        DecisionCase{"TheDeadlineLeavesForeignCertificatesOut",
                     RotationStep::kDrain,
                     PastDeadline,
                     false,
                     {},
                     0,
                     Act::kRetire,
                     "the deadline",
                     "",
                     absl::InfinitePast(),
                     /*leaves=*/1},
        DecisionCase{"ARestoreIsWaitedOutInAnEmergencyToo",
                     RotationStep::kDrain,
                     Graced({}),
                     false,
                     {},
                     0,
                     Act::kWait,
                     "",
                     "restored from a backup",
                     kNow + kHour},
        DecisionCase{"AnEmergencyReissuesForItsTime",
                     RotationStep::kReissue,
                     ReissueEndsIn(absl::Seconds(1)),
                     false,
                     {},
                     7,
                     Act::kWait,
                     "",
                     "7 keys"},
        DecisionCase{"AnEmergencyDoesNotReissueForEver",
                     RotationStep::kReissue,
                     ReissueEndsIn({}),
                     false,
                     {},
                     7,
                     Act::kDrain,
                     "",
                     ""},
        DecisionCase{"DoneIsDone", RotationStep::kDone, nullptr, true, kHour, 0, Act::kWait, "", ""}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace meshca
