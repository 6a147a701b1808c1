#include "ca/authority/plugged_in_ca.h"

#include <sys/stat.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/authn/refuses.h"
#include "test/ca/authority/test_ca.h"

namespace meshca {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const absl::Time kNow = absl::FromUnixSeconds(1767323045);
constexpr absl::Duration kDay = absl::Hours(24);

TrustDomain Domain() { return TrustDomain::Parse("cluster.local").value(); }

TestCertificate Spec(const std::string& name, int from_days = -30, int until_days = 300) {
  TestCertificate spec;
  spec.name = name;
  spec.not_before = kNow + from_days * kDay;
  spec.not_after = kNow + until_days * kDay;
  return spec;
}

TestCertificate Without(TestCertificate spec, std::string TestCertificate::*extension, const std::string& value = "") {
  spec.*extension = value;
  return spec;
}

// root -> intermediate -> issuing, in a folder as istio wants it. Certificates are made once: a test exchanges some.
struct Cacerts {
  TestCa root = MakeTestCa(Spec("root"));
  TestCa intermediate = MakeTestCa(Spec("intermediate"), &root);
  TestCa issuing = MakeTestCa(Spec("issuing"), &intermediate);
  TestFolder folder;

  Cacerts() { WriteAll(); }
  void WriteAll() const {
    folder.Write("ca-cert.pem", issuing.pem());
    folder.Write("ca-key.pem", issuing.key_pem());
    folder.Write("cert-chain.pem", absl::StrCat(issuing.pem(), intermediate.pem()));
    folder.Write("root-cert.pem", root.pem());
  }
  absl::StatusOr<AuthoritySet> Load() const { return LoadPluggedInSet(Domain(), SetFiles(folder.path()), kNow); }
};

std::vector<std::string> Names(const std::vector<Certificate>& certificates) {
  std::vector<std::string> names;
  for (const Certificate& certificate : certificates) names.push_back(certificate.subject());
  return names;
}

TEST(PluggedInCa, TakesIstiosLayout) {
  Cacerts cacerts;
  auto set = cacerts.Load();
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->root.subject(), "CN=root");
  EXPECT_EQ(set->issuing->subject(), "CN=issuing");
  EXPECT_THAT(Names(set->upstream), ElementsAre("CN=intermediate"));
  EXPECT_THAT(set->more_roots, IsEmpty());
  EXPECT_EQ(set->key_reference, absl::StrCat("file:", cacerts.folder.path()));
  EXPECT_EQ(SoftwareKey::FromPkcs8Der(set->key_pkcs8.reveal()).value()->public_key().sha256_hex(),
            cacerts.issuing.id());
  EXPECT_EQ(LoadPluggedInKey(cacerts.folder.path()).value()->public_key().sha256_hex(), cacerts.issuing.id());
}

TEST(PluggedInCa, TakesCertManagersLayout) {
  Cacerts cacerts;
  TestFolder folder;
  folder.Write("tls.crt", absl::StrCat(cacerts.issuing.pem(), cacerts.intermediate.pem()));
  folder.Write("tls.key", cacerts.issuing.key_pem());
  folder.Write("ca.crt", cacerts.root.pem());
  auto set = LoadPluggedInSet(Domain(), SetFiles(folder.path()), kNow);
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_THAT(Names(set->upstream), ElementsAre("CN=intermediate"));
  EXPECT_TRUE(LoadPluggedInKey(folder.path()).ok());
}

TEST(PluggedInCa, FollowsTheKubeletsLinks) {
  Cacerts cacerts;
  TestFolder mount;
  std::filesystem::create_directory(mount / "..2026_01_01");
  for (const char* name : {"ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem"}) {
    std::filesystem::copy_file(cacerts.folder / name, mount / absl::StrCat("..2026_01_01/", name));
    std::filesystem::create_symlink(absl::StrCat("..data/", name), mount / name);
  }
  std::filesystem::create_symlink("..2026_01_01", mount / "..data");
  EXPECT_TRUE(LoadPluggedInSet(Domain(), SetFiles(mount.path()), kNow).ok());
}

TEST(PluggedInCa, SelfSignedIstioCaIsARootToSignWith) {
  TestCa root = MakeTestCa(Spec("istio"));
  TestFolder folder;
  folder.Write("ca-cert.pem", root.pem());
  folder.Write("ca-key.pem", root.key_pem());
  folder.Write("cert-chain.pem", "");
  folder.Write("root-cert.pem", "");
  for (bool empty_files : {true, false}) {
    if (!empty_files) {
      folder.Remove("cert-chain.pem");
      folder.Remove("root-cert.pem");
    }
    auto set = LoadPluggedInSet(Domain(), SetFiles(folder.path()), kNow);
    ASSERT_TRUE(set.ok()) << set.status();
    EXPECT_FALSE(set->issuing.has_value());
    EXPECT_EQ(set->keyed().subject(), "CN=istio");
  }
}

// What other tools write and is right all the same.
struct GoodCase {
  const char* name;
  std::function<void(Cacerts&)> change;
  size_t upstream = 1;
  size_t more_roots = 0;
};

class PluggedInCaAccept : public testing::TestWithParam<GoodCase> {};

TEST_P(PluggedInCaAccept, Takes) {
  Cacerts cacerts;
  GetParam().change(cacerts);
  auto set = cacerts.Load();
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->upstream.size(), GetParam().upstream);
  EXPECT_EQ(set->more_roots.size(), GetParam().more_roots);
}

INSTANTIATE_TEST_SUITE_P(
    Sets, PluggedInCaAccept,
    testing::Values(
        GoodCase{"ChainInAnotherOrderWithTheRoot",
                 [](Cacerts& c) {
                   c.folder.Write("cert-chain.pem", c.root.pem() + c.intermediate.pem() + c.issuing.pem());
                 }},
        GoodCase{"ChainWithoutTheIssuingCertificate",
                 [](Cacerts& c) { c.folder.Write("cert-chain.pem", c.intermediate.pem()); }},
        GoodCase{"TextBetweenTheBlocks",
                 [](Cacerts& c) { c.folder.Write("root-cert.pem", "Root of all:\n\n" + c.root.pem() + "\n# end\n"); }},
        GoodCase{"DirectlyUnderTheRoot",
                 [](Cacerts& c) {
                   c.issuing = MakeTestCa(Spec("issuing"), &c.root);
                   c.WriteAll();
                   c.folder.Write("cert-chain.pem", "\n");
                 },
                 0},
        GoodCase{"RootWithoutKeyUsage",
                 [](Cacerts& c) {
                   c.root = MakeTestCa(Without(Spec("root"), &TestCertificate::key_usage));
                   c.intermediate = MakeTestCa(Spec("intermediate"), &c.root);
                   c.issuing = MakeTestCa(Spec("issuing"), &c.intermediate);
                   c.WriteAll();
                 }},
        GoodCase{"SeveralRoots",
                 [](Cacerts& c) { c.folder.Write("root-cert.pem", MakeTestCa(Spec("next")).pem() + c.root.pem()); }, 1,
                 1},
        GoodCase{"AnotherRootThatHasEnded",
                 [](Cacerts& c) {
                   c.folder.Write("root-cert.pem", c.root.pem() + MakeTestCa(Spec("past", -300, -1)).pem());
                 },
                 1, 0},
        GoodCase{"OwnTrustDomainsId",
                 [](Cacerts& c) {
                   c.issuing = MakeTestCa(
                       Without(Spec("issuing"), &TestCertificate::subject_alt_name, "URI:spiffe://cluster.local"),
                       &c.intermediate);
                   c.WriteAll();
                 }},
        GoodCase{"SameRootTwice", [](Cacerts& c) { c.folder.Write("root-cert.pem", c.root.pem() + c.root.pem()); }},
        GoodCase{"SameIntermediateTwice",
                 [](Cacerts& c) {
                   c.folder.Write("cert-chain.pem", c.intermediate.pem() + c.issuing.pem() + c.intermediate.pem());
                 }},
        GoodCase{"IssuingCertificateTwiceInItsFile",
                 [](Cacerts& c) { c.folder.Write("ca-cert.pem", c.issuing.pem() + c.issuing.pem()); }},
        GoodCase{"ExtendedKeyUsageWithBoth",
                 [](Cacerts& c) {
                   c.issuing = MakeTestCa(
                       Without(Spec("issuing"), &TestCertificate::extended_key_usage, "serverAuth,clientAuth"),
                       &c.intermediate);
                   c.WriteAll();
                 }},
        GoodCase{"AnotherRootWithAP521Key",
                 [](Cacerts& c) {
                   const TestCa other = MakeTestCa(Spec("p521"), nullptr, EvpPkeyPtr(EVP_EC_gen("P-521")));
                   c.folder.Write("root-cert.pem", other.pem() + c.root.pem());
                 },
                 1, 1},
        GoodCase{"OwnRootWithAP521Key",
                 [](Cacerts& c) {
                   c.root = MakeTestCa(Spec("root"), nullptr, EvpPkeyPtr(EVP_EC_gen("P-521")), EVP_sha512());
                   c.intermediate = MakeTestCa(Spec("intermediate"), &c.root, nullptr, EVP_sha512());
                   c.issuing = MakeTestCa(Spec("issuing"), &c.intermediate);
                   c.WriteAll();
                 }},
        GoodCase{"RootSelfSignedWithSha1",
                 [](Cacerts& c) {
                   c.root = MakeTestCa(Spec("root"), nullptr, nullptr, EVP_sha1());
                   c.intermediate = MakeTestCa(Spec("intermediate"), &c.root);
                   c.issuing = MakeTestCa(Spec("issuing"), &c.intermediate);
                   c.WriteAll();
                 }},
        GoodCase{"RootWithSerialZero",
                 [](Cacerts& c) {
                   TestCertificate spec = Spec("root");
                   spec.serial = 0;
                   c.root = MakeTestCa(spec);
                   c.intermediate = MakeTestCa(Spec("intermediate"), &c.root);
                   c.issuing = MakeTestCa(Spec("issuing"), &c.intermediate);
                   c.WriteAll();
                 }},
        GoodCase{"RootsOfOthersOnBothSides",
                 [](Cacerts& c) {
                   c.folder.Write("root-cert.pem",
                                  MakeTestCa(Spec("a")).pem() + c.root.pem() + MakeTestCa(Spec("b")).pem());
                 },
                 1, 2},
        GoodCase{"GroupMayReadTheKey", [](Cacerts& c) { chmod((c.folder / "ca-key.pem").c_str(), 0440); }}),
    [](const auto& info) { return std::string(info.param.name); });

// A set with one fault: the file that must be named, and the words that say what is wrong.
struct BadCase {
  const char* name;
  std::function<void(Cacerts&)> change;
  const char* file;
  const char* words;
  absl::StatusCode code = absl::StatusCode::kInvalidArgument;
};

class PluggedInCaReject : public testing::TestWithParam<BadCase> {};

TEST_P(PluggedInCaReject, NamesFileAndFault) {
  Cacerts cacerts;
  GetParam().change(cacerts);
  auto set = cacerts.Load();
  EXPECT_THAT(set, Refuses(GetParam().code, "PLUGGED_IN_CA_INVALID", GetParam().words));
  EXPECT_THAT(set, Refuses(GetParam().code, "PLUGGED_IN_CA_INVALID", cacerts.folder.path() + GetParam().file));
}

// A set whose issuing certificate is `spec`'s, all else right.
std::function<void(Cacerts&)> Issuing(TestCertificate spec) {
  return [spec](Cacerts& c) {
    c.issuing = MakeTestCa(spec, &c.intermediate);
    c.WriteAll();
  };
}
std::function<void(Cacerts&)> Intermediate(TestCertificate spec) {
  return [spec](Cacerts& c) {
    c.intermediate = MakeTestCa(spec, &c.root);
    c.issuing = MakeTestCa(Spec("issuing"), &c.intermediate);
    c.WriteAll();
  };
}
std::function<void(Cacerts&)> Root(TestCertificate spec) {
  return [spec](Cacerts& c) {
    c.root = MakeTestCa(spec);
    c.intermediate = MakeTestCa(Spec("intermediate"), &c.root);
    c.issuing = MakeTestCa(Spec("issuing"), &c.intermediate);
    c.WriteAll();
  };
}
std::function<void(Cacerts&)> File(const char* name, const std::string& bytes) {
  return [name, bytes](Cacerts& c) { c.folder.Write(name, bytes); };
}
std::function<void(Cacerts&)> NoFile(const char* name) {
  return [name](Cacerts& c) { c.folder.Remove(name); };
}

INSTANTIATE_TEST_SUITE_P(
    Files, PluggedInCaReject,
    testing::Values(
        BadCase{"EmptyFolder",
                [](Cacerts& c) {
                  for (const char* name : {"ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem"}) {
                    c.folder.Remove(name);
                  }
                },
                "", "holds no CA: expected ca-cert.pem"},
        BadCase{"BothLayouts", File("tls.crt", "x"), "", "holds both"},
        BadCase{"NoKey", NoFile("ca-key.pem"), "/ca-key.pem", "is missing"},
        BadCase{"NoRoots", NoFile("root-cert.pem"), "/root-cert.pem", "is missing"},
        BadCase{"EmptyRoots", File("root-cert.pem", " \n"), "/root-cert.pem", "is empty"},
        BadCase{"EmptyKey", File("ca-key.pem", ""), "/ca-key.pem", "is empty"},
        BadCase{"EmptyCertificate", File("ca-cert.pem", ""), "/ca-cert.pem", "is empty"},
        BadCase{"NotPem", File("ca-cert.pem", "hello"), "/ca-cert.pem", "PEM"},
        BadCase{"Der", File("ca-cert.pem", std::string("0\x82\0\1", 4)), "/ca-cert.pem", "NUL"},
        BadCase{"CutShort", [](Cacerts& c) { c.folder.Write("cert-chain.pem", c.intermediate.pem().substr(0, 200)); },
                "/cert-chain.pem", "block 1"},
        BadCase{"KeyAmongTheRoots",
                [](Cacerts& c) { c.folder.Write("root-cert.pem", c.root.pem() + c.root.key_pem()); }, "/root-cert.pem",
                "PRIVATE KEY"},
        BadCase{"TooLarge", File("root-cert.pem", std::string(1024 * 1024 + 1, ' ')), "/root-cert.pem", "larger than"},
        BadCase{"TwoCertificatesInCaCert",
                [](Cacerts& c) { c.folder.Write("ca-cert.pem", c.issuing.pem() + c.intermediate.pem()); },
                "/ca-cert.pem", "holds 2 certificates"}),
    [](const auto& info) { return std::string(info.param.name); });

INSTANTIATE_TEST_SUITE_P(
    Keys, PluggedInCaReject,
    testing::Values(BadCase{"AnothersKey", [](Cacerts& c) { c.folder.Write("ca-key.pem", c.root.key_pem()); },
                            "/ca-key.pem", "is not the key of ca-cert.pem"},
                    BadCase{"EncryptedKey",
                            [](Cacerts& c) { c.folder.Write("ca-key.pem", c.issuing.encrypted_key_pem()); },
                            "/ca-key.pem", "encrypted"},
                    BadCase{"CertificateForAKey", [](Cacerts& c) { c.folder.Write("ca-key.pem", c.issuing.pem()); },
                            "/ca-key.pem", ""},
                    BadCase{"WeakRsaKey",
                            [](Cacerts& c) {
                              c.issuing = MakeTestCa(Spec("issuing"), &c.intermediate, EvpPkeyPtr(EVP_RSA_gen(1024)));
                              c.WriteAll();
                            },
                            "/ca-cert.pem", "1024"},
                    BadCase{"UnsupportedCurve",
                            [](Cacerts& c) {
                              c.issuing =
                                  MakeTestCa(Spec("issuing"), &c.intermediate, EvpPkeyPtr(EVP_EC_gen("secp256k1")));
                              c.WriteAll();
                            },
                            "/ca-cert.pem", ""}),
    [](const auto& info) { return std::string(info.param.name); });

INSTANTIATE_TEST_SUITE_P(
    Certificates, PluggedInCaReject,
    testing::Values(
        BadCase{"IssuingIsNoCa", Issuing(Without(Spec("issuing"), &TestCertificate::basic_constraints, "CA:FALSE")),
                "/ca-cert.pem", "is not a CA"},
        BadCase{"IssuingWithoutConstraints", Issuing(Without(Spec("issuing"), &TestCertificate::basic_constraints)),
                "/ca-cert.pem", "is not a CA"},
        BadCase{"IssuingMayNotSign",
                Issuing(Without(Spec("issuing"), &TestCertificate::key_usage, "critical,digitalSignature")),
                "/ca-cert.pem", "lacks keyCertSign"},
        BadCase{"IssuingWithoutKeyUsage", Issuing(Without(Spec("issuing"), &TestCertificate::key_usage)),
                "/ca-cert.pem", "lacks keyCertSign"},
        BadCase{"IssuingExpired", Issuing(Spec("issuing", -10, -1)), "/ca-cert.pem", "expired 20"},
        BadCase{"IssuingNotYetValid", Issuing(Spec("issuing", 1, 10)), "/ca-cert.pem", "not valid before 20"},
        BadCase{"IntermediateExpired", Intermediate(Spec("intermediate", -10, -1)), "/cert-chain.pem",
                "\"CN=intermediate\""},
        BadCase{"IntermediateLeavesNoRoom",
                Intermediate(Without(Spec("intermediate"), &TestCertificate::basic_constraints,
                                     "critical,CA:TRUE,pathlen:0")),
                "/cert-chain.pem", "pathLenConstraint 0 leaves no room for the 1"},
        BadCase{"RootLeavesNoRoom",
                Root(Without(Spec("root"), &TestCertificate::basic_constraints, "critical,CA:TRUE,pathlen:1")),
                "/root-cert.pem", "pathLenConstraint 1 leaves no room for the 2"},
        BadCase{"RootIsNoCa", Root(Without(Spec("root"), &TestCertificate::basic_constraints, "CA:FALSE")),
                "/root-cert.pem", "is not a CA"},
        BadCase{"RootMayNotSign", Root(Without(Spec("root"), &TestCertificate::key_usage, "digitalSignature")),
                "/root-cert.pem", "lacks keyCertSign"},
        BadCase{"RootExpired", Root(Spec("root", -10, -1)), "/root-cert.pem", "expired"},
        BadCase{"AnotherTrustDomain",
                Issuing(Without(Spec("issuing"), &TestCertificate::subject_alt_name, "URI:spiffe://other.test")),
                "/ca-cert.pem", "spiffe://other.test, and this server to the trust domain cluster.local"},
        BadCase{
            "UnknownCriticalExtension",
            Issuing(Without(Spec("issuing"), &TestCertificate::policy_constraints, "critical,requireExplicitPolicy:3")),
            "/ca-cert.pem", "unknown critical extension 2.5.29.36"},
        BadCase{"IntermediateMissing", [](Cacerts& c) { c.folder.Write("cert-chain.pem", c.issuing.pem()); },
                "/root-cert.pem", "no certificate here signed"},
        BadCase{"RootOfAnotherChain",
                [](Cacerts& c) { c.folder.Write("root-cert.pem", MakeTestCa(Spec("other")).pem()); }, "/root-cert.pem",
                "the chain leads to no root"},
        BadCase{"RootOfTheSameName",
                [](Cacerts& c) { c.folder.Write("root-cert.pem", MakeTestCa(Spec("root")).pem()); }, "/root-cert.pem",
                "the chain leads to no root"},
        BadCase{"RootIsNotSelfSigned",
                [](Cacerts& c) { c.folder.Write("root-cert.pem", c.root.pem() + c.intermediate.pem()); },
                "/root-cert.pem", "not self-signed"},
        BadCase{"StrangerInTheChain",
                [](Cacerts& c) {
                  c.folder.Write("cert-chain.pem", c.intermediate.pem() + MakeTestCa(Spec("stranger"), &c.root).pem());
                },
                "/cert-chain.pem", "\"CN=stranger\""},
        BadCase{"WeakSignature",
                [](Cacerts& c) {
                  c.issuing = MakeTestCa(Spec("issuing"), &c.intermediate, nullptr, EVP_sha1());
                  c.WriteAll();
                },
                "/root-cert.pem", "the chain leads to no root"},
        BadCase{"SelfSignedWithoutRoomBelow",
                [](Cacerts& c) {
                  TestCa root = MakeTestCa(
                      Without(Spec("istio"), &TestCertificate::basic_constraints, "critical,CA:TRUE,pathlen:0"));
                  c.folder.Write("ca-cert.pem", root.pem());
                  c.folder.Write("ca-key.pem", root.key_pem());
                  c.folder.Write("cert-chain.pem", "");
                  c.folder.Write("root-cert.pem", "");
                },
                "/ca-cert.pem", "leaves no room for the 1"}),
    [](const auto& info) { return std::string(info.param.name); });

// What the CA would sign with and nobody could verify.
INSTANTIATE_TEST_SUITE_P(
    Unverifiable, PluggedInCaReject,
    testing::Values(
        BadCase{"IssuingWithNameConstraints",
                Issuing(Without(Spec("issuing"), &TestCertificate::name_constraints, "permitted;URI:cluster.local")),
                "/ca-cert.pem", "has nameConstraints, under which meshca's peers would refuse what it signs"},
        BadCase{"IntermediateWithNameConstraints",
                Intermediate(Without(Spec("intermediate"), &TestCertificate::name_constraints,
                                     "critical,permitted;DNS:a.test")),
                "/cert-chain.pem", "\"CN=intermediate\""},
        BadCase{"RootWithNameConstraints",
                Root(Without(Spec("root"), &TestCertificate::name_constraints, "excluded;URI:cluster.local")),
                "/root-cert.pem", "ask for a certificate without them"},
        BadCase{"IssuingForServersAlone",
                Issuing(Without(Spec("issuing"), &TestCertificate::extended_key_usage, "serverAuth")), "/ca-cert.pem",
                "extendedKeyUsage lacks clientAuth, and a workload's certificate is for both"},
        BadCase{"IssuingForClientsAlone",
                Issuing(Without(Spec("issuing"), &TestCertificate::extended_key_usage, "clientAuth")), "/ca-cert.pem",
                "extendedKeyUsage lacks serverAuth, and"},
        BadCase{"IntermediateForMail",
                Intermediate(Without(Spec("intermediate"), &TestCertificate::extended_key_usage, "emailProtection")),
                "/cert-chain.pem", "lacks serverAuth and clientAuth"},
        BadCase{"RootForCodeSigning",
                Root(Without(Spec("root"), &TestCertificate::extended_key_usage, "critical,codeSigning")),
                "/root-cert.pem", "lacks serverAuth and clientAuth"},
        BadCase{"IssuingWithoutASubject", Issuing(Spec("")), "/ca-cert.pem", "subject"},
        BadCase{"NegativeSerial",
                [](Cacerts& c) {
                  TestCertificate spec = Spec("root");
                  spec.serial = -5;
                  c.folder.Write("root-cert.pem", MakeTestCa(spec).pem());
                },
                "/root-cert.pem", "negative (RFC 5280 §4.1.2.2): Go's crypto/x509"},
        BadCase{"P521Key",
                [](Cacerts& c) {
                  c.issuing = MakeTestCa(Spec("issuing"), &c.intermediate, EvpPkeyPtr(EVP_EC_gen("P-521")));
                  c.WriteAll();
                },
                "/ca-key.pem", "curve 1.3.132.0.35 is not supported"},
        // No rule of ours has a sentence for the next two: the trial finds them.
        BadCase{
            "AnyExtendedKeyUsage",
            Intermediate(Without(Spec("intermediate"), &TestCertificate::extended_key_usage, "anyExtendedKeyUsage")),
            "/ca-cert.pem",
            "as a server's certificate by OpenSSL: unsuitable certificate purpose (at \"CN=intermediate\""},
        BadCase{"LongerThanVerifiersFollow",
                [](Cacerts& c) {
                  std::string chain = c.intermediate.pem();
                  for (int i = 0; i < 6; ++i) {
                    c.intermediate = MakeTestCa(Spec(absl::StrCat("intermediate ", i)), &c.intermediate);
                    chain += c.intermediate.pem();
                  }
                  c.issuing = MakeTestCa(Spec("issuing"), &c.intermediate);
                  c.WriteAll();
                  c.folder.Write("cert-chain.pem", chain);
                },
                "/ca-cert.pem", "what it signs would be refused as a server's certificate by meshca"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(PluggedInCa, OfTwoCertificatesOfOneRootTheValidOneIsUsedInAnyOrder) {
  Cacerts cacerts;
  const TestCa ended = MakeTestCa(Spec("root", -300, -1), nullptr, SameKey(cacerts.root));
  const TestCa shorter = MakeTestCa(Spec("root", -30, 100), nullptr, SameKey(cacerts.root));
  for (const std::string& roots :
       {ended.pem() + cacerts.root.pem(), cacerts.root.pem() + ended.pem(),
        shorter.pem() + ended.pem() + cacerts.root.pem(), cacerts.root.pem() + ended.pem() + shorter.pem()}) {
    cacerts.folder.Write("root-cert.pem", roots);
    const auto set = cacerts.Load();
    ASSERT_TRUE(set.ok()) << set.status();
    EXPECT_EQ(set->root, cacerts.root.certificate());
    for (const Certificate& more : set->more_roots) EXPECT_EQ(more, shorter.certificate());
  }
}

TEST(PluggedInCa, OfTwoCertificatesOfOneIntermediateTheValidOneIsUsedInAnyOrder) {
  Cacerts cacerts;
  const TestCa ended = MakeTestCa(Spec("intermediate", -300, -1), &cacerts.root, SameKey(cacerts.intermediate));
  for (const std::string& chain :
       {ended.pem() + cacerts.intermediate.pem(), cacerts.intermediate.pem() + ended.pem()}) {
    cacerts.folder.Write("cert-chain.pem", chain);
    const auto set = cacerts.Load();
    ASSERT_TRUE(set.ok()) << set.status();
    EXPECT_THAT(set->upstream, ElementsAre(cacerts.intermediate.certificate()));
  }
}

TEST(PluggedInCa, RootThatSignsIsTakenByItsRenewedCertificateWhereverThatStands) {
  const TestCa ended = MakeTestCa(Spec("istio", -300, -1));
  const TestCa renewed = MakeTestCa(Spec("istio"), nullptr, SameKey(ended));
  for (const auto& [certificate, roots] : {std::pair(renewed.pem(), ended.pem()),
                                           {ended.pem(), renewed.pem()},
                                           {renewed.pem(), ended.pem() + renewed.pem()}}) {
    TestFolder folder;
    folder.Write("ca-cert.pem", certificate);
    folder.Write("ca-key.pem", renewed.key_pem());
    folder.Write("root-cert.pem", roots);
    const auto set = LoadPluggedInSet(Domain(), SetFiles(folder.path()), kNow);
    ASSERT_TRUE(set.ok()) << set.status();
    EXPECT_FALSE(set->issuing.has_value());
    EXPECT_EQ(set->root, renewed.certificate());
  }
}

TEST(PluggedInCa, IntermediateWithASha1SignatureIsNoTrustAnchorAndRefused) {
  Cacerts cacerts;
  cacerts.intermediate = MakeTestCa(Spec("intermediate"), &cacerts.root, nullptr, EVP_sha1());
  cacerts.issuing = MakeTestCa(Spec("issuing"), &cacerts.intermediate);
  cacerts.WriteAll();
  EXPECT_THAT(cacerts.Load(), Refuses(absl::StatusCode::kInvalidArgument, "PLUGGED_IN_CA_INVALID", "leads to no root"));
}

TEST(PluggedInCa, RootWhoseOwnSignatureIsForgedIsNoRoot) {
  Cacerts cacerts;
  const TestCa stranger = MakeTestCa(Spec("root"));
  for (const EVP_MD* digest : {EVP_sha256(), EVP_sha1()}) {
    // Its own name as the issuer, another's signature.
    const TestCa forged = MakeTestCa(Spec("root"), &stranger, SameKey(cacerts.root), digest);
    cacerts.folder.Write("root-cert.pem", forged.pem());
    EXPECT_THAT(cacerts.Load(),
                Refuses(absl::StatusCode::kInvalidArgument, "PLUGGED_IN_CA_INVALID", "not self-signed"));
  }
}

TEST(PluggedInSource, FingerprintFollowsEveryFile) {
  Cacerts cacerts;
  PluggedInSource source(Domain(), cacerts.folder.path());
  std::string before = source.Fingerprint().value();
  EXPECT_EQ(source.Fingerprint().value(), before);
  for (const char* name : {"ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem"}) {
    cacerts.folder.Write(name, "changed");
    std::string after = source.Fingerprint().value();
    EXPECT_NE(after, before) << name;
    before = after;
  }
  std::filesystem::remove(cacerts.folder / "ca-key.pem");
  EXPECT_NE(source.Fingerprint().value(), before) << "a key that became unreadable was not noticed";
}

TEST(PluggedInSource, AKeyOfOursThatOthersCouldReadIsSetBack) {
  Cacerts cacerts;
  const std::string key = cacerts.folder / "ca-key.pem";
  ASSERT_EQ(chmod(key.c_str(), 0644), 0);
  EXPECT_TRUE(LoadPluggedInKey(cacerts.folder.path()).ok());
  struct stat info;
  ASSERT_EQ(stat(key.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
}

}  // namespace
}  // namespace meshca
