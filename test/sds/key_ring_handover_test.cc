// What one process's ring hands to the next one's, and who gets it there; and attempts that are made again at once.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sds/key_ring.h"
#include "test/sds/world.h"

namespace meshca::sds {
namespace {

KeyRing::RestoredKey HandedOver(const KeyRing::SharedKey& key) {
  const SecretContent::Identity& identity = key.content->identity();
  KeyRing::RestoredKey restored{key.name, identity.id, SecretBytes::CopyOf(key.content->key_pem()), {}, key.renew_at};
  restored.svid.chain = CertificateChain::FromIssuance(Der("leaf " + identity.serial), {});
  restored.svid.validity = {identity.not_before, identity.not_after};
  restored.svid.serial = identity.serial;
  restored.svid.authority_id = identity.authority_id;
  return restored;
}

std::unique_ptr<Proxy> WebOf(World& world, uint32_t uid = 1000) {
  auto proxy = std::make_unique<Proxy>(world, world.UnixPeer(uid), kState);
  proxy->Ask({"default"});
  return proxy;
}

// The one key of uid 1000 in an earlier process, and the secret that it was sent.
class KeyRingHandover : public testing::Test {
 protected:
  KeyRingHandover() {
    auto proxy = WebOf(before_);
    secret_ = SecretIn(proxy->Await(1), "default").SerializeAsString();
    kept_ = before_.hub->keys().SharedKeys();
    EXPECT_EQ(kept_.size(), 1u);
  }
  void Restore() { now_.hub->keys().Restore(HandedOver(kept_.front())); }

  World before_, now_;
  std::string secret_;
  std::vector<KeyRing::SharedKey> kept_;
};

TEST_F(KeyRingHandover, WhoeverMayHaveItGetsTheSameKeyAgain) {
  Restore();
  auto proxy = WebOf(now_);
  EXPECT_EQ(SecretIn(proxy->Await(1), "default").SerializeAsString(), secret_);
  EXPECT_EQ(now_.issuer.submitted(), 0u);
  ASSERT_EQ(now_.hub->keys().SharedKeys().size(), 1u);
  EXPECT_EQ(now_.hub->keys().SharedKeys().front().renew_at, kept_.front().renew_at);
}

TEST_F(KeyRingHandover, ItIsRenewedInItsTimeAndAsTheSameLine) {
  Restore();
  auto proxy = WebOf(now_);
  proxy->Await(1);
  now_.clock.Advance(kept_.front().renew_at - now_.clock.Now() + absl::Seconds(1));
  now_.Wake();
  proxy->Await(2);
  const std::vector<AskedSvid> requests = now_.issuer.requests();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests.front().caller.parent_serial, kept_.front().content->identity().serial);
}

TEST_F(KeyRingHandover, WhoseRightsAreOthersTodayGetsANewOne) {
  Restore();
  CallerIdentity caller;
  caller.method = AuthMethod::kUnixPeer;
  caller.subject = "uid 1000";
  caller.ids = {Id("spiffe://td.test/web")};
  caller.dns_names = {"web.test"};
  now_.authenticator.Set(1000, std::move(caller));
  auto proxy = WebOf(now_);
  EXPECT_NE(SecretIn(proxy->Await(1), "default").SerializeAsString(), secret_);
  EXPECT_EQ(now_.issuer.submitted(), 1u);
  EXPECT_FALSE(now_.issuer.requests().front().caller.IsRenewal());
}

TEST_F(KeyRingHandover, WhoMayHaveItNoMoreGetsNothing) {
  Restore();
  CallerIdentity caller;
  caller.method = AuthMethod::kUnixPeer;
  caller.subject = "uid 1000";
  now_.authenticator.Set(1000, std::move(caller));
  auto proxy = std::make_unique<Proxy>(now_, now_.UnixPeer(1000), kState);
  proxy->Ask({"spiffe://td.test/web"});
  EXPECT_EQ(proxy->AwaitEnd().code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(KeyRingHandover, ForWhomNobodyComesItIsDropped) {
  Restore();
  EXPECT_EQ(now_.hub->keys().Stats().keys, 1u);
  now_.hub->keys().Recheck();
  now_.clock.Advance(absl::Minutes(6));
  now_.Wake();
  now_.Until([&] { return now_.hub->keys().Stats().keys == 0; }, "the key dropped");
  EXPECT_THAT(now_.hub->keys().SharedKeys(), testing::IsEmpty());
}

TEST_F(KeyRingHandover, OneThatWasRevokedMeanwhileIsDropped) {
  Restore();
  now_.revocations.Revoke(kept_.front().content->identity().serial);
  EXPECT_EQ(now_.hub->keys().DropRevoked(), 1u);
  auto proxy = WebOf(now_);
  EXPECT_NE(SecretIn(proxy->Await(1), "default").SerializeAsString(), secret_);
}

TEST_F(KeyRingHandover, NobodyTakesThePlaceOfAKeyThatIsThere) {
  auto proxy = WebOf(now_);
  const std::string own = SecretIn(proxy->Await(1), "default").SerializeAsString();
  Restore();
  auto other = WebOf(now_);
  EXPECT_EQ(SecretIn(other->Await(1), "default").SerializeAsString(), own);
}

TEST_F(KeyRingHandover, EveryChangeOfWhatIsSharedIsCounted) {
  KeyRing& ring = now_.hub->keys();
  EXPECT_EQ(ring.Stats().changes, 0u);
  Restore();
  const uint64_t restored = ring.Stats().changes;
  EXPECT_GT(restored, 0u);
  auto proxy = WebOf(now_);
  proxy->Await(1);
  EXPECT_EQ(ring.Stats().changes, restored) << "it is the same key";
  ring.Renew([](const SpiffeId&, absl::string_view) { return true; });
  proxy->Await(2);
  const uint64_t renewed = ring.Stats().changes;
  EXPECT_GT(renewed, restored);
  now_.revocations.RevokeEverything();
  ring.DropRevoked();
  EXPECT_GT(ring.Stats().changes, renewed);
}

TEST_F(KeyRingHandover, WhatHasEndedIsHandedToNobody) {
  before_.clock.Advance(absl::Hours(25));
  EXPECT_THAT(before_.hub->keys().SharedKeys(), testing::IsEmpty());
}

TEST(KeyRingTryAgain, AsksAtOnceForWhatFailedBefore) {
  World world({.retry_first = absl::Hours(1), .retry_max = absl::Hours(1)});
  world.issuer.FailWith(absl::ResourceExhaustedError("away"));
  auto proxy = WebOf(world);
  world.Until([&] { return world.hub->keys().Stats().failed == 1; }, "a failure");
  world.issuer.FailWith(absl::OkStatus());
  world.hub->keys().TryAgain();
  world.clock.Advance(absl::Seconds(1));
  world.Wake();
  world.Until([&] { return world.hub->keys().Stats().issued == 1; }, "a certificate");
}

}  // namespace
}  // namespace meshca::sds
