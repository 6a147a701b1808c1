// One key for each identity of each instance: kept, renewed, tried again, let go.
#include "sds/key_ring.h"

#include <atomic>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/sds/world.h"

namespace meshca::sds {
namespace {

constexpr Protocol kState = Protocol::kStateOfTheWorld;

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

TEST(KeyRing, RenewalsSpreadAroundHalfLife) {
  World world;
  std::vector<std::unique_ptr<Proxy>> proxies;
  for (int i = 0; i < 40; ++i) proxies.push_back(Holder(world, 100 + i));
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
  world.issuer.lifetime = absl::Minutes(10);
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
    auto proxy = Holder(world, i + 1);
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
  for (int i = 0; i < 8; ++i) proxies.push_back(Holder(world, 100 + i));
  for (auto& proxy : proxies) proxy->Await(1);
  world.issuer.HoldBack(true);
  std::vector<std::unique_ptr<Proxy>> fresh;
  for (int i = 0; i < 8; ++i) fresh.push_back(Holder(world, 200 + i));
  world.Until([&] { return world.issuer.submitted() == 12; }, "four under way");
  EXPECT_EQ(world.hub->keys().Renew([](const SpiffeId&, absl::string_view) { return true; }).size(), 8);
  fresh[0]->Settled();
  EXPECT_EQ(world.issuer.submitted(), 12);
  world.issuer.Release();
  world.Until([&] { return world.issuer.submitted() == 16; }, "the next four");
  const std::vector<SubmittedRequest> requests = world.issuer.requests();
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
  // Backwards: nothing is due, nothing breaks.
  world.clock.JumpTo(world.clock.Now() - absl::Hours(96));
  world.Wake();
  EXPECT_EQ(proxy->Settled(), 2);
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
