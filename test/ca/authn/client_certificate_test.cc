#include "ca/authn/client_certificate.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/authn/refuses.h"

namespace meshca {
namespace {

using testing::ElementsAre;
using Code = absl::StatusCode;

// URI name spiffe://cluster.local/ns/default/sa/web, DNS name web.default.svc, serial number 2bcd, a year long. Made by
// `openssl req -x509`; who signed it is not this layer's business.
constexpr char kWeb[] = R"(-----BEGIN CERTIFICATE-----
MIIBmjCCAUGgAwIBAgICK80wCgYIKoZIzj0EAwIwADAeFw0yNjExMjMyMDUwNDNa
Fw0yNzExMjMyMDUwNDNaMAAwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAS3eQT/
wShPMUH0yU4LfGSqNmz2Ud9lOYUAS0xaQkP+5r5slZeec821RUEGs/dOsRVBXRlK
vvJogihVArK/yfx/o4GqMIGnMB0GA1UdDgQWBBRv/7agdGmWijJT0e+VcopCiSWM
pTAfBgNVHSMEGDAWgBRv/7agdGmWijJT0e+VcopCiSWMpTBHBgNVHREBAf8EPTA7
hihzcGlmZmU6Ly9jbHVzdGVyLmxvY2FsL25zL2RlZmF1bHQvc2Evd2Vigg93ZWIu
ZGVmYXVsdC5zdmMwDAYDVR0TAQH/BAIwADAOBgNVHQ8BAf8EBAMCB4AwCgYIKoZI
zj0EAwIDRwAwRAIgF+KEZ1dgt9CiC1cstWEnk/omju+50nwloA/fypWi35sCIBV5
NT7u9ccKi5VSDAVwpbmZtPu3YDWOZB/BdiqWc2bk
-----END CERTIFICATE-----
)";
// URI name spiffe://cluster.local/meshca/admin/x, which is reserved; a year long.
constexpr char kAdmin[] = R"(-----BEGIN CERTIFICATE-----
MIIBhzCCAS2gAwIBAgICK84wCgYIKoZIzj0EAwIwADAeFw0yNjExMjgxMDUxMjZa
Fw0yNzExMjgxMDUxMjZaMAAwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQMTwcu
ZHuWQ5bqcXTcslzjQ1TQe7bE18zPDOKKgNdIzyH9aNoi8iQ3hQwsAnVyCLcM+CwU
OqY2yGc40VOdKwm/o4GWMIGTMB0GA1UdDgQWBBRi5+mMcP3Llthc91SlM90MT0cR
UjAfBgNVHSMEGDAWgBRi5+mMcP3Llthc91SlM90MT0cRUjAzBgNVHREBAf8EKTAn
hiVzcGlmZmU6Ly9jbHVzdGVyLmxvY2FsL21lc2hjYS9hZG1pbi94MAwGA1UdEwEB
/wQCMAAwDgYDVR0PAQH/BAQDAgeAMAoGCCqGSM49BAMCA0gAMEUCIDs0exJTkRhs
zhHe7fXqrgxHS9i+Xoc/8dTpkeLjpv+DAiEA/mB4ZEOy9pdaeDQ3bSQT2ZMtlcW4
0l8sa/K1ymeyjNQ=
-----END CERTIFICATE-----
)";
// A DNS name alone.
constexpr char kPlain[] = R"(-----BEGIN CERTIFICATE-----
MIIBgDCCASWgAwIBAgICK80wCgYIKoZIzj0EAwIwDDEKMAgGA1UEAwwBeDAeFw0y
NjExMjMyMDUwNDNaFw0yNzExMjMyMDUwNDNaMAwxCjAIBgNVBAMMAXgwWTATBgcq
hkjOPQIBBggqhkjOPQMBBwNCAARl0b1s3Mox0JMQtBVX1zqQOrUFFBJhAjABM/yM
kf4f1QZOJtHujRH6qBtI1lmx4wWDCIE54RDvkfMbT7A/yvJOo3cwdTAdBgNVHQ4E
FgQUEii6MQn7NTFxkGEcXxqQmnsQC/wwHwYDVR0jBBgwFoAUEii6MQn7NTFxkGEc
XxqQmnsQC/wwFQYDVR0RBA4wDIIKcGxhaW4udGVzdDAMBgNVHRMBAf8EAjAAMA4G
A1UdDwEB/wQEAwIHgDAKBggqhkjOPQQDAgNJADBGAiEAnmHfdKMUr6EonjodcgbG
vKJs3aIm0Owb7C9T90GgmZICIQDOc7LqmFuL6ksEw12pfKvekkraSYedRIIQ6hF8
DDqxoQ==
-----END CERTIFICATE-----
)";

Certificate Parse(const char* pem) { return Certificate::Parse(Pem(pem)).value(); }

class FakeStanding final : public PathStanding {
 public:
  absl::StatusOr<Verdict> JudgePath(const VerifiedPeer&, absl::Time) const override { return verdict; }
  absl::StatusOr<Verdict> verdict = Verdict();
};

// As a handshake would leave it.
VerifiedPeer Verified(const Certificate& leaf) {
  VerifiedPeer peer;
  peer.leaf = leaf;
  peer.authority_ids = {"issuing", "root"};
  peer.root_id = "root";
  peer.path_ends = leaf.validity().not_after;
  return peer;
}

absl::StatusOr<CallerIdentity> Judge(const Certificate& leaf, absl::Time now,
                                     const PathStanding& standing = FakeStanding(),
                                     absl::string_view trust_domain = "cluster.local") {
  return ClientCertificateAuthenticator(TrustDomain::Parse(trust_domain).value(), standing).Judge(Verified(leaf), now);
}

TEST(ClientCertificate, RenewsItsOwnId) {
  const Certificate leaf = Parse(kWeb);
  auto caller = Judge(leaf, leaf.validity().not_before);
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(caller->method, AuthMethod::kClientCertificate);
  ASSERT_EQ(caller->ids.size(), 1u);
  EXPECT_EQ(caller->ids[0].uri(), "spiffe://cluster.local/ns/default/sa/web");
  EXPECT_THAT(caller->dns_names, ElementsAre("web.default.svc"));
  EXPECT_EQ(caller->parent_serial, "2bcd");
  EXPECT_TRUE(caller->IsRenewal());
  EXPECT_FALSE(caller->any_id_of_trust_domain);
  EXPECT_EQ(caller->subject, "certificate of spiffe://cluster.local/ns/default/sa/web");
}

TEST(ClientCertificate, IsJudgedByTheClockAtEveryCall) {
  const Certificate leaf = Parse(kWeb);
  const Validity validity = leaf.validity();
  EXPECT_TRUE(Judge(leaf, validity.not_after).ok());
  EXPECT_THAT(Judge(leaf, validity.not_after + absl::Seconds(1)),
              Refuses(Code::kUnauthenticated, "CERTIFICATE_EXPIRED",
                      "meshca token create spiffe://cluster.local/ns/default/sa/web"));
  EXPECT_THAT(Judge(leaf, validity.not_before - absl::Seconds(1)),
              Refuses(Code::kUnauthenticated, "CERTIFICATE_NOT_YET_VALID", "not valid before"));
}

TEST(ClientCertificate, NeedsASpiffeIdOfThisTrustDomain) {
  const Certificate plain = Parse(kPlain);
  EXPECT_THAT(Judge(plain, plain.validity().not_before),
              Refuses(Code::kPermissionDenied, "CERTIFICATE_NO_SPIFFE_ID", "client certificate: "));
  const Certificate web = Parse(kWeb);
  EXPECT_THAT(
      Judge(web, web.validity().not_before, FakeStanding(), "other.test"),
      Refuses(Code::kPermissionDenied, "CERTIFICATE_TRUST_DOMAIN", "cluster.local, and this CA signs for other"));
}

TEST(ClientCertificate, APathThatIsNotBelievedAnyMoreIsNoticedOnAnOldConnection) {
  const Certificate leaf = Parse(kWeb);
  FakeStanding standing;
  EXPECT_TRUE(Judge(leaf, leaf.validity().not_before, standing).ok());
  standing.verdict = WithReason(absl::UnauthenticatedError("its issuer is retired"), "CERTIFICATE_ISSUER_UNKNOWN");
  EXPECT_THAT(
      Judge(leaf, leaf.validity().not_before, standing),
      Refuses(Code::kUnauthenticated, "CERTIFICATE_ISSUER_UNKNOWN", "client certificate: its issuer is retired"));
}

TEST(ClientCertificate, AlwaysHasToBeInTheInventoryBySerialHashAndId) {
  const Certificate leaf = Parse(kWeb);
  const auto caller = Judge(leaf, leaf.validity().not_before);
  ASSERT_TRUE(caller.ok()) << caller.status();
  ASSERT_TRUE(caller->presented.has_value());
  EXPECT_EQ(caller->presented->serial, leaf.serial_hex());
  EXPECT_EQ(caller->presented->sha256, leaf.sha256());
  EXPECT_EQ(caller->presented->spiffe_id, *leaf.spiffe_id());
  EXPECT_FALSE(caller->presented->may_be_unrecorded);
}

TEST(ClientCertificate, MayBeMissingThereOnlyWhereThePathAllowsItAndTheIdIsNotReserved) {
  FakeStanding standing;
  standing.verdict = PathStanding::Verdict{.may_be_unrecorded = true};
  const Certificate web = Parse(kWeb);
  EXPECT_TRUE(Judge(web, web.validity().not_before, standing)->presented->may_be_unrecorded);
  const Certificate admin = Parse(kAdmin);
  ASSERT_TRUE(admin.spiffe_id()->IsReserved());
  EXPECT_FALSE(Judge(admin, admin.validity().not_before, standing)->presented->may_be_unrecorded);
}

TEST(ClientCertificate, CarriesTheIssuersThatAreConfiguredNow) {
  const Certificate leaf = Parse(kWeb);
  const FakeStanding standing;
  ClientCertificateAuthenticator authenticator(TrustDomain::Parse("cluster.local").value(), standing);
  const auto judge = [&] { return authenticator.Judge(Verified(leaf), leaf.validity().not_before).value(); };
  EXPECT_EQ(judge().trusted_origins, nullptr);
  authenticator.SetTrustedOrigins({{"https://a.test"}, nullptr});
  ASSERT_NE(judge().trusted_origins, nullptr);
  EXPECT_THAT(judge().trusted_origins->jwt_issuers, ElementsAre("https://a.test"));
  authenticator.SetTrustedOrigins({});
  EXPECT_THAT(judge().trusted_origins->jwt_issuers, ElementsAre());
}

}  // namespace
}  // namespace meshca
