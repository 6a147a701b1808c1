// Leaves: the template against OpenSSL's builder and against golden files, and the lint that looks at both.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/civil_time.h"
#include "ca/base/openssl_ptr.h"
#include "ca/base/status.h"
#include "ca/x509/leaf_builder.h"
#include "ca/x509/leaf_template.h"
#include "ca/x509/lint.h"
#include "ca/x509/signature_algorithm.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/x509/test_files.h"
#include "test/fakes/counting_entropy.h"

namespace meshca {
namespace {

using ::testing::HasSubstr;

std::string Golden(absl::string_view name) { return absl::StrCat(GOLDEN, "/", name); }

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

absl::Time Utc(int year, int month, int day) {
  return absl::FromCivil(absl::CivilSecond(year, month, day, 1, 2, 3), absl::UTCTimeZone());
}

PublicKey InputKey(absl::string_view name) {
  return *PublicKey::FromSpki(
      (*PemDecodeAll(ReadFile(Golden(absl::StrCat("inputs/", name))), kPemPublicKey))[0].bytes());
}

Certificate InputIssuer(absl::string_view name) {
  return *Certificate::Parse(Pem(ReadFile(Golden(absl::StrCat("inputs/", name)))));
}

// --- Golden files --------------------------------------------------------------------------------------------------

struct GoldenCase {
  const char* name;
  const char* key;
  const char* issuer;
  absl::string_view algorithm;
  absl::Time not_before;
  absl::Time not_after;
  std::string path;
  std::vector<std::string> dns_names;
};

void PrintTo(const GoldenCase& c, std::ostream* out) { *out << c.name; }

LeafFields Fields(const GoldenCase& c) {
  CountingEntropy entropy(0x1234);
  LeafFields fields;
  fields.serial = SerialNumber::Make(c.not_before, entropy);
  fields.validity = *Validity::Make(c.not_before, c.not_after);
  fields.spiffe_id = *SpiffeId::FromParts(TestDomain(), c.path);
  fields.dns_names = c.dns_names;
  fields.public_key = InputKey(c.key);
  return fields;
}

// OpenSSL's text of the certificate around `tbs`; its signature is eight zero bytes, for a real one has chance in it.
std::string TextForm(const LeafTemplate& form, const std::string& tbs) {
  const Der der = form.Assemble(tbs, std::string(8, '\0'));
  const auto* at = reinterpret_cast<const unsigned char*>(der.bytes().data());
  const X509Ptr certificate(d2i_X509(nullptr, &at, static_cast<long>(der.bytes().size())));
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (certificate == nullptr || X509_print(bio.get(), certificate.get()) != 1) return "unreadable";
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<size_t>(size));
}

class GoldenLeaf : public testing::TestWithParam<GoldenCase> {};

// Remake the files: MESHCA_WRITE_GOLDEN=1 ca_x509_test --gtest_filter='*GoldenLeaf*'
TEST_P(GoldenLeaf, TemplateIsOpenSslsBuilderIsTheGoldenFile) {
  const GoldenCase& c = GetParam();
  const Certificate issuer = InputIssuer(c.issuer);
  const LeafTemplate form = *LeafTemplate::Make(issuer, c.algorithm);
  const LeafFields fields = Fields(c);
  const std::string tbs = form.BuildTbs(fields);
  const std::string text = TextForm(form, tbs);
  const std::string tbs_file = Golden(absl::StrCat(c.name, ".tbs.der"));
  const std::string text_file = Golden(absl::StrCat(c.name, ".txt"));
  if (std::getenv("MESHCA_WRITE_GOLDEN") != nullptr) {
    std::ofstream(tbs_file, std::ios::binary) << tbs;
    std::ofstream(text_file, std::ios::binary) << text;
  }
  EXPECT_EQ(HexLower(tbs), HexLower(*BuildLeafTbsByOpenSsl(issuer, c.algorithm, fields)));
  EXPECT_EQ(HexLower(tbs), HexLower(ReadFile(tbs_file)));
  EXPECT_EQ(text, ReadFile(text_file));
  EXPECT_EQ(LintLeafTbs(tbs), absl::OkStatus());
}

INSTANTIATE_TEST_SUITE_P(Leaves, GoldenLeaf,
                         testing::Values(GoldenCase{"p256",
                                                    "p256.pem",
                                                    "issuing-p256.pem",
                                                    kEcdsaWithSha256Algorithm,
                                                    Utc(2026, 6, 1),
                                                    Utc(2026, 6, 2),
                                                    "/ns/default/sa/web",
                                                    {}},
                                         GoldenCase{"p256-dns",
                                                    "p256.pem",
                                                    "issuing-p256.pem",
                                                    kEcdsaWithSha256Algorithm,
                                                    Utc(2026, 6, 1),
                                                    Utc(2026, 6, 2),
                                                    "/ns/default/sa/web",
                                                    {"web.default.svc", "*.web.default.svc.cluster.local"}},
                                         GoldenCase{"p256-under-p384",
                                                    "p256.pem",
                                                    "issuing-p384.pem",
                                                    kEcdsaWithSha384Algorithm,
                                                    Utc(2026, 6, 1),
                                                    Utc(2026, 6, 2),
                                                    "/ns/default/sa/web",
                                                    {}},
                                         GoldenCase{"p384-under-rsa",
                                                    "p384.pem",
                                                    "issuing-rsa2048.pem",
                                                    kSha256WithRsaAlgorithm,
                                                    Utc(2026, 6, 1),
                                                    Utc(2026, 6, 2),
                                                    "/ns/default/sa/web",
                                                    {}},
                                         GoldenCase{"rsa2048",
                                                    "rsa2048.pem",
                                                    "issuing-p256.pem",
                                                    kEcdsaWithSha256Algorithm,
                                                    Utc(2026, 6, 1),
                                                    Utc(2026, 6, 2),
                                                    "/ns/default/sa/web",
                                                    {}},
                                         GoldenCase{"ed25519-under-ed25519",
                                                    "ed25519.pem",
                                                    "issuing-ed25519.pem",
                                                    kEd25519Algorithm,
                                                    Utc(2026, 6, 1),
                                                    Utc(2026, 6, 2),
                                                    "/ns/default/sa/web",
                                                    {}},
                                         GoldenCase{"year-2050",
                                                    "p256.pem",
                                                    "issuing-p256.pem",
                                                    kEcdsaWithSha256Algorithm,
                                                    Utc(2049, 12, 31),
                                                    Utc(2050, 1, 1),
                                                    "/ns/default/sa/web",
                                                    {}},
                                         GoldenCase{"longest-id",
                                                    "p256.pem",
                                                    "issuing-p256.pem",
                                                    kEcdsaWithSha256Algorithm,
                                                    Utc(2026, 6, 1),
                                                    Utc(2026, 6, 2),
                                                    "/" + std::string(2048 - 23, 'x'),
                                                    {}}),
                         [](const auto& info) {
                           std::string name = info.param.name;
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

TEST(LeafTemplate, AgreesWithOpenSslForEveryLengthOfTheId) {
  // DER's length bytes grow at 128 and 256: every boundary of every element around the name is crossed here.
  const Certificate issuer = InputIssuer("issuing-p256.pem");
  const LeafTemplate form = *LeafTemplate::Make(issuer, kEcdsaWithSha256Algorithm);
  GoldenCase c{"", "p256.pem", "", kEcdsaWithSha256Algorithm, Utc(2026, 6, 1), Utc(2026, 6, 2), "", {}};
  LeafFields fields = [&c] {
    c.path = "/x";
    return Fields(c);
  }();
  for (size_t length = 1; length < 300; ++length) {
    fields.spiffe_id = *SpiffeId::FromParts(TestDomain(), "/" + std::string(length, 'x'));
    const std::string tbs = form.BuildTbs(fields);
    ASSERT_EQ(tbs, *BuildLeafTbsByOpenSsl(issuer, c.algorithm, fields)) << length;
    ASSERT_EQ(LintLeafTbs(tbs), absl::OkStatus()) << length;
  }
}

TEST(LeafTemplate, LeavesTheAuthorityKeyIdentifierOutWhereThereIsNothingToPointAt) {
  const Certificate issuer = InputIssuer("issuing-without-ski.pem");
  ASSERT_TRUE(issuer.fields().subject_key_id.empty());
  const LeafFields fields = Fields(GoldenCase{"", "p256.pem", "", "", Utc(2026, 6, 1), Utc(2026, 6, 2), "/x", {}});
  const std::string tbs = LeafTemplate::Make(issuer, kEcdsaWithSha256Algorithm)->BuildTbs(fields);
  EXPECT_EQ(tbs, *BuildLeafTbsByOpenSsl(issuer, kEcdsaWithSha256Algorithm, fields));
  EXPECT_EQ(LintLeafTbs(tbs), absl::OkStatus());
}

// --- Lint ----------------------------------------------------------------------------------------------------------

std::string GoodTbs() { return ReadFile(Golden("p256.tbs.der")); }

// `bytes` with the one `from` in it replaced by `to` of the same size.
std::string Swap(std::string bytes, absl::string_view from, absl::string_view to) {
  const size_t at = bytes.find(std::string(from));
  EXPECT_NE(at, std::string::npos);
  EXPECT_EQ(from.size(), to.size());
  return bytes.replace(at, to.size(), std::string(to));
}

struct LintCase {
  const char* name;
  std::function<std::string()> tbs;
  const char* rule;
};

void PrintTo(const LintCase& c, std::ostream* out) { *out << c.name; }

class LintFinds : public testing::TestWithParam<LintCase> {};

TEST_P(LintFinds, TheBrokenRule) {
  const absl::Status status = LintLeafTbs(GetParam().tbs());
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(ReasonOf(status), "LINT");
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().rule));
}

// A leaf built by the template from fields that no issuer would pass.
std::string Built(const std::function<void(LeafFields&)>& change) {
  LeafFields fields =
      Fields(GoldenCase{"", "p256.pem", "", "", Utc(2026, 6, 1), Utc(2026, 6, 2), "/ns/default/sa/web", {}});
  change(fields);
  return LeafTemplate::Make(InputIssuer("issuing-p256.pem"), kEcdsaWithSha256Algorithm)->BuildTbs(fields);
}

constexpr absl::string_view kKeyUsageBytes("\x03\x02\x07\x80", 4);
constexpr absl::string_view kSanBytes("\x06\x03\x55\x1d\x11\x01\x01\xff", 8);
constexpr absl::string_view kBasicBytes("\x06\x03\x55\x1d\x13\x01\x01\xff\x04\x02\x30\x00", 12);

INSTANTIATE_TEST_SUITE_P(
    Rules, LintFinds,
    testing::Values(
        LintCase{"Garbage", [] { return std::string("garbage"); }, "not one DER SEQUENCE"},
        LintCase{"Trailing", [] { return GoodTbs() + "x"; }, "not one DER SEQUENCE"},
        LintCase{"Truncated", [] { return GoodTbs().substr(0, 300); }, "not one DER SEQUENCE"},
        LintCase{"Version1",
                 [] {
                   return Swap(GoodTbs(), absl::string_view("\xa0\x03\x02\x01\x02", 5),
                               absl::string_view("\xa0\x03\x02\x01\x00", 5));
                 },
                 "v3"},
        LintCase{"ZeroSerial", [] { return Built([](LeafFields& f) { f.serial = SerialNumber(); }); },
                 "serialNumber is not a positive"},
        LintCase{"UnknownAlgorithm",
                 [] {
                   return Swap(GoodTbs(), kEcdsaWithSha256Algorithm,
                               absl::string_view("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x01", 12));
                 },
                 "signature algorithm"},
        LintCase{"TimesSwapped",
                 [] { return Built([](LeafFields& f) { std::swap(f.validity.not_before, f.validity.not_after); }); },
                 "notBefore is not before notAfter"},
        LintCase{"MonthThirteen", [] { return Swap(GoodTbs(), "260601", "261301"); }, "not UTC in whole seconds"},
        LintCase{"NoPath",
                 [] { return Built([](LeafFields& f) { f.spiffe_id = *SpiffeId::FromParts(TestDomain(), ""); }); },
                 "no path"},
        LintCase{"BrokenId", [] { return Swap(GoodTbs(), "/ns/default", "/ns/../ault"); }, "dot segment"},
        LintCase{"UpperCaseId", [] { return Swap(GoodTbs(), "spiffe://cluster", "SPIFFE://cluster"); }, "lower-case"},
        LintCase{"EmptyDnsName", [] { return Built([](LeafFields& f) { f.dns_names = {""}; }); }, "DNS name is empty"},
        LintCase{"SecondUri",
                 [] {
                   return Swap(Built([](LeafFields& f) { f.dns_names = {"spiffe"}; }),
                               absl::string_view("\x82\x06spiffe", 8), absl::string_view("\x86\x06spiffe", 8));
                 },
                 "more than one URI name"},
        LintCase{"NoUri",
                 [] {
                   return Swap(GoodTbs(), absl::string_view("\x86\x28spiffe", 8),
                               absl::string_view("\x82\x28spiffe", 8));
                 },
                 "no URI name"},
        LintCase{"EmailName",
                 [] {
                   return Swap(Built([](LeafFields& f) { f.dns_names = {"a@b"}; }), absl::string_view("\x82\x03", 2),
                               absl::string_view("\x81\x03", 2));
                 },
                 "neither URI, DNS name nor IP"},
        LintCase{"NamesNotCritical",
                 [] { return Swap(GoodTbs(), kSanBytes, absl::string_view("\x06\x03\x55\x1d\x11\x01\x01\x00", 8)); },
                 "not DER TRUE"},
        LintCase{"NamesMissing",
                 [] { return Swap(GoodTbs(), kSanBytes, absl::string_view("\x06\x03\x55\x1d\x12\x01\x01\xff", 8)); },
                 "unknown extension is critical"},
        LintCase{"CertificateAuthority",
                 [] {
                   return Swap(GoodTbs(), kBasicBytes,
                               absl::string_view("\x06\x03\x55\x1d\x13\x01\x01\xff\x04\x02\x30\x01", 12));
                 },
                 "cA false"},
        LintCase{"KeyCertSign",
                 [] { return Swap(GoodTbs(), kKeyUsageBytes, absl::string_view("\x03\x02\x02\x84", 4)); },
                 "keyCertSign"},
        LintCase{"NoDigitalSignature",
                 [] { return Swap(GoodTbs(), kKeyUsageBytes, absl::string_view("\x03\x02\x05\x20", 4)); },
                 "lacks digitalSignature"},
        LintCase{"SameExtensionTwice",
                 [] {
                   return Swap(GoodTbs(), absl::string_view("\x06\x03\x55\x1d\x0e\x04", 6),
                               absl::string_view("\x06\x03\x55\x1d\x23\x04", 6));
                 },
                 "there twice"},
        LintCase{"NoClientAuth",
                 [] {
                   return Swap(GoodTbs(), absl::string_view("\x2b\x06\x01\x05\x05\x07\x03\x02", 8),
                               absl::string_view("\x2b\x06\x01\x05\x05\x07\x03\x01", 8));
                 },
                 "lacks serverAuth or clientAuth"},
        LintCase{"OtherPurpose",
                 [] {
                   return Swap(GoodTbs(), absl::string_view("\x2b\x06\x01\x05\x05\x07\x03\x02", 8),
                               absl::string_view("\x2b\x06\x01\x05\x05\x07\x03\x03", 8));
                 },
                 "purpose no workload has"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(Lint, EveryTruncationIsAFinding) {
  const std::string tbs = GoodTbs();
  for (size_t size = 0; size < tbs.size(); ++size) {
    EXPECT_EQ(ReasonOf(LintLeafTbs(absl::string_view(tbs).substr(0, size))), "LINT") << size;
  }
}

}  // namespace
}  // namespace meshca
