// Keys: kept, renewed, tried again, let go. Who shares one is in key_sharing_test.cc.
#include "sds/key_ring.h"

#include <algorithm>
#include <atomic>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/sds/world.h"

namespace meshca::sds {
namespace {

// A process whose uid may have spiffe://td.test/NAME and nothing else: it shares that key with nobody.
std::shared_ptr<const rpc::Peer> TenantPeer(World& world, const std::string& name) {
  const auto uid = static_cast<uint32_t>(10'000 + std::hash<std::string>()(name) % 1'000'000'000);
  CallerIdentity caller;
  caller.method = AuthMethod::kUnixPeer;
  caller.subject = absl::StrCat("uid ", uid);
  caller.ids = {Id("spiffe://td.test/" + name)};
  world.authenticator.Set(uid, std::move(caller));
  return world.UnixPeer(uid);
}

std::unique_ptr<Proxy> Tenant(World& world, int number) {
  auto proxy = std::make_unique<Proxy>(world, TenantPeer(world, absl::StrCat("tenant-", number)), kState);
  proxy->Ask({"default"});
  return proxy;
}

std::unique_ptr<Proxy> Holder(World& world, int pid) {
  auto proxy = std::make_unique<Proxy>(world, world.UnixPeer(1000, pid), kState);
  proxy->Ask({"default"});
  return proxy;
}

// Moves the clock in steps, as time does, and lets the ring look each time.
void Pass(World& world, Proxy& proxy, absl::Duration time, absl::Duration step) {
  for (absl::Duration passed; passed < time; passed += step) {
    world.clock.Advance(step);
    world.Wake();
    proxy.Settled();
  }
}

// Lets the ring look at the clock; returns when it has done all that is due then.
void Look(World& world) {
  auto looked = std::make_shared<std::atomic<bool>>(false);
  world.Wake();
  world.hub->executor().Run([looked] { *looked = true; });
  const auto idle = [&] {
    const KeyRingStats stats = world.hub->keys().Stats();
    return looked->load() && stats.waiting == 0 && stats.in_flight == 0;
  };
  world.Until(idle, "an idle ring");
}

bool Old(absl::string_view authority_id) { return authority_id == "issuing-old"; }
uint64_t Reissue(World& world, double per_second) { return world.hub->keys().Reissue(Old, per_second); }

// Whose keys were made, in order, from the request `first` on; "+" before a renewal.
std::vector<std::string> Made(const World& world, size_t first) {
  std::vector<std::string> made;
  for (const AskedSvid& request : world.issuer.requests()) {
    made.push_back(
        absl::StrCat(request.caller.IsRenewal() ? "+" : "", absl::StripPrefix(request.id.uri(), "spiffe://td.test/")));
  }
  made.erase(made.begin(), made.begin() + static_cast<ptrdiff_t>(std::min(first, made.size())));
  return made;
}

// Holds keys without a proxy.
class Holders {
 public:
  explicit Holders(World& world) : world_(world) {}
  // The generation of the key held at once; 0 while one is made.
  uint64_t Hold(const std::string& name, absl::Duration lifetime = absl::Hours(24)) {
    Begin(name, lifetime);
    Look(world_);
    return held_;
  }
  void Begin(const std::string& name, absl::Duration lifetime = absl::Hours(24)) {
    world_.issuer.SetLifetime(lifetime);
    auto caller = std::make_shared<SdsCaller>();
    const SpiffeId id = Id("spiffe://td.test/" + name);
    caller->peer = TenantPeer(world_, name);
    caller->identity.method = AuthMethod::kUnixPeer;
    caller->identity.ids = {id};
    SecretContent::Ptr current;
    leases_[name] = world_.hub->keys().Hold(
        {name, "node", std::move(caller)}, id, [](const absl::StatusOr<SecretContent::Ptr>&) {}, &current);
    held_ = current == nullptr ? 0 : current->identity().generation;
    serial_ = current == nullptr ? "" : current->identity().serial;
  }
  const std::string& serial() const { return serial_; }  // of the key that the last Hold found
  void LetGo(const std::string& name) { leases_.erase(name); }

 private:
  World& world_;
  std::map<std::string, KeyRing::Lease> leases_;
  uint64_t held_ = 0;
  std::string serial_;
};

TEST(KeyRingReissue, OneAfterTheOtherThoseThatEndFirstInFront) {
  World world;
  Holders holders(world);
  holders.Hold("ends-3rd", absl::Hours(30));
  holders.Hold("ends-1st", absl::Hours(10));
  holders.Hold("ends-4th", absl::Hours(40));
  holders.Hold("ends-2nd", absl::Hours(20));
  world.issuer.SignWith("issuing-new");
  holders.Hold("new-already");
  std::vector<uint64_t> left;
  for (int second = 0; second < 8; ++second) {
    left.push_back(Reissue(world, /*per_second=*/0.5));
    Look(world);
    EXPECT_EQ(Made(world, 5).size(), std::min(4, 1 + second / 2)) << second;
    world.clock.Advance(absl::Seconds(1));
  }
  EXPECT_THAT(Made(world, 5), testing::ElementsAre("+ends-1st", "+ends-2nd", "+ends-3rd", "+ends-4th"));
  EXPECT_THAT(left, testing::ElementsAre(4, 3, 3, 2, 2, 1, 1, 0));
}

TEST(KeyRingReissue, LatecomersGetThePlacesBehind) {
  World world;
  Holders holders(world);
  for (const char* name : {"a", "b", "c"}) holders.Hold(name);
  EXPECT_EQ(Reissue(world, 1), 3);
  holders.Begin("late", absl::Hours(1));  // ends first, and was still made by the old authority
  Look(world);
  world.issuer.SignWith("issuing-new");
  EXPECT_GE(Reissue(world, 1), 3);
  for (int second = 0; second < 6; ++second) {
    Reissue(world, 1);
    Look(world);
    world.clock.Advance(absl::Seconds(1));
  }
  const std::vector<std::string> made = Made(world, 4);
  ASSERT_THAT(made, testing::SizeIs(testing::Ge(4)));
  EXPECT_THAT(made, testing::Contains("+late"));
  EXPECT_NE(made[0], "+late");
  EXPECT_NE(made[1], "+late");
  EXPECT_EQ(Reissue(world, 1), 0);
}

TEST(KeyRingReissue, NoneLaterThanItWouldHaveBeenRenewed) {
  World world;
  Holders holders(world);
  for (const char* name : {"a", "b", "c"}) holders.Hold(name, absl::Hours(2));
  world.issuer.SignWith("issuing-new");
  world.issuer.SetLifetime(absl::Hours(24));  // the successors are not due again meanwhile
  EXPECT_EQ(Reissue(world, /*per_second=*/1e-6), 3);
  Look(world);
  EXPECT_EQ(Made(world, 3).size(), 1);
  world.clock.Advance(absl::Minutes(67));  // past half the life and a tenth of it
  Look(world);
  EXPECT_EQ(Made(world, 3).size(), 3);
}

TEST(KeyRingReissue, AnAuthorityThatStillSignsIsNotFollowedFasterThanThePace) {
  World world;  // the next authority is not active yet
  Holders holders(world);
  holders.Hold("a");
  for (int second = 0; second <= 10; ++second) {
    for (int call = 0; call < 5; ++call) EXPECT_EQ(Reissue(world, /*per_second=*/0.2), 1);
    Look(world);
    world.clock.Advance(absl::Seconds(1));
  }
  EXPECT_EQ(Made(world, 1).size(), 3) << "at 0, 5 and 10 s";
}

TEST(KeyRingReissue, WhatFailedKeepsToItsBackoff) {
  World world({.retry_first = absl::Minutes(1), .retry_max = absl::Minutes(1)});
  Holders holders(world);
  holders.Hold("a");
  holders.Hold("b");
  world.issuer.SignWith("issuing-new");
  world.issuer.FailWith(absl::UnavailableError("database: locked"));
  for (int second = 0; second < 20; ++second) {
    EXPECT_EQ(Reissue(world, 1), 2);
    Look(world);
    world.clock.Advance(absl::Seconds(1));
  }
  EXPECT_EQ(Made(world, 2).size(), 2) << "one attempt each";
  world.issuer.FailWith(absl::OkStatus());
  world.clock.Advance(absl::Minutes(1));
  Look(world);
  EXPECT_EQ(Reissue(world, 1), 0);
}

TEST(KeyRingReissue, AKeyThatNobodyHoldsIsNotHandedOutAgain) {
  World world;
  Holders holders(world);
  const uint64_t old_key = (holders.Hold("stale"), holders.Hold("stale"));
  EXPECT_GT(old_key, 0);
  holders.LetGo("stale");
  world.issuer.SignWith("issuing-new");
  holders.Hold("fresh");
  holders.LetGo("fresh");
  EXPECT_EQ(Reissue(world, 1), 0) << "nobody holds one";
  EXPECT_EQ(world.hub->keys().Stats().keys, 1);
  EXPECT_EQ(holders.Hold("stale"), 0) << "one is made";
  EXPECT_GT(holders.Hold("stale"), old_key);
  EXPECT_GT(holders.Hold("fresh"), 0) << "kept";
}

TEST(KeyRingReissue, OneThatIsLetGoAndHeldAgainIsStillDue) {
  World world;
  Holders holders(world);
  for (const char* name : {"a", "b"}) holders.Hold(name);
  world.issuer.SignWith("issuing-new");
  EXPECT_EQ(Reissue(world, 0.001), 2);
  Look(world);
  for (const char* name : {"a", "b"}) holders.LetGo(name);
  for (const char* name : {"a", "b"}) EXPECT_GT(holders.Hold(name), 0);
  EXPECT_EQ(Reissue(world, 1), 1);
  world.clock.Advance(absl::Seconds(1001));
  Look(world);
  EXPECT_EQ(Reissue(world, 1), 0);
}

TEST(KeyRingReissue, WhatIsUnderWayIsMadeAgainOnlyIfItIsStale) {
  for (const bool still_old : {true, false}) {
    World world;
    Holders holders(world);
    holders.Hold("a");
    world.issuer.HoldBack(true);
    world.hub->keys().Renew([](const SpiffeId&, absl::string_view) { return true; });
    world.Until([&] { return world.issuer.submitted() == 2; }, "the renewal");
    EXPECT_EQ(Reissue(world, 1), 1);
    if (!still_old) world.issuer.SignWith("issuing-new");
    world.issuer.Release();
    if (still_old) {
      world.Until([&] { return world.issuer.submitted() == 3; }, "another");
      world.issuer.SignWith("issuing-new");
      EXPECT_EQ(Reissue(world, 1), 1);
      world.issuer.Release();
    }
    Look(world);
    EXPECT_EQ(world.issuer.submitted(), still_old ? 3 : 2);
    EXPECT_EQ(Reissue(world, 1), 0);
  }
}

TEST(KeyRingReissue, FirstCertificatesAndReissuesTakeTurnsBehindWhatIsDue) {
  World world({.in_flight_max = 1});
  Holders holders(world);
  holders.Hold("r1");
  holders.Hold("r2", absl::Hours(48));
  world.issuer.SignWith("issuing-new");
  holders.Hold("due");
  holders.Hold("due");
  const std::string due = holders.serial();
  world.issuer.HoldBack(true);
  holders.Begin("f0");  // takes the only place
  world.Until([&] { return world.issuer.submitted() == 4; }, "the first");
  const auto queued = [&](uint64_t count) {
    world.Wake();
    world.Until([&] { return world.hub->keys().Stats().waiting == count; }, "the queue");
  };
  EXPECT_EQ(Reissue(world, 1), 2);
  queued(1);
  holders.Begin("f1");
  queued(2);
  world.clock.Advance(absl::Seconds(1));
  queued(3);
  holders.Begin("f2");
  queued(4);
  world.hub->keys().Renew([&](const SpiffeId&, absl::string_view serial) { return serial == due; });
  queued(5);
  for (size_t made = 5; made <= 9; ++made) {
    world.issuer.Release();
    world.Until([&] { return world.issuer.submitted() == made; }, "the next");
  }
  const std::vector<std::string> made = Made(world, 4);
  EXPECT_THAT(made, testing::ElementsAre("+due", "+r1", "f1", "+r2", "f2"));
}

TEST(KeyRingReissue, TenThousandKeys) {
  World world;
  Holders holders(world);
  for (int i = 0; i < 10'000; ++i) holders.Begin(std::to_string(i));
  Look(world);
  ASSERT_EQ(world.issuer.submitted(), 10'000);
  world.issuer.SignWith("issuing-new");
  for (int second = 0; second < 10; ++second) {
    EXPECT_EQ(Reissue(world, 1000), second == 0 ? 10'000 : 9'999 - 1000 * (second - 1)) << second;
    Look(world);
    world.clock.Advance(absl::Seconds(1));
  }
  Look(world);
  EXPECT_EQ(Reissue(world, 1000), 0);
  EXPECT_EQ(world.issuer.submitted(), 20'000);
}

TEST(KeyRing, RenewalsSpreadAroundHalfLife) {
  World world;
  std::vector<std::unique_ptr<Proxy>> proxies;
  for (int i = 0; i < 40; ++i) proxies.push_back(Tenant(world, 100 + i));
  for (auto& proxy : proxies) proxy->Await(1);
  std::vector<size_t> renewed;
  for (double hours : {10.7, 11.4, 12.0, 12.6, 13.3}) {
    Pass(world, *proxies[0], absl::Hours(hours) - (world.clock.Now() - FakeClock().Now()), absl::Minutes(6));
    renewed.push_back(world.hub->keys().Stats().renewed);
  }
  EXPECT_EQ(renewed[0], 0);
  EXPECT_GT(renewed[3], 0);
  EXPECT_EQ(renewed[4], 40);
}

TEST(KeyRing, AFailedRenewalIsTriedAgainWithBackoffUntilItWorks) {
  World world;
  auto proxy = Holder(world, 1);
  proxy->Await(1);
  proxy->Ack();
  world.issuer.FailWith(absl::UnavailableError("database: locked"));
  Pass(world, *proxy, absl::Hours(16), absl::Minutes(10));
  const size_t tries = world.issuer.submitted() - 1;
  EXPECT_GE(tries, 10);
  EXPECT_EQ(proxy->Settled(), 1) << "what it has is still good";
  EXPECT_FALSE(proxy->stream().finished.has_value());
  world.issuer.FailWith(absl::OkStatus());
  Pass(world, *proxy, absl::Minutes(10), absl::Minutes(1));
  EXPECT_EQ(proxy->Settled(), 2);
}

TEST(KeyRing, TheNearerTheEndTheMoreOftenItTries) {
  World world({.retry_first = absl::Minutes(30), .retry_max = absl::Minutes(30)});
  world.issuer.SetLifetime(absl::Minutes(10));
  auto proxy = Holder(world, 1);
  proxy->Await(1);
  world.issuer.FailWith(absl::UnavailableError("away"));
  Pass(world, *proxy, absl::Minutes(9), absl::Seconds(5));
  EXPECT_GE(world.issuer.submitted(), 6);
}

TEST(KeyRing, AKeyLingersForThoseWhoReconnect) {
  World world;
  auto proxy = Holder(world, 1);
  const std::string first = SecretIn(proxy->Await(1), "default").SerializeAsString();
  proxy->stream().Close(absl::UnavailableError("broken"));
  world.clock.Advance(absl::Minutes(4));
  world.Wake();
  auto again = Holder(world, 1);
  EXPECT_EQ(SecretIn(again->Await(1), "default").SerializeAsString(), first);
  again->stream().Close(absl::UnavailableError("broken"));
  Pass(world, *again, absl::Minutes(6), absl::Minutes(1));
  EXPECT_EQ(world.hub->keys().Stats().keys, 0);
  auto late = Holder(world, 1);
  late->Await(1);
  EXPECT_EQ(world.issuer.submitted(), 2);
}

TEST(KeyRing, LingeringIsBounded) {
  World world({.lingering_max = 10});
  for (int i = 0; i < 50; ++i) {
    auto proxy = Tenant(world, i);
    proxy->Await(1);
  }
  EXPECT_EQ(world.hub->keys().Stats().keys, 10);
}

TEST(KeyRing, ALingeringKeyIsNotRenewed) {
  World world({.linger = absl::Hours(48)});
  auto proxy = Holder(world, 1);
  proxy->Await(1);
  proxy->stream().Close(absl::UnavailableError("broken"));
  Pass(world, *proxy, absl::Hours(30), absl::Hours(1));
  EXPECT_EQ(world.issuer.submitted(), 1);
  // And when its process comes back after the end, it gets a new one.
  auto again = Holder(world, 1);
  again->Await(1);
  EXPECT_EQ(world.issuer.submitted(), 2);
}

TEST(KeyRing, InFlightIsBoundedAndRenewalsGoFirst) {
  World world({.in_flight_max = 4});
  std::vector<std::unique_ptr<Proxy>> proxies;
  for (int i = 0; i < 8; ++i) proxies.push_back(Tenant(world, 100 + i));
  for (auto& proxy : proxies) proxy->Await(1);
  world.issuer.HoldBack(true);
  std::vector<std::unique_ptr<Proxy>> fresh;
  for (int i = 0; i < 8; ++i) fresh.push_back(Tenant(world, 200 + i));
  world.Until([&] { return world.issuer.submitted() == 12; }, "four under way");
  EXPECT_EQ(world.hub->keys().Renew([](const SpiffeId&, absl::string_view) { return true; }).size(), 8);
  fresh[0]->Settled();
  EXPECT_EQ(world.issuer.submitted(), 12);
  world.issuer.Release();
  world.Until([&] { return world.issuer.submitted() == 16; }, "the next four");
  const std::vector<AskedSvid> requests = world.issuer.requests();
  for (int i = 12; i < 16; ++i) EXPECT_TRUE(requests[i].caller.IsRenewal()) << i;
  world.issuer.HoldBack(false);
  world.issuer.Release();
  for (auto& proxy : fresh) proxy->Await(1);
  for (auto& proxy : proxies) proxy->Await(2);
}

TEST(KeyRing, AJumpOfTheClockRenewsWhatEndedAndPushesNothingOld) {
  World world;
  auto proxy = Holder(world, 1);
  proxy->Await(1);
  proxy->Ack();
  world.clock.JumpTo(world.clock.Now() + absl::Hours(72));
  world.Wake();
  const DiscoveryResponse& second = proxy->Await(2);
  EXPECT_FALSE(second.resources().empty());
  EXPECT_EQ(world.issuer.submitted(), 2);
  // Backwards: what was made meanwhile has not begun, and is replaced.
  world.clock.JumpTo(world.clock.Now() - absl::Hours(72));
  world.Wake();
  EXPECT_FALSE(proxy->Await(3).resources().empty());
  EXPECT_EQ(world.issuer.submitted(), 3);
}

TEST(KeyRing, AJumpThatIsTakenBackInTimeCostsNothing) {
  World world;
  auto proxy = Holder(world, 1);
  proxy->Await(1);
  proxy->Ack();
  world.clock.JumpInDoubt(world.clock.Now() + absl::Hours(24 * 29));
  for (int look = 0; look < 8; ++look) {
    world.clock.Advance(absl::Seconds(1));
    Look(world);
  }
  // Who comes back meanwhile gets what it had.
  auto other = Holder(world, 1);
  other->Await(1);
  world.clock.JumpBack();
  Look(world);
  EXPECT_EQ(proxy->Settled(), 1);
  EXPECT_EQ(world.issuer.submitted(), 1);
  // And it is renewed in its time.
  world.clock.Advance(absl::Hours(14));
  Look(world);
  proxy->Await(2);
}

TEST(KeyRing, WhatWasMadeWhileTheClockWasAheadIsReplacedAtOnceWhenItIsRight) {
  World world;
  auto early = Holder(world, 1);
  early->Await(1);
  early->Ack();
  world.clock.JumpInDoubt(world.clock.Now() + absl::Hours(24 * 29), /*may_make=*/true);
  Look(world);
  early->Await(2);
  early->Ack();
  auto late = Tenant(world, 2);
  late->Await(1);
  late->Ack();
  world.clock.JumpBack();
  Look(world);
  early->Await(3);
  late->Await(2);
  EXPECT_EQ(world.issuer.submitted(), 5);
}

TEST(KeyRing, ATimerWaitsForNoWallClock) {
  World world;
  auto proxy = Holder(world, 1);
  proxy->Await(1);
  proxy->Ack();
  world.issuer.FailWith(absl::UnavailableError("away"));
  Pass(world, *proxy, absl::Hours(14), absl::Minutes(30));
  const size_t before = world.issuer.submitted();
  // Thirteen hours back: the next attempt does not come thirteen hours later.
  world.clock.JumpTo(world.clock.Now() - absl::Hours(13));
  world.issuer.FailWith(absl::OkStatus());
  world.clock.Advance(absl::Minutes(2));
  Look(world);
  EXPECT_GT(world.issuer.submitted(), before);
}

TEST(KeyRing, TheAuthenticatorIsAskedAgainBeforeARenewal) {
  World world;
  auto proxy = Holder(world, 1);
  proxy->Await(1);
  world.authenticator.Set(1000, absl::UnavailableError("entries not read yet"));
  world.hub->keys().Renew([](const SpiffeId&, absl::string_view) { return true; });
  world.Until([&] { return world.hub->keys().Stats().failed == 1; }, "the refusal");
  EXPECT_EQ(proxy->Settled(), 1);
  EXPECT_FALSE(proxy->stream().finished.has_value());
  world.authenticator.Set(1000, absl::PermissionDeniedError("entry deleted"));
  Pass(world, *proxy, absl::Minutes(5), absl::Minutes(1));
  EXPECT_EQ(proxy->AwaitEnd().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(world.issuer.submitted(), 1);
}

TEST(KeyRing, ARefusedIdentityIsFinal) {
  World world;
  world.issuer.FailWith(absl::InvalidArgumentError("key type ec-p256 is not allowed for this ID"));
  auto proxy = Holder(world, 1);
  EXPECT_EQ(proxy->AwaitEnd().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(world.hub->keys().Stats().keys, 0);
}

}  // namespace
}  // namespace meshca::sds
