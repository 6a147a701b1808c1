#include "ca/x509/csr.h"

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/x509/csr_reader.h"
#include "ca/x509/der.h"
#include "ca/x509/encoding.h"
#include "ca/x509/key_request.h"
#include "ca/x509/signature_algorithm.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/x509/test_files.h"

namespace meshca {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kWeb[] = "spiffe://cluster.local/ns/default/sa/web";

// --- What our own agents send ---------------------------------------------------------------------------------------

TEST(KeyRequest, AsksForNothingAndProvesItsKey) {
  for (const KeyType type : {KeyType::kEcP256, KeyType::kEcP384, KeyType::kEd25519, KeyType::kRsa2048}) {
    const auto key = *SoftwareKey::Generate(type);
    const auto request = MakeKeyRequest(*key);
    ASSERT_TRUE(request.ok()) << request.status();
    const auto csr = Csr::Parse(request->bytes());
    ASSERT_TRUE(csr.ok()) << KeyTypeName(type) << ": " << csr.status();
    EXPECT_EQ(csr->public_key(), key->public_key());
    EXPECT_THAT(csr->uri_names(), IsEmpty());
    EXPECT_THAT(csr->dns_names(), IsEmpty());
    EXPECT_EQ(csr->common_name(), "");
    EXPECT_FALSE(csr->asks_for_ca());
    // OpenSSL's reader agrees.
    EXPECT_TRUE(Csr::ParseByOpenSsl(request->bytes()).ok());
  }
}

// --- What real tools send ------------------------------------------------------------------------------------------

struct GoodCase {
  const char* file;
  KeyType key;
  bool plain;  // our own reader decides
  std::vector<std::string> uris = {kWeb};
  std::vector<std::string> dns_names = {};
  const char* common_name = "";
  bool asks_for_ca = false;
  std::vector<std::string> others = {};
};

void PrintTo(const GoodCase& c, std::ostream* out) { *out << c.file; }

class CsrFromRealTools : public testing::TestWithParam<GoodCase> {};

TEST_P(CsrFromRealTools, IsReadAsSent) {
  const std::string pem = TestFile(absl::StrCat("csr/", GetParam().file));
  const std::string der = *CsrReader::Unwrap(pem);
  EXPECT_EQ(CsrReader::Plain(der).has_value(), GetParam().plain);
  for (const std::string& form : {pem, der}) {
    for (const absl::StatusOr<Csr>& csr : {Csr::Parse(form), Csr::ParseByOpenSsl(form)}) {
      ASSERT_TRUE(csr.ok()) << csr.status();
      EXPECT_EQ(csr->public_key().type(), GetParam().key);
      EXPECT_EQ(csr->uri_names(), GetParam().uris);
      EXPECT_EQ(csr->dns_names(), GetParam().dns_names);
      EXPECT_EQ(csr->other_names(), GetParam().others);
      EXPECT_EQ(csr->common_name(), GetParam().common_name);
      EXPECT_EQ(csr->asks_for_ca(), GetParam().asks_for_ca);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Tools, CsrFromRealTools,
    testing::Values(
        GoodCase{"istio-citadel-p256.pem", KeyType::kEcP256, true},
        GoodCase{"istio-citadel-rsa2048.pem", KeyType::kRsa2048, false},
        GoodCase{"go-p256.pem", KeyType::kEcP256, true}, GoodCase{"go-p384.pem", KeyType::kEcP384, false},
        GoodCase{"go-ed25519.pem", KeyType::kEd25519, false}, GoodCase{"go-rsa2048.pem", KeyType::kRsa2048, false},
        GoodCase{"go-rsa2048-pss.pem", KeyType::kRsa2048, false},
        GoodCase{"go-p256-dns.pem",
                 KeyType::kEcP256,
                 true,
                 {kWeb},
                 {"web.default.svc", "web.default.svc.cluster.local"},
                 "web"},
        GoodCase{"cfssl-p256.pem", KeyType::kEcP256, true, {kWeb}, {"web.default.svc"}, "web"},
        GoodCase{"cfssl-ca-p256.pem", KeyType::kEcP256, true, {kWeb}, {"web.default.svc"}, "web", true},
        GoodCase{"keytool-p256.pem", KeyType::kEcP256, true, {kWeb}, {}, "web"},
        GoodCase{"keytool-rsa2048.pem", KeyType::kRsa2048, false, {kWeb}, {}, "web"},
        GoodCase{"openssl-p256.pem", KeyType::kEcP256, true, {kWeb}, {}, "web"},
        GoodCase{"openssl-p256-text.pem", KeyType::kEcP256, true, {kWeb}, {}, "web"},
        GoodCase{"openssl-p256-empty-subject.pem", KeyType::kEcP256, true},
        GoodCase{"openssl-p256-no-names.pem", KeyType::kEcP256, true, {}, {}, "web"},
        GoodCase{"openssl-p384.pem", KeyType::kEcP384, false, {kWeb}, {}, "web"},
        GoodCase{"openssl-ed25519.pem", KeyType::kEd25519, false, {kWeb}, {}, "web"},
        GoodCase{"openssl-rsa2048.pem", KeyType::kRsa2048, false, {kWeb}, {}, "web"},
        GoodCase{"openssl-rsa4096.pem", KeyType::kRsa4096, false, {kWeb}, {}, "web"},
        GoodCase{"asks-ca.pem", KeyType::kEcP256, true, {kWeb}, {}, "web", true},
        GoodCase{"asks-keycertsign.pem", KeyType::kEcP256, true, {kWeb}, {}, "web", true},
        GoodCase{"two-uris.pem", KeyType::kEcP256, true, {kWeb, "spiffe://cluster.local/ns/default/sa/db"}, {}, "web"},
        GoodCase{"other-names.pem",
                 KeyType::kEcP256,
                 false,
                 {kWeb},
                 {"web.a.test"},
                 "web",
                 false,
                 {"IP:10.0.0.1", "email:web@a.test"}}),
    [](const auto& info) {
      std::string name = info.param.file;
      for (char& c : name) c = c == '-' || c == '.' ? '_' : c;
      return name;
    });

// --- Refusals ------------------------------------------------------------------------------------------------------

struct BadCase {
  const char* name;
  std::string bytes;
  const char* reason;
  const char* words;
};

void PrintTo(const BadCase& c, std::ostream* out) { *out << c.name; }

class CsrRefused : public testing::TestWithParam<BadCase> {};

TEST_P(CsrRefused, SaysWhy) {
  for (const absl::Status& status :
       {Csr::Parse(GetParam().bytes).status(), Csr::ParseByOpenSsl(GetParam().bytes).status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_EQ(ReasonOf(status), GetParam().reason) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().words));
    EXPECT_THAT(std::string(status.message()), HasSubstr("CSR: "));
  }
}

std::string File(absl::string_view name) { return TestFile(absl::StrCat("csr/", name)); }
std::string DerOf(absl::string_view name) { return *CsrReader::Unwrap(File(name)); }

std::string FlipLastByte(std::string der) {
  der.back() = static_cast<char>(der.back() ^ 1);
  return der;
}

std::string Relabelled(absl::string_view label) { return PemEncode(label, DerOf("go-p256.pem")).text(); }

INSTANTIATE_TEST_SUITE_P(
    Bad, CsrRefused,
    testing::Values(
        BadCase{"Empty", "", "CSR_MALFORMED", "is empty"},
        BadCase{"NeitherPemNorDer", "hello", "CSR_MALFORMED", "neither PEM nor DER"},
        BadCase{"TooLarge", std::string(64 * 1024 + 1, '0'), "CSR_TOO_LARGE", "65537 bytes, more than 65536"},
        BadCase{"TruncatedDer", DerOf("go-p256.pem").substr(0, 100), "CSR_MALFORMED", "truncated"},
        BadCase{"LastByteMissing", DerOf("go-p256.pem").substr(0, DerOf("go-p256.pem").size() - 1), "CSR_MALFORMED",
                "truncated"},
        BadCase{"TruncatedPem", File("go-p256.pem").substr(0, 200), "CSR_MALFORMED", "no END line"},
        BadCase{"BadBase64", "-----BEGIN CERTIFICATE REQUEST-----\nMII*\n-----END CERTIFICATE REQUEST-----\n",
                "CSR_MALFORMED", "not base64"},
        BadCase{"EmptyPem", "-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n", "CSR_MALFORMED",
                "truncated"},
        BadCase{"OtherEndLine", "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE-----\n",
                "CSR_MALFORMED", "END line does not name"},
        BadCase{"TrailingDer", DerOf("go-p256.pem") + std::string("\0\0", 2), "CSR_TRAILING_DATA", "2 bytes follow"},
        BadCase{"TrailingInsidePem", PemEncode(kPemCertificateRequest, DerOf("go-p256.pem") + "x").text(),
                "CSR_TRAILING_DATA", "1 bytes follow"},
        BadCase{"TrailingText", File("go-p256.pem") + "garbage", "CSR_TRAILING_DATA", "text follows"},
        BadCase{"TwoBlocks", File("go-p256.pem") + File("go-p256-dns.pem"), "CSR_TRAILING_DATA", "2 PEM blocks"},
        BadCase{"CertificateLabel", Relabelled("CERTIFICATE"), "CSR_PEM_LABEL",
                "is a CERTIFICATE, not a CERTIFICATE REQUEST"},
        BadCase{"PrivateKeyLabel", Relabelled("PRIVATE KEY"), "CSR_PEM_LABEL", "is a PRIVATE KEY"},
        BadCase{"ForgedSignature", FlipLastByte(DerOf("go-p256.pem")), "CSR_SIGNATURE_INVALID", "does not fit the key"},
        BadCase{"ForgedRsaSignature", FlipLastByte(DerOf("go-rsa2048.pem")), "CSR_SIGNATURE_INVALID",
                "does not fit the key"},
        BadCase{"ForgedEd25519Signature", FlipLastByte(DerOf("go-ed25519.pem")), "CSR_SIGNATURE_INVALID",
                "does not fit the key"},
        BadCase{"Rsa1024", File("bad-rsa1024.pem"), "CSR_KEY_WEAK", "RSA of 1024 bits: at least 2048"},
        BadCase{"Rsa8192", File("bad-rsa8192.pem"), "CSR_KEY_WEAK", "RSA of 8192 bits: at most 4096"},
        BadCase{"Dsa", File("bad-dsa2048.pem"), "CSR_KEY_WEAK", "DSA"},
        BadCase{"P224", File("bad-p224.pem"), "CSR_KEY_WEAK", "below P-256"},
        BadCase{"P521", File("bad-p521.pem"), "CSR_KEY_UNSUPPORTED", "curve 1.3.132.0.35 is not supported"},
        BadCase{"Secp256k1", File("bad-secp256k1.pem"), "CSR_KEY_UNSUPPORTED", "curve 1.3.132.0.10"},
        BadCase{"ExplicitCurve", File("bad-p256-explicit.pem"), "CSR_KEY_UNSUPPORTED", "(explicit)"},
        BadCase{"Ed448", File("bad-ed448.pem"), "CSR_KEY_UNSUPPORTED", "1.3.101.113"},
        BadCase{"EcdsaSha1", File("bad-p256-sha1.pem"), "CSR_SIGNATURE_WEAK", "SHA-1"},
        BadCase{"RsaSha1", File("bad-rsa2048-sha1.pem"), "CSR_SIGNATURE_WEAK", "SHA-1"},
        BadCase{"RsaMd5", File("bad-rsa2048-md5.pem"), "CSR_SIGNATURE_WEAK", "MD5"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(Csr, SixtyFourKibibytesOfTextBeforeARequestPass) {
  const std::string pem = File("go-p256.pem");
  EXPECT_TRUE(Csr::Parse(std::string(Csr::kBytesMax - pem.size(), '\n') + pem).ok());
  EXPECT_EQ(ReasonOf(Csr::Parse(std::string(Csr::kBytesMax - pem.size() + 1, '\n') + pem).status()), "CSR_TOO_LARGE");
}

TEST(Csr, TextBeforeARequestIsTextEvenWhereItBeginsWithTheDigitZero) {
  const std::string pem = File("go-p256.pem");
  const std::string der = DerOf("go-p256.pem");
  for (const std::string& text : {std::string("0 of 3 requests\n"), std::string("0\n"), std::string("0x30 \x82\n")}) {
    const auto csr = Csr::Parse(text + pem);
    ASSERT_TRUE(csr.ok()) << text << csr.status();
    EXPECT_EQ(csr->public_key(), Csr::Parse(der)->public_key());
    EXPECT_TRUE(Csr::ParseByOpenSsl(text + pem).ok()) << text;
  }
  // The other way round: DER that holds what a PEM block begins with is DER.
  const std::string tricky =
      der::MakeElement(der::kSequence, der::MakeElement(der::kOctetString, "-----BEGIN CERTIFICATE REQUEST-----"));
  EXPECT_FALSE(absl::StrContains(Csr::Parse(tricky).status().message(), "PEM")) << Csr::Parse(tricky).status();
}

TEST(Csr, WindowsLineEndsPass) {
  std::string pem;
  for (const char c : File("go-p256.pem")) pem += c == '\n' ? std::string("\r\n") : std::string(1, c);
  EXPECT_TRUE(Csr::Parse(pem).ok());
}

// --- The two readers agree -----------------------------------------------------------------------------------------

// What a verdict says, so that two of them can be compared.
std::string Describe(const absl::StatusOr<Csr>& csr) {
  if (!csr.ok()) return absl::StrCat(CodeName(csr.status().code()), " ", ReasonOf(csr.status()));
  std::string text =
      absl::StrCat("ok ", csr->public_key().sha256_hex(), " cn=", csr->common_name(), " ca=", csr->asks_for_ca());
  for (const std::string& name : csr->uri_names()) absl::StrAppend(&text, " uri:", name);
  for (const std::string& name : csr->dns_names()) absl::StrAppend(&text, " dns:", name);
  for (const std::string& name : csr->other_names()) absl::StrAppend(&text, " other:", name);
  return text;
}

struct Agreement {
  int compared = 0;
  int plain_decided = 0;
  int accepted = 0;

  void Compare(const std::string& der, const std::string& what) {
    ++compared;
    const std::optional<absl::StatusOr<Csr>> plain = CsrReader::Plain(der);
    if (!plain.has_value()) return;  // OpenSSL alone decides then
    ++plain_decided;
    accepted += plain->ok();
    ASSERT_EQ(Describe(*plain), Describe(CsrReader::ByOpenSsl(der))) << what << "\n" << HexLower(der);
  }
};

const std::vector<std::string>& PlainFixtures() {
  static const auto* files = new std::vector<std::string>{
      "istio-citadel-p256.pem", "go-p256-dns.pem", "cfssl-ca-p256.pem", "asks-keycertsign.pem", "openssl-p256.pem"};
  return *files;
}

// Flipped bits break the signature first: this compares what happens with bytes nobody signed.
TEST(CsrReadersAgree, OnEveryByteChangedInTransit) {
  Agreement agreement;
  for (const std::string& file : PlainFixtures()) {
    const std::string der = DerOf(file);
    for (size_t at = 0; at < der.size(); ++at) {
      for (const int mask : {0x01, 0x80}) {
        std::string changed = der;
        changed[at] = static_cast<char>(changed[at] ^ mask);
        agreement.Compare(changed, absl::StrCat(file, " byte ", at));
        if (HasFatalFailure()) return;
      }
      agreement.Compare(der.substr(0, at), absl::StrCat(file, " cut at ", at));
      if (HasFatalFailure()) return;
    }
  }
  EXPECT_GT(agreement.plain_decided, 500);
  EXPECT_EQ(agreement.accepted, 0);
}

// A hostile client signs whatever it likes: the same requests with bytes changed, inserted and removed before signing.
class ResignedCsr {
 public:
  explicit ResignedCsr(const std::string& file) : key_(NewKey()) {
    const std::string der = DerOf(file);
    der::Reader whole(der);
    absl::string_view content;
    der::Element info;
    EXPECT_TRUE(whole.Read(der::kSequence, content));
    der::Reader reader(content);
    EXPECT_TRUE(reader.Read(der::kSequence, info));
    info_ = std::string(info.whole);
    const size_t spki = info_.find(std::string(Csr::Parse(der)->public_key().spki()));
    EXPECT_NE(spki, std::string::npos);
    info_.replace(spki, key_->public_key().spki().size(), std::string(key_->public_key().spki()));
    spki_begin_ = spki;
  }

  const std::string& info() const { return info_; }
  // The key stays: another one would change nothing but the signature's verdict.
  bool InKey(size_t at) const { return at >= spki_begin_ && at < spki_begin_ + key_->public_key().spki().size(); }

  std::string Sign(const std::string& info) const {
    std::string content = absl::StrCat(info, kEcdsaWithSha256Algorithm);
    der::AppendElement(der::kBitString, absl::StrCat(std::string(1, '\0'), *key_->Sign(info)), content);
    return der::MakeElement(der::kSequence, content);
  }

 private:
  std::unique_ptr<SoftwareKey> key_;
  std::string info_;
  size_t spki_begin_ = 0;
};

// `info` with `grow` bytes more or fewer at `at`, every length around it corrected, so that only the spot differs.
std::string Resized(absl::string_view element, size_t at, absl::string_view insert, size_t remove) {
  der::Reader reader(element);
  der::Element self;
  if (!reader.Next(self) || !reader.empty()) return std::string(element);
  const size_t header = element.size() - self.content.size();
  if (at < header || (self.tag & 0x20) == 0) {
    std::string content(self.content);
    const size_t spot = at < header ? 0 : at - header;
    content.replace(spot, std::min(remove, content.size() - spot), std::string(insert));
    return der::MakeElement(self.tag, content);
  }
  std::string content;
  der::Reader children(self.content);
  size_t offset = header;
  der::Element child;
  while (children.Next(child)) {
    const bool inside = at >= offset && at < offset + child.whole.size();
    content += inside ? Resized(child.whole, at - offset, insert, remove) : std::string(child.whole);
    offset += child.whole.size();
  }
  return der::MakeElement(self.tag, content);
}

TEST(CsrReadersAgree, OnChangedRequestsSignedAnew) {
  Agreement agreement;
  for (const std::string& file : PlainFixtures()) {
    const ResignedCsr csr(file);
    for (size_t at = 0; at < csr.info().size(); ++at) {
      if (csr.InKey(at)) continue;
      for (const int value : {0x00, 0x01, 0x30, 0x80, 0xff, csr.info()[at] ^ 0x01, csr.info()[at] ^ 0x20}) {
        std::string changed = csr.info();
        changed[at] = static_cast<char>(value);
        agreement.Compare(csr.Sign(changed), absl::StrCat(file, " byte ", at, " = ", value));
        if (HasFatalFailure()) return;
      }
      for (const absl::string_view insert :
           {absl::string_view(""), absl::string_view("A"), absl::string_view("\0", 1)}) {
        const std::string resized = Resized(csr.info(), at, insert, insert.empty() ? 1 : 0);
        agreement.Compare(csr.Sign(resized), absl::StrCat(file, " resized at ", at));
        if (HasFatalFailure()) return;
      }
    }
  }
  // Guards against a test that compares nothing.
  EXPECT_GT(agreement.accepted, 500);
}

TEST(CsrReadersAgree, OnAnEncodingThatIsBer) {
  // The outer length with a zero before it: OpenSSL reads it, the strict reader leaves it alone.
  const std::string der = DerOf("go-p256.pem");
  ASSERT_EQ(static_cast<uint8_t>(der[1]), 0x82);
  const std::string ber = absl::StrCat(absl::string_view("\x30\x83\x00", 3), der.substr(2));
  EXPECT_FALSE(CsrReader::Plain(ber).has_value());
  EXPECT_EQ(Describe(Csr::Parse(ber)), Describe(Csr::Parse(der)));
}

// --- Hostile shapes, signed ----------------------------------------------------------------------------------------

TEST(Csr, SignedNamesOutsidePrintableAsciiAreRefused) {
  const ResignedCsr csr("go-p256.pem");
  const size_t at = csr.info().find("spiffe://");
  std::string changed = csr.info();
  changed[at + 10] = '\0';
  const absl::Status status = Csr::Parse(csr.Sign(changed)).status();
  EXPECT_EQ(ReasonOf(status), "CSR_MALFORMED");
  EXPECT_THAT(std::string(status.message()), HasSubstr("printable ASCII"));
}

}  // namespace
}  // namespace meshca
