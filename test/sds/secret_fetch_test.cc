// FetchSecrets: one answer, or why there is none.
#include "sds/secret_fetch.h"

#include "ca/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/sds/world.h"

namespace meshca::sds {
namespace {

using testing::HasSubstr;
using testing::UnorderedElementsAre;

std::shared_ptr<FakeCall> Fetch(World& world, std::shared_ptr<const rpc::Peer> peer, std::vector<std::string> names) {
  DiscoveryRequest request;
  for (std::string& name : names) request.add_resource_names(std::move(name));
  auto call = std::make_shared<FakeCall>(std::move(peer), request.SerializeAsString());
  FetchSecrets(*world.hub, call);
  return call;
}

TEST(SecretFetch, AnswersWhenEverythingIsThere) {
  World world;
  const auto call = Fetch(world, world.UnixPeer(1000), {"default", "ROOTCA", "spiffe://td.test/api", "nonsense"});
  world.Until([&] { return call->finished(); }, "the answer");
  ASSERT_NE(call->response(), nullptr) << call->error();
  DiscoveryResponse response;
  ASSERT_TRUE(response.ParseFromString(std::string(rpc::MessageOf(call->response()))));
  EXPECT_THAT(NamesIn(response), UnorderedElementsAre("default", "ROOTCA", "spiffe://td.test/api"));
}

DiscoveryResponse Answer(World& world, const std::shared_ptr<FakeCall>& call) {
  world.Until([&] { return call->finished(); }, "the answer");
  DiscoveryResponse response;
  EXPECT_NE(call->response(), nullptr) << call->error();
  if (call->response() == nullptr) return response;
  EXPECT_TRUE(response.ParseFromString(std::string(rpc::MessageOf(call->response()))));
  return response;
}

TEST(SecretFetch, TheSameProcessIsTheSameInstanceAndHasTheSameKey) {
  World world;
  const DiscoveryResponse first = Answer(world, Fetch(world, world.UnixPeer(1000), {"default", "ROOTCA"}));
  const DiscoveryResponse second = Answer(world, Fetch(world, world.UnixPeer(1000), {"default", "ROOTCA"}));
  EXPECT_EQ(first.version_info(), second.version_info());
  EXPECT_EQ(SecretIn(first, "default").SerializeAsString(), SecretIn(second, "default").SerializeAsString());
  ASSERT_EQ(world.registry->List().size(), 1u);
  const SubscriberRecord row = world.registry->List().front();
  EXPECT_EQ(row.kind, "sds-fetch-unix");
  EXPECT_EQ(row.peer, "pid 4242 uid 1000");
  EXPECT_TRUE(row.takes_bundle && row.takes_key);
  EXPECT_FALSE(row.connected);
  EXPECT_EQ(row.trust_version, 1u) << "what it was sent";
  EXPECT_EQ(row.authority_id, "issuing-old");
  EXPECT_EQ(row.acknowledged_at, absl::InfinitePast());
  Answer(world, Fetch(world, world.UnixPeer(1000, /*pid=*/4243), {"ROOTCA"}));
  EXPECT_EQ(world.registry->List().size(), 2u) << "another process is another instance";
}

TEST(SecretFetch, WhoFetchedHoldsTheOldBundleUntilItFetchesAgain) {
  World world;
  Answer(world, Fetch(world, world.UnixPeer(1000), {"ROOTCA"}));
  world.trust.Publish({RootA(), RootB()});
  EXPECT_EQ(world.registry->List().front().trust_version, 1u);
  Answer(world, Fetch(world, world.UnixPeer(1000), {"ROOTCA"}));
  EXPECT_EQ(world.registry->List().front().trust_version, 2u);
}

// The counts are kept apart, or the stream's acknowledgement would speak for what was fetched.
TEST(SecretFetch, AStreamOfTheSameProcessDoesNotSpeakForWhatWasFetched) {
  World world;
  Answer(world, Fetch(world, world.UnixPeer(1000), {"ROOTCA"}));
  world.trust.Publish({RootA(), RootB()});
  Proxy proxy(world, world.UnixPeer(1000), Protocol::kStateOfTheWorld);
  proxy.node = "";
  proxy.Ask({"ROOTCA"});
  proxy.Await(1);
  proxy.Ack();
  ASSERT_EQ(world.registry->List().size(), 2u);
  for (const SubscriberRecord& row : world.registry->List()) {
    EXPECT_EQ(row.trust_version, row.kind == "sds-fetch-unix" ? 1u : 2u) << row.kind;
  }
}

TEST(SecretFetch, NoKeyIsMadeForACallerThatThereIsNoRoomFor) {
  World world;
  const std::vector<SubscriberRegistry::Member> others = world.FillRoomOf(1000);
  const auto call = Fetch(world, world.UnixPeer(1000), {"default"});
  world.Until([&] { return call->finished(); }, "the answer");
  EXPECT_EQ(call->error().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(call->error()), "TOO_MANY_INSTANCES");
  EXPECT_EQ(world.issuer.submitted(), 0u);
}

TEST(SecretFetch, ACallThatFailsIsNotRemembered) {
  World world;
  world.issuer.FailWith(absl::UnavailableError("database: locked"));
  const auto call = Fetch(world, world.UnixPeer(1000), {"default"});
  world.Until([&] { return call->finished(); }, "the answer");
  EXPECT_EQ(call->error().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(world.registry->List().size(), 0u);
}

// Renewals do not make a caller anybody else: what it can have counted is bounded by the line.
TEST(SecretFetch, OverMtlsTheLineOfTheCertificateIsThePrincipal) {
  World world;
  const auto peer = world.TlsPeer(Id("spiffe://td.test/edge"));
  Answer(world, Fetch(world, peer, {"ROOTCA"}));
  const std::string serial = Certificate::Parse(Der(peer->certificate_chain_der[0]))->serial_hex();
  const SubscriberRecord row = world.registry->List().front();
  EXPECT_EQ(row.kind, "sds-fetch-mtls");
  EXPECT_EQ(row.peer, "127.0.0.1:40000 line " + serial);
}

struct ErrorCase {
  const char* name;
  uint32_t uid;
  std::vector<std::string> names;
  absl::Status issuer;
  absl::StatusCode code;
  const char* words;
};

class SecretFetchError : public testing::TestWithParam<ErrorCase> {};

TEST_P(SecretFetchError, SaysWhy) {
  World world;
  world.issuer.FailWith(GetParam().issuer);
  const auto call = Fetch(world, world.UnixPeer(GetParam().uid), GetParam().names);
  world.Until([&] { return call->finished(); }, "the answer");
  EXPECT_EQ(call->error().code(), GetParam().code);
  EXPECT_THAT(std::string(call->error().message()), HasSubstr(GetParam().words));
}

INSTANTIATE_TEST_SUITE_P(
    Fetch, SecretFetchError,
    testing::Values(
        ErrorCase{"NoNames", 1000, {}, {}, absl::StatusCode::kInvalidArgument, "resource_names is empty"},
        ErrorCase{"NoneAllowed", 1000, {"spiffe://td.test/db"}, {}, absl::StatusCode::kPermissionDenied, "td.test/db"},
        ErrorCase{"NoEntry", 2000, {"ROOTCA"}, {}, absl::StatusCode::kPermissionDenied, "no registration entry"},
        ErrorCase{"DatabaseAway",
                  1000,
                  {"default", "ROOTCA"},
                  absl::UnavailableError("database: locked"),
                  absl::StatusCode::kUnavailable,
                  "database: locked"},
        ErrorCase{"OurOwnFault",
                  1000,
                  {"default"},
                  absl::InternalError("EVP_DigestSign: secret detail"),
                  absl::StatusCode::kInternal,
                  "its log says how"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(SecretFetch, AShutdownAnswersWhoWaits) {
  World world;
  world.issuer.FailWith(absl::OkStatus());
  world.issuer.HoldBack(true);
  const auto call = Fetch(world, world.UnixPeer(1000), {"default"});
  world.Until([&] { return world.issuer.submitted() == 1; }, "the issuance");
  world.issuer.Release();
  world.hub->Shutdown();
  EXPECT_TRUE(call->finished());
}

TEST(SecretFetch, ACallThatTheClientResetHoldsNothing) {
  World world;
  world.issuer.HoldBack(true);
  const auto call = Fetch(world, world.UnixPeer(1000), {"default"});
  world.Until([&] { return world.issuer.submitted() == 1; }, "the issuance");
  call->Cancel();
  EXPECT_EQ(call->error().code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(world.registry->List().empty()) << "its instance is gone with it";
  world.issuer.Release();
}

TEST(SecretFetchOverTls, ACertificateThatTheInventoryLacksGetsNothingNotEvenTheBundle) {
  World world;
  for (const char* name : {"ROOTCA", "ALL", "default"}) {
    const auto call = Fetch(world, world.ForgedTlsPeer(Id("spiffe://td.test/edge")), {name});
    world.Until([&] { return call->finished(); }, "the answer");
    EXPECT_EQ(call->error().code(), absl::StatusCode::kUnauthenticated) << name;
  }
  EXPECT_EQ(world.issuer.submitted(), 0u);
  const auto honest = Fetch(world, world.TlsPeer(Id("spiffe://td.test/edge")), {"default", "ROOTCA"});
  world.Until([&] { return honest->finished(); }, "the answer");
  EXPECT_NE(honest->response(), nullptr) << honest->error();
}

}  // namespace
}  // namespace meshca::sds
