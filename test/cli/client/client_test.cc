// The parts of cli/client that need no server.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/base/entropy.h"
#include "ca/base/typed_address.h"
#include "ca/x509/authority_builder.h"
#include "ca/x509/csr.h"
#include "cli/client/address.h"
#include "cli/client/credential_files.h"
#include "cli/client/csr_builder.h"
#include "cli/client/issued_answer.h"
#include "cli/client/root_probe.h"
#include "cli/client/secret_view.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "test/fakes/status_matchers.h"
#include "test/fakes/temp_folder.h"

namespace meshca::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

namespace fs = std::filesystem;

std::string Read(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

CredentialFiles Files(const std::string& generation) {
  CredentialFiles files;
  files.key_pem = SecretBytes("key " + generation);
  files.chain_pem = "chain " + generation;
  files.roots_pem = "roots " + generation;
  return files;
}

TEST(CredentialFiles, AreWrittenPrivateAndReplacedTogether) {
  TempFolder temp;
  const std::string folder = temp / "made/here";
  for (const char* generation : {"one", "two", "three"}) {
    ASSERT_THAT(ReplaceCredentialFiles(folder, Files(generation)), IsOk());
    EXPECT_EQ(Read(folder + "/key.pem"), absl::StrCat("key ", generation));
    EXPECT_EQ(Read(folder + "/cert-chain.pem"), absl::StrCat("chain ", generation));
    EXPECT_EQ(Read(folder + "/root-cert.pem"), absl::StrCat("roots ", generation));
    for (const char* name : {kKeyFile, kChainFile, kRootFile}) {
      struct stat info = {};
      ASSERT_EQ(::stat((folder + "/" + name).c_str(), &info), 0);
      EXPECT_EQ(info.st_mode & 0777, 0600u) << name;
    }
    // Three names, the link that changes hands, and one generation: no other is left behind.
    EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 5);
  }
}

TEST(CredentialFiles, TakeThePlaceOfPlainFilesAndLeaveOthersAlone) {
  TempFolder temp;
  std::ofstream(temp / "key.pem") << "old";
  std::ofstream(temp / "notes.txt") << "mine";
  ASSERT_THAT(ReplaceCredentialFiles(temp.path(), Files("new")), IsOk());
  EXPECT_EQ(Read(temp / "key.pem"), "key new");
  EXPECT_EQ(Read(temp / "notes.txt"), "mine");
}

TEST(CredentialFiles, NameThePathThatCannotBeWritten) {
  TempFolder temp;
  std::ofstream(temp / "file") << "x";
  EXPECT_FALSE(ReplaceCredentialFiles(temp / "file", Files("one")).ok());
  EXPECT_THAT(std::string(ReplaceCredentialFiles(temp / "file", Files("one")).message()), HasSubstr(temp / "file"));
}

TEST(BuildCsr, AsksForTheIdAndNamesWithProofOfTheKey) {
  for (const KeyType type : {KeyType::kEcP256, KeyType::kEcP384, KeyType::kEd25519, KeyType::kRsa2048}) {
    const auto key = *SoftwareKey::Generate(type);
    const SpiffeId id = *SpiffeId::Parse("spiffe://cluster.local/ns/default/sa/web");
    const auto pem = BuildCsr(*key, id, {"web.default.svc"});
    ASSERT_THAT(pem, IsOk());
    const auto csr = Csr::Parse(pem->text());
    ASSERT_THAT(csr, IsOk());
    EXPECT_EQ(csr->public_key(), key->public_key());
    EXPECT_THAT(csr->uri_names(), ElementsAre(id.uri()));
    EXPECT_THAT(csr->dns_names(), ElementsAre("web.default.svc"));
    EXPECT_THAT(csr->other_names(), IsEmpty());
  }
  EXPECT_THAT(BuildCsr(**SoftwareKey::Generate(KeyType::kEcP256), *SpiffeId::Parse("spiffe://a.test/b"), {"no name"}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(Address, IsHostAndPort) {
  for (const char* good : {"127.0.0.1:15012", "ca.example:1", "[::1]:15012"}) EXPECT_THAT(ParseAddress(good), IsOk());
  for (const char* bad : {"", "ca", "ca:", ":1", "ca:0", "ca:65536", "ca:x", "::1:15012"}) {
    EXPECT_FALSE(ParseAddress(bad).ok()) << bad;
  }
  EXPECT_EQ(HostOf("[::1]:15012"), "::1");
  EXPECT_EQ(PortOf("[::1]:15012"), "15012");
  EXPECT_TRUE(IsIpAddress("::1"));
  EXPECT_FALSE(IsIpAddress("localhost"));
}

TEST(Fingerprint, IsReadAsPeoplePasteIt) {
  const std::string hex(64, 'a');
  EXPECT_THAT(ParseFingerprint(hex), IsOk());
  EXPECT_THAT(ParseFingerprint("SHA256:" + std::string(64, 'A')), IsOk());
  std::string colons;
  for (int i = 0; i < 32; ++i) absl::StrAppend(&colons, i == 0 ? "" : ":", "aa");
  EXPECT_EQ(*ParseFingerprint(colons), *ParseFingerprint(hex));
  EXPECT_FALSE(ParseFingerprint("aa").ok());
  EXPECT_FALSE(ParseFingerprint(std::string(64, 'g')).ok());
}

// A small CA.
struct Ca {
  TrustDomain domain = *TrustDomain::Parse("cluster.local");
  absl::Time now = absl::FromUnixSeconds(1767323045);
  std::unique_ptr<SoftwareKey> root_key = *SoftwareKey::Generate(KeyType::kEcP256);
  std::unique_ptr<SoftwareKey> issuing_key = *SoftwareKey::Generate(KeyType::kEcP256);
  Certificate root = *BuildRoot(domain, *root_key, now, absl::Hours(1000), SystemEntropy());
  Certificate issuing =
      *BuildIssuing(domain, issuing_key->public_key(), root, *root_key, now, absl::Hours(100), SystemEntropy());
};

TEST(FindRoot, TakesTheSelfSignedOneThatFits) {
  const Ca ca;
  EXPECT_EQ(*FindRoot({ca.issuing, ca.root}, ca.root.public_key().sha256()), ca.root);
  // The issuing authority's key is no root, whoever names it.
  EXPECT_THAT(FindRoot({ca.issuing, ca.root}, ca.issuing.public_key().sha256()), HasReason("ROOT_FINGERPRINT"));
  EXPECT_THAT(FindRoot({ca.issuing}, ca.root.public_key().sha256()),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("not the one meant")));
}

TEST(CheckAnswer, RefusesWhatIsNoAnswerToThisRequest) {
  const Ca ca;
  const SpiffeId id = *SpiffeId::Parse("spiffe://cluster.local/web");
  const auto check = [&](const std::vector<std::string>& elements) {
    return CheckAnswer(elements, ca.issuing_key->public_key(), id, "", ca.now).status();
  };
  EXPECT_THAT(check({}), HasReason("ANSWER_INVALID"));
  EXPECT_THAT(check({ca.root.pem().text()}), StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("at least 2")));
  EXPECT_THAT(check({"garbage", ca.root.pem().text()}),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("certificate 1")));
  EXPECT_THAT(check({ca.root.pem().text(), ca.root.pem().text()}),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("another key")));
  // The right key in a certificate that is no workload's.
  EXPECT_THAT(check({ca.issuing.pem().text(), ca.root.pem().text()}), HasReason("ANSWER_INVALID"));
}

TEST(ReadSecretView, NeverHoldsThePrivateKey) {
  const Ca ca;
  envoy::extensions::transport_sockets::tls::v3::Secret secret;
  secret.set_name("default");
  secret.mutable_tls_certificate()->mutable_certificate_chain()->set_inline_bytes(ca.issuing.pem().text());
  secret.mutable_tls_certificate()->mutable_private_key()->set_inline_bytes("PRIVATE");
  const auto view = ReadSecretView(secret.SerializeAsString());
  ASSERT_THAT(view, IsOk());
  EXPECT_TRUE(view->has_private_key);
  EXPECT_EQ(view->serial, ca.issuing.serial_hex());
  EXPECT_EQ(view->chain_pem.find("PRIVATE"), std::string::npos);

  envoy::extensions::transport_sockets::tls::v3::Secret roots;
  roots.set_name("ROOTCA");
  roots.mutable_validation_context()->mutable_trusted_ca()->set_inline_bytes(ca.root.pem().text());
  EXPECT_THAT(ReadSecretView(roots.SerializeAsString())->roots.front().fingerprints,
              ElementsAre(ca.root.spki_sha256_hex()));
  EXPECT_THAT(ReadSecretView("\xff"), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace meshca::cli
