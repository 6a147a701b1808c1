#include "ca/x509/chain_verifier.h"

#include <string>
#include <vector>

#include "ca/base/entropy.h"
#include "ca/base/status.h"
#include "ca/x509/authority_builder.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/x509/test_files.h"

namespace meshca {
namespace {

using ::testing::HasSubstr;

using Extensions = std::vector<std::pair<std::string, std::string>>;

const Extensions& LeafExtensions() {
  static const auto* list = new Extensions{{"basicConstraints", "critical,CA:FALSE"},
                                           {"keyUsage", "critical,digitalSignature"},
                                           {"extendedKeyUsage", "serverAuth,clientAuth"},
                                           {"subjectAltName", "URI:spiffe://cluster.local/ns/default/sa/web"},
                                           {"authorityKeyIdentifier", "keyid"}};
  return *list;
}

// The list with one extension replaced, or taken out where `value` is "".
Extensions With(Extensions list, const std::string& name, const std::string& value) {
  for (auto at = list.begin(); at != list.end(); ++at) {
    if (at->first != name) continue;
    if (value.empty()) {
      list.erase(at);
    } else {
      at->second = value;
    }
    return list;
  }
  list.emplace_back(name, value);
  return list;
}

const Extensions& AuthorityExtensions() {
  static const auto* list = new Extensions{{"basicConstraints", "critical,CA:TRUE"},
                                           {"keyUsage", "critical,keyCertSign,cRLSign"},
                                           {"subjectKeyIdentifier", "hash"},
                                           {"authorityKeyIdentifier", "keyid"}};
  return *list;
}

struct Mesh {
  TestAuthorities ca = NewAuthorities();
  std::unique_ptr<SoftwareKey> leaf_key = NewKey();

  Certificate Leaf(const Extensions& extensions = LeafExtensions()) const {
    return Make({.subject = "leaf",
                 .issuer = &ca.issuing,
                 .signer = ca.issuing_key.get(),
                 .key = leaf_key.get(),
                 .extensions = extensions});
  }
};

absl::StatusOr<VerifiedPeer> Verify(const ChainVerifier& verifier, const std::vector<Certificate>& chain,
                                    absl::Time now = TestNow(), PeerRole role = PeerRole::kClient) {
  std::vector<absl::string_view> views;
  for (const Certificate& certificate : chain) views.push_back(certificate.der().bytes());
  return verifier.Verify(views, now, role);
}

void ExpectRefused(const absl::StatusOr<VerifiedPeer>& peer, absl::string_view reason, const std::string& words) {
  EXPECT_EQ(peer.status().code(), absl::StatusCode::kUnauthenticated) << peer.status();
  EXPECT_EQ(ReasonOf(peer.status()), reason) << peer.status();
  EXPECT_THAT(std::string(peer.status().message()), HasSubstr(words));
}

TEST(ChainVerifier, AcceptsAWorkloadInEveryOrderOfItsChain) {
  const Mesh mesh;
  const ChainVerifier verifier(TestDomain(), {mesh.ca.root});
  const Certificate leaf = mesh.Leaf();
  for (const std::vector<Certificate>& chain : std::vector<std::vector<Certificate>>{
           {leaf, mesh.ca.issuing}, {leaf, mesh.ca.issuing, mesh.ca.root}, {leaf, mesh.ca.root, mesh.ca.issuing}}) {
    for (int again = 0; again < 2; ++again) {  // the second time out of memory
      const absl::StatusOr<VerifiedPeer> peer = Verify(verifier, chain);
      ASSERT_TRUE(peer.ok()) << peer.status();
      EXPECT_EQ(peer->spiffe_id.uri(), "spiffe://cluster.local/ns/default/sa/web");
      EXPECT_EQ(peer->leaf, leaf);
      EXPECT_EQ(peer->root_id, mesh.ca.root.spki_sha256_hex());
    }
  }
}

TEST(ChainVerifier, NamesEveryAuthorityOfThePathItVerifiedAndWhenItEnds) {
  const Mesh mesh;
  const ChainVerifier verifier(TestDomain(), {mesh.ca.root});
  const Certificate leaf = mesh.Leaf(With(LeafExtensions(), "authorityKeyIdentifier", ""));
  for (int again = 0; again < 2; ++again) {  // the second time out of memory
    const absl::StatusOr<VerifiedPeer> peer = Verify(verifier, {leaf, mesh.ca.issuing});
    ASSERT_TRUE(peer.ok()) << peer.status();
    EXPECT_THAT(peer->authority_ids,
                testing::ElementsAre(mesh.ca.issuing.spki_sha256_hex(), mesh.ca.root.spki_sha256_hex()));
    EXPECT_EQ(peer->path_ends, leaf.validity().not_after);
  }
  const Certificate long_lived = Make({.subject = "leaf",
                                       .issuer = &mesh.ca.issuing,
                                       .signer = mesh.ca.issuing_key.get(),
                                       .key = mesh.leaf_key.get(),
                                       .extensions = LeafExtensions(),
                                       .not_after = TestNow() + absl::Hours(24 * 400)});
  const absl::StatusOr<VerifiedPeer> peer = Verify(verifier, {long_lived, mesh.ca.issuing});
  ASSERT_TRUE(peer.ok()) << peer.status();
  EXPECT_EQ(peer->path_ends, mesh.ca.issuing.validity().not_after);
}

struct LeafCase {
  const char* name;
  const char* extension;
  const char* value;
  const char* reason;
  const char* words;
};

void PrintTo(const LeafCase& c, std::ostream* out) { *out << c.name; }

class LeafRefused : public testing::TestWithParam<LeafCase> {};

TEST_P(LeafRefused, NamesTheRule) {
  const Mesh mesh;
  const Certificate leaf = mesh.Leaf(With(LeafExtensions(), GetParam().extension, GetParam().value));
  ExpectRefused(Verify(ChainVerifier(TestDomain(), {mesh.ca.root}), {leaf, mesh.ca.issuing}), GetParam().reason,
                GetParam().words);
}

INSTANTIATE_TEST_SUITE_P(
    X509Svid5, LeafRefused,
    testing::Values(
        LeafCase{"Authority", "basicConstraints", "critical,CA:TRUE", "PEER_NOT_SVID", "authority's"},
        LeafCase{"NoKeyUsage", "keyUsage", "", "PEER_NOT_SVID", "lacks digitalSignature"},
        LeafCase{"NoDigitalSignature", "keyUsage", "critical,keyEncipherment", "PEER_NOT_SVID",
                 "lacks digitalSignature"},
        LeafCase{"KeyCertSign", "keyUsage", "critical,digitalSignature,keyCertSign", "PEER_NOT_SVID", "keyCertSign"},
        LeafCase{"CrlSign", "keyUsage", "critical,digitalSignature,cRLSign", "PEER_NOT_SVID", "cRLSign"},
        LeafCase{"ServerOnly", "extendedKeyUsage", "serverAuth", "PEER_NOT_SVID", "lacks clientAuth"},
        LeafCase{"NoNames", "subjectAltName", "", "PEER_NOT_SVID", "0 URI names"},
        LeafCase{"DnsOnly", "subjectAltName", "DNS:web.a.test", "PEER_NOT_SVID", "0 URI names"},
        LeafCase{"TwoUris", "subjectAltName", "URI:spiffe://cluster.local/a,URI:spiffe://cluster.local/b",
                 "PEER_NOT_SVID", "2 URI names"},
        LeafCase{"NoSpiffeId", "subjectAltName", "URI:https://a.test/", "PEER_NOT_SVID", "must begin with spiffe://"},
        LeafCase{"NoPath", "subjectAltName", "URI:spiffe://cluster.local", "PEER_NOT_SVID", "no path"},
        LeafCase{"OtherTrustDomain", "subjectAltName", "URI:spiffe://other.test/ns/a", "PEER_TRUST_DOMAIN",
                 "trust domain other.test, not cluster.local"},
        LeafCase{"UnknownCritical", "tlsfeature", "critical,status_request", "PEER_NOT_SVID",
                 "unknown critical extension 1.3.6.1.5.5.7.1.24"},
        LeafCase{"NameConstraints", "nameConstraints", "critical,permitted;DNS:a.test", "PEER_NOT_SVID",
                 "nameConstraints"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(ChainVerifier, NoExtendedKeyUsageMeansEveryRole) {
  const Mesh mesh;
  const ChainVerifier verifier(TestDomain(), {mesh.ca.root});
  const Certificate leaf = mesh.Leaf(With(LeafExtensions(), "extendedKeyUsage", ""));
  EXPECT_TRUE(Verify(verifier, {leaf, mesh.ca.issuing}).ok());
  EXPECT_TRUE(Verify(verifier, {leaf, mesh.ca.issuing}, TestNow(), PeerRole::kServer).ok());
}

struct AuthorityCase {
  const char* name;
  const char* extension;
  const char* value;
  const char* words;
};

void PrintTo(const AuthorityCase& c, std::ostream* out) { *out << c.name; }

class IntermediateRefused : public testing::TestWithParam<AuthorityCase> {};

TEST_P(IntermediateRefused, NamesTheRule) {
  const Mesh mesh;
  const std::unique_ptr<SoftwareKey> key = NewKey();
  const Certificate middle = Make({.subject = "middle",
                                   .issuer = &mesh.ca.root,
                                   .signer = mesh.ca.root_key.get(),
                                   .key = key.get(),
                                   .extensions = With(AuthorityExtensions(), GetParam().extension, GetParam().value)});
  const Certificate leaf = Make({.subject = "leaf",
                                 .issuer = &middle,
                                 .signer = key.get(),
                                 .key = mesh.leaf_key.get(),
                                 .extensions = With(LeafExtensions(), "authorityKeyIdentifier", "")});
  ExpectRefused(Verify(ChainVerifier(TestDomain(), {mesh.ca.root}), {leaf, middle}), "PEER_UNTRUSTED",
                GetParam().words);
}

INSTANTIATE_TEST_SUITE_P(
    Rfc5280Section6, IntermediateRefused,
    testing::Values(
        AuthorityCase{"NotCa", "basicConstraints", "critical,CA:FALSE", "no certificate authority"},
        AuthorityCase{"NoBasicConstraints", "basicConstraints", "", "no certificate authority"},
        AuthorityCase{"NoKeyCertSign", "keyUsage", "critical,digitalSignature", "lacks keyCertSign"},
        AuthorityCase{"OtherPurpose", "extendedKeyUsage", "emailProtection", "may not issue for clientAuth"},
        AuthorityCase{"NameConstraints", "nameConstraints", "critical,permitted;DNS:a.test", "nameConstraints"},
        AuthorityCase{"UnknownCritical", "tlsfeature", "critical,status_request", "unknown critical extension"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(ChainVerifier, ALeafSignsNothing) {
  const Mesh mesh;
  const Certificate leaf = mesh.Leaf();
  const std::unique_ptr<SoftwareKey> key = NewKey();
  const Certificate child = Make({.subject = "child",
                                  .issuer = &leaf,
                                  .signer = mesh.leaf_key.get(),
                                  .key = key.get(),
                                  .extensions = With(LeafExtensions(), "authorityKeyIdentifier", "")});
  ExpectRefused(Verify(ChainVerifier(TestDomain(), {mesh.ca.root}), {child, leaf, mesh.ca.issuing}), "PEER_UNTRUSTED",
                "no certificate authority");
}

TEST(ChainVerifier, PathLengthCountsAuthoritiesBelow) {
  const Mesh mesh;
  const std::unique_ptr<SoftwareKey> key = NewKey();
  const Certificate below = Make({.subject = "below",
                                  .issuer = &mesh.ca.issuing,
                                  .signer = mesh.ca.issuing_key.get(),
                                  .key = key.get(),
                                  .extensions = AuthorityExtensions()});
  const Certificate leaf = Make({.subject = "leaf",
                                 .issuer = &below,
                                 .signer = key.get(),
                                 .key = mesh.leaf_key.get(),
                                 .extensions = LeafExtensions()});
  ExpectRefused(Verify(ChainVerifier(TestDomain(), {mesh.ca.root}), {leaf, below, mesh.ca.issuing}), "PEER_UNTRUSTED",
                "allows 0 authorities below it, the chain has 1");
}

TEST(ChainVerifier, JudgesEveryDateOfThePath) {
  const Mesh mesh;
  const ChainVerifier verifier(TestDomain(), {mesh.ca.root});
  const std::vector<Certificate> chain = {mesh.Leaf(), mesh.ca.issuing};
  ExpectRefused(Verify(verifier, chain, TestNow() + absl::Hours(25)), "PEER_EXPIRED",
                "it expired at 2026-06-02T12:00:00");
  ExpectRefused(Verify(verifier, chain, TestNow() - absl::Hours(2)), "PEER_NOT_YET_VALID", "is not valid before");
  const Certificate old_leaf = Make({.subject = "leaf",
                                     .issuer = &mesh.ca.issuing,
                                     .signer = mesh.ca.issuing_key.get(),
                                     .key = mesh.leaf_key.get(),
                                     .extensions = LeafExtensions(),
                                     .not_after = TestNow() + absl::Hours(24 * 5000)});
  ExpectRefused(Verify(verifier, {old_leaf, mesh.ca.issuing}, TestNow() + absl::Hours(24 * 31)), "PEER_EXPIRED",
                "authority \"CN=meshca issuing");
  // The link is remembered; its dates are judged anew all the same.
  ASSERT_TRUE(Verify(verifier, {old_leaf, mesh.ca.issuing}).ok());
  ExpectRefused(Verify(verifier, {old_leaf, mesh.ca.issuing}, TestNow() + absl::Hours(24 * 31)), "PEER_EXPIRED",
                "authority \"CN=meshca issuing");
}

TEST(ChainVerifier, StrangersAreUntrusted) {
  const Mesh mesh, stranger;
  const ChainVerifier verifier(TestDomain(), {mesh.ca.root});
  ExpectRefused(Verify(verifier, {stranger.Leaf(), stranger.ca.issuing, stranger.ca.root}), "PEER_UNTRUSTED",
                "no root of trust domain cluster.local signed it");
  ExpectRefused(Verify(verifier, {mesh.Leaf()}), "PEER_UNTRUSTED", "its issuer is \"CN=meshca issuing");
  ExpectRefused(Verify(ChainVerifier(TestDomain(), {}), {mesh.Leaf(), mesh.ca.issuing}), "PEER_UNTRUSTED", "no root");
}

TEST(ChainVerifier, AForgedSignatureUnderTheRightNamesIsRefused) {
  const Mesh mesh;
  const std::unique_ptr<SoftwareKey> thief = NewKey();
  const Certificate forged = Make({.subject = "leaf",
                                   .issuer = &mesh.ca.issuing,
                                   .signer = thief.get(),
                                   .key = thief.get(),
                                   .extensions = LeafExtensions()});
  ExpectRefused(Verify(ChainVerifier(TestDomain(), {mesh.ca.root}), {forged, mesh.ca.issuing}), "PEER_UNTRUSTED",
                "signature does not fit");
}

TEST(ChainVerifier, TaintedAuthoritiesFailClosed) {
  const Mesh mesh;
  const std::vector<Certificate> chain = {mesh.Leaf(), mesh.ca.issuing};
  for (const Certificate& tainted : {mesh.ca.root, mesh.ca.issuing}) {
    ExpectRefused(Verify(ChainVerifier(TestDomain(), {mesh.ca.root}, {tainted.spki_sha256_hex()}), chain),
                  "PEER_TAINTED", "is tainted");
  }
}

TEST(ChainVerifier, ACrossCertificateLeadsToTheOldRoot) {
  const Mesh mesh;
  const TestAuthorities old_ca = NewAuthorities();
  const Certificate cross =
      *BuildCrossCertificate(TestDomain(), mesh.ca.root, old_ca.root, *old_ca.root_key, TestNow(), SystemEntropy());
  const std::vector<Certificate> chain = {mesh.Leaf(), mesh.ca.issuing, cross};
  EXPECT_EQ(Verify(ChainVerifier(TestDomain(), {old_ca.root}), chain)->root_id, old_ca.root.spki_sha256_hex());
  EXPECT_EQ(Verify(ChainVerifier(TestDomain(), {old_ca.root, mesh.ca.root}), chain)->root_id,
            mesh.ca.root.spki_sha256_hex());
  // The new root tainted: the way through its cross-certificate is no better.
  ExpectRefused(
      Verify(ChainVerifier(TestDomain(), {old_ca.root, mesh.ca.root}, {mesh.ca.root.spki_sha256_hex()}), chain),
      "PEER_TAINTED", "is tainted");
}

TEST(ChainVerifier, MalformedChainsAreRefusedAtOnce) {
  const Mesh mesh;
  const ChainVerifier verifier(TestDomain(), {mesh.ca.root});
  ExpectRefused(verifier.Verify({}, TestNow()), "PEER_CHAIN_MALFORMED", "empty");
  ExpectRefused(Verify(verifier, std::vector<Certificate>(9, mesh.Leaf())), "PEER_CHAIN_MALFORMED", "9 certificates");
  const std::string leaf = mesh.Leaf().der().bytes();
  const std::vector<absl::string_view> garbage = {leaf, "garbage"};
  ExpectRefused(verifier.Verify(garbage, TestNow()), "PEER_CHAIN_MALFORMED", "certificate 2");
}

// Counts what is checked, and notes by whose key.
class CountedChecks {
 public:
  ChainVerifier::CheckSignature Checker() {
    return [this](const PublicKey& key, absl::string_view algorithm, absl::string_view message,
                  absl::string_view signature) {
      keys.push_back(key.sha256_hex());
      return key.Verify(algorithm, message, signature);
    };
  }
  std::vector<std::string> keys;
};

const Extensions kBareAuthority = {{"basicConstraints", "critical,CA:TRUE"}, {"keyUsage", "critical,keyCertSign"}};

// A leaf under `authorities` certificates of one name, all by keys of their own, of which each may have signed every
// other by its name. Where `anchor` is given, they are under its name, and it has signed none of them.
std::vector<Certificate> Ring(const Mesh& mesh, size_t authorities, const Certificate* anchor, KeyType type) {
  const std::unique_ptr<SoftwareKey> key = NewKey(type);
  const Certificate named =
      Make({.subject = "ring", .signer = key.get(), .key = key.get(), .extensions = kBareAuthority});
  std::vector<Certificate> chain = {Make({.subject = "leaf",
                                          .issuer = &named,
                                          .signer = key.get(),
                                          .key = mesh.leaf_key.get(),
                                          .extensions = With(LeafExtensions(), "authorityKeyIdentifier", "")})};
  for (size_t i = 0; i < authorities; ++i) {
    chain.push_back(Make({.subject = "ring",
                          .issuer = anchor != nullptr && i % 2 == 0 ? anchor : &named,
                          .signer = key.get(),
                          .key = key.get(),
                          .extensions = kBareAuthority}));
  }
  return chain;
}

TEST(ChainVerifier, NoSignatureIsCheckedWhereTheNamesLeadToNoRoot) {
  const Mesh mesh, stranger;
  CountedChecks checks;
  const ChainVerifier verifier(TestDomain(), {mesh.ca.root}, {}, checks.Checker());
  ExpectRefused(Verify(verifier, Ring(mesh, 7, nullptr, KeyType::kEcP384)), "PEER_UNTRUSTED",
                "no root of trust domain cluster.local signed it");
  ExpectRefused(Verify(verifier, {stranger.Leaf(), stranger.ca.issuing, stranger.ca.root}), "PEER_UNTRUSTED",
                "no root");
  ExpectRefused(Verify(verifier, {mesh.Leaf(), mesh.ca.issuing}, TestNow() + absl::Hours(25)), "PEER_EXPIRED", "");
  ExpectRefused(Verify(verifier, {mesh.Leaf(), stranger.ca.issuing, stranger.ca.root}), "PEER_UNTRUSTED", "no root");
  EXPECT_EQ(checks.keys.size(), 0u);
}

TEST(ChainVerifier, AnotherKeyIdentifierEndsAPathBeforeAnySignature) {
  const Mesh mesh;
  CountedChecks checks;
  const Certificate twin = Make({.subject = mesh.ca.issuing.subject().substr(3),
                                 .issuer = &mesh.ca.root,
                                 .signer = mesh.leaf_key.get(),
                                 .key = mesh.leaf_key.get(),
                                 .extensions = AuthorityExtensions()});
  ExpectRefused(Verify(ChainVerifier(TestDomain(), {mesh.ca.root}, {}, checks.Checker()), {mesh.Leaf(), twin}),
                "PEER_UNTRUSTED", "authorityKeyIdentifier is");
  EXPECT_EQ(checks.keys.size(), 0u);
}

TEST(ChainVerifier, SignaturesAreCheckedFromTheRootDown) {
  const Mesh mesh;
  CountedChecks checks;
  const ChainVerifier verifier(TestDomain(), {mesh.ca.root}, {}, checks.Checker());
  ASSERT_TRUE(Verify(verifier, {mesh.Leaf(), mesh.ca.issuing}).ok());
  EXPECT_THAT(checks.keys, testing::ElementsAre(mesh.ca.root.spki_sha256_hex(), mesh.ca.issuing.spki_sha256_hex()));
  checks.keys.clear();
  ASSERT_TRUE(Verify(verifier, {mesh.Leaf(), mesh.ca.issuing}).ok());
  EXPECT_THAT(checks.keys, testing::ElementsAre(mesh.ca.issuing.spki_sha256_hex())) << "the authorities are remembered";
}

TEST(ChainVerifier, AStrangersKeyIsNeverUsedAndFewSignaturesOfOneNameAreChecked) {
  const Mesh mesh;
  for (const KeyType type : {KeyType::kEcP384, KeyType::kRsa4096}) {
    CountedChecks checks;
    const ChainVerifier verifier(TestDomain(), {mesh.ca.root}, {}, checks.Checker());
    ExpectRefused(Verify(verifier, Ring(mesh, 7, &mesh.ca.root, type)), "PEER_UNTRUSTED", "signature");
    EXPECT_EQ(checks.keys.size(), static_cast<size_t>(ChainVerifier::kFailuresMax));
    for (const std::string& key : checks.keys) EXPECT_EQ(key, mesh.ca.root.spki_sha256_hex());
  }
}

TEST(ChainVerifier, WithAStolenAuthorityKeyNoMoreSignaturesAreCheckedThanTheLongestChainHas) {
  Mesh mesh;
  // Seven authorities of the root's own name that it has signed, and a leaf that none of them has.
  std::vector<Certificate> chain;
  const std::string name = mesh.ca.root.subject().substr(3);
  for (int i = 0; i < 7; ++i) {
    chain.push_back(Make({.subject = name,
                          .issuer = &mesh.ca.root,
                          .signer = mesh.ca.root_key.get(),
                          .key = mesh.ca.root_key.get(),
                          .extensions = kBareAuthority}));
  }
  const std::unique_ptr<SoftwareKey> thief = NewKey();
  chain.insert(chain.begin(), Make({.subject = "leaf",
                                    .issuer = &mesh.ca.root,
                                    .signer = thief.get(),
                                    .key = thief.get(),
                                    .extensions = With(LeafExtensions(), "authorityKeyIdentifier", "")}));
  CountedChecks checks;
  const ChainVerifier verifier(TestDomain(), {mesh.ca.root}, {}, checks.Checker());
  EXPECT_FALSE(Verify(verifier, chain).ok());
  EXPECT_LE(checks.keys.size(), ChainVerifier::kChainMax);
}

TEST(ChainVerifier, OfTwoAuthoritiesOfOneNameTheOneThatSignedIsFound) {
  const Mesh mesh;
  const std::unique_ptr<SoftwareKey> old_key = NewKey(), new_key = NewKey();
  const auto authority = [&](const SoftwareKey& key) {
    return Make({.subject = "issuing",
                 .issuer = &mesh.ca.root,
                 .signer = mesh.ca.root_key.get(),
                 .key = &key,
                 .extensions = kBareAuthority});
  };
  const Certificate before = authority(*old_key), after = authority(*new_key);
  const Certificate leaf = Make({.subject = "leaf",
                                 .issuer = &after,
                                 .signer = new_key.get(),
                                 .key = mesh.leaf_key.get(),
                                 .extensions = With(LeafExtensions(), "authorityKeyIdentifier", "")});
  for (const std::vector<Certificate>& chain :
       std::vector<std::vector<Certificate>>{{leaf, before, after}, {leaf, after, before}}) {
    const auto peer = Verify(ChainVerifier(TestDomain(), {mesh.ca.root}), chain);
    ASSERT_TRUE(peer.ok()) << peer.status();
    EXPECT_EQ(peer->authority_ids.front(), after.spki_sha256_hex());
  }
}

TEST(ChainVerifier, HoweverManyPathsTheNamesAllowFewSignaturesAreChecked) {
  const Mesh mesh;
  // By names every order of the seven is a path to the root, and pathLenConstraint of the only one that is under it
  // allows none of them.
  const std::unique_ptr<SoftwareKey> key = NewKey();
  const Certificate top = Make({.subject = "ring",
                                .issuer = &mesh.ca.root,
                                .signer = key.get(),
                                .key = key.get(),
                                .extensions = With(kBareAuthority, "basicConstraints", "critical,CA:TRUE,pathlen:0")});
  std::vector<Certificate> chain = {Make({.subject = "leaf",
                                          .issuer = &top,
                                          .signer = key.get(),
                                          .key = mesh.leaf_key.get(),
                                          .extensions = With(LeafExtensions(), "authorityKeyIdentifier", "")})};
  for (int i = 0; i < 6; ++i) {
    // Not self-issued: those would not count. Two names that are each other's issuers.
    const Certificate odd =
        Make({.subject = "gnir", .issuer = &top, .signer = key.get(), .key = key.get(), .extensions = kBareAuthority});
    chain.push_back(i % 2 == 0 ? odd
                               : Make({.subject = "ring",
                                       .issuer = &odd,
                                       .signer = key.get(),
                                       .key = key.get(),
                                       .extensions = kBareAuthority}));
  }
  chain.push_back(top);
  CountedChecks checks;
  ExpectRefused(Verify(ChainVerifier(TestDomain(), {mesh.ca.root}, {}, checks.Checker()), chain), "PEER_UNTRUSTED", "");
  EXPECT_LE(checks.keys.size(), static_cast<size_t>(ChainVerifier::kFailuresMax));
}

}  // namespace
}  // namespace meshca
