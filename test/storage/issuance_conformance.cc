// What every store does with issuances.
#include <gmock/gmock.h>

#include <atomic>
#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "test/fakes/status_matchers.h"
#include "test/storage/conformance.h"

namespace meshca::storage {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

TEST_P(StoreConformance, RecordComesBackWhole) {
  Activate(store());
  RecordMaker maker;
  IssuanceRecord full = maker.Make();
  full.method = AuthMethod::kClientCertificate;
  full.instance = "spiffe://cluster.local/ns/default/sa/web|node-1|4242";
  full.node = "node-1";
  full.parent_serial = "0102030405060708090a0b0c0d0e0f10";
  IssuanceRecord odd = maker.Make();
  odd.parent_serial = "not hex";
  IssuanceRecord bare = maker.Make();
  for (const IssuanceRecord& record : {full, odd, bare}) ASSERT_THAT(AppendAndWait(store(), record), IsOk());
  harness_->Reopen();
  for (const IssuanceRecord& record : {full, odd, bare}) {
    auto found = store().Find(record.serial);
    ASSERT_THAT(found, IsOk());
    ExpectSame(*found, record);
  }
  EXPECT_THAT(store().Find(maker.Make().serial), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store().Check(), IsOk());
}

TEST_P(StoreConformance, OnlyAnActiveAuthoritySigns) {
  struct Case {
    const char* name;
    AuthorityState state;
    bool tainted;
    StatusCode wanted;
  };
  const Case cases[] = {
      {"Prepared", AuthorityState::kPrepared, false, StatusCode::kAborted},
      {"Active", AuthorityState::kActive, false, StatusCode::kOk},
      {"TaintedActiveStillSigns", AuthorityState::kActive, true, StatusCode::kOk},
      {"Old", AuthorityState::kOld, false, StatusCode::kAborted},
      {"Retired", AuthorityState::kRetired, true, StatusCode::kAborted},
  };
  RecordMaker maker;
  EXPECT_THAT(AppendAndWait(store(), maker.Make()), StatusIs(StatusCode::kAborted)) << "no authority at all";
  Activate(store());
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    ASSERT_THAT(SetState(store(), kIssuingA, c.state, c.tainted), IsOk());
    EXPECT_THAT(AppendAndWait(store(), maker.Make()), StatusIs(c.wanted));
    EXPECT_THAT(AppendAndWait(store(), maker.Make("spiffe://cluster.local/b", kIssuingB)), IsOk());
  }
  EXPECT_EQ(*store().CountIssuances(), 7u);
}

TEST_P(StoreConformance, BadRowFailsAlone) {
  Activate(store());
  RecordMaker maker;
  const IssuanceRecord first = maker.Make();
  IssuanceRecord twin = maker.Make("spiffe://cluster.local/other");
  twin.serial = first.serial;
  std::vector<std::promise<absl::Status>> answers(4);
  auto append = [&](size_t i, IssuanceRecord record) {
    store().Append(std::move(record), [&, i](absl::Status status) { answers[i].set_value(std::move(status)); });
  };
  append(0, first);
  append(1, twin);
  append(2, maker.Make("spiffe://cluster.local/x", "unknown"));
  append(3, maker.Make());
  EXPECT_THAT(answers[0].get_future().get(), IsOk());
  EXPECT_THAT(answers[1].get_future().get(), StatusIs(StatusCode::kAlreadyExists));
  EXPECT_THAT(answers[2].get_future().get(), StatusIs(StatusCode::kAborted));
  EXPECT_THAT(answers[3].get_future().get(), IsOk());
  EXPECT_EQ(*store().CountIssuances(), 2u);
  ExpectSame(*store().Find(first.serial), first);
  EXPECT_THAT(store().Check(), IsOk());
}

TEST_P(StoreConformance, TokenIsRedeemedWithTheIssuance) {
  Activate(store());
  ASSERT_THAT(store().CreateToken(TestToken("t1"), TestAudit()), IsOk());
  RecordMaker maker;
  auto record = [&](const char* token) {
    IssuanceRecord made = maker.Make();
    made.token_id = token;
    return made;
  };
  absl::Status unknown = AppendAndWait(store(), record("t0"));
  EXPECT_THAT(unknown, StatusIs(StatusCode::kUnauthenticated));
  EXPECT_THAT(unknown, HasReason(kTokenUnknown));

  // What is refused for another cause redeems nothing.
  IssuanceRecord aborted = record("t1");
  aborted.authority_id = "unknown";
  EXPECT_THAT(AppendAndWait(store(), aborted), StatusIs(StatusCode::kAborted));
  EXPECT_THAT(store().ListTokens()->at(0).used_key_sha256, IsEmpty());

  const IssuanceRecord first = record("t1");
  ASSERT_THAT(AppendAndWait(store(), first), IsOk());
  auto used = store().FindToken(TestToken("t1").secret_sha256);
  ASSERT_THAT(used, IsOk());
  EXPECT_EQ(used->used_key_sha256, first.key_sha256);
  EXPECT_EQ(used->used_at, first.issued_at);

  IssuanceRecord again = record("t1");
  again.key_sha256 = first.key_sha256;
  again.issued_at = TestToken("t1").expires_at - absl::Microseconds(1);
  EXPECT_THAT(AppendAndWait(store(), again), IsOk()) << "the same key may repeat until the token ends";
  EXPECT_EQ(store().FindToken(TestToken("t1").secret_sha256)->used_at, first.issued_at);

  absl::Status other_key = AppendAndWait(store(), record("t1"));
  EXPECT_THAT(other_key, StatusIs(StatusCode::kUnauthenticated));
  EXPECT_THAT(other_key, HasReason(kTokenUsed));

  IssuanceRecord late = record("t1");
  late.key_sha256 = first.key_sha256;
  late.issued_at = TestToken("t1").expires_at;
  absl::Status expired = AppendAndWait(store(), late);
  EXPECT_THAT(expired, StatusIs(StatusCode::kUnauthenticated));
  EXPECT_THAT(expired, HasReason(kTokenExpired));
  EXPECT_EQ(*store().CountIssuances(), 2u);
}

TEST_P(StoreConformance, ListFilters) {
  Activate(store());
  RecordMaker maker;
  auto append = [&](const char* id, const char* authority, const char* node, int hours) {
    IssuanceRecord record = maker.Make(absl::StrCat("spiffe://cluster.local/", id), authority, absl::Hours(hours));
    record.node = node;
    ASSERT_THAT(AppendAndWait(store(), record), IsOk());
  };
  append("ns/a/sa/x", kIssuingA, "node-1", 1);
  append("ns/a/sa/y", kIssuingB, "node-2", 2);
  append("ns/b/sa/x", kIssuingA, "node-1", 3);
  append("ns/b/sa/y", kIssuingB, "", 4);

  struct Case {
    const char* name;
    IssuanceFilter filter;
    std::vector<std::string> wanted;
  };
  std::vector<Case> cases(10);
  cases[0] = {"All", {}, {"/ns/a/sa/x", "/ns/a/sa/y", "/ns/b/sa/x", "/ns/b/sa/y"}};
  cases[1] = {"Glob", {}, {"/ns/a/sa/x", "/ns/b/sa/x"}};
  cases[1].filter.spiffe_id_glob = "spiffe://cluster.local/*/x";
  cases[2] = {"Authority", {}, {"/ns/a/sa/y", "/ns/b/sa/y"}};
  cases[2].filter.authority_id_prefix = "bb0";
  cases[3] = {"Node", {}, {"/ns/a/sa/x", "/ns/b/sa/x"}};
  cases[3].filter.node = "node-1";
  cases[4] = {"ExpiresBefore", {}, {"/ns/a/sa/x"}};
  cases[4].filter.expires_before = kTestNow + absl::Hours(2);
  cases[5] = {"ExpiresAfter", {}, {"/ns/b/sa/x", "/ns/b/sa/y"}};
  cases[5].filter.expires_after = kTestNow + absl::Hours(2) + absl::Milliseconds(1);
  cases[6] = {"All together", {}, {"/ns/b/sa/x"}};
  cases[6].filter = cases[5].filter;
  cases[6].filter.node = "node-1";
  cases[7] = {"OneId", {}, {"/ns/b/sa/x"}};
  cases[7].filter.spiffe_id_glob = "spiffe://cluster.local/ns/b/sa/x";
  cases[8] = {"OneIdThatNobodyHas", {}, {}};
  cases[8].filter.spiffe_id_glob = "spiffe://cluster.local/ns/b/sa";
  cases[9] = {"OneIdAndNode", {}, {}};
  cases[9].filter.spiffe_id_glob = "spiffe://cluster.local/ns/b/sa/x";
  cases[9].filter.node = "node-2";
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    std::vector<std::string> got;
    ASSERT_THAT(store().List(c.filter,
                             [&](const IssuanceRecord& record) {
                               got.emplace_back(record.spiffe_id.path());
                               return true;
                             }),
                IsOk());
    EXPECT_EQ(got, c.wanted);
  }
  int visited = 0;
  ASSERT_THAT(store().List({}, [&](const IssuanceRecord&) { return ++visited < 2; }), IsOk());
  EXPECT_EQ(visited, 2);
}

TEST_P(StoreConformance, CountsLiveLeavesToTheSecond) {
  Activate(store());
  RecordMaker maker;
  // Within one minute, across its border, and a day later.
  for (int seconds : {10, 20, 59, 60, 61, 86400}) {
    ASSERT_THAT(AppendAndWait(store(), maker.Make("spiffe://cluster.local/x", kIssuingA, absl::Seconds(seconds))),
                IsOk());
  }
  ASSERT_THAT(AppendAndWait(store(), maker.Make("spiffe://cluster.local/x", kIssuingB, absl::Seconds(60))), IsOk());
  auto count = [&](double seconds, const char* authority) {
    auto counts = store().CountLiveLeaves(kTestNow + absl::Seconds(seconds));
    EXPECT_THAT(counts, IsOk());
    return counts->count(authority) == 0 ? 0 : (*counts)[authority];
  };
  EXPECT_EQ(count(0, kIssuingA), 6u);
  EXPECT_EQ(count(10.9, kIssuingA), 6u) << "a certificate lives to the end of its last second";
  EXPECT_EQ(count(11, kIssuingA), 5u);
  EXPECT_EQ(count(59, kIssuingA), 4u);
  EXPECT_EQ(count(60, kIssuingA), 3u);
  EXPECT_EQ(count(61, kIssuingA), 2u);
  EXPECT_EQ(count(62, kIssuingA), 1u);
  EXPECT_EQ(count(86401, kIssuingA), 0u);
  EXPECT_THAT(*store().CountLiveLeaves(kTestNow + absl::Seconds(60)),
              UnorderedElementsAre(Pair(kIssuingA, 3), Pair(kIssuingB, 1)));
  EXPECT_THAT(*store().CountLiveLeaves(kTestNow + absl::Hours(48)), IsEmpty());
}

TEST_P(StoreConformance, PruneDeletesWhatEndedAndNoMore) {
  Activate(store());
  RecordMaker maker;
  std::vector<IssuanceRecord> records;
  for (int i = 0; i < 500; ++i) {
    records.push_back(maker.Make("spiffe://cluster.local/x", kIssuingA, absl::Seconds(i + 1)));
    store().Append(records.back(), [](absl::Status status) { EXPECT_THAT(status, IsOk()); });
  }
  const absl::Time cut = kTestNow + absl::Seconds(451);  // 450 end before it
  ASSERT_THAT(store().Probe(), IsOk());
  EXPECT_EQ(*store().Prune(cut, 3), 3u);
  EXPECT_EQ(*store().Prune(cut, 1000), 447u);
  EXPECT_EQ(*store().Prune(cut, 1000), 0u);
  EXPECT_EQ(*store().CountIssuances(), 50u);
  EXPECT_THAT(store().Find(records[449].serial), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store().Find(records[450].serial), IsOk());
  EXPECT_THAT(*store().CountLiveLeaves(kTestNow), ElementsAre(Pair(kIssuingA, 50)));
  EXPECT_THAT(store().Check(), IsOk());
}

TEST_P(StoreConformance, ManyThreadsAppendAtOnce) {
  Activate(store());
  constexpr int kThreads = 4;
  constexpr int kEach = 250;
  std::atomic<int> answered = 0;
  std::promise<void> all;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      RecordMaker maker(static_cast<uint64_t>(t) * 1000000 + 1);
      for (int i = 0; i < kEach; ++i) {
        store().Append(maker.Make(absl::StrCat("spiffe://cluster.local/", t, "/", i % 10)), [&](absl::Status status) {
          EXPECT_THAT(status, IsOk());
          if (++answered == kThreads * kEach) all.set_value();
        });
      }
    });
  }
  all.get_future().wait();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(*store().CountIssuances(), static_cast<uint64_t>(kThreads * kEach));
  harness_->Reopen();
  EXPECT_EQ(*store().CountIssuances(), static_cast<uint64_t>(kThreads * kEach));
  EXPECT_THAT(store().Check(), IsOk());
}

TEST_P(StoreConformance, AnAnswerMayAppendAgain) {
  Activate(store());
  RecordMaker maker;
  std::promise<absl::Status> second;
  store().Append(maker.Make("spiffe://cluster.local/x", "retired"), [&](absl::Status status) {
    EXPECT_THAT(status, StatusIs(StatusCode::kAborted));
    store().Append(maker.Make(), [&](absl::Status again) { second.set_value(std::move(again)); });
  });
  EXPECT_THAT(second.get_future().get(), IsOk());
}

TEST_P(StoreConformance, HealthCountsWork) {
  Activate(store());
  RecordMaker maker;
  ASSERT_THAT(AppendAndWait(store(), maker.Make()), IsOk());
  ASSERT_THAT(store().Probe(), IsOk());
  const StoreHealth health = store().Health();
  EXPECT_THAT(health.writable, IsOk());
  EXPECT_EQ(health.queued, 0u);
  EXPECT_GE(health.records, 1u);
  EXPECT_GE(health.schema_version, 1u);
}

}  // namespace
}  // namespace meshca::storage
