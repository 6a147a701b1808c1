#include "ca/edge/credentials.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "test/ca/service/fake_rpc.h"
#include "test/fakes/status_matchers.h"

namespace meshca {
namespace {

using ::testing::HasSubstr;

struct BearerCase {
  std::string name;
  std::vector<std::string> headers;
  std::string token;  // expected
  std::string words;  // of the refusal; "" for none
};

class Bearer : public testing::TestWithParam<BearerCase> {};

TEST_P(Bearer, IsReadFromOneHeader) {
  rpc::Metadata metadata;
  for (const std::string& header : GetParam().headers) ASSERT_TRUE(metadata.Add("authorization", header));
  const auto credentials = CredentialsOf(*TlsTestPeer(), metadata);
  if (!GetParam().words.empty()) {
    EXPECT_THAT(credentials, StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr(GetParam().words)));
    EXPECT_THAT(credentials, HasReason("CREDENTIAL_MALFORMED"));
    return;
  }
  ASSERT_THAT(credentials, IsOk());
  EXPECT_EQ(credentials->bearer_token.reveal(), GetParam().token);
}

INSTANTIATE_TEST_SUITE_P(Headers, Bearer,
                         testing::Values(BearerCase{"None", {}, "", ""}, BearerCase{"One", {"Bearer abc"}, "abc", ""},
                                         BearerCase{"SchemeWithoutCase", {"bearer abc"}, "abc", ""},
                                         BearerCase{"SpacesAround", {"Bearer   abc"}, "abc", ""},
                                         BearerCase{"Basic", {"Basic dTpw"}, "", "not a bearer token"},
                                         BearerCase{"Empty", {"Bearer  "}, "", "empty"},
                                         BearerCase{"Two", {"Bearer a", "Bearer b"}, "", "more than once"}),
                         [](const auto& info) { return info.param.name; });

TEST(Credentials, HoldTheUnixPeer) {
  const auto credentials = CredentialsOf(*UnixTestPeer(1000), rpc::Metadata());
  ASSERT_THAT(credentials, IsOk());
  ASSERT_TRUE(credentials->unix_peer.has_value());
  EXPECT_EQ(credentials->unix_peer->uid, 1000u);
  EXPECT_EQ(credentials->unix_peer->pid, 4242);
  EXPECT_EQ(credentials->unix_peer->start_time, 77u);
  EXPECT_EQ(ActorOf(*UnixTestPeer(1000)), "uid 1000 pid 4242");
}

TEST(Credentials, HoldTheVerifiedPathOfAClientCertificate) {
  rpc::Peer peer = *TlsTestPeer();
  auto verified = std::make_shared<VerifiedPeer>();
  verified->authority_ids = {"issuing", "root"};
  peer.certificate_chain_der = {"as it was sent"};
  peer.identity = verified;
  const auto credentials = CredentialsOf(peer, rpc::Metadata());
  ASSERT_THAT(credentials, IsOk());
  EXPECT_EQ(credentials->client_certificate, verified);
}

struct SourceCase {
  const char* address;
  const char* source;
};

TEST(Credentials, TheSourceIsWhomTheWorkIsCountedAgainst) {
  for (const SourceCase& each : std::vector<SourceCase>{{"192.0.2.7:41234", "192.0.2.7"},
                                                        {"192.0.2.7:5", "192.0.2.7"},
                                                        {"[::ffff:192.0.2.7]:5", "192.0.2.7"},
                                                        {"[2001:db8:1:2:3::4]:5", "2001:db8:1:2::/64"},
                                                        {"[2001:db8:1:2:ffff::]:5", "2001:db8:1:2::/64"},
                                                        {"[fe80::1%eth0]:5", "fe80::/64"},
                                                        {"127.0.0.1:5", "loopback"},
                                                        {"127.255.3.4:5", "loopback"},
                                                        {"[::1]:5", "loopback"},
                                                        {"[::ffff:127.0.0.9]:5", "loopback"}}) {
    rpc::Peer peer = *TlsTestPeer();
    peer.address = each.address;
    EXPECT_EQ(CredentialsOf(peer, rpc::Metadata())->source, each.source) << each.address;
  }
  EXPECT_EQ(CredentialsOf(*UnixTestPeer(1000), rpc::Metadata())->source, "uid 1000");
  rpc::Peer proven = *TlsTestPeer();
  auto verified = std::make_shared<VerifiedPeer>();
  verified->spiffe_id = *SpiffeId::Parse("spiffe://cluster.local/ns/default/sa/web");
  proven.identity = verified;
  EXPECT_EQ(CredentialsOf(proven, rpc::Metadata())->source, "spiffe://cluster.local/ns/default/sa/web")
      << "whoever proved who it is does not share with strangers behind the same address";
}

TEST(Credentials, OfTheConnectionAloneHoldNoToken) {
  const auto on_socket = CredentialsOf(*UnixTestPeer(1000));
  ASSERT_THAT(on_socket, IsOk());
  EXPECT_TRUE(on_socket->unix_peer.has_value());
  EXPECT_TRUE(on_socket->bearer_token.empty());
  const auto over_tls = CredentialsOf(*TlsTestPeer());
  ASSERT_THAT(over_tls, IsOk());
  EXPECT_FALSE(over_tls->unix_peer.has_value());
  EXPECT_EQ(over_tls->client_certificate, nullptr);
}

TEST(Credentials, RefuseACertificateWithoutAVerifiedPath) {
  rpc::Peer peer = *TlsTestPeer();
  peer.certificate_chain_der = {"whatever it is"};
  EXPECT_THAT(CredentialsOf(peer, rpc::Metadata()),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("no path to a root")));
  EXPECT_THAT(CredentialsOf(peer), HasReason("CREDENTIAL_MALFORMED"));
}

}  // namespace
}  // namespace meshca
