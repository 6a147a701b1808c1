// Certificates: reading, chains, and the authorities that meshca makes.
#include "ca/x509/certificate.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/base/entropy.h"
#include "ca/base/status.h"
#include "ca/x509/authority_builder.h"
#include "ca/x509/certificate_chain.h"
#include "ca/x509/leaf_template.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/x509/test_files.h"

namespace meshca {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

Certificate Leaf(const TestAuthorities& ca, const PublicKey& key, absl::Time now = TestNow()) {
  LeafFields fields;
  fields.serial = SerialNumber::Make(now, SystemEntropy());
  fields.validity = *Validity::Make(now - absl::Minutes(2), now + absl::Hours(24));
  fields.spiffe_id = *SpiffeId::FromParts(TestDomain(), "/ns/default/sa/web");
  fields.public_key = key;
  const LeafTemplate form = *LeafTemplate::Make(ca.issuing, ca.issuing_key->signature_algorithm());
  const std::string tbs = form.BuildTbs(fields);
  return *Certificate::Parse(form.Assemble(tbs, *ca.issuing_key->Sign(tbs)));
}

// --- Authorities ---------------------------------------------------------------------------------------------------

TEST(Authorities, RootIsWhatTheDesignSays) {
  const std::unique_ptr<SoftwareKey> key = NewKey();
  const Certificate root = *BuildRoot(TestDomain(), *key, TestNow(), absl::Hours(24 * 3650), SystemEntropy());
  const CertificateFields& fields = root.fields();
  EXPECT_TRUE(root.is_ca());
  EXPECT_EQ(root.path_len(), std::nullopt);
  EXPECT_EQ(fields.key_usage, kKeyCertSign | kCrlSign);
  EXPECT_THAT(fields.uri_names, ElementsAre("spiffe://cluster.local"));
  EXPECT_EQ(fields.subject_key_id, key->public_key().KeyIdentifier());
  EXPECT_EQ(fields.authority_key_id, fields.subject_key_id);
  EXPECT_EQ(root.subject(), absl::StrCat("CN=meshca root ", HexLower(fields.subject_key_id).substr(0, 16)));
  EXPECT_EQ(root.issuer(), root.subject());
  EXPECT_EQ(root.validity().not_before, TestNow() - absl::Hours(1));
  EXPECT_EQ(root.validity().not_after, TestNow() + absl::Hours(24 * 3650));
  EXPECT_TRUE(root.IsSelfSigned());
  EXPECT_TRUE(root.serial().has_value());
  EXPECT_FALSE(fields.has_extended_key_usage);
}

class AuthoritiesOfEveryKey : public testing::TestWithParam<KeyType> {};

TEST_P(AuthoritiesOfEveryKey, VerifyInOpenSslStrictly) {
  TestAuthorities ca;
  ca.root_key = NewKey(GetParam());
  ca.issuing_key = NewKey(GetParam());
  ca.root = *BuildRoot(TestDomain(), *ca.root_key, TestNow(), absl::Hours(1000), SystemEntropy());
  ca.issuing = *BuildIssuing(TestDomain(), ca.issuing_key->public_key(), ca.root, *ca.root_key, TestNow(),
                             absl::Hours(100), SystemEntropy());
  EXPECT_EQ(ca.issuing.path_len(), 0);
  EXPECT_THAT(ca.issuing.subject(), StartsWith("CN=meshca issuing "));
  const Certificate leaf = Leaf(ca, NewKey()->public_key());
  EXPECT_EQ(OpenSslVerify(ca.root, {ca.issuing}, leaf, TestNow()), "");
  EXPECT_EQ(leaf.VerifiesUnder(ca.issuing), absl::OkStatus());
  EXPECT_EQ(ca.issuing.VerifiesUnder(ca.root), absl::OkStatus());
}

INSTANTIATE_TEST_SUITE_P(Keys, AuthoritiesOfEveryKey,
                         testing::Values(KeyType::kEcP256, KeyType::kEcP384, KeyType::kEd25519, KeyType::kRsa2048),
                         [](const auto& info) { return absl::StrCat("Type", static_cast<int>(info.param)); });

TEST(Authorities, IssuingNeverOutlivesItsRoot) {
  const TestAuthorities ca = NewAuthorities();
  const Certificate issuing = *BuildIssuing(TestDomain(), NewKey()->public_key(), ca.root, *ca.root_key, TestNow(),
                                            absl::Hours(24 * 36500), SystemEntropy());
  EXPECT_EQ(issuing.validity().not_after, ca.root.validity().not_after);
  EXPECT_EQ(issuing.validity().not_before, ca.root.validity().not_before);
}

TEST(Authorities, UnfitParentsAreRefused) {
  const TestAuthorities ca = NewAuthorities();
  const auto build = [](const Certificate& parent, const SigningKey& key, absl::Time now) {
    return BuildIssuing(TestDomain(), NewKey()->public_key(), parent, key, now, absl::Hours(1), SystemEntropy())
        .status();
  };
  const absl::Status path = build(ca.issuing, *ca.issuing_key, TestNow());
  EXPECT_EQ(path.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(path.message()), HasSubstr("pathLenConstraint 0; at least 1 is needed"));
  const absl::Status ended = build(ca.root, *ca.root_key, TestNow() + absl::Hours(24 * 4000));
  EXPECT_EQ(ended.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(ended.message()), HasSubstr("is not valid at"));
  const Certificate leaf = Leaf(ca, NewKey()->public_key());
  EXPECT_THAT(std::string(build(leaf, *ca.issuing_key, TestNow()).message()), HasSubstr("not a certificate authority"));
}

TEST(Authorities, CrossCertificateLetsHoldersOfTheOldRootVerifyTheNew) {
  const TestAuthorities old_ca = NewAuthorities();
  const TestAuthorities new_ca = NewAuthorities();
  const Certificate cross =
      *BuildCrossCertificate(TestDomain(), new_ca.root, old_ca.root, *old_ca.root_key, TestNow(), SystemEntropy());
  EXPECT_EQ(cross.public_key(), new_ca.root.public_key());
  EXPECT_EQ(cross.fields().subject_der, new_ca.root.fields().subject_der);
  EXPECT_FALSE(cross.IsSelfSigned());
  const Certificate leaf = Leaf(new_ca, NewKey()->public_key());
  EXPECT_EQ(OpenSslVerify(old_ca.root, {new_ca.issuing, cross}, leaf, TestNow()), "");
  EXPECT_NE(OpenSslVerify(old_ca.root, {new_ca.issuing}, leaf, TestNow()), "");
  const absl::Status narrow =
      BuildCrossCertificate(TestDomain(), new_ca.root, old_ca.issuing, *old_ca.issuing_key, TestNow(), SystemEntropy())
          .status();
  EXPECT_EQ(narrow.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(narrow.message()), HasSubstr("at least 2 is needed"));
}

TEST(Authorities, ServerCertificateCarriesItsNames) {
  const TestAuthorities ca = NewAuthorities();
  const auto build = [&ca](const ServerCertificateNames& names) {
    return BuildServerCertificate(TestDomain(), NewKey()->public_key(), names, ca.issuing, *ca.issuing_key, TestNow(),
                                  absl::Minutes(2), absl::Hours(24), SystemEntropy());
  };
  const absl::StatusOr<Certificate> server = build({{"localhost", "istiod.istio-system.svc"}, {"127.0.0.1", "::1"}});
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_THAT(server->fields().dns_names, ElementsAre("localhost", "istiod.istio-system.svc"));
  EXPECT_THAT(server->fields().ip_addresses, ElementsAre("127.0.0.1", "::1"));
  EXPECT_EQ(server->spiffe_id()->uri(), "spiffe://cluster.local/meshca/server");
  EXPECT_FALSE(server->is_ca());
  EXPECT_TRUE(server->fields().server_auth);
  EXPECT_EQ(server->subject(), "CN=meshca server");
  EXPECT_EQ(OpenSslVerify(ca.root, {ca.issuing}, *server, TestNow()), "");
  EXPECT_EQ(build({{}, {"10.0.0.256"}}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(build({{""}, {}}).status().code(), absl::StatusCode::kInvalidArgument);
}

// --- Reading -------------------------------------------------------------------------------------------------------

TEST(Certificate, ReadsALeafOfOurs) {
  const TestAuthorities ca = NewAuthorities();
  const std::unique_ptr<SoftwareKey> key = NewKey();
  const Certificate leaf = Leaf(ca, key->public_key());
  EXPECT_EQ(leaf.subject(), "");
  EXPECT_EQ(leaf.issuer(), ca.issuing.subject());
  EXPECT_EQ(leaf.spiffe_id()->uri(), "spiffe://cluster.local/ns/default/sa/web");
  EXPECT_TRUE(leaf.fields().subject_alt_name_critical);
  EXPECT_EQ(leaf.fields().key_usage, kDigitalSignature);
  EXPECT_TRUE(leaf.fields().client_auth && leaf.fields().server_auth);
  EXPECT_EQ(leaf.serial()->ToHex(), leaf.serial_hex());
  EXPECT_EQ(leaf.public_key(), key->public_key());
  EXPECT_EQ(leaf.spki_sha256_hex(), key->public_key().sha256_hex());
  EXPECT_EQ(leaf.sha256().size(), 32u);
  EXPECT_EQ(*Certificate::Parse(leaf.pem()), leaf);
  EXPECT_EQ(leaf.fields().authority_key_id, ca.issuing.fields().subject_key_id);
}

TEST(Certificate, ReadsOneOfOpenSsls) {
  const std::unique_ptr<SoftwareKey> key = NewKey(KeyType::kRsa2048);
  const Certificate made = Make({.subject = "Weißer Baum, Wurzel",
                                 .signer = key.get(),
                                 .key = key.get(),
                                 .extensions = {{"basicConstraints", "critical,CA:TRUE,pathlen:3"},
                                                {"keyUsage", "keyCertSign,digitalSignature"},
                                                {"extendedKeyUsage", "clientAuth,emailProtection"},
                                                {"subjectAltName", "DNS:a.test,IP:10.1.2.3,email:x@a.test,URI:urn:x"},
                                                {"subjectKeyIdentifier", "hash"},
                                                {"authorityKeyIdentifier", "keyid:always,issuer:always"},
                                                {"tlsfeature", "critical,status_request"}}});
  const CertificateFields& fields = made.fields();
  EXPECT_EQ(made.subject(), "CN=Wei\\C3\\9Fer Baum\\, Wurzel");
  EXPECT_EQ(made.path_len(), 3);
  EXPECT_EQ(fields.key_usage, kKeyCertSign | kDigitalSignature);
  EXPECT_TRUE(fields.client_auth);
  EXPECT_FALSE(fields.server_auth);
  EXPECT_THAT(fields.dns_names, ElementsAre("a.test"));
  EXPECT_THAT(fields.ip_addresses, ElementsAre("10.1.2.3"));
  EXPECT_TRUE(fields.has_other_names);
  EXPECT_EQ(fields.unknown_critical, "1.3.6.1.5.5.7.1.24");
  EXPECT_EQ(fields.subject_key_id, fields.authority_key_id);
  EXPECT_TRUE(made.IsSelfSigned());
  EXPECT_EQ(made.serial(), std::nullopt);
  EXPECT_FALSE(made.spiffe_id().ok());
}

TEST(Certificate, EveryTruncationAndTrailingByteIsRefused) {
  const std::string der = NewAuthorities().root.der().bytes();
  for (size_t size = 0; size < der.size(); ++size) {
    EXPECT_EQ(Certificate::Parse(Der(der.substr(0, size))).status().code(), absl::StatusCode::kInvalidArgument) << size;
  }
  EXPECT_EQ(ReasonOf(Certificate::Parse(Der(der + "x")).status()), "CERTIFICATE_MALFORMED");
  EXPECT_EQ(ReasonOf(Certificate::Parse(Der(std::string(70000, '0'))).status()), "CERTIFICATE_MALFORMED");
}

TEST(Certificate, ChangedBytesNeverVerify) {
  const TestAuthorities ca = NewAuthorities();
  const std::string der = ca.issuing.der().bytes();
  int readable = 0;
  for (size_t at = 0; at < der.size(); ++at) {
    std::string changed = der;
    changed[at] = static_cast<char>(changed[at] ^ 0x01);
    const absl::StatusOr<Certificate> read = Certificate::Parse(Der(changed));
    if (!read.ok()) continue;
    ++readable;
    EXPECT_FALSE(read->VerifiesUnder(ca.root).ok()) << at;
  }
  EXPECT_GT(readable, 100);
}

TEST(Certificate, PemOfSeveralKeepsTheirOrder) {
  const TestAuthorities ca = NewAuthorities();
  const std::vector<Certificate> all = *Certificate::ParseAll(Pem(ca.issuing.pem().text() + ca.root.pem().text()));
  EXPECT_THAT(all, ElementsAre(ca.issuing, ca.root));
  const absl::Status broken =
      Certificate::ParseAll(Pem(ca.issuing.pem().text() + PemEncode(kPemCertificate, "x").text())).status();
  EXPECT_THAT(std::string(broken.message()), HasSubstr("PEM block 2"));
  EXPECT_THAT(std::string(Certificate::Parse(Pem(ca.root.pem().text() + ca.root.pem().text())).status().message()),
              HasSubstr("2 PEM blocks"));
}

// --- Chains --------------------------------------------------------------------------------------------------------

TEST(CertificateChain, EachIsSignedByTheNext) {
  const TestAuthorities ca = NewAuthorities();
  const Certificate leaf = Leaf(ca, NewKey()->public_key());
  const absl::StatusOr<CertificateChain> chain = CertificateChain::Make({leaf, ca.issuing});
  ASSERT_TRUE(chain.ok()) << chain.status();
  EXPECT_THAT(chain->PemElements(), ElementsAre(leaf.pem().text(), ca.issuing.pem().text()));
  EXPECT_EQ(chain->ToPem(), leaf.pem().text() + ca.issuing.pem().text());
  EXPECT_EQ(*chain->ParseLeaf(), leaf);

  EXPECT_THAT(std::string(CertificateChain::Make({}).status().message()), HasSubstr("is empty"));
  EXPECT_THAT(std::string(CertificateChain::Make({leaf, ca.issuing, ca.root}).status().message()),
              HasSubstr("certificate 3 is self-signed"));
  EXPECT_THAT(std::string(CertificateChain::Make({leaf, NewAuthorities().issuing}).status().message()),
              HasSubstr("certificate 1 is not signed by the next"));
}

}  // namespace
}  // namespace meshca
