// A certificate that was revoked: its key is dropped, its streams end, and nothing follows from it.
#include <string>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sds/secret_fetch.h"
#include "test/sds/world.h"

namespace meshca::sds {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Revocation : public testing::TestWithParam<Protocol> {
 protected:
  std::unique_ptr<Proxy> Open(std::vector<std::string> names, int pid = 4242) {
    auto proxy = std::make_unique<Proxy>(world, world.UnixPeer(1000, pid), GetParam());
    proxy->node = absl::StrCat("node-", pid);
    proxy->Ask(std::move(names));
    return proxy;
  }
  // Waits for response number `count` (from 1) and takes it; the identity `name` in it.
  std::string Take(Proxy& proxy, size_t count, absl::string_view name = "default") {
    const Secret secret =
        GetParam() == kState ? SecretIn(proxy.Await(count), name) : SecretIn(proxy.AwaitDelta(count), name);
    proxy.Ack();
    return secret.SerializeAsString();
  }
  // The serial number of the certificate that the process acknowledged.
  std::string SerialOf(int pid = 4242) {
    for (const SubscriberRecord& record : world.registry->List()) {
      if (record.node == absl::StrCat("node-", pid)) return record.serial;
    }
    return "";
  }

  World world;
};
INSTANTIATE_TEST_SUITE_P(Protocols, Revocation, testing::Values(kState, kDelta),
                         [](const auto& info) { return info.param == kState ? "State" : "Delta"; });

TEST_P(Revocation, EndsTheStreamsThatHoldTheKeyAndSaysWhatHelps) {
  auto first = Open({"default"}), second = Open({"default", "ROOTCA"}), roots = Open({"ROOTCA"});
  auto sharing = Open({"default"}, 4343);
  auto other = Open({"spiffe://td.test/api"}, 4444);
  Take(*first, 1);
  Take(*second, 1);
  Take(*sharing, 1);
  Take(*other, 1, "spiffe://td.test/api");
  const std::string serial = SerialOf();
  world.revocations.Revoke(serial);
  EXPECT_EQ(world.hub->keys().DropRevoked(), 1);
  for (Proxy* proxy : {first.get(), second.get(), sharing.get()}) {
    const absl::Status end = proxy->AwaitEnd();
    EXPECT_EQ(end.code(), absl::StatusCode::kPermissionDenied);
    EXPECT_EQ(ReasonOf(end), "CERTIFICATE_REVOKED");
    EXPECT_THAT(std::string(end.message()),
                HasSubstr("the certificate of spiffe://td.test/web (serial " + serial + ") was revoked"));
    EXPECT_THAT(std::string(end.message()), HasSubstr("meshca cert show " + serial));
    EXPECT_THAT(std::string(end.message()), HasSubstr("registration entry still fits"));
  }
  other->Settled();
  EXPECT_FALSE(other->stream().finished.has_value()) << "who holds another key notices nothing";
  EXPECT_FALSE(roots->stream().finished.has_value()) << "the roots are nobody's secret";
  EXPECT_EQ(world.hub->keys().Stats().keys, 1);
}

TEST_P(Revocation, WhoComesBackGetsANewKeyOfANewLine) {
  auto proxy = Open({"default"});
  const std::string before = Take(*proxy, 1);
  const std::string serial = SerialOf();
  world.revocations.Revoke(serial);
  EXPECT_EQ(world.hub->keys().DropRevoked(), 1);
  EXPECT_FALSE(proxy->AwaitEnd().ok());
  auto back = Open({"default"});
  EXPECT_NE(Take(*back, 1), before);
  const std::vector<AskedSvid> requests = world.issuer.requests();
  ASSERT_EQ(requests.size(), 2);
  EXPECT_NE(requests[1].public_key, requests[0].public_key);
  EXPECT_EQ(requests[1].caller.parent_serial, "") << "what was revoked is nobody's parent";
}

TEST_P(Revocation, AKeyThatLingersIsDroppedAsWell) {
  auto proxy = Open({"default"});
  const std::string before = Take(*proxy, 1);
  world.revocations.Revoke(SerialOf());
  proxy->stream().Close(absl::UnavailableError("the connection broke"));
  EXPECT_EQ(world.hub->keys().Stats().keys, 1);
  EXPECT_EQ(world.hub->keys().DropRevoked(), 1);
  EXPECT_EQ(world.hub->keys().Stats().keys, 0);
  EXPECT_NE(Take(*Open({"default"}), 1), before);
}

TEST_P(Revocation, ARenewalUnderWayBringsNothing) {
  auto proxy = Open({"default"});
  Take(*proxy, 1);
  const std::string serial = SerialOf();
  world.issuer.HoldBack(true);
  world.hub->keys().Renew([](const SpiffeId&, absl::string_view) { return true; });
  world.Until([&] { return world.issuer.submitted() == 2; }, "the renewal");
  world.revocations.Revoke(serial);
  EXPECT_EQ(world.hub->keys().DropRevoked(), 1);
  world.issuer.Release();
  EXPECT_EQ(proxy->AwaitEnd().code(), absl::StatusCode::kPermissionDenied);
  world.Until([&] { return world.hub->keys().Stats().in_flight == 0; }, "the end of the renewal");
  EXPECT_EQ(proxy->Settled(), 1);
  EXPECT_EQ(world.hub->keys().Stats().keys, 0);
}

// The store took it before the revocation, and the ring hears of that only afterwards.
TEST_P(Revocation, AFirstCertificateUnderWayIsJudgedBeforeAnybodyGetsIt) {
  for (const bool revoked : {false, true}) {
    world.issuer.HoldBack(true);
    const size_t before = world.issuer.submitted();
    const char* const name = revoked ? "spiffe://td.test/web" : "spiffe://td.test/api";
    auto proxy = Open({name});
    world.Until([&] { return world.issuer.submitted() == before + 1; }, "the request");
    EXPECT_EQ(world.hub->keys().DropRevoked(), 0);
    if (revoked) world.revocations.RevokeEverything();
    world.issuer.HoldBack(false);
    world.issuer.Release();
    if (!revoked) {
      Take(*proxy, 1, name);
      continue;
    }
    EXPECT_EQ(ReasonOf(proxy->AwaitEnd()), "CERTIFICATE_REVOKED");
    EXPECT_EQ(proxy->Settled(), 0) << "nothing was sent";
  }
}

TEST_P(Revocation, TheStoreMayBeTheFirstToSayIt) {
  auto proxy = Open({"default"});
  Take(*proxy, 1);
  const std::string serial = SerialOf();
  world.issuer.FailWith(WithReason(absl::UnauthenticatedError("client certificate: revoked"), "CERTIFICATE_REVOKED"));
  world.hub->keys().Renew([](const SpiffeId&, absl::string_view) { return true; });
  const absl::Status end = proxy->AwaitEnd();
  EXPECT_EQ(end.code(), absl::StatusCode::kPermissionDenied) << "one answer, whoever noticed first";
  EXPECT_THAT(std::string(end.message()), HasSubstr(serial));
  EXPECT_EQ(world.hub->keys().Stats().keys, 0);
}

TEST_P(Revocation, WhatCannotBeSaidNowIsAskedAgain) {
  auto proxy = Open({"default"});
  Take(*proxy, 1);
  world.revocations.Revoke(SerialOf());
  world.revocations.FailWith(absl::UnavailableError("database: locked"));
  EXPECT_EQ(world.hub->keys().DropRevoked(), 0);
  EXPECT_EQ(proxy->Settled(), 1);
  EXPECT_FALSE(proxy->stream().finished.has_value());
  world.revocations.FailWith(absl::OkStatus());
  world.Wake();
  EXPECT_EQ(ReasonOf(proxy->AwaitEnd()), "CERTIFICATE_REVOKED");
  const int asked = world.revocations.asked();
  world.Wake();
  auto back = Open({"default"});
  Take(*back, 1);
  EXPECT_EQ(world.revocations.asked(), asked) << "nothing is asked without need";
}

TEST_P(Revocation, WhoLeftWithARevokedCertificateHoldsNothingUp) {
  auto proxy = Open({"default"});
  Take(*proxy, 1);
  world.revocations.Revoke(SerialOf());
  world.hub->keys().DropRevoked();
  EXPECT_FALSE(proxy->AwaitEnd().ok());
  proxy->stream().Close(absl::OkStatus());
  world.registry->Tick();
  EXPECT_TRUE(world.registry->List().empty());
}

TEST_P(Revocation, WhatElseTheInstanceHoldsStillCounts) {
  auto web = Open({"spiffe://td.test/web"});
  Take(*web, 1, "spiffe://td.test/web");
  const std::string serial = SerialOf();
  world.issuer.SetLifetime(absl::Hours(6));
  auto api = Open({"spiffe://td.test/api"});
  Take(*api, 1, "spiffe://td.test/api");
  world.revocations.Revoke(serial);
  EXPECT_EQ(world.hub->keys().DropRevoked(), 1);
  EXPECT_FALSE(web->AwaitEnd().ok());
  web->stream().Close(absl::OkStatus());
  api->stream().Close(absl::UnavailableError("broken"));
  const std::vector<SubscriberRecord> known = world.registry->List();
  ASSERT_EQ(known.size(), 1);
  EXPECT_EQ(known.front().certificate_expires, world.clock.Now() + absl::Hours(6));
  world.registry->Tick();
  EXPECT_EQ(world.registry->List().size(), 1);
}

TEST_P(Revocation, AKeyCarriesTheOriginOfTheRightAndEachRenewalItsOwn) {
  CallerIdentity caller;
  caller.method = AuthMethod::kUnixPeer;
  caller.subject = "uid 1000";
  caller.ids = {Id("spiffe://td.test/web")};
  caller.rights = {{caller.ids[0], {}, {}, {OriginKind::kEntry, "oldest"}}};
  world.authenticator.Set(1000, caller);
  auto proxy = Open({"default"});
  Take(*proxy, 1);
  caller.rights[0].origin.reference = "next";  // the oldest is gone, another one fits
  world.authenticator.Set(1000, caller);
  world.hub->keys().Renew([](const SpiffeId&, absl::string_view) { return true; });
  Take(*proxy, 2);
  std::vector<std::string> origins;
  for (const AskedSvid& request : world.issuer.requests()) {
    origins.push_back(OriginText(request.caller.OriginOf(request.id)));
  }
  EXPECT_THAT(origins, ElementsAre("entry oldest", "entry next"));
}

TEST_P(Revocation, AnEntryDeletedWhileTheFirstKeyIsMadeIsNoticed) {
  world.issuer.HoldBack(true);
  auto proxy = Open({"default"});
  world.Until([&] { return world.issuer.submitted() == 1; }, "the request");
  world.authenticator.Set(1000, absl::PermissionDeniedError("no registration entry fits uid 1000"));
  world.hub->keys().Recheck();
  world.issuer.HoldBack(false);
  world.issuer.Release();
  EXPECT_EQ(proxy->AwaitEnd().code(), absl::StatusCode::kPermissionDenied);
}

TEST(RevocationQueue, AnEntryDeletedWhileTheFirstKeyWaitsIsNoticedBeforeItIsMade) {
  World world({.in_flight_max = 1});
  world.issuer.HoldBack(true);
  Proxy first(world, world.UnixPeer(1000, 1), kState), second(world, world.UnixPeer(1000, 2), kState);
  first.Ask({"default"});
  world.Until([&] { return world.issuer.submitted() == 1; }, "the first request");
  second.Ask({"spiffe://td.test/api"});
  world.Until([&] { return world.hub->keys().Stats().waiting == 1; }, "the second in the queue");
  world.authenticator.Set(1000, absl::PermissionDeniedError("no registration entry fits uid 1000"));
  world.hub->keys().Recheck();
  world.issuer.HoldBack(false);
  world.issuer.Release();
  EXPECT_EQ(second.AwaitEnd().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(world.issuer.submitted(), 1);
}

TEST(RevocationFetch, GivesANewKeyAtOnce) {
  World world;
  const auto fetch = [&] {
    DiscoveryRequest request;
    request.add_resource_names("default");
    auto call = std::make_shared<FakeCall>(world.UnixPeer(1000), request.SerializeAsString());
    FetchSecrets(*world.hub, call);
    world.Until([&] { return call->finished(); }, "the answer");
    DiscoveryResponse response;
    EXPECT_TRUE(response.ParseFromString(std::string(rpc::MessageOf(call->response()))));
    return SecretIn(response, "default").SerializeAsString();
  };
  const std::string before = fetch();
  EXPECT_EQ(fetch(), before);
  std::string serial;
  world.hub->keys().Renew([&](const SpiffeId&, absl::string_view held) {
    serial = std::string(held);
    return false;
  });
  EXPECT_EQ(serial, "") << "nobody holds a key that was fetched; it lingers";
  SecretContent::Ptr current;
  auto caller = std::make_shared<SdsCaller>();
  caller->peer = world.UnixPeer(1000);
  caller->identity.method = AuthMethod::kUnixPeer;
  caller->identity.ids = {Id("spiffe://td.test/web")};
  {
    const KeyRing::Lease lease = world.hub->keys().Hold(
        {world.hub->callers().InstanceOf(*caller, Taking::kFetch, "", caller->identity.ids[0]).instance, "", caller},
        caller->identity.ids[0], [](const absl::StatusOr<SecretContent::Ptr>&) {}, &current);
  }
  ASSERT_NE(current, nullptr);
  world.revocations.Revoke(current->identity().serial);
  EXPECT_EQ(world.hub->keys().DropRevoked(), 1);
  EXPECT_NE(fetch(), before);
}

}  // namespace
}  // namespace meshca::sds
