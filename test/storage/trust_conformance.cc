// What every store does with authorities, bundles, settings, subscribers, tokens, entries and the audit log.
#include <gmock/gmock.h>

#include <future>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "storage/audit_chain.h"
#include "test/fakes/status_matchers.h"
#include "test/storage/conformance.h"

namespace meshca::storage {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

AuthorityChange Change(uint64_t revision) {
  AuthorityChange change;
  change.expected_revision = revision;
  change.trust_domain = "cluster.local";
  change.audit = {TestAudit("bundle.publish")};
  return change;
}

size_t AuditSize(Store& store) {
  size_t entries = 0;
  EXPECT_THAT(store.ListAudit([&](const AuditEntry&) { return ++entries > 0; }), IsOk());
  return entries;
}

TEST_P(StoreConformance, AnExportedAuthorityStaysOneWhateverBecomesOfIt) {
  Activate(store());
  AuthorityChange change;
  change.trust_domain = "cluster.local";
  change.audit = {TestAudit("authority.export")};
  change.authorities = {TestAuthority(kIssuingB)};
  for (const AuthorityState state : {AuthorityState::kOld, AuthorityState::kActive, AuthorityState::kRetired}) {
    change.expected_revision = store().LoadAuthorities()->revision;
    change.authorities[0].state = state;
    change.authorities[0].exported = true;
    ASSERT_THAT(store().CommitAuthorities(change), IsOk());
    harness_->Reopen();
    const auto trust = store().LoadAuthorities();
    ASSERT_THAT(trust, IsOk());
    EXPECT_EQ(trust->authorities[1].state, state);
    EXPECT_TRUE(trust->authorities[1].exported);
    EXPECT_THAT(store().Check(), IsOk());
  }
}

TEST_P(StoreConformance, AuthoritiesComeBackWhole) {
  auto fresh = store().LoadAuthorities();
  ASSERT_THAT(fresh, IsOk());
  EXPECT_EQ(fresh->revision, 0u);
  EXPECT_EQ(fresh->trust_domain, "");
  EXPECT_THAT(fresh->authorities, IsEmpty());
  EXPECT_FALSE(fresh->bundle.has_value());

  EXPECT_EQ(Activate(store()), 1u);
  ASSERT_THAT(SetState(store(), kIssuingA, AuthorityState::kOld, true), IsOk());
  harness_->Reopen();
  auto trust = store().LoadAuthorities();
  ASSERT_THAT(trust, IsOk());
  EXPECT_EQ(trust->revision, 2u);
  EXPECT_EQ(trust->trust_domain, "cluster.local");
  ASSERT_THAT(trust->authorities, SizeIs(2));
  const StoredAuthority& a = trust->authorities[0];
  const StoredAuthority wanted = TestAuthority(kIssuingA);
  EXPECT_EQ(a.id, kIssuingA);
  EXPECT_EQ(a.role, AuthorityRole::kIssuing);
  EXPECT_EQ(a.state, AuthorityState::kOld);
  EXPECT_TRUE(a.tainted);
  EXPECT_EQ(a.root_id, "root");
  EXPECT_EQ(a.chain_der, wanted.chain_der);
  EXPECT_EQ(a.key_reference, "sealed");
  EXPECT_EQ(a.sealed_key, wanted.sealed_key);
  EXPECT_EQ(a.created_at, kTestNow);
  EXPECT_EQ(a.activated_at, kTestNow + absl::Seconds(1));
  EXPECT_EQ(a.retired_at, absl::InfiniteFuture());
  EXPECT_FALSE(a.exported);
  EXPECT_EQ(trust->authorities[1].id, kIssuingB);
  ASSERT_TRUE(trust->bundle.has_value());
  EXPECT_EQ(trust->bundle->sequence_number, 1u);
  EXPECT_THAT(trust->bundle->roots_der, ElementsAre("root one", "root two"));
  EXPECT_EQ(trust->bundle->published_at, kTestNow);
}

TEST_P(StoreConformance, JwtKeysComeBackWhole) {
  EXPECT_THAT(store().LoadAuthorities()->jwt_authorities, IsEmpty());
  AuthorityChange change = Change(Activate(store()));
  change.jwt_authorities = {TestJwtAuthority("second"), TestJwtAuthority("first")};
  change.bundle = TestBundle(2);
  change.bundle->jwt_keys_der = {std::string("a\0b", 3), "c"};
  ASSERT_THAT(store().CommitAuthorities(change), IsOk());
  change = Change(2);
  change.jwt_authorities = {TestJwtAuthority("second", AuthorityState::kRetired)};
  change.jwt_authorities[0].sealed_key.clear();
  change.jwt_authorities[0].key_reference.clear();
  ASSERT_THAT(store().CommitAuthorities(change), IsOk());
  harness_->Reopen();
  auto trust = store().LoadAuthorities();
  ASSERT_THAT(trust, IsOk());
  ASSERT_THAT(trust->jwt_authorities, SizeIs(2));
  const StoredJwtAuthority& second = trust->jwt_authorities[0];
  EXPECT_EQ(second.key_id, "second") << "in the order in which they were first put";
  EXPECT_EQ(second.state, AuthorityState::kRetired);
  EXPECT_EQ(second.sealed_key, "");
  EXPECT_EQ(second.key_reference, "");
  const StoredJwtAuthority wanted = TestJwtAuthority("first");
  const StoredJwtAuthority& first = trust->jwt_authorities[1];
  EXPECT_EQ(first.key_id, "first");
  EXPECT_EQ(first.state, AuthorityState::kOld);
  EXPECT_TRUE(first.tainted);
  EXPECT_EQ(first.public_key_der, wanted.public_key_der);
  EXPECT_EQ(first.key_reference, wanted.key_reference);
  EXPECT_EQ(first.sealed_key, wanted.sealed_key);
  EXPECT_EQ(first.published_sequence, wanted.published_sequence);
  EXPECT_EQ(first.created_at, wanted.created_at);
  EXPECT_EQ(first.activated_at, wanted.activated_at);
  EXPECT_EQ(first.replaced_at, wanted.replaced_at);
  EXPECT_EQ(first.retired_at, wanted.retired_at);
  EXPECT_EQ(trust->bundle->sequence_number, 2u);
  EXPECT_THAT(trust->bundle->roots_der, ElementsAre("root one", "root two"));
  EXPECT_THAT(trust->bundle->jwt_keys_der, ElementsAre(std::string("a\0b", 3), "c"));
  EXPECT_THAT(store().Check(), IsOk());
  // The keys of a bundle are its own: the next one has what it is given.
  change = Change(3);
  change.bundle = TestBundle(3);
  ASSERT_THAT(store().CommitAuthorities(change), IsOk());
  EXPECT_THAT(store().LoadAuthorities()->bundle->jwt_keys_der, IsEmpty());
}

TEST_P(StoreConformance, AnUnsafeChangeIsRefusedWhole) {
  const uint64_t revision = Activate(store());
  struct Case {
    const char* name;
    AuthorityChange change;
    StatusCode code;
    const char* text;
  };
  std::vector<Case> cases = {
      {"StaleRevision", Change(revision - 1), StatusCode::kAborted, "revision 0"},
      {"FutureRevision", Change(revision + 1), StatusCode::kAborted, "revision 2"},
      {"OtherTrustDomain", Change(revision), StatusCode::kFailedPrecondition, "cluster.local"},
      {"NoTrustDomain", Change(revision), StatusCode::kFailedPrecondition, "cluster.local"},
      {"SameBundleNumber", Change(revision), StatusCode::kFailedPrecondition, "not above 1"},
      {"NoAudit", Change(revision), StatusCode::kInvalidArgument, "audit"},
  };
  cases[2].change.trust_domain = "other.test";
  cases[3].change.trust_domain = "";
  cases[4].change.bundle = TestBundle(1);
  cases[5].change.audit.clear();
  const size_t audit_before = AuditSize(store());
  for (Case& c : cases) {
    SCOPED_TRACE(c.name);
    c.change.authorities = {TestAuthority("cc", AuthorityState::kActive)};
    EXPECT_THAT(store().CommitAuthorities(c.change), StatusIs(c.code, HasSubstr(c.text)));
  }
  auto trust = store().LoadAuthorities();
  EXPECT_EQ(trust->revision, revision);
  EXPECT_THAT(trust->authorities, SizeIs(2)) << "nothing of a refused change stays";
  EXPECT_EQ(AuditSize(store()), audit_before);
}

TEST_P(StoreConformance, AChangeThatAllowsSomeLiveLeavesIsMadeWhereNoOthersLive) {
  uint64_t revision = Activate(store());
  RecordMaker maker;
  const std::string own = "spiffe://cluster.local/meshca/server";
  const std::string workload = "spiffe://cluster.local/x";
  for (const auto& [id, authority] :
       std::vector<std::pair<std::string, std::string>>{{own, kIssuingA}, {own, kIssuingB}, {workload, kIssuingB}}) {
    ASSERT_THAT(AppendAndWait(store(), maker.Make(id, authority)), IsOk());
  }
  const absl::Time now = kTestNow;
  const auto change = [&](std::vector<std::string> not_counted, const std::string& own_spiffe_id, absl::Time at) {
    AuthorityChange limited = Change(revision);
    limited.authorities = {TestAuthority(kIssuingA, AuthorityState::kRetired)};
    limited.live_leaf_limit = LiveLeafLimit{at, std::move(not_counted), own_spiffe_id};
    return store().CommitAuthorities(limited);
  };
  // The first: an own certificate of an authority that is not counted makes no room for a workload's.
  for (const auto& refused :
       {change({kIssuingA}, own, now), change({}, own, now), change({}, workload, now), change({kIssuingB}, "", now),
        change({"unknown"}, own, now), change({}, "spiffe://cluster.local/*", now)}) {
    EXPECT_THAT(refused, StatusIs(StatusCode::kFailedPrecondition, HasSubstr("are alive")));
    EXPECT_EQ(ReasonOf(refused.status()), kLeavesLive);
  }
  EXPECT_EQ(store().LoadAuthorities()->revision, revision) << "nothing of a refused change stays";
  for (const auto& [not_counted, own_spiffe_id, at] :
       std::vector<std::tuple<std::vector<std::string>, std::string, absl::Time>>{
           {{kIssuingB}, own, now}, {{kIssuingA, kIssuingB}, "", now}, {{}, "", now + absl::Hours(10000)}}) {
    EXPECT_THAT(change(not_counted, own_spiffe_id, at), IsOk());
    ++revision;
  }
}

TEST_P(StoreConformance, BundleNumbersOnlyGrow) {
  uint64_t revision = Activate(store());
  for (uint64_t number : {2u, 10u}) {
    AuthorityChange change = Change(revision);
    change.bundle = TestBundle(number);
    auto committed = store().CommitAuthorities(change);
    ASSERT_THAT(committed, IsOk());
    revision = *committed;
    EXPECT_EQ(store().LoadAuthorities()->bundle->sequence_number, number);
  }
  AuthorityChange back = Change(revision);
  back.bundle = TestBundle(9);
  EXPECT_THAT(store().CommitAuthorities(back), StatusIs(StatusCode::kFailedPrecondition, HasSubstr("not above 10")));
}

TEST_P(StoreConformance, ARotationComesBackWhole) {
  uint64_t revision = Activate(store());
  EXPECT_FALSE(store().LoadAuthorities()->rotation.has_value());
  auto commit = [&](const RootRotation& rotation) {
    AuthorityChange change = Change(revision);
    change.rotation = rotation;
    auto committed = store().CommitAuthorities(change);
    ASSERT_THAT(committed, IsOk());
    revision = *committed;
    harness_->Reopen();
    auto trust = store().LoadAuthorities();
    ASSERT_THAT(trust, IsOk());
    ASSERT_TRUE(trust->rotation.has_value());
    ExpectSame(*trust->rotation, rotation);
  };
  commit(TestRotation(1));
  // Each truth value alone, so that none stands in another's column; the infinities; no text.
  RootRotation bare;
  bare.number = 1;
  bare.started_at = bare.step_at = kTestNow;
  commit(bare);
  for (bool RootRotation::*flag : {&RootRotation::automatic, &RootRotation::emergency, &RootRotation::rolled_back,
                                   &RootRotation::external_confirmed}) {
    RootRotation one = bare;
    one.*flag = true;
    commit(one);
  }
  commit(TestRotation(1, RotationStep::kDone));
  commit(TestRotation(2, RotationStep::kPrepare));
  EXPECT_THAT(store().Check(), IsOk());
}

TEST_P(StoreConformance, WhoWaitsForANewRevisionHearsOfTheCommit) {
  const uint64_t revision = Activate(store());
  EXPECT_EQ(*store().WaitForRevisionAbove(revision - 1, absl::ZeroDuration()), revision) << "it is there already";
  auto waiter =
      std::async(std::launch::async, [&] { return store().WaitForRevisionAbove(revision, absl::Minutes(5)); });
  EXPECT_THAT(SetState(store(), kIssuingB, AuthorityState::kOld), IsOk());
  EXPECT_EQ(*waiter.get(), revision + 1);
}

TEST_P(StoreConformance, AWaitForANewRevisionEndsAtItsDeadlineAndAtShutdown) {
  const uint64_t revision = Activate(store());
  AuthorityChange stale = Change(revision - 1);
  EXPECT_THAT(store().CommitAuthorities(stale), StatusIs(StatusCode::kAborted));
  EXPECT_THAT(store().WaitForRevisionAbove(revision, absl::Milliseconds(20)), StatusIs(StatusCode::kDeadlineExceeded))
      << "a refused change is no new revision";
  auto waiter =
      std::async(std::launch::async, [&] { return store().WaitForRevisionAbove(revision, absl::Minutes(5)); });
  store().EndRevisionWaits();
  EXPECT_THAT(waiter.get(), StatusIs(StatusCode::kCancelled));
}

TEST_P(StoreConformance, OneRotationAtATime) {
  uint64_t revision = Activate(store());
  auto commit = [&](AuthorityChange change) {
    auto committed = store().CommitAuthorities(change);
    if (committed.ok()) revision = *committed;
    return committed.status();
  };
  auto with = [&](uint64_t number, RotationStep step) {
    AuthorityChange change = Change(revision);
    change.rotation = TestRotation(number, step);
    return change;
  };
  EXPECT_THAT(commit(with(0, RotationStep::kPrepare)), StatusIs(StatusCode::kInvalidArgument));
  for (int step = 1; step <= 5; ++step) {
    ASSERT_THAT(commit(with(1, static_cast<RotationStep>(step))), IsOk());
    AuthorityChange second = with(2, RotationStep::kPrepare);
    second.authorities = {TestAuthority("cc")};
    EXPECT_THAT(commit(second), StatusIs(StatusCode::kFailedPrecondition, HasSubstr("rotation 1 has not ended")))
        << "in step " << step;
    EXPECT_THAT(store().LoadAuthorities()->authorities, SizeIs(2)) << "nothing of a refused change stays";
    EXPECT_EQ(store().LoadAuthorities()->rotation->number, 1u);
  }
  AuthorityChange stale = with(1, RotationStep::kDone);
  stale.expected_revision -= 1;
  EXPECT_THAT(commit(stale), StatusIs(StatusCode::kAborted));
  ASSERT_THAT(commit(with(1, RotationStep::kDone)), IsOk());
  ASSERT_THAT(commit(with(3, RotationStep::kPrepare)), IsOk());
  EXPECT_THAT(commit(with(1, RotationStep::kRetire)), StatusIs(StatusCode::kFailedPrecondition)) << "it ended";
  ASSERT_THAT(commit(with(3, RotationStep::kDone)), IsOk());
  EXPECT_THAT(commit(with(2, RotationStep::kPrepare)),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("not above 3")));
  EXPECT_EQ(store().LoadAuthorities()->rotation->number, 3u);
}

TEST_P(StoreConformance, AnAbortedRotationIsForgotten) {
  uint64_t revision = Activate(store());
  AuthorityChange begun = Change(revision);
  begun.rotation = TestRotation(1, RotationStep::kDone);
  begun.authorities = {TestAuthority("new root", AuthorityState::kPrepared),
                       TestAuthority("new issuing", AuthorityState::kPrepared)};
  revision = *store().CommitAuthorities(begun);
  AuthorityChange second = Change(revision);
  second.rotation = TestRotation(2);
  revision = *store().CommitAuthorities(second);

  AuthorityChange abort = Change(revision);
  abort.forgotten_rotation = 2;
  abort.forgotten_authorities = {"new root", "new issuing"};
  abort.bundle = TestBundle(5);
  ASSERT_THAT(store().CommitAuthorities(abort), IsOk());
  harness_->Reopen();
  auto trust = store().LoadAuthorities();
  ASSERT_THAT(trust, IsOk());
  EXPECT_EQ(trust->revision, revision + 1);
  ASSERT_THAT(trust->authorities, SizeIs(2));
  EXPECT_EQ(trust->authorities[0].id, kIssuingA);
  EXPECT_EQ(trust->authorities[1].id, kIssuingB);
  ASSERT_TRUE(trust->rotation.has_value());
  EXPECT_EQ(trust->rotation->number, 1u) << "the one before it";
  EXPECT_EQ(trust->bundle->sequence_number, 5u);

  AuthorityChange again = Change(trust->revision);
  again.rotation = TestRotation(2, RotationStep::kPrepare);
  EXPECT_THAT(store().CommitAuthorities(again), IsOk()) << "its number is free again";
  EXPECT_THAT(store().Check(), IsOk());
}

TEST_P(StoreConformance, AnAuthorityThatSignedIsNotForgotten) {
  uint64_t revision = Activate(store());
  AuthorityChange begun = Change(revision);
  begun.rotation = TestRotation(1);
  revision = *store().CommitAuthorities(begun);
  RecordMaker maker;
  ASSERT_THAT(AppendAndWait(store(), maker.Make("spiffe://cluster.local/x", kIssuingB)), IsOk());

  AuthorityChange abort = Change(revision);
  abort.forgotten_rotation = 1;
  abort.forgotten_authorities = {kIssuingA, kIssuingB};
  EXPECT_THAT(store().CommitAuthorities(abort), StatusIs(StatusCode::kFailedPrecondition, HasSubstr(kIssuingB)));
  auto trust = store().LoadAuthorities();
  EXPECT_THAT(trust->authorities, SizeIs(2)) << "nothing of a refused change stays";
  EXPECT_TRUE(trust->rotation.has_value());
  abort.forgotten_authorities = {kIssuingA};
  ASSERT_THAT(store().CommitAuthorities(abort), IsOk());
  EXPECT_THAT(AppendAndWait(store(), maker.Make()), StatusIs(StatusCode::kAborted)) << "it is gone";
  EXPECT_FALSE(store().LoadAuthorities()->rotation.has_value());
  EXPECT_THAT(store().Check(), IsOk());
}

TEST_P(StoreConformance, Settings) {
  EXPECT_THAT(store().GetSetting("clock_high_water"), StatusIs(StatusCode::kNotFound));
  const std::string value("a\0b", 3);
  ASSERT_THAT(store().PutSetting("clock_high_water", "1"), IsOk());
  ASSERT_THAT(store().PutSetting("clock_high_water", value), IsOk());
  ASSERT_THAT(store().PutSetting("empty", ""), IsOk());
  harness_->Reopen();
  EXPECT_EQ(*store().GetSetting("clock_high_water"), value);
  EXPECT_EQ(*store().GetSetting("empty"), "");
}

TEST_P(StoreConformance, SubscribersAreReplacedByInstance) {
  auto save = [&](std::vector<SubscriberRecord> rows) {
    std::promise<absl::Status> answer;
    store().SaveSubscribers(std::move(rows), [&](absl::Status status) { answer.set_value(std::move(status)); });
    return answer.get_future().get();
  };
  SubscriberRecord later = TestSubscriber("b");
  later.trust_version = 8;
  later.rejected = "bad key";
  later.connected = false;
  later.authority_id = kIssuingB;
  later.takes_bundle = true;
  later.takes_key = false;
  later.takes_jwt_keys = true;
  later.evicted_at = kTestNow + absl::Hours(1);
  later.displaced = 3;
  later.displaced_at = kTestNow - absl::Hours(2);
  ASSERT_THAT(save({TestSubscriber("b"), TestSubscriber("a")}), IsOk());
  ASSERT_THAT(save({later}), IsOk());
  ASSERT_THAT(save({}), IsOk());
  harness_->Reopen();
  auto rows = store().LoadSubscribers();
  ASSERT_THAT(rows, IsOk());
  ASSERT_THAT(*rows, SizeIs(2));
  EXPECT_EQ((*rows)[0].instance, "a");
  EXPECT_EQ((*rows)[0].authority_id, kIssuingA);
  EXPECT_FALSE((*rows)[0].takes_bundle);
  EXPECT_TRUE((*rows)[0].takes_key);
  EXPECT_FALSE((*rows)[0].takes_jwt_keys);
  EXPECT_EQ((*rows)[0].evicted_at, absl::InfiniteFuture());
  EXPECT_EQ((*rows)[0].displaced, 0u);
  EXPECT_EQ((*rows)[0].displaced_at, absl::InfinitePast());
  const SubscriberRecord& b = (*rows)[1];
  EXPECT_EQ(b.spiffe_id, later.spiffe_id);
  EXPECT_EQ(b.node, later.node);
  EXPECT_EQ(b.kind, later.kind);
  EXPECT_EQ(b.peer, later.peer);
  EXPECT_FALSE(b.connected);
  EXPECT_EQ(b.first_seen, later.first_seen);
  EXPECT_EQ(b.last_seen, later.last_seen);
  EXPECT_EQ(b.trust_version, 8u);
  EXPECT_EQ(b.serial, later.serial);
  EXPECT_EQ(b.version_info, later.version_info);
  EXPECT_EQ(b.acknowledged_at, later.acknowledged_at);
  EXPECT_EQ(b.certificate_expires, absl::InfinitePast());
  EXPECT_EQ(b.rejected, "bad key");
  EXPECT_EQ(b.authority_id, kIssuingB);
  EXPECT_TRUE(b.takes_bundle);
  EXPECT_FALSE(b.takes_key);
  EXPECT_TRUE(b.takes_jwt_keys);
  EXPECT_EQ(b.evicted_at, kTestNow + absl::Hours(1));
  EXPECT_EQ(b.displaced, 3u);
  EXPECT_EQ(b.displaced_at, kTestNow - absl::Hours(2));
}

// They have one column for the time of their proof, which those who acknowledge have too.
TEST_P(StoreConformance, SubscribersThatCannotAcknowledgeKeepWhenTheyWereDeliveredTo) {
  std::vector<SubscriberRecord> rows;
  for (const absl::string_view kind : {kWorkloadApiKind, kWorkloadJwtKind}) {
    SubscriberRecord& row = rows.emplace_back(TestSubscriber(kind));
    row.kind = std::string(kind);
    row.acknowledged_at = absl::InfinitePast();
    row.delivered_at = kTestNow + absl::Seconds(3);
    row.takes_jwt_keys = kind == kWorkloadJwtKind;
  }
  std::promise<absl::Status> answer;
  store().SaveSubscribers(rows, [&](absl::Status status) { answer.set_value(std::move(status)); });
  ASSERT_THAT(answer.get_future().get(), IsOk());
  harness_->Reopen();
  const auto read = store().LoadSubscribers();
  ASSERT_THAT(read, IsOk());
  ASSERT_THAT(*read, SizeIs(2));
  for (const SubscriberRecord& row : *read) {
    EXPECT_EQ(row.delivered_at, kTestNow + absl::Seconds(3)) << row.kind;
    EXPECT_EQ(row.acknowledged_at, absl::InfinitePast());
    EXPECT_EQ(row.takes_jwt_keys, row.kind == kWorkloadJwtKind);
  }
}

TEST_P(StoreConformance, SubscribersAreForgottenInTheOrderOfTheirWrites) {
  std::vector<SubscriberRecord> rows;
  for (const char* instance : {"a", "b", "c", "d"}) rows.push_back(TestSubscriber(instance));
  std::vector<std::promise<absl::Status>> answers(4);
  const auto answer = [&answers](size_t number) {
    return [&answers, number](absl::Status status) { answers[number].set_value(std::move(status)); };
  };
  store().SaveSubscribers(rows, answer(0));
  store().DeleteSubscribers({"a", "c", "never there", "d"}, answer(1));
  store().SaveSubscribers({TestSubscriber("d")}, answer(2));
  store().DeleteSubscribers({}, answer(3));
  for (auto& each : answers) EXPECT_THAT(each.get_future().get(), IsOk());
  harness_->Reopen();
  const auto left = store().LoadSubscribers();
  ASSERT_THAT(left, IsOk());
  ASSERT_THAT(*left, SizeIs(2));
  EXPECT_EQ((*left)[0].instance, "b");
  EXPECT_EQ((*left)[1].instance, "d");
}

TEST_P(StoreConformance, Tokens) {
  const JoinToken token = TestToken("t1");
  ASSERT_THAT(store().CreateToken(token, TestAudit("token.create")), IsOk());
  JoinToken twin = TestToken("t2");
  twin.secret_sha256 = token.secret_sha256;
  EXPECT_THAT(store().CreateToken(twin, TestAudit("token.create")), StatusIs(StatusCode::kAlreadyExists));
  ASSERT_THAT(store().CreateToken(TestToken("t3"), TestAudit("token.create")), IsOk());
  harness_->Reopen();
  auto found = store().FindToken(token.secret_sha256);
  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(found->id, "t1");
  EXPECT_EQ(found->secret_sha256, token.secret_sha256);
  EXPECT_EQ(found->spiffe_id, token.spiffe_id);
  EXPECT_EQ(found->node, "node-1");
  EXPECT_EQ(found->created_at, token.created_at);
  EXPECT_EQ(found->expires_at, token.expires_at);
  EXPECT_EQ(found->created_by, "uid 0");
  EXPECT_EQ(found->used_key_sha256, "");
  EXPECT_EQ(found->used_at, absl::InfinitePast());
  EXPECT_THAT(store().FindToken("no such hash"), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(*store().ListTokens(), SizeIs(2));
  EXPECT_THAT(store().DeleteToken("t1", TestAudit("token.delete")), IsOk());
  EXPECT_THAT(store().DeleteToken("t1", TestAudit("token.delete")), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store().FindToken(token.secret_sha256), StatusIs(StatusCode::kNotFound));
  EXPECT_EQ(AuditSize(store()), 3u) << "what was refused left no line";
}

TEST_P(StoreConformance, TokensThatEndedArePrunedInBatchesAndTheAuditLogStays) {
  Activate(store());
  for (int i = 0; i < 500; ++i) {
    JoinToken token = TestToken(absl::StrCat("t", i));
    token.expires_at = kTestNow + absl::Seconds(i);
    ASSERT_THAT(store().CreateToken(token, TestAudit("token.create")), IsOk());
  }
  const size_t audited = AuditSize(store());
  const absl::Time cut = kTestNow + absl::Seconds(450);
  EXPECT_EQ(*store().Prune(cut, 3), 3u);
  EXPECT_THAT(*store().ListTokens(), SizeIs(497));
  EXPECT_EQ(*store().Prune(cut, 1000), 447u);
  EXPECT_EQ(*store().Prune(cut, 1000), 0u);
  EXPECT_THAT(*store().ListTokens(), SizeIs(50));
  EXPECT_THAT(store().FindToken(TestToken("t449").secret_sha256), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store().FindToken(TestToken("t450").secret_sha256), IsOk())
      << "the one that ends at the cut is still there";
  EXPECT_EQ(AuditSize(store()), audited);
  EXPECT_THAT(store().Check(), IsOk());
}

TEST_P(StoreConformance, AUsedTokenIsKeptUntilItExpiresBecauseItsKeyMayRepeat) {
  Activate(store());
  RecordMaker maker;
  ASSERT_THAT(store().CreateToken(TestToken("t1"), TestAudit("token.create")), IsOk());  // ten minutes
  IssuanceRecord record = maker.Make(TestToken("t1").spiffe_id.uri());
  record.token_id = "t1";
  record.issued_at = kTestNow;
  store().Append(record, [](absl::Status status) { EXPECT_THAT(status, IsOk()); });
  ASSERT_THAT(store().Probe(), IsOk());
  EXPECT_EQ(*store().Prune(kTestNow + absl::Minutes(9), 1000), 0u);
  ASSERT_THAT(*store().ListTokens(), SizeIs(1));
  EXPECT_THAT(store().ListTokens()->front().used_key_sha256, testing::Not(testing::IsEmpty()));
  EXPECT_EQ(*store().Prune(kTestNow + absl::Minutes(11), 1000), 1u);
  EXPECT_THAT(*store().ListTokens(), testing::IsEmpty());
}

TEST_P(StoreConformance, AnEntryIsCreatedOnce) {
  ASSERT_THAT(store().CreateEntry(TestEntry("e1"), TestAudit("entry.create")), IsOk());
  EXPECT_THAT(store().CreateEntry(TestEntry("e1", "unix:uid:2"), TestAudit("entry.create")),
              StatusIs(StatusCode::kAlreadyExists, HasSubstr("e1")));
  EXPECT_THAT(store().CreateEntry(TestEntry("e2"), TestAudit("entry.create")), StatusIs(StatusCode::kAlreadyExists))
      << "the same rights under another id";
  harness_->Reopen();
  const auto entries = store().ListEntries();
  ASSERT_THAT(entries, IsOk());
  ASSERT_THAT(*entries, SizeIs(1));
  EXPECT_EQ((*entries)[0].selectors, TestEntry("e1").selectors);
  EXPECT_EQ(AuditSize(store()), 1u) << "what was refused left no line";
}

TEST_P(StoreConformance, Entries) {
  ASSERT_THAT(store().PutEntry(TestEntry("e1"), TestAudit("entry.create")), IsOk());
  EXPECT_THAT(store().PutEntry(TestEntry("e2"), TestAudit("entry.create")), StatusIs(StatusCode::kAlreadyExists));
  ASSERT_THAT(store().PutEntry(TestEntry("e2", "unix:uid:2"), TestAudit("entry.create")), IsOk());
  RegistrationEntry changed = TestEntry("e1");
  changed.ttl = absl::Minutes(5);
  changed.dns_names.clear();
  ASSERT_THAT(store().PutEntry(changed, TestAudit("entry.update")), IsOk());
  harness_->Reopen();
  auto entries = store().ListEntries();
  ASSERT_THAT(entries, IsOk());
  ASSERT_THAT(*entries, SizeIs(2));
  const RegistrationEntry& e1 = (*entries)[0];
  EXPECT_EQ(e1.id, "e1");
  EXPECT_EQ(e1.spiffe_id, changed.spiffe_id);
  EXPECT_EQ(e1.selectors, changed.selectors);
  EXPECT_EQ(e1.ttl, absl::Minutes(5));
  EXPECT_THAT(e1.dns_names, IsEmpty());
  EXPECT_EQ(e1.created_at, changed.created_at);
  EXPECT_EQ(e1.created_by, "uid 0");
  EXPECT_THAT((*entries)[1].dns_names, ElementsAre("web.test", "*.web.test"));
  EXPECT_THAT(store().DeleteEntry("e1", TestAudit("entry.delete")), IsOk());
  EXPECT_THAT(store().DeleteEntry("e1", TestAudit("entry.delete")), StatusIs(StatusCode::kNotFound));
  EXPECT_EQ(AuditSize(store()), 4u);
}

TEST_P(StoreConformance, AuditLogIsAChain) {
  Activate(store());
  ASSERT_THAT(store().CreateToken(TestToken("t1"), TestAudit("token.create")), IsOk());
  ASSERT_THAT(store().DeleteToken("t1", TestAudit("token.delete")), IsOk());
  harness_->Reopen();
  ASSERT_THAT(store().CreateToken(TestToken("t2"), TestAudit("token.create")), IsOk());
  std::vector<std::string> actions;
  std::string hash;
  uint64_t sequence = 0;
  ASSERT_THAT(store().ListAudit([&](const AuditEntry& entry) {
    EXPECT_TRUE(AuditEntryFollows(hash, sequence, entry)) << entry.sequence;
    EXPECT_EQ(entry.actor, "uid 0 pid 1");
    EXPECT_EQ(entry.time, kTestNow);
    EXPECT_EQ(entry.detail, "a test did it");
    actions.push_back(entry.action);
    hash = entry.hash;
    sequence = entry.sequence;
    return true;
  }),
              IsOk());
  EXPECT_THAT(actions, ElementsAre("authority.activate", "token.create", "token.delete", "token.create"));
  EXPECT_EQ(sequence, 4u);
  int visited = 0;
  ASSERT_THAT(store().ListAudit([&](const AuditEntry&) { return ++visited < 2; }), IsOk());
  EXPECT_EQ(visited, 2);
}

TEST_P(StoreConformance, ADeedOfItsOwnIsAudited) {
  AuditEntry audit;
  audit.time = kTestNow;
  audit.actor = "uid 0";
  audit.action = "subscriber.evict";
  audit.target = "pid 7";
  audit.detail = "gone";
  ASSERT_THAT(store().RecordAudit(audit), IsOk());
  std::vector<AuditEntry> entries;
  ASSERT_THAT(store().ListAudit([&](const AuditEntry& entry) {
    entries.push_back(entry);
    return true;
  }),
              IsOk());
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].action, "subscriber.evict");
  EXPECT_EQ(entries[0].target, "pid 7");
  EXPECT_THAT(store().Check(), IsOk());
}

}  // namespace
}  // namespace meshca::storage
