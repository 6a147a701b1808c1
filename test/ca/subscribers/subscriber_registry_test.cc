// Who acknowledged what: the slowest stream counts, and nothing is forgotten too early.
#include "ca/subscribers/subscriber_registry.h"

#include <algorithm>
#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"
#include "ca/base/glob.h"
#include "ca/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/fakes/fake_clock.h"
#include "test/fakes/memory_store.h"

namespace meshca {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

using Member = SubscriberRegistry::Member;

SubscriberRecord Info(std::string instance) {
  SubscriberRecord info;
  info.instance = std::move(instance);
  info.spiffe_id = "spiffe://td.test/web";
  info.node = "node-1";
  info.kind = "sds-unix";
  info.peer = "pid 1 uid 2";
  return info;
}

// More than any test but those of the room itself needs.
constexpr InstanceRoom::Limits kRoomy = {1 << 20, 1 << 20};

// A stream that was sent something: its instance may hold that.
Member Served(SubscriberRegistry& registry, const std::string& instance, EvictionNotice on_evicted = nullptr) {
  Member member = *registry.Join(Info(instance), std::move(on_evicted));
  member.Sent();
  return member;
}

struct Registry {
  FakeClock clock;
  MemoryStore store;
  SubscriberRegistry registry{store, clock, absl::Hours(24), kRoomy};

  Member Join(bool bundle, bool key, const std::string& instance = "i", EvictionNotice on_evicted = nullptr) {
    Member member = Served(registry, instance, std::move(on_evicted));
    member.Carries(bundle, key);
    return member;
  }
  // Evicts one by its name.
  absl::StatusOr<SubscriberRecord> Evict(const std::string& instance = "i") {
    auto evicted = registry.Evict([&](const SubscriberRecord& record) { return record.instance == instance; });
    if (!evicted.ok()) return evicted.status();
    if (evicted->records.empty()) return absl::NotFoundError(instance);
    return evicted->records.front();
  }
  SubscriberRecord Row(const std::string& instance = "i") {
    const auto rows = store.LoadSubscribers();
    for (const SubscriberRecord& row : *rows) {
      if (row.instance == instance) return row;
    }
    return {};
  }
  // What is in the store once the acknowledgements are as well.
  SubscriberRecord Later() {
    registry.Tick();
    return Row();
  }
};

// A store that answers when the test says so: what comes meanwhile is one batch.
class LateStore final : public SubscriberStore {
 public:
  void SaveSubscribers(std::vector<SubscriberRecord> rows, SaveDone done) override {
    MutexLock lock(mutex_);
    batches.push_back(rows.size());
    sorted = std::is_sorted(rows.begin(), rows.end(), [](const SubscriberRecord& a, const SubscriberRecord& b) {
      return a.instance < b.instance;
    });
    last_ = std::move(rows.back());
    waiting_ = std::move(done);
    saved_.NotifyAll();
  }
  absl::StatusOr<std::vector<SubscriberRecord>> LoadSubscribers() override { return std::vector<SubscriberRecord>(); }
  void DeleteSubscribers(std::vector<std::string> instances, SaveDone done) override {
    deletions.push_back(instances.size());
    forgotten = std::move(done);
  }
  // Waits until there is a batch to answer; the last row of it.
  SubscriberRecord Answer() {
    SaveDone done;
    SubscriberRecord row;
    {
      MutexLock lock(mutex_);
      while (!waiting_) saved_.Wait(mutex_);
      done = std::exchange(waiting_, nullptr);
      row = last_;
    }
    std::move(done)(absl::OkStatus());
    return row;
  }
  std::vector<size_t> batches;
  bool sorted = false;  // the last batch
  std::vector<size_t> deletions;
  SaveDone forgotten;  // of the last deletion

 private:
  Mutex mutex_;
  CondVar saved_;
  SubscriberRecord last_ ABSL_GUARDED_BY(mutex_);
  SaveDone waiting_ ABSL_GUARDED_BY(mutex_);
};

// A place without rows.
class NoStore final : public SubscriberStore {
 public:
  void SaveSubscribers(std::vector<SubscriberRecord> rows, SaveDone done) override {
    given += rows.size();
    std::move(done)(absl::OkStatus());
  }
  absl::StatusOr<std::vector<SubscriberRecord>> LoadSubscribers() override { return std::vector<SubscriberRecord>(); }
  void DeleteSubscribers(std::vector<std::string> instances, SaveDone done) override {
    std::move(done)(absl::OkStatus());
  }
  bool KeepsRows() const override { return false; }
  size_t given = 0;
};

Acknowledgement Bundle(uint64_t sequence) { return {sequence, 0, "", "", "v"}; }
Acknowledgement KeyOf(uint64_t generation, std::string authority_id = "issuing") {
  return {0, generation, std::to_string(generation), std::move(authority_id), "v" + std::to_string(generation)};
}

TEST(SubscriberRegistry, TheSlowestStreamCounts) {
  Registry world;
  Member one = world.Join(true, false), two = world.Join(true, false), key = world.Join(false, true);
  one.Acknowledged(Bundle(5));
  EXPECT_EQ(world.registry.Find("i")->trust_version, 0) << "the second has acknowledged nothing";
  two.Acknowledged(Bundle(4));
  EXPECT_EQ(world.registry.Find("i")->trust_version, 4);
  two.Acknowledged(Bundle(5));
  EXPECT_EQ(world.registry.Find("i")->trust_version, 5);
  key.Acknowledged(KeyOf(2));
  EXPECT_EQ(world.registry.Find("i")->serial, "2");
  EXPECT_EQ(world.registry.Find("i")->version_info, "v2");
  Member slow_key = world.Join(false, true);
  slow_key.Acknowledged(KeyOf(1));
  EXPECT_EQ(world.registry.Find("i")->serial, "1");
}

TEST(SubscriberRegistry, ARejectionStandsUntilItsOwnStreamAcknowledges) {
  Registry world;
  Member key = world.Join(false, true), bundle = world.Join(true, false);
  key.Rejected("bad key");
  bundle.Acknowledged(Bundle(1));
  EXPECT_EQ(world.Row().rejected, "bad key") << "Envoy has one stream a secret; another's ACK proves nothing";
  key.Acknowledged(KeyOf(1));
  EXPECT_EQ(world.Later().rejected, "");
}

TEST(SubscriberRegistry, EveryChangeIsInTheStore) {
  Registry world;
  Member member = world.Join(true, true);
  EXPECT_TRUE(world.Row().connected);
  member.SentCertificate(world.clock.Now() + absl::Hours(24));
  member.Acknowledged({7, 1, "0a", "issuing", "v1"});
  EXPECT_EQ(world.Row().trust_version, 0) << "acknowledgements alone wait for the tick";
  EXPECT_EQ(world.Later().trust_version, 7);
  EXPECT_EQ(world.Row().serial, "0a");
  EXPECT_EQ(world.Row().authority_id, "issuing");
  EXPECT_TRUE(world.Row().takes_bundle);
  EXPECT_TRUE(world.Row().takes_key);
  EXPECT_EQ(world.Row().version_info, "v1");
  EXPECT_EQ(world.Row().acknowledged_at, world.clock.Now());
  EXPECT_EQ(world.Row().certificate_expires, world.clock.Now() + absl::Hours(24));
  member.Rejected("no room");
  EXPECT_EQ(world.Row().rejected, "no room");
  EXPECT_EQ(world.Row().trust_version, 7);
  member.Leave(/*broken=*/false);
  EXPECT_FALSE(world.Row().connected);
  EXPECT_EQ(world.Row().trust_version, 7);
}

TEST(SubscriberRegistry, ABrokenConnectionLeavesTheSlowestBehind) {
  for (const bool slow_first : {true, false}) {
    Registry world;
    Member fast = world.Join(true, false), slow = world.Join(true, false);
    fast.Acknowledged(Bundle(5));
    slow.Acknowledged(Bundle(3));
    (slow_first ? slow : fast).Leave(/*broken=*/true);
    (slow_first ? fast : slow).Leave(/*broken=*/true);
    EXPECT_EQ(world.registry.Find("i")->trust_version, 3) << slow_first;
  }
}

TEST(SubscriberRegistry, ASubscriptionGivenUpCountsNoMore) {
  Registry world;
  Member fast = world.Join(true, false), slow = world.Join(true, false);
  fast.Acknowledged(Bundle(5));
  slow.Leave(/*broken=*/false);
  EXPECT_EQ(world.registry.Find("i")->trust_version, 5);
}

TEST(SubscriberRegistry, OneWhoLeftIsRememberedUntilTheCertificateExpires) {
  Registry world;
  Member with = world.Join(true, true, "with"), without = world.Join(true, false, "without");
  with.SentCertificate(world.clock.Now() + absl::Hours(48));
  with.Leave(false);
  without.Leave(false);
  world.clock.Advance(absl::Hours(23));
  world.registry.Tick();
  EXPECT_THAT(world.registry.List(), SizeIs(2));
  world.clock.Advance(absl::Hours(2));
  world.registry.Tick();
  EXPECT_THAT(world.registry.List(), SizeIs(1));
  EXPECT_THAT(*world.store.LoadSubscribers(), SizeIs(1));
  world.clock.Advance(absl::Hours(24));
  world.registry.Tick();
  EXPECT_THAT(world.registry.List(), IsEmpty());
  EXPECT_THAT(*world.store.LoadSubscribers(), IsEmpty());
}

TEST(SubscriberRegistry, WhoseCertificatesWereRevokedIsForgottenOnceItLeft) {
  Registry world;
  const absl::Time end = world.clock.Now() + absl::Hours(48);
  Member none = world.Join(true, true, "none"), some = world.Join(true, true, "some");
  none.SentCertificate(end);
  some.SentCertificate(end);
  world.registry.CertificatesEnd("none", absl::InfinitePast());
  world.registry.CertificatesEnd("some", world.clock.Now() + absl::Hours(1));
  world.registry.CertificatesEnd("some", end);  // never later than it was
  world.registry.CertificatesEnd("nobody", absl::InfinitePast());
  world.registry.Tick();
  EXPECT_THAT(world.registry.List(), SizeIs(2)) << "connected ones count";
  none.Leave(true);
  some.Leave(true);
  world.registry.Tick();
  ASSERT_THAT(world.registry.List(), SizeIs(1));
  EXPECT_EQ(world.registry.List().front().certificate_expires, world.clock.Now() + absl::Hours(1));
  EXPECT_THAT(*world.store.LoadSubscribers(), SizeIs(1)) << "after a restart too";
  world.clock.Advance(absl::Hours(1));
  world.registry.Tick();
  EXPECT_THAT(world.registry.List(), IsEmpty());
  // Who comes back gets a new certificate, and that counts.
  Member back = world.Join(true, true, "none");
  back.SentCertificate(world.clock.Now() + absl::Hours(24));
  back.Leave(true);
  world.registry.Tick();
  EXPECT_THAT(world.registry.List(), SizeIs(1));
}

TEST(SubscriberRegistry, AJumpOfTheClockForgetsNobodyAndDatesNobody) {
  Registry world;
  Member certified = world.Join(true, true, "a");
  certified.SentCertificate(world.clock.Now() + absl::Hours(1));
  certified.Leave(true);
  Member plain = world.Join(true, true, "b");
  plain.Leave(true);
  const absl::Time then = world.clock.Now();
  world.clock.JumpInDoubt(then + absl::Hours(24 * 29));
  world.registry.Tick();
  EXPECT_TRUE(world.registry.Knows("a"));
  EXPECT_TRUE(world.registry.Knows("b"));
  world.clock.JumpBack();
  // One that leaves while the clock is behind left now, and not a year ago.
  Member behind = world.Join(true, true, "c");
  world.clock.JumpInDoubt(then - absl::Hours(24 * 365));
  behind.Leave(true);
  EXPECT_EQ(world.registry.Find("c")->last_seen, then);
  world.clock.JumpBack();
  world.registry.Tick();
  for (const char* name : {"a", "b", "c"}) EXPECT_TRUE(world.registry.Knows(name)) << name;
  world.clock.Advance(absl::Hours(2));
  world.registry.Tick();
  EXPECT_FALSE(world.registry.Knows("a"));
  EXPECT_TRUE(world.registry.Knows("b"));
}

TEST(SubscriberRegistry, AConnectedOneIsNeverForgotten) {
  Registry world;
  Member member = world.Join(true, false);
  world.clock.Advance(absl::Hours(1000));
  world.registry.Tick();
  EXPECT_THAT(world.registry.List(), SizeIs(1));
}

TEST(SubscriberRegistry, TheAuthorityIsThatOfTheSlowestKey) {
  Registry world;
  Member slow = world.Join(false, true), fast = world.Join(false, true);
  EXPECT_EQ(world.registry.Find("i")->authority_id, "");
  slow.Acknowledged(KeyOf(1, "old"));
  fast.Acknowledged(KeyOf(2, "new"));
  EXPECT_EQ(world.registry.Find("i")->authority_id, "old");
  slow.Leave(/*broken=*/true);
  EXPECT_EQ(world.registry.Find("i")->authority_id, "old") << "its proxy still uses that key";
  fast.Leave(/*broken=*/true);
  EXPECT_EQ(world.Row().authority_id, "old");
  EXPECT_EQ(world.Row().serial, "1");
  Member back = world.Join(false, true);
  back.Acknowledged(KeyOf(2, "new"));
  EXPECT_EQ(world.Later().authority_id, "new");
}

TEST(SubscriberRegistry, WhatAnInstanceTakesIsWhatItsStreamsCarry) {
  Registry world;
  Member bundle = world.Join(true, false), key = world.Join(false, true);
  EXPECT_TRUE(world.registry.Find("i")->takes_bundle);
  EXPECT_TRUE(world.registry.Find("i")->takes_key);
  key.Leave(/*broken=*/false);
  EXPECT_FALSE(world.registry.Find("i")->takes_key) << "given up";
  bundle.Carries(false, false);
  EXPECT_FALSE(world.Row().takes_bundle);
  bundle.Carries(true, false);
  EXPECT_TRUE(world.Row().takes_bundle);
  bundle.Leave(/*broken=*/true);
  EXPECT_TRUE(world.Row().takes_bundle) << "left, with what it held";
  EXPECT_FALSE(world.Row().takes_key);
  world.clock.Advance(absl::Hours(1));
  EXPECT_TRUE(world.registry.Find("i")->takes_bundle);
}

TEST(SubscriberRegistry, WhoeverGivesUpItsLastStreamHasLeft) {
  Registry world;
  Member silent = world.Join(true, false);
  silent.Leave(/*broken=*/false);
  world.clock.Advance(absl::Hours(1));
  EXPECT_TRUE(world.registry.Find("i")->takes_bundle);
  EXPECT_FALSE(world.registry.Find("i")->takes_key);
  EXPECT_EQ(world.registry.Find("i")->trust_version, 0u);
}

TEST(SubscriberRegistry, AnInstanceComesBackOneStreamAfterTheOther) {
  Registry world;
  Member bundle = world.Join(true, false), key = world.Join(false, true);
  key.Acknowledged(KeyOf(1, "old"));
  for (Member* stream : {&bundle, &key}) stream->Leave(/*broken=*/true);
  const auto with_a_stream_back = [](SubscriberRegistry& registry, FakeClock& clock) {
    Member back = *registry.Join(Info("i"));
    back.Carries(true, false);
    EXPECT_TRUE(registry.Find("i")->takes_key) << "its stream is on the way";
    EXPECT_EQ(registry.Find("i")->authority_id, "old");
    clock.Advance(SubscriberInstance::kComeBack);
    EXPECT_FALSE(registry.Find("i")->takes_key) << "it has had the time to";
    EXPECT_TRUE(registry.Find("i")->takes_bundle);
    back.Leave(/*broken=*/false);
  };
  {
    SubscriberRegistry restarted(world.store, world.clock, absl::Hours(24));
    ASSERT_TRUE(restarted.Load().ok());
    EXPECT_TRUE(restarted.Find("i")->takes_key);
    with_a_stream_back(restarted, world.clock);
  }
  with_a_stream_back(world.registry, world.clock);
}

TEST(SubscriberRegistry, AnEvictionIsDurableUntilTheInstanceComesBack) {
  Registry world;
  EXPECT_EQ(world.Evict().status().code(), absl::StatusCode::kNotFound);
  world.Join(true, false).Leave(/*broken=*/true);
  const absl::StatusOr<SubscriberRecord> evicted = world.Evict();
  ASSERT_TRUE(evicted.ok()) << evicted.status();
  EXPECT_EQ(evicted->evicted_at, world.clock.Now());
  EXPECT_EQ(world.Row().evicted_at, world.clock.Now());
  EXPECT_THAT(world.registry.List(), SizeIs(1)) << "listed, for as long as it is remembered";
  EXPECT_EQ(world.Evict().status().code(), absl::StatusCode::kNotFound) << "it is evicted already";
  SubscriberRegistry restarted(world.store, world.clock, absl::Hours(24));
  ASSERT_TRUE(restarted.Load().ok());
  EXPECT_EQ(restarted.List().front().evicted_at, world.clock.Now());
  Member back = world.Join(true, false);
  EXPECT_EQ(world.Row().evicted_at, absl::InfiniteFuture());
  back.Leave(/*broken=*/true);
  ASSERT_TRUE(world.Evict().ok());
  world.clock.Advance(absl::Hours(25));
  world.registry.Tick();
  EXPECT_THAT(world.registry.List(), IsEmpty());
}

TEST(SubscriberRegistry, AnEvictionThatCannotBeSavedIsNone) {
  Registry world;
  world.Join(true, false).Leave(/*broken=*/true);
  world.store.FailWrites(absl::UnavailableError("disk full"));
  EXPECT_EQ(world.Evict().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(world.registry.Find("i")->evicted_at, absl::InfiniteFuture());
  world.store.FailWrites(absl::OkStatus());
  ASSERT_TRUE(world.Evict().ok());
  EXPECT_EQ(world.Row().evicted_at, world.clock.Now());
}

TEST(SubscriberRegistry, WhatAnEvictedStreamStillSaysIsEvidenceOfNothing) {
  Registry world;
  int told = 0;
  Member connected = world.Join(true, true, "i", [&told] { ++told; });
  connected.Acknowledged({8, 1, "0a", "issuing", "v1"});
  const auto evicted = world.registry.Evict([](const SubscriberRecord&) { return true; });
  ASSERT_TRUE(evicted.ok()) << evicted.status();
  EXPECT_EQ(evicted->ended, 1u);
  EXPECT_EQ(told, 1) << "its owner ends it";

  connected.Acknowledged({9, 2, "0b", "issuing", "v2"});
  connected.Rejected("no room");
  connected.Carries(false, false);
  connected.SentCertificate(world.clock.Now() + absl::Hours(99));
  const SubscriberRecord row = *world.registry.Find("i");
  EXPECT_FALSE(row.connected);
  EXPECT_EQ(row.trust_version, 0u);
  EXPECT_EQ(row.serial, "");
  EXPECT_EQ(row.rejected, "");
  EXPECT_EQ(row.acknowledged_at, absl::InfinitePast());
  EXPECT_NE(row.evicted_at, absl::InfiniteFuture());
  connected.Leave(/*broken=*/true);
  EXPECT_EQ(world.registry.Stats().streams, 0u);
}

TEST(SubscriberRegistry, WhoComesBackAfterAnEvictionHasAcknowledgedNothing) {
  Registry world;
  Member bundle = world.Join(true, false), key = world.Join(false, true);
  bundle.Acknowledged(Bundle(8));
  key.Acknowledged(KeyOf(1, "old"));
  ASSERT_TRUE(world.Evict().ok());
  world.clock.Advance(absl::Seconds(1));
  Member back = world.Join(true, false);
  const SubscriberRecord row = *world.registry.Find("i");
  EXPECT_EQ(row.evicted_at, absl::InfiniteFuture());
  EXPECT_EQ(row.first_seen, world.clock.Now()) << "it counts anew";
  EXPECT_EQ(row.trust_version, 0u);
  EXPECT_EQ(row.authority_id, "");
  EXPECT_TRUE(row.takes_key) << "its other stream may be on the way";
  back.Acknowledged(Bundle(9));
  EXPECT_EQ(world.registry.Find("i")->trust_version, 9u);
}

TEST(SubscriberRegistry, ManyAreEvictedAtOnceAndNobodyElse) {
  Registry world;
  for (int i = 0; i < 2500; ++i) world.Join(true, false, absl::StrCat("made-up-", i)).Leave(/*broken=*/true);
  Member other = world.Join(true, false, "other");
  const auto evicted =
      world.registry.Evict([](const SubscriberRecord& record) { return GlobMatches("made-up-*", record.instance); });
  ASSERT_TRUE(evicted.ok()) << evicted.status();
  EXPECT_THAT(evicted->records, SizeIs(2500));
  EXPECT_EQ(evicted->ended, 0u);
  size_t left = 0;
  const std::vector<SubscriberRecord> rows = *world.store.LoadSubscribers();
  for (const SubscriberRecord& row : rows) {
    if (row.evicted_at == absl::InfiniteFuture()) ++left;
  }
  EXPECT_EQ(left, 1u) << "all but the other one are durable";
}

TEST(SubscriberRegistry, WhatWasSentNothingHoldsNothingAndIsNotRemembered) {
  Registry world;
  {
    Member asked = *world.registry.Join(Info("i"));
    asked.Carries(true, true);
    EXPECT_THAT(world.registry.List(), SizeIs(1)) << "it counts while it is connected";
    EXPECT_THAT(*world.store.LoadSubscribers(), IsEmpty());
    asked.Leave(/*broken=*/true);
  }
  EXPECT_THAT(world.registry.List(), IsEmpty());
  Member served = *world.registry.Join(Info("i"));
  served.Carries(false, true);
  served.SentCertificate(world.clock.Now() + absl::Hours(24));
  EXPECT_TRUE(world.Row().takes_key) << "a key is on its way";
  served.Leave(/*broken=*/false);
  EXPECT_THAT(world.registry.List(), SizeIs(1));
  Member again = *world.registry.Join(Info("i"));
  again.Leave(/*broken=*/true);
  EXPECT_THAT(world.registry.List(), SizeIs(1)) << "what it was sent before, it holds";
}

SubscriberRecord InfoOf(const std::string& instance, uint32_t uid, const std::string& id = "spiffe://td.test/web") {
  SubscriberRecord info = Info(instance);
  info.spiffe_id = id;
  info.peer = absl::StrCat("pid 7 uid ", uid);
  return info;
}

TEST(SubscriberRegistry, OneUidHasRoomForSoManyInstancesUnderWhateverNames) {
  FakeClock clock;
  MemoryStore store;
  SubscriberRegistry registry(store, clock, absl::Hours(24), {.per_principal = 16, .per_id = 1000});
  const auto join = [&](SubscriberRegistry& where, const std::string& instance, uint32_t uid) {
    absl::StatusOr<Member> member = where.Join(InfoOf(instance, uid, "spiffe://td.test/" + instance));
    if (!member.ok()) return member.status();
    member->Sent();
    member->Leave(/*broken=*/true);
    return absl::OkStatus();
  };
  for (int i = 0; i < 16; ++i) {
    ASSERT_TRUE(join(registry, std::to_string(i), 1000).ok()) << i;
    clock.Advance(absl::Minutes(1));
  }
  const absl::Status refused = join(registry, "new", 1000);
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(refused), "TOO_MANY_INSTANCES");
  EXPECT_THAT(std::string(refused.message()), testing::AllOf(testing::HasSubstr("16 instances of uid 1000"),
                                                             testing::HasSubstr("meshca subscriber evict")));
  EXPECT_TRUE(join(registry, "7", 1000).ok()) << "the same instance comes back";
  EXPECT_TRUE(join(registry, "another", 1001).ok()) << "another user is not concerned";
  SubscriberRegistry next(store, clock, absl::Hours(24), {.per_principal = 16, .per_id = 1000});
  ASSERT_TRUE(next.Load().ok());
  EXPECT_FALSE(join(next, "new", 1000).ok()) << "a restart forgets nobody";

  ASSERT_TRUE(registry.Evict([](const auto& record) { return record.instance == "8"; }).ok());
  EXPECT_TRUE(join(registry, "new", 1000).ok()) << "one is gone";
  EXPECT_FALSE(join(registry, "8", 1000).ok()) << "and needs room to come back";
  clock.Advance(absl::Hours(25));
  registry.Tick();
  EXPECT_TRUE(join(registry, "newer", 1000).ok()) << "all of them ended";
}

Delivery Fetched(uint64_t bundle, uint64_t generation, absl::Time not_after,
                 const std::string& id = "spiffe://td.test/web", const std::string& authority_id = "issuing") {
  Delivery delivery;
  if (bundle > 0) delivery.trust_version = bundle;
  if (generation > 0) {
    delivery.keys = {
        {id, generation, std::to_string(generation), authority_id, absl::StrCat("v", generation), not_after}};
  }
  return delivery;
}

SubscriberRecord FetchInfo(const std::string& instance) {
  SubscriberRecord info = Info(instance);
  info.kind = "sds-fetch-unix";
  return info;
}

TEST(SubscriberRegistry, WhoFetchesHoldsWhatItWasSentLast) {
  Registry world;
  const absl::Time end = world.clock.Now() + absl::Hours(24);
  world.registry.BeginFetch(FetchInfo("f"))->Delivered(Fetched(7, 1, end, "spiffe://td.test/web", "old"));
  SubscriberRecord row = world.Row("f");
  EXPECT_FALSE(row.connected);
  EXPECT_TRUE(row.takes_bundle && row.takes_key);
  EXPECT_EQ(row.trust_version, 7u);
  EXPECT_EQ(row.authority_id, "old");
  EXPECT_EQ(row.acknowledged_at, absl::InfinitePast()) << "nobody acknowledges an answer";
  EXPECT_EQ(row.certificate_expires, end);
  world.registry.BeginFetch(FetchInfo("f"))->Delivered(Fetched(8, 0, end));
  EXPECT_EQ(world.Row("f").trust_version, 8u);
  EXPECT_EQ(world.Row("f").authority_id, "old") << "it was sent no other key";
  world.registry.BeginFetch(FetchInfo("f"))->Delivered(Fetched(0, 2, end, "spiffe://td.test/web", "new"));
  EXPECT_EQ(world.Row("f").authority_id, "new");
  EXPECT_EQ(world.Row("f").trust_version, 8u);
  EXPECT_THAT(world.registry.List(), SizeIs(1));
}

TEST(SubscriberRegistry, TheOldestKeyThatWasFetchedAndLivesCounts) {
  Registry world;
  const absl::Time now = world.clock.Now();
  const auto fetch = [&](uint64_t generation, const std::string& id, const std::string& authority,
                         absl::Duration life) {
    world.registry.BeginFetch(FetchInfo("f"))->Delivered(Fetched(0, generation, now + life, id, authority));
  };
  fetch(1, "spiffe://td.test/web", "old", absl::Hours(1));
  fetch(2, "spiffe://td.test/api", "new", absl::Hours(24));
  EXPECT_EQ(world.Row("f").authority_id, "old") << "the key of the other identity is still held";
  world.clock.Advance(absl::Hours(2));
  world.registry.Tick();
  EXPECT_EQ(world.Row("f").authority_id, "new") << "that one has ended";
}

TEST(SubscriberRegistry, ARestartTakesNoNewKeyForTheSuccessorOfOneThatMayBeAnothers) {
  const auto fetch = [](SubscriberRegistry& registry, uint64_t generation, const std::string& id,
                        const std::string& authority, absl::Time end) {
    registry.BeginFetch(FetchInfo("f"))->Delivered(Fetched(0, generation, end, id, authority));
  };
  for (const bool several : {false, true}) {
    Registry world;
    const absl::Time end = world.clock.Now() + absl::Hours(24);
    fetch(world.registry, 1, "spiffe://td.test/web", "old", end);
    if (several) fetch(world.registry, 2, "spiffe://td.test/api", "old", end);
    SubscriberRegistry restarted(world.store, world.clock, absl::Hours(24));
    ASSERT_TRUE(restarted.Load().ok());
    fetch(restarted, 1, "spiffe://td.test/web", "new", end);
    EXPECT_EQ(restarted.Find("f")->authority_id, several ? "old" : "new");
  }
}

TEST(SubscriberRegistry, AFetchThatBroughtNothingIsNotRemembered) {
  Registry world;
  { const auto failed = world.registry.BeginFetch(FetchInfo("f")); }
  EXPECT_THAT(world.registry.List(), IsEmpty());
  world.registry.BeginFetch(FetchInfo("f"))->Delivered(Fetched(7, 0, {}));
  { const auto failed = world.registry.BeginFetch(FetchInfo("f")); }
  EXPECT_EQ(world.registry.Find("f")->trust_version, 7u) << "what it held before, it holds";
  ASSERT_TRUE(world.Evict("f").ok());
  { const auto failed = world.registry.BeginFetch(FetchInfo("f")); }
  EXPECT_NE(world.registry.Find("f")->evicted_at, absl::InfiniteFuture()) << "it was given nothing since";
  world.registry.BeginFetch(FetchInfo("f"))->Delivered(Fetched(8, 0, {}));
  EXPECT_EQ(world.Row("f").evicted_at, absl::InfiniteFuture()) << "it is back";
}

TEST(SubscriberRegistry, AFetchIsForgottenWithItsCertificate) {
  Registry world;
  world.registry.BeginFetch(FetchInfo("f"))->Delivered(Fetched(7, 1, world.clock.Now() + absl::Hours(2)));
  SubscriberRegistry restarted(world.store, world.clock, absl::Hours(24));
  ASSERT_TRUE(restarted.Load().ok());
  EXPECT_EQ(restarted.Find("f")->serial, "1");
  world.clock.Advance(absl::Hours(1));
  restarted.Tick();
  EXPECT_THAT(restarted.List(), SizeIs(1));
  world.clock.Advance(absl::Hours(2));
  restarted.Tick();
  EXPECT_THAT(restarted.List(), IsEmpty());
}

TEST(SubscriberRegistry, ARestartRemembersAndHasNobodyConnected) {
  Registry world;
  Member member = world.Join(true, false);
  member.Acknowledged(Bundle(9));
  world.registry.Tick();
  SubscriberRegistry next(world.store, world.clock, absl::Hours(24));
  ASSERT_TRUE(next.Load().ok());
  ASSERT_THAT(next.List(), SizeIs(1));
  EXPECT_EQ(next.List().front().trust_version, 9);
  EXPECT_FALSE(next.List().front().connected);
  EXPECT_EQ(next.Stats().connected, 0);
  Member again = *next.Join(Info("i"));
  EXPECT_EQ(next.List().front().first_seen, FakeClock().Now());
}

TEST(SubscriberRegistry, WhatCouldNotBeSavedIsSavedWhenTheDiskIsBack) {
  Registry world;
  Member member = world.Join(true, false);
  world.store.FailWrites(absl::UnavailableError("disk full"));
  member.Acknowledged(Bundle(2));
  EXPECT_EQ(world.Row().trust_version, 0);
  EXPECT_EQ(world.registry.Stats().unsaved, 1);
  world.registry.Tick();
  EXPECT_EQ(world.registry.Stats().unsaved, 1);
  world.store.FailWrites(absl::OkStatus());
  world.registry.Tick();
  EXPECT_EQ(world.Row().trust_version, 2);
  EXPECT_EQ(world.registry.Stats().unsaved, 0);
}

TEST(SubscriberRegistry, ManyChangesAreSavedInBatches) {
  LateStore store;
  FakeClock clock;
  SubscriberRegistry registry(store, clock, absl::Hours(24), kRoomy);
  std::vector<Member> members;
  for (int i = 0; i < 1501; ++i) members.push_back(Served(registry, std::to_string(i)));
  EXPECT_THAT(store.batches, testing::ElementsAre(1));
  store.Answer();
  store.Answer();
  EXPECT_THAT(store.batches, testing::ElementsAre(1, 1000, 500));
  store.Answer();
  members[3].Rejected("first");
  members[3].Rejected("second");
  EXPECT_EQ(store.batches.back(), 1);
  store.Answer();
  EXPECT_EQ(store.batches.size(), 5);
  store.Answer();
  members.clear();
  while (registry.Stats().unsaved > 0) store.Answer();
  store.Answer();
}

TEST(SubscriberRegistry, AcknowledgementsAreSavedTogetherInTheOrderOfTheTable) {
  LateStore store;
  FakeClock clock;
  SubscriberRegistry registry(store, clock, absl::Hours(24), kRoomy);
  std::vector<Member> members;
  for (int i = 0; i < 1500; ++i) members.push_back(Served(registry, std::to_string(i)));
  for (Member& member : members) member.Carries(/*bundle=*/true, /*key=*/false);
  while (registry.Stats().unsaved > 0) store.Answer();
  store.Answer();
  const size_t before = store.batches.size();
  for (const uint64_t sequence : {1, 2}) {
    for (Member& member : members) member.Acknowledged(Bundle(sequence));
  }
  EXPECT_EQ(store.batches.size(), before) << "nothing is written for one of them";
  EXPECT_EQ(registry.Stats().unsaved, 1500);
  members[7].Rejected("no room");
  EXPECT_EQ(store.Answer().trust_version, 2) << "with what is saved at once";
  registry.Tick();
  EXPECT_EQ(store.batches.back(), 1000);
  EXPECT_TRUE(store.sorted);
  const std::string last = store.Answer().instance;
  EXPECT_EQ(store.batches.back(), 499) << "one was saved already";
  EXPECT_TRUE(store.sorted);
  EXPECT_LT(last, store.Answer().instance);
  EXPECT_EQ(registry.Stats().unsaved, 0);
  EXPECT_EQ(store.batches.size(), before + 3);
  members.clear();
  while (registry.Stats().unsaved > 0) store.Answer();
  store.Answer();
}

TEST(SubscriberRegistry, ForgettingManyWaitsForNobody) {
  LateStore store;
  FakeClock clock;
  SubscriberRegistry registry(store, clock, absl::Hours(24), kRoomy);
  for (int i = 0; i < 900; ++i) Served(registry, std::to_string(i)).Leave(/*broken=*/true);
  while (registry.Stats().unsaved > 0) store.Answer();
  store.Answer();
  clock.Advance(absl::Hours(25));
  registry.Tick();
  EXPECT_THAT(store.deletions, testing::ElementsAre(900)) << "one for all, and nobody waited for it";
  EXPECT_THAT(registry.List(), IsEmpty());

  // One comes back, and is saved before the deletion is done.
  Member back = Served(registry, "7");
  EXPECT_EQ(store.Answer().instance, "7");
  const size_t saves = store.batches.size();
  std::move(store.forgotten)(absl::OkStatus());
  EXPECT_EQ(store.batches.size(), saves + 1) << "saved again: its row may be gone";
  EXPECT_EQ(store.Answer().instance, "7");
  back = Member();
  store.Answer();
}

TEST(SubscriberRegistry, AnEvictionWaitsForItsOwnBatch) {
  LateStore store;
  FakeClock clock;
  SubscriberRegistry registry(store, clock, absl::Hours(24), kRoomy);
  Served(registry, "i").Leave(/*broken=*/true);  // one batch is being written, the next is due
  std::atomic<bool> evicted = false;
  std::thread operator_waits([&] {
    EXPECT_TRUE(registry.Evict([](const SubscriberRecord&) { return true; }).ok());
    evicted = true;
  });
  EXPECT_TRUE(store.Answer().connected) << "the batch of the Join";
  EXPECT_FALSE(evicted);
  while (store.Answer().evicted_at == absl::InfiniteFuture()) EXPECT_FALSE(evicted);
  operator_waits.join();
  EXPECT_TRUE(evicted);
}

// Says of processes what a test wants.
class FakeProcesses final : public ProcessWatch {
 public:
  void Start(Ended ended) override { ended_ = std::move(ended); }
  bool Watch(const ProcessName& process) override {
    watched.push_back(process);
    if (on_watch) on_watch();
    return alive;
  }
  void Retain(absl::FunctionRef<bool(const ProcessName&)> needed) override {
    std::erase_if(watched, [&](const ProcessName& process) { return !needed(process); });
  }
  void Shutdown() override { ended_ = nullptr; }
  void End(const ProcessName& process) { ended_({process}); }

  std::vector<ProcessName> watched;
  std::function<void()> on_watch;
  bool alive = true;

 private:
  Ended ended_;
};

struct RegistryOfProcesses {
  Member Join() {
    SubscriberRecord info = Info("i");
    info.process = {42, 7};
    Member member = *registry.Join(info);
    member.Sent();
    member.Carries(true, false);
    return member;
  }
  FakeClock clock;
  MemoryStore store;
  FakeProcesses processes;
  SubscriberRegistry registry{store, clock, absl::Hours(24), kRoomy, absl::Minutes(1), &processes};
};

TEST(SubscriberRegistryProcesses, OneThatEndedLeavesNothingBehind) {
  RegistryOfProcesses r;
  r.Join().Leave(/*broken=*/true);
  r.registry.Tick();
  EXPECT_THAT(r.processes.watched, testing::ElementsAre(ProcessName{42, 7})) << "while its instance is known";
  EXPECT_THAT(*r.store.LoadSubscribers(), SizeIs(1));
  r.processes.End({42, 7});
  EXPECT_THAT(r.registry.List(), IsEmpty());
  EXPECT_THAT(*r.store.LoadSubscribers(), IsEmpty());
  r.registry.Tick();
  EXPECT_THAT(r.processes.watched, IsEmpty());
}

TEST(SubscriberRegistryProcesses, ItsStreamMayEndAfterIt) {
  RegistryOfProcesses r;
  Member member = r.Join();
  r.processes.End({42, 7});
  EXPECT_THAT(r.registry.List(), SizeIs(1));
  member.Leave(/*broken=*/true);
  EXPECT_THAT(r.registry.List(), IsEmpty());
  EXPECT_THAT(*r.store.LoadSubscribers(), IsEmpty());
}

TEST(SubscriberRegistryProcesses, OneThatHadEndedBeforeItJoinedLeavesNothingBehind) {
  RegistryOfProcesses r;
  r.processes.alive = false;
  r.Join().Leave(/*broken=*/true);
  EXPECT_THAT(r.registry.List(), IsEmpty());
  EXPECT_THAT(*r.store.LoadSubscribers(), IsEmpty());
}

TEST(SubscriberRegistryProcesses, OneThatEndsWhileItJoinsIsNotMissed) {
  RegistryOfProcesses r;
  // Its end is told in the very moment in which it begins to be watched.
  r.processes.on_watch = [&] { r.processes.End({42, 7}); };
  r.Join().Leave(/*broken=*/true);
  EXPECT_THAT(r.registry.List(), IsEmpty());
}

TEST(SubscriberRegistryProcesses, WhoComesByTheConnectionOfOneThatEndedIsAnotherHoweverShortlyItStays) {
  RegistryOfProcesses r;
  r.processes.alive = false;
  r.Join().Leave(/*broken=*/true);
  r.clock.Advance(SubscriberLedger::kLastWords + absl::Milliseconds(1));
  r.Join().Leave(/*broken=*/true);
  EXPECT_THAT(r.registry.List(), SizeIs(1));
  EXPECT_THAT(*r.store.LoadSubscribers(), SizeIs(1));
}

TEST(SubscriberRegistryProcesses, WhoHoldsTheConnectionOfOneThatEndedIsAnother) {
  RegistryOfProcesses r;
  r.processes.alive = false;
  Member member = r.Join();
  r.clock.Advance(SubscriberLedger::kLastWords + absl::Milliseconds(1));
  member.Leave(/*broken=*/true);
  EXPECT_THAT(r.registry.List(), SizeIs(1));
}

TEST(SubscriberRegistry, NoRowIsMadeForAStoreThatKeepsNone) {
  FakeClock clock;
  NoStore store;
  SubscriberRegistry registry(store, clock, absl::Hours(24), kRoomy);
  std::vector<Member> members;
  for (int i = 0; i < 3; ++i) {
    members.push_back(Served(registry, "i", nullptr));
    members.back().Carries(true, false);
    members.back().Acknowledged(Bundle(5));
  }
  EXPECT_EQ(registry.Find("i")->trust_version, 5) << "what it holds is known all the same";
  registry.Tick();
  EXPECT_EQ(registry.Stats().unsaved, 0);
  const auto evicted = registry.Evict([](const SubscriberRecord&) { return true; });
  ASSERT_TRUE(evicted.ok()) << "it waits for no row: " << evicted.status();
  EXPECT_EQ(evicted->records.size(), 1);
  members.clear();
  EXPECT_EQ(store.given, 0);
}

}  // namespace
}  // namespace meshca
