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
  EXPECT_EQ(world.registry->List().size(), 0) << "a fetch is no subscription";
  // The key it was given is the one a stream of the same process gets.
  Proxy proxy(world, world.UnixPeer(1000), Protocol::kStateOfTheWorld);
  proxy.node = "";
  proxy.Ask({"default"});
  EXPECT_EQ(SecretIn(proxy.Await(1), "default").SerializeAsString(), SecretIn(response, "default").SerializeAsString());
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
