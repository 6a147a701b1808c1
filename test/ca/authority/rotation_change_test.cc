// Each step of a rotation of the root, tried at every state: what it changes, and where it is refused.
#include "ca/authority/rotation_change.h"

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/authority/cross_certificate.h"
#include "ca/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/authority/test_ca.h"

namespace meshca {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

constexpr AuthorityState kPrepared = AuthorityState::kPrepared;
constexpr AuthorityState kActive = AuthorityState::kActive;
constexpr AuthorityState kOld = AuthorityState::kOld;
constexpr AuthorityState kRetired = AuthorityState::kRetired;

const absl::Time kBegun = absl::FromUnixSeconds(1767323045);
const absl::Time kNow = kBegun + absl::Minutes(7);
const ChangeReason kReason = {"uid 0", "because", kNow};

TrustDomain Domain() { return TrustDomain::Parse("cluster.local").value(); }

StoredAuthority Row(AuthorityRole role, AuthorityState state, const std::string& id, const std::string& root_id) {
  StoredAuthority row;
  row.id = id;
  row.root_id = root_id;
  row.role = role;
  row.state = state;
  row.chain_der = {"der of " + id};
  row.created_at = kBegun;
  if (state != kPrepared) row.activated_at = kBegun;
  if (state != kRetired) row.key_reference = "sealed", row.sealed_key = "key of " + id;
  return row;
}
StoredAuthority Root(const std::string& id, AuthorityState state) { return Row(AuthorityRole::kRoot, state, id, id); }
StoredAuthority Issuing(const std::string& id, const std::string& root_id, AuthorityState state) {
  return Row(AuthorityRole::kIssuing, state, id, root_id);
}
// N, its key certified by O.
StoredAuthority NewRoot(AuthorityState state) {
  StoredAuthority row = Root("N", state);
  row.chain_der.push_back("der of N by O");
  return row;
}
StoredAuthority NewIssuing(AuthorityState state) {
  StoredAuthority row = Issuing("n1", "N", state);
  row.chain_der.push_back("der of N by O");
  return row;
}

// As the store holds it while a rotation from O to N is at a step. "none": there never was one.
AuthoritiesAndBundle StateAt(const std::string& step) {
  AuthoritiesAndBundle state;
  state.revision = 7;
  state.trust_domain = "cluster.local";
  const bool before = step == "none" || step == "prepare" || step == "distribute";
  const bool after = step == "retire" || step == "done";
  const AuthorityState old_state = before ? kActive : after ? kRetired : kOld;
  state.authorities = {Root("O", old_state), Issuing("o1", "O", old_state),
                       Issuing("o0", "O", before ? kOld : old_state)};
  state.bundle = StoredBundle{3, {"der of O"}, kBegun};
  if (step == "none") return state;
  if (before) {
    state.authorities.push_back(NewRoot(kPrepared));
  } else {
    state.authorities.push_back(NewRoot(kActive));
    state.authorities.push_back(NewIssuing(kActive));
  }
  if (step == "distribute") state.bundle = StoredBundle{4, {"der of O", "der of N"}, kBegun};
  if (!before) state.bundle = StoredBundle{5, {"der of N", "der of O"}, kBegun};
  if (after) state.bundle = StoredBundle{6, {"der of N"}, kBegun};
  RootRotation rotation;
  rotation.number = 3;
  for (const RotationStep each : {RotationStep::kPrepare, RotationStep::kDistribute, RotationStep::kReissue,
                                  RotationStep::kDrain, RotationStep::kRetire, RotationStep::kDone}) {
    if (RotationStepName(each) == step) rotation.step = each;
  }
  rotation.old_root_id = "O";
  rotation.new_root_id = "N";
  rotation.actor = "uid 7";
  rotation.started_at = rotation.step_at = kBegun;
  if (step != "prepare") rotation.bundle_sequence = 4, rotation.published_at = kBegun;
  if (after) rotation.retire_sequence = 6;
  state.rotation = rotation;
  return state;
}

const std::vector<std::string> kStates = {"none", "prepare", "distribute", "reissue", "drain", "retire", "done"};

absl::StatusOr<AuthorityChange> Prepare(const AuthoritiesAndBundle& state, const RotationOptions& options = {}) {
  meshca::NewRoot root;
  root.root = NewRoot(kPrepared);
  root.root.id = root.root.root_id = "M";
  return PrepareRotation(state, Domain(), std::move(root), options, kReason);
}
RotationOptions Emergency() {
  RotationOptions options;
  options.emergency = true;
  return options;
}

// One step, and the states at which it may be taken.
struct Act {
  const char* name;
  std::vector<std::string> allowed;
  std::function<absl::StatusOr<AuthorityChange>(const AuthoritiesAndBundle&)> take;
  const char* action;     // its first audit entry
  const char* next_step;  // of the rotation; "": that of before; "-": the rotation is forgotten
  const char* refused_as = "ROTATION_STEP";
};

const std::vector<Act>& Acts() {
  using State = const AuthoritiesAndBundle&;
  static const auto& acts = *new std::vector<Act>{
      {"Prepare",
       {"none", "done"},
       [](State state) { return Prepare(state); },
       "root.prepare",
       "prepare",
       "ROTATION_RUNS"},
      {"Publish",
       {"prepare"},
       [](State state) { return PublishRotation(state, Domain(), kReason); },
       "root.publish",
       "distribute"},
      {"Activate",
       {"distribute"},
       [](State state) {
         return ActivateRotation(state, Domain(), NewIssuing(kPrepared), LeafChains::kWithCross, "", kReason);
       },
       "root.activate",
       "reissue"},
      {"Drain",
       {"reissue"},
       [](State state) { return DrainRotation(state, Domain(), kReason); },
       "root.drain",
       "drain"},
      {"Retire",
       {"reissue", "drain"},
       [](State state) { return RetireRotation(state, Domain(), "", kReason); },
       "root.retire",
       "retire"},
      {"Finish",
       {"retire"},
       [](State state) { return FinishRotation(state, Domain(), "", kReason); },
       "root.done",
       "done"},
      {"Abort",
       {"prepare", "distribute"},
       [](State state) { return AbortRotation(state, Domain(), kReason); },
       "root.abort",
       "-"},
      {"RollBack",
       {"reissue", "drain"},
       [](State state) { return RollBackRotation(state, Domain(), Issuing("o2", "O", kPrepared), kReason); },
       "root.rollback",
       "reissue"},
      {"TakeOver",
       {"prepare", "distribute", "reissue", "drain", "retire"},
       [](State state) { return TakeOverRotation(state, Domain(), {}, kReason); },
       "root.take-over",
       ""},
      {"BecomeAnEmergency",
       {"prepare", "distribute"},
       [](State state) { return TakeOverRotation(state, Domain(), Emergency(), kReason); },
       "root.take-over",
       ""},
      {"ConfirmExternal",
       {"prepare", "distribute", "reissue", "drain", "retire"},
       [](State state) { return ConfirmExternal(state, Domain(), kReason); },
       "root.confirm-external",
       ""},
  };
  return acts;
}

struct Tried {
  Act act;
  std::string state;
};
std::vector<Tried> EveryActAtEveryState() {
  std::vector<Tried> all;
  for (const Act& act : Acts()) {
    for (const std::string& state : kStates) all.push_back({act, state});
  }
  return all;
}

class RotationStepAtState : public testing::TestWithParam<Tried> {};

TEST_P(RotationStepAtState, IsTakenWhereItBelongsAndRefusedElsewhere) {
  const auto& [act, name] = GetParam();
  const AuthoritiesAndBundle state = StateAt(name);
  const absl::StatusOr<AuthorityChange> change = act.take(state);
  if (std::find(act.allowed.begin(), act.allowed.end(), name) == act.allowed.end()) {
    EXPECT_EQ(change.status().code(), absl::StatusCode::kFailedPrecondition);
    const bool runs = RunningRotation(state) != nullptr;
    EXPECT_EQ(ReasonOf(change.status()), runs ? act.refused_as : "ROTATION_NONE");
    if (runs) {
      EXPECT_THAT(std::string(change.status().message()), HasSubstr(absl::StrCat("is at ", name)));
    }
    return;
  }
  ASSERT_TRUE(change.ok()) << change.status();
  EXPECT_EQ(change->expected_revision, 7u);
  ASSERT_FALSE(change->audit.empty());
  EXPECT_EQ(change->audit.front().action, act.action);
  EXPECT_EQ(change->audit.front().actor, "uid 0");
  EXPECT_THAT(change->audit.front().detail, StartsWith("because"));
  const std::string next = act.next_step;
  EXPECT_EQ(change->rotation.has_value(), next != "-");
  if (!change->rotation.has_value()) return;
  EXPECT_EQ(RotationStepName(change->rotation->step), next.empty() ? name : next);
  EXPECT_EQ(change->rotation->step_at, next.empty() ? kBegun : kNow) << "a step begins once";
}

INSTANTIATE_TEST_SUITE_P(Rotation, RotationStepAtState, testing::ValuesIn(EveryActAtEveryState()),
                         [](const auto& info) { return absl::StrCat(info.param.act.name, "At_", info.param.state); });

// --- what each step changes ---

struct Effect {
  const char* name;
  const char* state;
  std::function<absl::StatusOr<AuthorityChange>(const AuthoritiesAndBundle&)> take;
  std::map<std::string, AuthorityState> rows;  // written, by id
  uint64_t sequence;                           // of the bundle published; 0: none
  std::vector<std::string> roots;
};

class RotationEffect : public testing::TestWithParam<Effect> {};

TEST_P(RotationEffect, IsWritten) {
  const AuthoritiesAndBundle before = StateAt(GetParam().state);
  const absl::StatusOr<AuthorityChange> change = GetParam().take(before);
  ASSERT_TRUE(change.ok()) << change.status();
  std::map<std::string, AuthorityState> rows;
  for (const StoredAuthority& row : change->authorities) {
    EXPECT_TRUE(rows.emplace(row.id, row.state).second) << row.id << " is written twice";
    EXPECT_EQ(row.sealed_key.empty(), row.state == kRetired)
        << row.id << ": who is retired keeps no key, who is not does";
    EXPECT_EQ(row.retired_at != absl::InfiniteFuture(), row.state == kRetired) << row.id;
    if (row.state == kActive) {
      EXPECT_NE(row.activated_at, absl::InfiniteFuture()) << row.id;
    }
  }
  EXPECT_EQ(rows, GetParam().rows);
  EXPECT_EQ(change->bundle.has_value() ? change->bundle->sequence_number : 0, GetParam().sequence);
  if (change->bundle.has_value()) {
    EXPECT_EQ(change->bundle->roots_der, GetParam().roots);
  }
}

auto ActNamed(const std::string& name) {
  for (const Act& act : Acts()) {
    if (act.name == name) return act.take;
  }
  ADD_FAILURE() << "no act " << name;
  return Acts().front().take;
}

INSTANTIATE_TEST_SUITE_P(
    Rotation, RotationEffect,
    testing::Values(
        Effect{"PrepareWritesTheNewRootAndPublishesNothing", "none", ActNamed("Prepare"), {{"M", kPrepared}}, 0, {}},
        Effect{"PublishPutsTheOldRootFirst", "prepare", ActNamed("Publish"), {}, 4, {"der of O", "der of N"}},
        Effect{"ActivateHandsOverAndPutsTheNewRootFirst",
               "distribute",
               ActNamed("Activate"),
               {{"O", kOld}, {"o1", kOld}, {"N", kActive}, {"n1", kActive}},
               5,
               {"der of N", "der of O"}},
        Effect{"DrainChangesTheStepAlone", "reissue", ActNamed("Drain"), {}, 0, {}},
        Effect{"RetireTakesTheOldRootAndItsKeysAway",
               "drain",
               ActNamed("Retire"),
               {{"O", kRetired}, {"o1", kRetired}, {"o0", kRetired}, {"N", kActive}, {"n1", kActive}},
               6,
               {"der of N"}},
        Effect{"FinishChangesTheStepAlone", "retire", ActNamed("Finish"), {}, 0, {}},
        Effect{"AbortBeforePublicationPublishesNothing", "prepare", ActNamed("Abort"), {}, 0, {}},
        Effect{"AbortTakesTheNewRootOutOfTheBundle", "distribute", ActNamed("Abort"), {}, 5, {"der of O"}},
        Effect{"RollBackHandsOverTheOtherWayRound",
               "drain",
               ActNamed("RollBack"),
               {{"N", kOld}, {"n1", kOld}, {"O", kActive}, {"o2", kActive}},
               6,
               {"der of O", "der of N"}},
        Effect{"TakeOverChangesNoAuthority", "drain", ActNamed("TakeOver"), {}, 0, {}},
        Effect{"AnEmergencyTaintsWhatItTakesOver",
               "distribute",
               ActNamed("BecomeAnEmergency"),
               {{"O", kActive}, {"o1", kActive}, {"o0", kOld}},
               0,
               {}},
        Effect{"ConfirmChangesNoAuthority", "drain", ActNamed("ConfirmExternal"), {}, 0, {}}),
    [](const auto& info) { return std::string(info.param.name); });

// --- rules of single steps ---

std::vector<std::string> Tainted(const AuthorityChange& change) {
  std::vector<std::string> ids;
  for (const StoredAuthority& row : change.authorities) {
    if (row.tainted) ids.push_back(row.id);
  }
  return ids;
}

const StoredAuthority& Written(const AuthorityChange& change, const std::string& id) {
  for (const StoredAuthority& row : change.authorities) {
    if (row.id == id) return row;
  }
  ADD_FAILURE() << id << " is not written";
  return change.authorities.front();
}

TEST(RotationChange, TheFirstOneIsNumberOneAndTheNextCountsOn) {
  EXPECT_EQ(Prepare(StateAt("none"))->rotation->number, 1u);
  AuthoritiesAndBundle done = StateAt("done");
  EXPECT_EQ(Prepare(done)->rotation->number, 4u);
  EXPECT_EQ(Prepare(done)->rotation->old_root_id, "N");
}

TEST(RotationChange, PrepareKeepsWhatWasAskedFor) {
  RotationOptions options = Emergency();
  options.automatic = false;
  options.external_confirmed = true;
  options.deadline = kNow + absl::Hours(1);
  const RootRotation rotation = *Prepare(StateAt("none"), options)->rotation;
  EXPECT_FALSE(rotation.automatic);
  EXPECT_TRUE(rotation.emergency);
  EXPECT_TRUE(rotation.external_confirmed);
  EXPECT_EQ(rotation.deadline, kNow + absl::Hours(1));
  EXPECT_EQ(rotation.actor, "uid 0");
  EXPECT_EQ(rotation.started_at, kNow);
  EXPECT_EQ(rotation.bundle_sequence, 0u);
  EXPECT_TRUE(rotation.GoesOnWithoutTheSilent());
}

TEST(RotationChange, AnEmergencyThatWaitsIsStoredAsADeadlineThatNeverComes) {
  RotationOptions options = Emergency();
  options.waits_for_silent = true;
  const RootRotation rotation = *Prepare(StateAt("none"), options)->rotation;
  EXPECT_FALSE(rotation.GoesOnWithoutTheSilent());
  EXPECT_LT(rotation.deadline, absl::InfiniteFuture());
  EXPECT_GT(rotation.deadline, kNow + absl::Hours(24 * 365 * 100'000));
  EXPECT_EQ(absl::FromUnixMicros(absl::ToUnixMicros(rotation.deadline)), rotation.deadline) << "as a row keeps it";
}

TEST(RotationChange, AnEmergencyTaintsThePresentRootAndAllUnderItAndNothingElse) {
  AuthoritiesAndBundle state = StateAt("done");
  const AuthorityChange change = *Prepare(state, Emergency());
  EXPECT_THAT(Tainted(change), UnorderedElementsAre("N", "n1")) << "what is retired stays as it is";
  std::vector<std::string> actions;
  for (const AuditEntry& entry : change.audit) actions.push_back(entry.action);
  EXPECT_THAT(actions, UnorderedElementsAre("root.prepare", "authority.taint", "authority.taint"));
  EXPECT_THAT(Tainted(*Prepare(state)), IsEmpty());
}

TEST(RotationChange, WhatBecomesAnEmergencyTaintsTheRootThatGoes) {
  const AuthorityChange change = *TakeOverRotation(StateAt("distribute"), Domain(), Emergency(), kReason);
  EXPECT_THAT(Tainted(change), UnorderedElementsAre("O", "o1", "o0"));
  EXPECT_TRUE(change.rotation->emergency);
  EXPECT_TRUE(change.rotation->automatic);
}

TEST(RotationChange, ATakeOverTakesTheEarlierDeadline) {
  AuthoritiesAndBundle state = StateAt("drain");
  state.rotation->deadline = kNow + absl::Hours(2);
  RotationOptions options;
  EXPECT_EQ(TakeOverRotation(state, Domain(), options, kReason)->rotation->deadline, kNow + absl::Hours(2));
  options.deadline = kNow + absl::Hours(1);
  EXPECT_EQ(TakeOverRotation(state, Domain(), options, kReason)->rotation->deadline, kNow + absl::Hours(1));
}

TEST(RotationChange, PublishingRemembersTheBundleAndWhen) {
  const RootRotation rotation = *PublishRotation(StateAt("prepare"), Domain(), kReason)->rotation;
  EXPECT_EQ(rotation.bundle_sequence, 4u);
  EXPECT_EQ(rotation.published_at, kNow);
}

TEST(RotationChange, WhatIsPublishedAlreadyTakesNoNewNumber) {
  AuthoritiesAndBundle state = StateAt("prepare");
  state.bundle->roots_der = {"der of O", "der of N"};  // a plugged-in set that listed the next root beforehand
  const AuthorityChange change = *PublishRotation(state, Domain(), kReason);
  EXPECT_FALSE(change.bundle.has_value());
  EXPECT_EQ(change.rotation->bundle_sequence, 3u);
}

TEST(RotationChange, OtherRootsKeepTheirPlaceInTheBundle) {
  AuthoritiesAndBundle state = StateAt("distribute");
  state.bundle->roots_der = {"der of O", "der of X", "der of N"};
  const AuthorityChange activated =
      *ActivateRotation(state, Domain(), NewIssuing(kPrepared), LeafChains::kWithCross, "", kReason);
  EXPECT_THAT(activated.bundle->roots_der, ElementsAre("der of N", "der of O", "der of X"));
  state = StateAt("drain");
  state.bundle->roots_der = {"der of N", "der of O", "der of X"};
  EXPECT_THAT(RetireRotation(state, Domain(), "", kReason)->bundle->roots_der, ElementsAre("der of N", "der of X"));
}

TEST(RotationChange, OnlyTheRootsOwnRowCarriesACrossCertificateThatNobodyNeeds) {
  const AuthorityChange change =
      *ActivateRotation(StateAt("distribute"), Domain(), NewIssuing(kPrepared), LeafChains::kWithoutCross, "", kReason);
  EXPECT_THAT(Written(change, "N").chain_der, ElementsAre("der of N", "der of N by O"));
  EXPECT_THAT(Written(change, "n1").chain_der, ElementsAre("der of n1"));
}

TEST(RotationChange, ASuccessorsChainIsAsThatOfTheOneItFollows) {
  AuthoritiesAndBundle state = StateAt("drain");
  EXPECT_THAT(UpstreamOfSuccessor(state, NewRoot(kActive)), ElementsAre("der of N by O"));
  for (StoredAuthority& row : state.authorities) {
    if (row.id == "n1") row.chain_der.resize(1);
  }
  EXPECT_THAT(UpstreamOfSuccessor(state, NewRoot(kActive)), IsEmpty());
  // A prepared one has signed nothing yet.
  state.authorities.push_back(NewIssuing(kPrepared));
  EXPECT_THAT(UpstreamOfSuccessor(state, NewRoot(kActive)), IsEmpty());
  EXPECT_THAT(UpstreamOfSuccessor(StateAt("distribute"), NewRoot(kPrepared)), ElementsAre("der of N by O"));
  EXPECT_THAT(UpstreamOfSuccessor(state, Root("O", kOld)), IsEmpty());
}

TEST(RotationChange, ChainsLoseTheCrossCertificateWithTheOldRoot) {
  const AuthorityChange change = *RetireRotation(StateAt("drain"), Domain(), "", kReason);
  EXPECT_THAT(Written(change, "N").chain_der, ElementsAre("der of N"));
  EXPECT_THAT(Written(change, "n1").chain_der, ElementsAre("der of n1"));
}

TEST(RotationChange, WithoutACrossCertificateTheNewChainsStayAsTheyAre) {
  AuthoritiesAndBundle state = StateAt("drain");
  for (StoredAuthority& row : state.authorities) row.chain_der.resize(1);
  const AuthorityChange change = *RetireRotation(state, Domain(), "", kReason);
  for (const StoredAuthority& row : change.authorities) EXPECT_EQ(row.root_id, "O") << row.id;
}

TEST(RotationChange, WhatWasForcedIsRememberedInOrder) {
  AuthoritiesAndBundle state = StateAt("distribute");
  EXPECT_EQ(
      ActivateRotation(state, Domain(), NewIssuing(kPrepared), LeafChains::kWithCross, "", kReason)->rotation->forced,
      "");
  EXPECT_EQ(ActivateRotation(state, Domain(), NewIssuing(kPrepared), LeafChains::kWithCross, "first", kReason)
                ->rotation->forced,
            "first");
  state = StateAt("drain");
  state.rotation->forced = "first";
  EXPECT_EQ(RetireRotation(state, Domain(), "second", kReason)->rotation->forced, "first; second");
  EXPECT_EQ(RetireRotation(state, Domain(), "", kReason)->rotation->forced, "first");
  state = StateAt("retire");
  state.rotation->forced = "first; second";
  EXPECT_EQ(FinishRotation(state, Domain(), "third", kReason)->rotation->forced, "first; second; third");
}

TEST(RotationChange, AnAbortForgetsWhatNeverSignedAndLeavesWhatDidAsItWas) {
  AuthoritiesAndBundle state = StateAt("distribute");
  AuthorityChange change = *AbortRotation(state, Domain(), kReason);
  EXPECT_THAT(change.forgotten_authorities, ElementsAre("N"));
  EXPECT_EQ(change.forgotten_rotation, 3u);
  ASSERT_TRUE(change.bundle.has_value());
  EXPECT_THAT(change.bundle->roots_der, Not(Contains("der of N")));
  for (StoredAuthority& row : state.authorities) {
    if (row.id == "N") row.activated_at = kBegun;
  }
  state.authorities.push_back(NewIssuing(kPrepared));
  change = *AbortRotation(state, Domain(), kReason);
  EXPECT_THAT(change.forgotten_authorities, ElementsAre("n1"));
  EXPECT_EQ(Written(change, "N").state, kOld) << "it signed before";
  EXPECT_FALSE(Written(change, "N").sealed_key.empty());
  EXPECT_FALSE(change.bundle.has_value()) << "what it signed may be alive";
  // Whoever was given one that was exported signs with it, though it never did here.
  state.authorities.back().exported = true;
  state.authorities.push_back(Issuing("n0", "N", kRetired));
  change = *AbortRotation(state, Domain(), kReason);
  EXPECT_THAT(change.forgotten_authorities, IsEmpty());
  EXPECT_EQ(Written(change, "n1").state, kOld);
  EXPECT_THAT(change.authorities, SizeIs(2)) << "what was retired stays that";
}

TEST(RotationChange, AnAbortLeavesARootThatWasTrustedBeforeTheRotation) {
  for (const char* step : {"prepare", "distribute"}) {
    AuthoritiesAndBundle state = StateAt("prepare");
    state.bundle = StoredBundle{4, {"der of O", "der of N"}, kBegun - absl::Hours(1)};
    if (absl::string_view(step) == "distribute") {
      AuthorityChange published = *PublishRotation(state, Domain(), kReason);
      EXPECT_FALSE(published.bundle.has_value());
      EXPECT_EQ(published.rotation->bundle_sequence, 4u);
      EXPECT_TRUE(published.rotation->RootWasTrusted());
      state.rotation = published.rotation;
    }
    const AuthorityChange change = *AbortRotation(state, Domain(), kReason);
    EXPECT_FALSE(change.bundle.has_value()) << step << ": peers elsewhere may be on it already";
    EXPECT_THAT(change.forgotten_authorities, ElementsAre("N"));
    EXPECT_THAT(change.audit[0].detail, HasSubstr("stays trusted"));
  }
}

TEST(RotationChange, ARootThatIsPublishedWhileTheClockStandsBehindTheBeginningWasNotTrustedBefore) {
  AuthoritiesAndBundle state = StateAt("prepare");
  const AuthorityChange published = *PublishRotation(state, Domain(), {"uid 0", "because", kBegun - absl::Minutes(2)});
  EXPECT_FALSE(published.rotation->RootWasTrusted());
  state.rotation = published.rotation;
  state.bundle = published.bundle;
  const AuthorityChange change = *AbortRotation(state, Domain(), kReason);
  ASSERT_TRUE(change.bundle.has_value()) << "nobody would ever take it out";
  EXPECT_THAT(change.bundle->roots_der, ElementsAre("der of O"));
}

// Two certificates of N's key: an earlier one, which a set listed before the rotation, and the one that is published.
class AbortOfARenewedRoot : public testing::Test {
 protected:
  AbortOfARenewedRoot() {
    TestCertificate spec;
    spec.name = "N";
    spec.not_before = kBegun - absl::Hours(1);
    spec.not_after = kBegun + absl::Hours(1000);
    const TestCa earlier = MakeTestCa(spec);
    const TestCa renewed = MakeTestCa(spec, nullptr, SameKey(earlier));
    earlier_der_ = earlier.certificate().der().bytes();
    renewed_der_ = renewed.certificate().der().bytes();
    state_ = StateAt("prepare");
    state_.bundle = StoredBundle{3, {"der of O", earlier_der_}, kBegun};
    state_.authorities.back().id = state_.authorities.back().root_id = renewed.id();
    state_.authorities.back().chain_der = {renewed_der_};
    state_.rotation->new_root_id = renewed.id();
    const AuthorityChange published = *PublishRotation(state_, Domain(), kReason);
    EXPECT_THAT(published.bundle->roots_der, ElementsAre("der of O", earlier_der_, renewed_der_));
    state_.rotation = published.rotation;
    state_.bundle = published.bundle;
  }

  AuthoritiesAndBundle state_;  // at distribute
  std::string earlier_der_, renewed_der_;
};

TEST_F(AbortOfARenewedRoot, TakesAwayTheCertificateAloneThatTheRotationAdded) {
  const AuthorityChange change = *AbortRotation(state_, Domain(), kReason);
  ASSERT_TRUE(change.bundle.has_value());
  EXPECT_THAT(change.bundle->roots_der, ElementsAre("der of O", earlier_der_)) << "peers elsewhere are under it";
  EXPECT_THAT(change.audit[0].detail, HasSubstr("stays trusted"));
}

TEST_F(AbortOfARenewedRoot, TakesAwayEveryCertificateOfATaintedOne) {
  state_.authorities.back().tainted = true;
  const AuthorityChange change = *AbortRotation(state_, Domain(), kReason);
  ASSERT_TRUE(change.bundle.has_value());
  EXPECT_THAT(change.bundle->roots_der, ElementsAre("der of O"));
  EXPECT_THAT(change.audit[0].detail, HasSubstr("trusted no more"));
}

TEST(RotationChange, AnAbortLeavesNoTrustInATaintedRoot) {
  AuthoritiesAndBundle state = StateAt("distribute");
  state.authorities.push_back(NewIssuing(kPrepared));
  for (StoredAuthority& row : state.authorities) {
    if (row.root_id != "N") continue;
    row.activated_at = kBegun;  // it signed before
    row.tainted = true;
  }
  const AuthorityChange change = *AbortRotation(state, Domain(), kReason);
  ASSERT_TRUE(change.bundle.has_value());
  EXPECT_THAT(change.bundle->roots_der, ElementsAre("der of O"));
  EXPECT_EQ(Written(change, "N").state, kRetired);
  EXPECT_EQ(Written(change, "n1").state, kRetired);
  EXPECT_THAT(change.forgotten_authorities, IsEmpty()) << "or a file that lists it would bring it back";
  EXPECT_THAT(change.audit[0].detail, HasSubstr("trusted no more"));
}

TEST(RotationChange, ARollbackTurnsTheRotationRoundAndASecondOneBack) {
  const AuthorityChange once = *RollBackRotation(StateAt("drain"), Domain(), Issuing("o2", "O", kPrepared), kReason);
  EXPECT_EQ(once.rotation->old_root_id, "N");
  EXPECT_EQ(once.rotation->new_root_id, "O");
  EXPECT_TRUE(once.rotation->rolled_back);
  EXPECT_TRUE(once.rotation->automatic);
  AuthoritiesAndBundle state = StateAt("drain");
  state.rotation = once.rotation;
  const AuthorityChange twice = *RollBackRotation(state, Domain(), Issuing("n2", "N", kPrepared), kReason);
  EXPECT_EQ(twice.rotation->new_root_id, "N");
  EXPECT_FALSE(twice.rotation->rolled_back);
}

TEST(RotationChange, ATaintedRootNeverSignsAgain) {
  AuthoritiesAndBundle state = StateAt("drain");
  state.authorities[0].tainted = true;
  const auto change = RollBackRotation(state, Domain(), Issuing("o2", "O", kPrepared), kReason);
  EXPECT_EQ(ReasonOf(change.status()), "ROTATION_UNSAFE");
}

TEST(RotationChange, TheActiveRootIsNoNewOne) {
  meshca::NewRoot root;
  root.root = Root("O", kPrepared);
  EXPECT_EQ(PrepareRotation(StateAt("none"), Domain(), root, {}, kReason).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Prepare({}).status().code(), absl::StatusCode::kFailedPrecondition) << "no root is active";
}

TEST(RotationChange, ARotationWhoseRootIsMissingIsDataLoss) {
  for (const char* name : {"prepare", "distribute", "drain"}) {
    AuthoritiesAndBundle state = StateAt(name);
    std::erase_if(state.authorities, [](const StoredAuthority& row) { return row.id == "N"; });
    const absl::Status status =
        name == std::string("prepare") ? PublishRotation(state, Domain(), kReason).status()
        : name == std::string("distribute")
            ? ActivateRotation(state, Domain(), NewIssuing(kPrepared), LeafChains::kWithCross, "", kReason).status()
            : RetireRotation(state, Domain(), "", kReason).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << name << ": " << status;
  }
}

TEST(RotationChange, ATaintOfARootReachesAllUnderItAndOneOfAnIssuingAuthorityItselfAlone) {
  const AuthoritiesAndBundle state = StateAt("drain");
  EXPECT_THAT(Tainted(*TaintAuthority(state, Domain(), "O", kReason)), UnorderedElementsAre("O", "o1", "o0"));
  EXPECT_THAT(Tainted(*TaintAuthority(state, Domain(), "o1", kReason)), ElementsAre("o1"));
  AuthoritiesAndBundle tainted = state;
  tainted.authorities[1].tainted = true;
  EXPECT_EQ(TaintAuthority(tainted, Domain(), "o1", kReason).status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace meshca
