// The bytes we assemble by hand are what Envoy's own message types say.
#include "sds/secret_snapshot.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sds/discovery_response.h"
#include "test/sds/world.h"

namespace meshca::sds {
namespace {

using envoy::extensions::transport_sockets::tls::v3::SPIFFECertValidatorConfig;
using testing::ElementsAre;

DomainTrust TrustOf(absl::string_view domain, const Certificate& root) {
  DomainTrust trust;
  trust.trust_domain = Domain(domain);
  trust.roots = {root.der()};
  return trust;
}

SecretContent::Ptr Identity(absl::string_view key, absl::string_view chain) {
  return SecretContent::OfIdentity({Id("spiffe://td.test/web"), "0a", "issuing", absl::Now(), 1},
                                   SecretBytes::CopyOf(key), chain);
}

TEST(SecretSnapshot, IdentityReadsBackAsProtobuf) {
  // Lengths on both sides of one and two varint bytes.
  for (const size_t size : {1u, 120u, 127u, 128u, 200u, 16'383u, 20'000u}) {
    const std::string key(size, 'k'), chain(size + 1, 'c');
    const auto snapshot = Identity(key, chain)->Named("default");
    DiscoveryResponse response;
    const NumberedResponse numbered = snapshot->Alone(Protocol::kStateOfTheWorld);
    ASSERT_TRUE(response.ParseFromString(std::string(rpc::MessageOf(numbered.payload)))) << size;
    EXPECT_EQ(response.nonce(), std::to_string(numbered.nonce));
    EXPECT_EQ(response.version_info(), snapshot->version());
    const Secret secret = SecretIn(response, "default");
    EXPECT_EQ(secret.tls_certificate().private_key().inline_bytes(), key);
    EXPECT_EQ(secret.tls_certificate().certificate_chain().inline_bytes(), chain);
    EXPECT_EQ(response.SerializeAsString(), rpc::MessageOf(numbered.payload)) << "protobuf writes the same bytes";
  }
}

TEST(SecretSnapshot, DeltaResourcesCarryNameAndVersion) {
  const auto snapshot = Identity("key", "chain")->Named("default");
  const SecretSnapshot* const only = snapshot.get();
  DeltaDiscoveryResponse response;
  const std::vector<std::string> removed = {"a", "b"};
  const NumberedResponse numbered = MakeResponse(Protocol::kDelta, {&only, 1}, removed);
  ASSERT_TRUE(response.ParseFromString(std::string(rpc::MessageOf(numbered.payload))));
  ASSERT_EQ(response.resources_size(), 1);
  EXPECT_EQ(response.resources(0).name(), "default");
  EXPECT_EQ(response.resources(0).version(), snapshot->version());
  EXPECT_THAT(response.removed_resources(), ElementsAre("a", "b"));
  EXPECT_EQ(response.type_url(), kSecretTypeUrl);
  EXPECT_EQ(response.SerializeAsString(), rpc::MessageOf(numbered.payload));
}

TEST(SecretSnapshot, SpiffeValidatorNamesEveryDomain) {
  const auto content = SecretContent::OfAllBundles({7, {TrustOf("td.test", RootA()), TrustOf("other.test", RootB())}});
  EXPECT_EQ(content->trust_version(), 7);
  DiscoveryResponse response;
  ASSERT_TRUE(response.ParseFromString(
      std::string(rpc::MessageOf(content->Named("ALL")->Alone(Protocol::kStateOfTheWorld).payload))));
  SPIFFECertValidatorConfig config;
  ASSERT_TRUE(
      SecretIn(response, "ALL").validation_context().custom_validator_config().typed_config().UnpackTo(&config));
  ASSERT_EQ(config.trust_domains_size(), 2);
  EXPECT_EQ(config.trust_domains(0).name(), "td.test");
  EXPECT_EQ(config.trust_domains(1).name(), "other.test");
  EXPECT_EQ(config.trust_domains(1).trust_bundle().inline_bytes(), RootB().pem().text());
}

TEST(SecretSnapshot, VersionTellsContentAndNameApart) {
  const auto content = Identity("key", "chain");
  EXPECT_EQ(content->Named("a")->version(), Identity("key", "chain")->Named("a")->version());
  EXPECT_NE(content->Named("a")->version(), content->Named("b")->version());
  EXPECT_NE(content->Named("a")->version(), Identity("kez", "chain")->Named("a")->version());
}

TEST(SecretSnapshot, OneSnapshotANameOneResponseAProtocol) {
  const auto content = SecretContent::OfBundle(TrustOf("td.test", RootA()), 1);
  const auto one = content->Named("ROOTCA"), two = content->Named("ROOTCA");
  EXPECT_EQ(one, two);
  const NumberedResponse state = one->Alone(Protocol::kStateOfTheWorld);
  EXPECT_EQ(state.payload, one->Alone(Protocol::kStateOfTheWorld).payload);
  EXPECT_NE(state.payload, one->Alone(Protocol::kDelta).payload);
}

TEST(SecretSnapshot, OfManySpellingsAFewAreShared) {
  const auto content = SecretContent::OfBundle(TrustOf("td.test", RootA()), 1);
  const auto usual = content->Named("ROOTCA");
  std::vector<std::shared_ptr<const SecretSnapshot>> held;
  for (int i = 0; i < 1000; ++i) held.push_back(content->Named(std::to_string(i)));
  EXPECT_EQ(content->Named("ROOTCA"), usual);
  EXPECT_NE(content->Named("999"), held.back()) << "a search through all of them would be everybody's";
  held.clear();
  const auto one = content->Named("again");
  EXPECT_EQ(content->Named("again"), one) << "those that are gone make room";
}

TEST(SecretSnapshot, NoncesGrow) {
  const auto snapshot = Identity("key", "chain")->Named("default");
  uint64_t last = 0;
  for (int i = 0; i < 3; ++i) {
    const uint64_t nonce = snapshot->Alone(Protocol::kStateOfTheWorld).nonce;  // nobody keeps an identity's payload
    EXPECT_GT(nonce, last);
    last = nonce;
  }
}

}  // namespace
}  // namespace meshca::sds
