// SDS by the letter: what a proxy sees on a stream, in both protocols.
#include <atomic>
#include <set>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sds/discovery_request.h"
#include "test/sds/world.h"

namespace meshca::sds {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using testing::UnorderedElementsAre;

std::string Pem(const Certificate& certificate) { return certificate.pem().text(); }

TEST(SecretStream, DefaultIsTheCallersKeyAndChain) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), kState);
  proxy.Ask({"default"});
  const DiscoveryResponse& response = proxy.Await(1);
  EXPECT_EQ(response.type_url(), "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret");
  EXPECT_FALSE(response.version_info().empty());
  EXPECT_FALSE(response.nonce().empty());
  const Secret secret = SecretIn(response, "default");
  EXPECT_THAT(secret.tls_certificate().private_key().inline_bytes(), HasSubstr("BEGIN PRIVATE KEY"));
  EXPECT_THAT(secret.tls_certificate().certificate_chain().inline_bytes(), HasSubstr("BEGIN CERTIFICATE"));
  ASSERT_EQ(world.issuer.submitted(), 1);
  const AskedSvid request = world.issuer.requests().front();
  EXPECT_EQ(request.id.uri(), "spiffe://td.test/web");
  EXPECT_EQ(request.caller.node, "") << "it is shared by all of this host, whatever each calls its node";
  EXPECT_FALSE(request.caller.instance.empty());
  EXPECT_FALSE(request.caller.IsRenewal());
}

TEST(SecretStream, BundleNamesHoldTheRoots) {
  World world;
  world.trust.Publish({RootA(), RootB()});
  Proxy proxy(world, world.UnixPeer(1000), kState);
  proxy.Ask({"ROOTCA", "spiffe://td.test", "spiffe://TD.test", "ALL"});
  const DiscoveryResponse& response = proxy.Await(1);
  for (const char* name : {"ROOTCA", "spiffe://td.test", "spiffe://TD.test"}) {
    EXPECT_EQ(SecretIn(response, name).validation_context().trusted_ca().inline_bytes(), Pem(RootA()) + Pem(RootB()))
        << name;
  }
  const auto custom = SecretIn(response, "ALL").validation_context().custom_validator_config();
  EXPECT_EQ(custom.name(), "envoy.tls.cert_validator.spiffe");
  EXPECT_THAT(custom.typed_config().type_url(), HasSubstr("SPIFFECertValidatorConfig"));
  EXPECT_THAT(custom.typed_config().value(), AllOf(HasSubstr("td.test"), HasSubstr(Pem(RootB()))));
}

TEST(SecretStream, FirstResponseWaitsUntilItIsWhole) {
  World world;
  world.issuer.HoldBack(true);
  Proxy proxy(world, world.UnixPeer(1000), kState);
  proxy.Ask({"ROOTCA", "default"});
  world.Until([&] { return world.issuer.submitted() == 1; }, "the issuance");
  EXPECT_EQ(proxy.Settled(), 0);
  world.issuer.Release();
  EXPECT_THAT(NamesIn(proxy.Await(1)), UnorderedElementsAre("ROOTCA", "default"));
}

TEST(SecretStream, StreamsOfAllInstancesOnTheSocketShareOneKey) {
  World world;
  Proxy one(world, world.UnixPeer(1000), kState), two(world, world.UnixPeer(1000), kDelta);
  one.Ask({"default"});
  two.Ask({"default", "spiffe://td.test/web"});
  const Secret first = SecretIn(one.Await(1), "default");
  const DeltaDiscoveryResponse& second = two.AwaitDelta(1);
  EXPECT_EQ(world.issuer.submitted(), 1);
  EXPECT_EQ(first.SerializeAsString(), SecretIn(second, "default").SerializeAsString());
  EXPECT_EQ(first.tls_certificate().private_key().inline_bytes(),
            SecretIn(second, "spiffe://td.test/web").tls_certificate().private_key().inline_bytes());
  // Another process and another node are other instances.
  Proxy other(world, world.UnixPeer(1000, 4243), kState);
  other.Ask({"default"});
  Proxy elsewhere(world, world.UnixPeer(1000), kState);
  elsewhere.node = "node-2";
  elsewhere.Ask({"default"});
  EXPECT_EQ(SecretIn(other.Await(1), "default").SerializeAsString(), first.SerializeAsString());
  elsewhere.Await(1);
  EXPECT_EQ(world.issuer.submitted(), 1);
  EXPECT_EQ(world.registry->List().size(), 3);
}

struct DeniedCase {
  const char* name;
  uint32_t uid;
  std::vector<std::string> secrets;
  const char* words;
};

class SecretStreamDenied : public testing::TestWithParam<std::tuple<DeniedCase, Protocol>> {};

TEST_P(SecretStreamDenied, EndsWithPermissionDenied) {
  const auto& [denied, protocol] = GetParam();
  World world;
  Proxy proxy(world, world.UnixPeer(denied.uid), protocol);
  proxy.Ask(denied.secrets);
  const absl::Status end = proxy.AwaitEnd();
  EXPECT_EQ(end.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(end.message()), HasSubstr(denied.words));
  EXPECT_THAT(proxy.stream().sent, IsEmpty());
  EXPECT_THAT(world.registry->List(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(
    Names, SecretStreamDenied,
    testing::Combine(
        testing::Values(
            DeniedCase{"UnknownName", 1000, {"kubernetes://gateway-cert"}, "there is no such secret"},
            DeniedCase{"SomebodyElse",
                       1000,
                       {"spiffe://td.test/db"},
                       "may not hold this identity; let it: meshca entry create spiffe://td.test/db --selector "
                       "unix:uid:1000"},
            DeniedCase{"OtherDomainsIdentity", 0, {"spiffe://other.test/web"}, "signs for spiffe://td.test only"},
            DeniedCase{"OtherDomainsBundle", 1000, {"spiffe://other.test"}, "no bundle of this trust domain"},
            DeniedCase{"NoSpiffeId", 1000, {"spiffe://td.test/a//b"}, "secret \"spiffe://td.test/a//b\""},
            DeniedCase{"Reserved", 0, {"spiffe://td.test/meshca/admin/x"}, "may not hold this identity"},
            DeniedCase{"NoEntryNamesWhatWasAskedFor",
                       2000,
                       {"ROOTCA", "spiffe://td.test/db"},
                       "meshca entry create spiffe://td.test/db --selector unix:uid:2000"},
            DeniedCase{"OperatorWithoutEntry", 0, {"default"}, "meshca entry create"},
            DeniedCase{"NoEntry", 2000, {"ROOTCA"}, "no registration entry"},
            DeniedCase{"Several", 1000, {"x", "y"}, "none of 2 secrets can be had; the first: secret \"x\""},
            DeniedCase{"Everything", 1000, {"*"}, "there is no such secret"}),
        testing::Values(kState, kDelta)),
    [](const auto& info) {
      return std::string(std::get<0>(info.param).name) + (std::get<1>(info.param) == kState ? "State" : "Delta");
    });

TEST(SecretStream, AnOperatorMayNameAnyIdentity) {
  World world;
  Proxy proxy(world, world.UnixPeer(0), kState);
  proxy.Ask({"spiffe://td.test/anything"});
  EXPECT_THAT(NamesIn(proxy.Await(1)), ElementsAre("spiffe://td.test/anything"));
  ASSERT_EQ(world.registry->List().size(), 1);
  EXPECT_EQ(world.registry->List().front().spiffe_id, "spiffe://td.test/anything");
}

TEST(SecretStream, SomeNamesServedOthersMissing) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), kState);
  proxy.Ask({"nonsense", "ROOTCA"});
  EXPECT_THAT(NamesIn(proxy.Await(1)), ElementsAre("ROOTCA"));
  proxy.Ack();
  EXPECT_EQ(proxy.Settled(), 1);
}

TEST(DeltaSecretStream, NamesThatCannotBeHadAreRemoved) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), kDelta);
  proxy.Ask({"nonsense", "ROOTCA"});
  const DeltaDiscoveryResponse& response = proxy.AwaitDelta(1);
  EXPECT_THAT(NamesIn(response), ElementsAre("ROOTCA"));
  EXPECT_THAT(response.removed_resources(), ElementsAre("nonsense"));
  proxy.Ack();
  EXPECT_EQ(proxy.Settled(), 1);
}

TEST(SecretStream, OnlyWhatChangedIsSent) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), kState);
  proxy.Ask({"default", "ROOTCA"});
  const std::string first = proxy.Await(1).version_info();
  proxy.Ack();
  world.trust.Publish({RootA(), RootB()});
  const DiscoveryResponse& second = proxy.Await(2);
  EXPECT_THAT(NamesIn(second), ElementsAre("ROOTCA"));
  EXPECT_NE(second.version_info(), first);
  proxy.Ack();
  world.trust.PublishAgain();
  EXPECT_EQ(proxy.Settled(), 2);
}

TEST(SecretStream, UnansweredResourcesAreSentAgainWithTheNextChange) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), kState);
  proxy.Ask({"default", "ROOTCA"});
  proxy.Await(1);  // no answer
  world.trust.Publish({RootA(), RootB()});
  EXPECT_THAT(NamesIn(proxy.Await(2)), UnorderedElementsAre("default", "ROOTCA"));
  proxy.Ack();
  proxy.Settled();
  const SubscriberRecord record = world.registry->List().front();
  EXPECT_EQ(record.trust_version, 2);
  EXPECT_FALSE(record.serial.empty());
}

TEST(SecretStream, VersionsDeriveFromContent) {
  std::string versions[2][2];
  for (auto& [one, two] : versions) {  // two servers, one after the other
    World world;
    Proxy proxy(world, world.UnixPeer(1000), kState);
    proxy.Ask({"ROOTCA"});
    one = proxy.Await(1).version_info();
    world.trust.Publish({RootA(), RootB()});
    two = proxy.Await(2).version_info();
  }
  EXPECT_EQ(versions[0][0], versions[1][0]);
  EXPECT_EQ(versions[0][1], versions[1][1]);
  EXPECT_NE(versions[0][0], versions[0][1]);
}

TEST(SecretStream, NoncesNeverRepeatOnAStream) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), kState);
  std::set<std::string> nonces;
  proxy.Ask({"ROOTCA"});
  nonces.insert(proxy.Await(1).nonce());
  proxy.Ask({}, proxy.Await(1).nonce());
  proxy.Ask({"ROOTCA"}, proxy.Await(1).nonce());  // the same bytes once more
  nonces.insert(proxy.Await(2).nonce());
  world.trust.Publish({RootB()});
  nonces.insert(proxy.Await(3).nonce());
  EXPECT_EQ(nonces.size(), 3);
}

TEST(SecretStream, StaleNoncesAreIgnored) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), kState);
  proxy.Ask({"ROOTCA"});
  const std::string stale = proxy.Await(1).nonce();
  world.trust.Publish({RootA(), RootB()});
  proxy.Await(2);
  proxy.AckNonce(stale);
  EXPECT_EQ(world.registry->List().front().trust_version, 0);
  proxy.Nack("bad", stale);
  EXPECT_EQ(world.registry->List().front().rejected, "");
  proxy.Ask({"default"}, stale);  // names beside a stale nonce
  proxy.Ask({"default"}, "never-sent");
  EXPECT_EQ(proxy.Settled(), 2);
  EXPECT_EQ(world.issuer.submitted(), 0);
  proxy.Ask({"ROOTCA"}, proxy.Await(2).nonce());
  EXPECT_EQ(world.registry->List().front().trust_version, 2);
}

TEST(DeltaSecretStream, StaleNoncesAnswerNothingButTheirNamesCount) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), kDelta);
  proxy.Ask({"ROOTCA"});
  const std::string stale = proxy.AwaitDelta(1).nonce();
  world.trust.Publish({RootA(), RootB()});
  proxy.AwaitDelta(2);
  proxy.AckNonce(stale);
  EXPECT_EQ(world.registry->List().front().trust_version, 0);
  proxy.Ask({"default"}, stale);
  EXPECT_THAT(NamesIn(proxy.AwaitDelta(3)), UnorderedElementsAre("ROOTCA", "default"));
}

class SecretStreamBoth : public testing::TestWithParam<Protocol> {};
INSTANTIATE_TEST_SUITE_P(Protocols, SecretStreamBoth, testing::Values(kState, kDelta),
                         [](const auto& info) { return info.param == kState ? "State" : "Delta"; });

size_t AwaitCount(Proxy& proxy, Protocol protocol, size_t count) {
  if (protocol == kState) {
    proxy.Await(count);
  } else {
    proxy.AwaitDelta(count);
  }
  return count;
}

TEST_P(SecretStreamBoth, NackKeepsTheStreamAndIsNotAnsweredWithTheSame) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), GetParam());
  proxy.Ask({"ROOTCA"});
  AwaitCount(proxy, GetParam(), 1);
  proxy.Ack();
  world.trust.Publish({RootB()});
  AwaitCount(proxy, GetParam(), 2);
  proxy.Nack("Failed to load trusted CA certificates");
  EXPECT_EQ(proxy.Settled(), 2);
  EXPECT_FALSE(proxy.stream().finished.has_value());
  SubscriberRecord record = world.registry->List().front();
  EXPECT_EQ(record.rejected, "Failed to load trusted CA certificates");
  EXPECT_EQ(record.trust_version, 1);
  // The next change goes out as if nothing had been, and an ACK clears the rejection.
  world.trust.Publish({RootA(), RootB()});
  AwaitCount(proxy, GetParam(), 3);
  proxy.Ack();
  record = world.registry->List().front();
  EXPECT_EQ(record.rejected, "");
  EXPECT_EQ(record.trust_version, 3);
}

TEST_P(SecretStreamBoth, ReconnectIsAnsweredInFull) {
  World world;
  auto proxy = std::make_unique<Proxy>(world, world.UnixPeer(1000), GetParam());
  proxy->Ask({"default", "ROOTCA"});
  AwaitCount(*proxy, GetParam(), 1);
  proxy->Ack();
  proxy->stream().Close(absl::UnavailableError("the connection broke"));

  Proxy again(world, world.UnixPeer(1000), GetParam());
  if (GetParam() == kState) {
    DiscoveryRequest request;
    request.mutable_node()->set_id("node-1");
    request.set_version_info(proxy->Await(1).version_info());
    request.set_response_nonce(proxy->Await(1).nonce());  // a careless client keeps its nonce
    request.add_resource_names("default");
    request.add_resource_names("ROOTCA");
    again.Send(request);
    EXPECT_THAT(NamesIn(again.Await(1)), UnorderedElementsAre("default", "ROOTCA"));
  } else {
    DeltaDiscoveryRequest request;
    request.mutable_node()->set_id("node-1");
    for (const auto& resource : proxy->AwaitDelta(1).resources()) {
      request.add_resource_names_subscribe(resource.name());
      (*request.mutable_initial_resource_versions())[resource.name()] = resource.version();
    }
    again.Send(request);
    EXPECT_THAT(NamesIn(again.AwaitDelta(1)), UnorderedElementsAre("default", "ROOTCA"));
  }
  EXPECT_EQ(world.issuer.submitted(), 1) << "the same process gets the key it had";
}

TEST_P(SecretStreamBoth, RenewalAtHalfLifeReachesTheProxy) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), GetParam());
  proxy.Ask({"default"});
  AwaitCount(proxy, GetParam(), 1);
  proxy.Ack();
  const std::string before = world.registry->List().front().serial;
  world.clock.Advance(absl::Hours(10));
  world.Wake();
  EXPECT_EQ(proxy.Settled(), 1);
  world.clock.Advance(absl::Hours(4));
  world.Wake();
  AwaitCount(proxy, GetParam(), 2);
  proxy.Ack();
  const AskedSvid renewal = world.issuer.requests().back();
  EXPECT_TRUE(renewal.caller.IsRenewal());
  EXPECT_EQ(renewal.caller.parent_serial, before);
  EXPECT_NE(renewal.public_key, world.issuer.requests().front().public_key);
  EXPECT_NE(world.registry->List().front().serial, before);
}

TEST_P(SecretStreamBoth, AWithdrawnEntryEndsTheStream) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), GetParam());
  proxy.Ask({"default"});
  AwaitCount(proxy, GetParam(), 1);
  proxy.Ack();
  world.authenticator.Set(1000, absl::PermissionDeniedError("no registration entry fits uid 1000"));
  world.hub->keys().Recheck();
  const absl::Status end = proxy.AwaitEnd();
  EXPECT_EQ(end.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(end.message()), HasSubstr("no registration entry fits"));
}

TEST(DeltaSecretStream, AnIdentityWithdrawnIsRemovedOthersStay) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), kDelta);
  proxy.Ask({"default", "ROOTCA"});
  proxy.AwaitDelta(1);
  proxy.Ack();
  world.authenticator.Set(1000, absl::PermissionDeniedError("no registration entry fits uid 1000"));
  world.hub->keys().Recheck();
  const DeltaDiscoveryResponse& response = proxy.AwaitDelta(2);
  EXPECT_THAT(response.removed_resources(), ElementsAre("default"));
  EXPECT_THAT(NamesIn(response), IsEmpty());
}

TEST(SecretStream, AnIdentityWithdrawnSendsNoEmptyList) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), kState);
  proxy.Ask({"default", "ROOTCA"});
  proxy.Await(1);
  proxy.Ack();
  world.authenticator.Set(1000, absl::PermissionDeniedError("no registration entry fits uid 1000"));
  world.hub->keys().Recheck();
  proxy.Settled();
  EXPECT_EQ(proxy.Settled(), 1);
  EXPECT_FALSE(proxy.stream().finished.has_value());
}

TEST_P(SecretStreamBoth, ASlowProxyGetsTheNewestAlone) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), GetParam());
  proxy.Ask({"ROOTCA"});
  AwaitCount(proxy, GetParam(), 1);
  proxy.Ack();
  proxy.stream().full = true;
  world.trust.Publish({RootB()});
  world.trust.Publish({RootB(), RootA()});
  EXPECT_EQ(proxy.Settled(), 1);
  proxy.stream().full = false;
  proxy.stream().handler().OnWritable();
  EXPECT_EQ(AwaitCount(proxy, GetParam(), 2), proxy.Settled());
  proxy.Ack();
  EXPECT_EQ(world.registry->List().front().trust_version, 3);
}

TEST(SecretStream, NoExpiredCertificateIsPushed) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), kState);
  proxy.Ask({"default"});
  proxy.Await(1);
  proxy.Ack();
  // While the proxy does not read, a renewal comes and ends.
  proxy.stream().full = true;
  world.hub->keys().Renew([](const SpiffeId&, absl::string_view) { return true; });
  world.Until([&] { return world.hub->keys().Stats().renewed == 1; }, "the renewal");
  proxy.Settled();
  world.issuer.HoldBack(true);
  world.clock.Advance(absl::Hours(25));
  proxy.stream().full = false;
  proxy.stream().handler().OnWritable();
  EXPECT_EQ(proxy.Settled(), 1);
  // And neither is it to one that asks now.
  Proxy late(world, world.UnixPeer(1000), kState);
  late.Ask({"default"});
  world.Until([&] { return world.issuer.submitted() == 3; }, "the renewal of what ended");
  EXPECT_EQ(late.Settled(), 0);
  world.issuer.Release();
  proxy.Await(2);
  late.Await(1);
}

TEST_P(SecretStreamBoth, ALostDatabaseIsSaidAndWhatIsThereIsServed) {
  World world;
  Proxy held(world, world.UnixPeer(1000), GetParam());
  held.Ask({"default"});
  AwaitCount(held, GetParam(), 1);
  world.issuer.FailWith(absl::UnavailableError("database: disk full"));

  Proxy other(world, world.UnixPeer(1000, 99), GetParam());
  other.Ask({"spiffe://td.test/api"});
  EXPECT_EQ(other.AwaitEnd(), absl::UnavailableError("database: disk full"));
  Proxy same(world, world.UnixPeer(1000, 97), GetParam());
  same.Ask({"default"});
  AwaitCount(same, GetParam(), 1);
  Proxy both(world, world.UnixPeer(1000, 98), GetParam());
  both.Ask({"spiffe://td.test/api", "ROOTCA"});
  if (GetParam() == kState) {
    EXPECT_THAT(NamesIn(both.Await(1)), ElementsAre("ROOTCA"));
  } else {
    EXPECT_THAT(NamesIn(both.AwaitDelta(1)), ElementsAre("ROOTCA"));
  }
  // The key follows when the disk has room again.
  world.issuer.FailWith(absl::OkStatus());
  world.clock.Advance(absl::Minutes(3));
  world.Wake();
  AwaitCount(both, GetParam(), 2);
}

TEST_P(SecretStreamBoth, RenewPushesANewKeyAtOnce) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), GetParam());
  proxy.Ask({"default"});
  AwaitCount(proxy, GetParam(), 1);
  proxy.Ack();
  const std::string serial = world.registry->List().front().serial;
  EXPECT_THAT(world.hub->keys().Renew([](const SpiffeId&, absl::string_view held) { return held == "00"; }), IsEmpty());
  EXPECT_THAT(world.hub->keys().Renew([&](const SpiffeId&, absl::string_view held) { return held == serial; }),
              ElementsAre(Id("spiffe://td.test/web")));
  AwaitCount(proxy, GetParam(), 2);
  proxy.Ack();
  EXPECT_NE(world.registry->List().front().serial, serial);
}

struct RejectCase {
  const char* name;
  std::string (*request)(Protocol protocol);
  absl::StatusCode code;
  const char* words;
};

std::string Request(Protocol protocol, const std::vector<std::string>& names, absl::string_view type_url) {
  if (protocol == kDelta) {
    DeltaDiscoveryRequest request;
    request.set_type_url(std::string(type_url));
    for (const std::string& name : names) request.add_resource_names_subscribe(name);
    return request.SerializeAsString();
  }
  DiscoveryRequest request;
  request.set_type_url(std::string(type_url));
  for (const std::string& name : names) request.add_resource_names(name);
  return request.SerializeAsString();
}

// Of 2000 bytes each.
std::vector<std::string> LongNames(char fill, int count) {
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) names.push_back(std::to_string(100 + i) + std::string(1997, fill));
  return names;
}

std::vector<std::string> ManyNames(int count) {
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) names.push_back("spiffe://td.test/w" + std::to_string(i));
  return names;
}

class SecretStreamReject : public testing::TestWithParam<std::tuple<RejectCase, Protocol>> {};

TEST_P(SecretStreamReject, SaysWhichRule) {
  const auto& [reject, protocol] = GetParam();
  World world;
  Proxy proxy(world, world.UnixPeer(0), protocol);
  proxy.SendBytes(reject.request(protocol));
  const absl::Status end = proxy.AwaitEnd();
  EXPECT_EQ(end.code(), reject.code);
  EXPECT_THAT(std::string(end.message()), HasSubstr(reject.words));
  EXPECT_EQ(world.issuer.submitted(), 0);
}

INSTANTIATE_TEST_SUITE_P(
    Requests, SecretStreamReject,
    testing::Combine(
        testing::Values(
            RejectCase{"WrongType",
                       [](Protocol p) {
                         return Request(p, {"default"}, "type.googleapis.com/envoy.config.cluster.v3.Cluster");
                       },
                       absl::StatusCode::kInvalidArgument, "envoy.config.cluster.v3.Cluster\" is not served here"},
            RejectCase{"TenThousandNames", [](Protocol p) { return Request(p, ManyNames(10'000), ""); },
                       absl::StatusCode::kInvalidArgument, "names 10000 secrets; one stream may hold at most 256"},
            RejectCase{"ManyLongNames", [](Protocol p) { return Request(p, LongNames('a', 40), ""); },
                       absl::StatusCode::kInvalidArgument, "names 40 secrets in 80000 bytes"},
            RejectCase{"LongName", [](Protocol p) { return Request(p, {std::string(5000, 'x')}, ""); },
                       absl::StatusCode::kInvalidArgument, "has 5000 bytes; at most 2048"},
            RejectCase{"Garbage", [](Protocol) { return std::string("\xff\xff\xff\xff"); },
                       absl::StatusCode::kInvalidArgument, "SDS request"}),
        testing::Values(kState, kDelta)),
    [](const auto& info) {
      return std::string(std::get<0>(info.param).name) + (std::get<1>(info.param) == kState ? "State" : "Delta");
    });

TEST(DeltaSecretStream, ManySmallSubscriptionsAreBoundedToo) {
  World world;
  Proxy proxy(world, world.UnixPeer(0), kDelta);
  const std::vector<std::string> names = ManyNames(300);
  proxy.Ask({names.begin(), names.begin() + 200});
  proxy.Ask({names.begin() + 200, names.end()});
  const absl::Status end = proxy.AwaitEnd();
  EXPECT_EQ(end.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(end), "TOO_MANY_NAMES");
}

TEST(DeltaSecretStream, TheBytesOfItsNamesAreBoundedToo) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), kDelta);
  proxy.Ask({"ROOTCA"});
  proxy.AwaitDelta(1);
  for (int i = 0; i < 3; ++i) {  // what is unsubscribed is free again
    proxy.Ask(LongNames('a', 20));
    proxy.Unsubscribe(LongNames('a', 20));
  }
  proxy.Settled();
  ASSERT_FALSE(proxy.stream().finished.has_value());
  proxy.Ask(LongNames('a', 20));
  proxy.Ask(LongNames('b', 20));
  const absl::Status end = proxy.AwaitEnd();
  EXPECT_EQ(end.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(end), "TOO_MANY_NAMES");
}

TEST_P(SecretStreamBoth, RequestsBeforeTheFirstAnswerAreBoundedInBytes) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), GetParam());
  proxy.Ask(LongNames('a', 20));
  ASSERT_FALSE(proxy.stream().finished.has_value());
  proxy.Ask(LongNames('b', 20));
  ASSERT_TRUE(proxy.stream().finished.has_value()) << "nobody has judged the caller yet";
  EXPECT_EQ(ReasonOf(*proxy.stream().finished), "TOO_MANY_REQUESTS");
}

// What a stream makes us hold.
std::vector<std::string> NamesNobodyMayHave() {
  std::vector<std::string> names = {"ROOTCA"};
  for (int i = 0; i < 255; ++i) {
    names.push_back(absl::StrCat("spiffe://td.test/", std::string(200, 'x'), "/", i));
  }
  return names;
}

TEST_P(SecretStreamBoth, NamesThatWereRefusedCostLittleAndAreCharged) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), GetParam());
  const std::vector<std::string> names = NamesNobodyMayHave();
  proxy.Ask(names);
  AwaitCount(proxy, GetParam(), 1);
  EXPECT_GT(proxy.stream().held, 255u * 16);
  EXPECT_LT(proxy.stream().held, 255u * 40) << "neither the names nor the texts of their refusals";
  if (GetParam() == kState) {
    proxy.Ask({"ROOTCA"}, proxy.Await(1).nonce());
  } else {
    proxy.Unsubscribe({names.begin() + 1, names.end()});
  }
  EXPECT_LT(proxy.stream().held, 1000u) << "given back with the names";
}

TEST_P(SecretStreamBoth, WhatRefusedNamesWaitToBeListedIsChargedUntilTheyAre) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), GetParam());
  proxy.stream().full = true;
  proxy.Ask(NamesNobodyMayHave());
  proxy.Settled();
  const size_t waiting = proxy.stream().held;
  if (GetParam() == kDelta) {
    EXPECT_GT(waiting, 255u * 200);
  }
  proxy.stream().full = false;
  proxy.stream().handler().OnWritable();
  AwaitCount(proxy, GetParam(), 1);
  EXPECT_LT(proxy.stream().held, 255u * 40);
}

TEST_P(SecretStreamBoth, RequestsBeforeTheCallerIsKnownAreCharged) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), GetParam());
  const std::vector<std::string> names = NamesNobodyMayHave();
  proxy.Ask(names);  // nobody has judged the caller yet
  EXPECT_GT(proxy.stream().held, 255u * 200);
  AwaitCount(proxy, GetParam(), 1);
  EXPECT_LT(proxy.stream().held, 255u * 40);
}

TEST_P(SecretStreamBoth, WithoutRoomTheStreamEndsAndNoKeyIsMade) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), GetParam());
  proxy.stream().held_max = 3000;
  proxy.Ask({"ROOTCA", "default"});
  const absl::Status end = proxy.AwaitEnd();
  EXPECT_EQ(end.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(end), "TOO_MUCH_HELD");
  EXPECT_THAT(std::string(end.message()), HasSubstr("name fewer secrets, or open fewer streams"));
  EXPECT_EQ(world.issuer.submitted(), 0);
  EXPECT_EQ(world.hub->keys().Stats().keys, 0);
}

TEST_P(SecretStreamBoth, AKeyAndTheTextOfARejectionAreCharged) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), GetParam());
  proxy.Ask({"default"});
  AwaitCount(proxy, GetParam(), 1);
  const size_t before = proxy.stream().held;
  EXPECT_GE(before, 4096u);
  proxy.Nack(std::string(5000, 'x'));
  EXPECT_EQ(proxy.stream().held, before + kRejectionBytesMax);
  world.hub->keys().Renew([](const SpiffeId&, absl::string_view) { return true; });
  AwaitCount(proxy, GetParam(), 2);
  proxy.Ack();
  EXPECT_EQ(proxy.stream().held, before);
}

TEST(SecretStream, ABundleUnderANameOfItsOwnIsCharged) {
  World world;
  Proxy usual(world, world.UnixPeer(1000), kState), odd(world, world.UnixPeer(1000), kState);
  usual.Ask({"spiffe://td.test"});
  odd.Ask({"spiffe://TD.teST"});
  usual.Await(1);
  odd.Await(1);
  EXPECT_GT(odd.stream().held, usual.stream().held + Pem(RootA()).size());
}

TEST_P(SecretStreamBoth, AKeyAskedForLaterIsMadeOnlyForACallerThatIsStillBelieved) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), GetParam());
  proxy.Ask({"ROOTCA"});
  AwaitCount(proxy, GetParam(), 1);
  world.authenticator.Set(1000, absl::PermissionDeniedError("no registration entry fits uid 1000"));
  proxy.Ask({"ROOTCA", "default"}, GetParam() == kState ? proxy.Await(1).nonce() : proxy.AwaitDelta(1).nonce());
  const int asked = world.authenticator.asked();
  world.Until([&] { return world.hub->keys().Stats().keys == 0; }, "the refusal");
  EXPECT_GE(asked, 1);
  EXPECT_EQ(world.issuer.submitted(), 0);
  proxy.Settled();
  EXPECT_FALSE(proxy.stream().finished.has_value()) << "the bundle it has goes on";
}

TEST_P(SecretStreamBoth, AProcessMayHaveManyNodeIds) {
  World world;
  std::vector<std::unique_ptr<Proxy>> proxies;
  for (int i = 0; i < 1000; ++i) {
    proxies.push_back(std::make_unique<Proxy>(world, world.UnixPeer(1000), GetParam()));
    proxies.back()->node = "node-" + std::to_string(i);
    proxies.back()->Ask({"default"});
  }
  for (const auto& proxy : proxies) AwaitCount(*proxy, GetParam(), 1);
  EXPECT_EQ(world.registry->List().size(), 1000);
}

TEST_P(SecretStreamBoth, NoKeyIsMadeForAnInstanceThatThereIsNoRoomFor) {
  World world;
  const std::vector<SubscriberRegistry::Member> others = world.FillRoomOf(1000);
  for (const char* name : {"default", "ROOTCA"}) {
    Proxy proxy(world, world.UnixPeer(1000), GetParam());
    proxy.Ask({name, "spiffe://td.test/api"});
    const absl::Status end = proxy.AwaitEnd();
    EXPECT_EQ(end.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(ReasonOf(end), "TOO_MANY_INSTANCES");
  }
  EXPECT_EQ(world.hub->keys().Stats().keys, 0);
  EXPECT_EQ(world.issuer.submitted(), 0);
}

TEST_P(SecretStreamBoth, AnEvictedStreamEndsAndItsProxyCountsAnewWhenItIsBack) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), GetParam());
  proxy.Ask({"ROOTCA"});
  AwaitCount(proxy, GetParam(), 1);
  proxy.Ack();
  ASSERT_EQ(world.registry->List().front().trust_version, 1u);
  const auto evicted = world.registry->Evict([](const SubscriberRecord&) { return true; });
  ASSERT_TRUE(evicted.ok()) << evicted.status();
  EXPECT_EQ(evicted->ended, 1u);
  const absl::Status end = proxy.AwaitEnd();
  EXPECT_EQ(end.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(end), "SUBSCRIBER_EVICTED");
  proxy.stream().Close(end);
  EXPECT_FALSE(world.registry->List().front().connected);
  Proxy back(world, world.UnixPeer(1000), GetParam());
  back.Ask({"ROOTCA"});
  AwaitCount(back, GetParam(), 1);
  const SubscriberRecord row = world.registry->List().front();
  EXPECT_EQ(row.evicted_at, absl::InfiniteFuture());
  EXPECT_EQ(row.trust_version, 0u) << "it has not acknowledged yet";
}

TEST(SecretStream, ATypeUrlLeftOutIsSecrets) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), kState);
  proxy.SendBytes(Request(kState, {"ROOTCA"}, ""));
  EXPECT_THAT(NamesIn(proxy.Await(1)), ElementsAre("ROOTCA"));
}

TEST(SecretStream, TheNodeIsReadFromTheFirstRequestAlone) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), kState);
  proxy.Ask({"ROOTCA"});
  proxy.Await(1);
  DiscoveryRequest request;
  request.mutable_node()->set_id("somebody-else");
  request.add_resource_names("ROOTCA");
  request.set_response_nonce(proxy.Await(1).nonce());
  proxy.Send(request);
  EXPECT_EQ(world.registry->List().front().node, "node-1");
}

TEST(SecretStream, FewerNamesAreForgottenMoreAreSent) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), kState);
  proxy.Ask({"ROOTCA"});
  proxy.Ask({"ROOTCA", "default"}, proxy.Await(1).nonce());
  EXPECT_THAT(NamesIn(proxy.Await(2)), ElementsAre("default"));
  proxy.Ask({"default"}, proxy.Await(2).nonce());
  world.trust.Publish({RootB()});
  EXPECT_EQ(proxy.Settled(), 2);
  proxy.Ask({}, proxy.Await(2).nonce());
  EXPECT_EQ(proxy.Settled(), 2);
  EXPECT_FALSE(proxy.stream().finished.has_value());
}

TEST(DeltaSecretStream, WhatAClientThatDoesNotReadAsksForAgainIsRemovedOnce) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), kDelta);
  proxy.Ask({"ROOTCA"});
  proxy.AwaitDelta(1);
  proxy.Ack();
  proxy.stream().full = true;
  for (int i = 0; i < 1000; ++i) proxy.Ask({"nonsense"});
  for (int i = 0; i < 1000; ++i) {
    const std::string name = "nonsense-" + std::to_string(i);
    proxy.Ask({name});
    proxy.Unsubscribe({name});
  }
  proxy.stream().full = false;
  proxy.stream().handler().OnWritable();
  EXPECT_THAT(proxy.AwaitDelta(2).removed_resources(), ElementsAre("nonsense"));
  EXPECT_EQ(proxy.Settled(), 2);
}

TEST(DeltaSecretStream, UnsubscribeEndsUpdatesSubscribeAgainSendsAgain) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), kDelta);
  proxy.Ask({"ROOTCA", "ALL"});
  proxy.AwaitDelta(1);
  proxy.Ack();
  proxy.Unsubscribe({"ROOTCA"});
  world.trust.Publish({RootB()});
  EXPECT_THAT(NamesIn(proxy.AwaitDelta(2)), ElementsAre("ALL"));
  proxy.Ack();
  proxy.Ask({"ALL"});
  EXPECT_THAT(NamesIn(proxy.AwaitDelta(3)), ElementsAre("ALL"));
}

TEST(SecretStream, AnAskBeforeTheCallerIsKnownIsNotLost) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), kState);
  proxy.Ask({"ROOTCA"});
  proxy.Ask({"ROOTCA", "ALL"});  // the first answer is still being worked out
  EXPECT_THAT(NamesIn(proxy.Await(proxy.Settled())), Not(IsEmpty()));
  proxy.Ack();
  proxy.Settled();
  EXPECT_LE(proxy.stream().sent.size(), 2);
}

TEST(SecretStream, AHalfClosedStreamIsAnsweredAndEnds) {
  World world;
  Proxy proxy(world, world.UnixPeer(1000), kState);
  proxy.Ask({"default"});
  proxy.stream().handler().OnHalfClose();
  EXPECT_THAT(NamesIn(proxy.Await(1)), ElementsAre("default"));
  EXPECT_TRUE(proxy.AwaitEnd().ok());
}

TEST(SecretStreamOverTls, OnlyTheCertificatesOwnIdentity) {
  World world;
  Proxy own(world, world.TlsPeer(Id("spiffe://td.test/edge")), kState);
  own.Ask({"default", "spiffe://td.test/edge", "spiffe://td.test/web", "ROOTCA"});
  EXPECT_THAT(NamesIn(own.Await(1)), UnorderedElementsAre("default", "spiffe://td.test/edge", "ROOTCA"));
  own.Ack();
  const SubscriberRecord record = world.registry->List().front();
  EXPECT_EQ(record.kind, "sds-mtls");
  EXPECT_EQ(record.spiffe_id, "spiffe://td.test/edge");
  Proxy other(world, world.TlsPeer(Id("spiffe://td.test/edge")), kState);
  other.Ask({"spiffe://td.test/web"});
  EXPECT_EQ(other.AwaitEnd().code(), absl::StatusCode::kPermissionDenied);
}

TEST(SecretStreamOverTls, NoKeyWithoutAClientCertificate) {
  World world;
  for (const rpc::Transport transport : {rpc::Transport::kTls, rpc::Transport::kPlaintext}) {
    auto peer = std::make_shared<rpc::Peer>();
    peer->transport = transport;
    Proxy proxy(world, peer, kState);
    proxy.Ask({"ROOTCA"});
    const absl::Status end = proxy.AwaitEnd();
    EXPECT_EQ(end.code(), absl::StatusCode::kUnauthenticated);
    EXPECT_THAT(std::string(end.message()), HasSubstr("Unix socket"));
  }
}

TEST(SecretStreamOverTls, ACertificateThatTheInventoryLacksGetsNothingNotEvenTheBundle) {
  World world;
  for (const Protocol protocol : {kState, Protocol::kDelta}) {
    for (const char* name : {"ROOTCA", "ALL", "spiffe://td.test", "default", "spiffe://td.test/edge"}) {
      Proxy proxy(world, world.ForgedTlsPeer(Id("spiffe://td.test/edge")), protocol);
      proxy.Ask({name});
      EXPECT_EQ(proxy.AwaitEnd().code(), absl::StatusCode::kUnauthenticated) << name;
      EXPECT_EQ(proxy.stream().sent.size(), 0u) << name;
    }
  }
  EXPECT_EQ(world.issuer.submitted(), 0u);
  EXPECT_TRUE(world.registry->List().empty()) << "it is no subscriber, and holds no rotation up";
}

TEST(SecretStreamOverTls, AFirstKeyIsMadeOnlyForACertificateThatIsStillBelieved) {
  World world;
  Proxy proxy(world, world.TlsPeer(Id("spiffe://td.test/edge")), kState);
  proxy.Ask({"ROOTCA"});
  proxy.Await(1);
  world.authenticator.RefuseCertificates(absl::UnauthenticatedError("its authority is retired"));
  proxy.Ask({"ROOTCA", "default"});
  proxy.Settled();
  EXPECT_EQ(world.issuer.submitted(), 0u);
}

TEST(SecretStreamOverTls, ACertificateWithoutAVerifiedPathIsNobodys) {
  World world;
  rpc::Peer peer = *world.TlsPeer(Id("spiffe://td.test/edge"));
  peer.identity = nullptr;
  Proxy proxy(world, std::make_shared<const rpc::Peer>(peer), kState);
  proxy.Ask({"ROOTCA"});
  EXPECT_EQ(proxy.AwaitEnd().code(), absl::StatusCode::kUnauthenticated);
  SdsCaller caller;
  caller.peer = std::make_shared<const rpc::Peer>(peer);
  caller.identity.ids = {Id("spiffe://td.test/edge")};
  EXPECT_FALSE(caller.MayReceiveKeyOf(Id("spiffe://td.test/edge")));
}

TEST(SecretStreamOverTls, WhoShowsNothingIsToldHowSdsIsReached) {
  World world;
  for (const rpc::Transport transport : {rpc::Transport::kTls, rpc::Transport::kPlaintext}) {
    rpc::Peer peer = *world.TlsPeer(Id("spiffe://td.test/edge"));
    peer.transport = transport;
    peer.certificate_chain_der.clear();
    peer.identity = nullptr;
    Proxy proxy(world, std::make_shared<const rpc::Peer>(peer), kState);
    proxy.Ask({"ROOTCA"});
    const absl::Status end = proxy.AwaitEnd();
    EXPECT_EQ(end.code(), absl::StatusCode::kUnauthenticated);
    EXPECT_THAT(std::string(end.message()), HasSubstr("use the Unix socket"));
  }
}

TEST(SecretStreamOverTls, AnAuthenticatorThatSaysMoreIsNotBelieved) {
  SdsCaller caller;
  World world;
  caller.peer = world.TlsPeer(Id("spiffe://td.test/edge"));
  caller.identity.any_id_of_trust_domain = true;
  caller.identity.ids = {Id("spiffe://td.test/web")};
  EXPECT_FALSE(caller.MayReceiveKeyOf(Id("spiffe://td.test/web")));
}

// A client certificate is followed through its renewals: the subscriber stays the one it was.
TEST(SecretStream, ARenewedClientCertificateIsTheSameInstance) {
  World world;
  const auto first_peer = world.TlsPeer(Id("spiffe://td.test/edge"));
  auto first = std::make_unique<Proxy>(world, first_peer, Protocol::kStateOfTheWorld);
  first->Ask({"ROOTCA"});
  first->Await(1);
  first->Ack();
  first.reset();
  const std::string first_serial =
      std::static_pointer_cast<const VerifiedPeer>(first_peer->identity)->leaf.serial_hex();
  const auto next_peer = world.TlsPeer(Id("spiffe://td.test/edge"), first_serial);
  Proxy next(world, next_peer, Protocol::kStateOfTheWorld);
  next.Ask({"ROOTCA"});
  next.Await(1);
  EXPECT_THAT(world.registry->List(), SizeIs(1));
  Proxy stranger(world, world.TlsPeer(Id("spiffe://td.test/edge")), Protocol::kStateOfTheWorld);
  stranger.Ask({"ROOTCA"});
  stranger.Await(1);
  EXPECT_THAT(world.registry->List(), SizeIs(2));
}

}  // namespace
}  // namespace meshca::sds
