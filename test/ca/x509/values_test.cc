// The small values: encodings, serial numbers, validity, keys.
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <openssl/err.h>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "absl/time/civil_time.h"
#include "ca/base/status.h"
#include "ca/x509/der.h"
#include "ca/x509/digest.h"
#include "ca/x509/encoding.h"
#include "ca/x509/public_key.h"
#include "ca/x509/rsa_verify.h"
#include "ca/x509/serial_number.h"
#include "ca/x509/signature_algorithm.h"
#include "ca/x509/signing_key.h"
#include "ca/x509/validity.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/x509/test_files.h"
#include "test/fakes/counting_entropy.h"

namespace meshca {
namespace {

using ::testing::HasSubstr;

// --- PEM -----------------------------------------------------------------------------------------------------------

TEST(PemText, GoesThereAndBackAtEveryLength) {
  for (size_t size = 0; size < 200; ++size) {
    std::string bytes;
    for (size_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(i * 7 + size));
    const Pem pem = PemEncode("THING", bytes);
    const absl::StatusOr<std::vector<Der>> back = PemDecodeAll(pem.text(), "THING");
    ASSERT_TRUE(back.ok()) << back.status();
    ASSERT_EQ(back->front().bytes(), bytes);
  }
}

TEST(PemText, IsWhatRfc7468Prints) {
  EXPECT_EQ(
      PemEncode("X", std::string(49, '\0')).text(),
      "-----BEGIN X-----\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\nAA==\n-----END X-----\n");
}

struct BadPem {
  const char* name;
  const char* text;
  const char* words;
};

class PemRefused : public testing::TestWithParam<BadPem> {};

TEST_P(PemRefused, NamesTheBlock) {
  const absl::Status status = PemDecodeAll(GetParam().text, "X").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().words));
}

INSTANTIATE_TEST_SUITE_P(
    Bad, PemRefused,
    testing::Values(
        BadPem{"Nothing", "hello", "no PEM block"}, BadPem{"NoEnd", "-----BEGIN X-----\nAAAA\n", "PEM block 1: no END"},
        BadPem{"SecondNoEnd", "-----BEGIN X-----\nAAAA\n-----END X-----\n-----BEGIN X-----\n", "PEM block 2: no END"},
        BadPem{"OtherLabel", "-----BEGIN Y-----\nAAAA\n-----END Y-----\n", "PEM block 1: is a Y, not a X"},
        BadPem{"Mismatch", "-----BEGIN X-----\nAAAA\n-----END Y-----\n", "END line does not name X"},
        BadPem{"BadByte", "-----BEGIN X-----\nAA!A\n-----END X-----\n", "not base64"},
        BadPem{"NoPadding", "-----BEGIN X-----\nAA\n-----END X-----\n", "not base64"},
        BadPem{"TooMuchPadding", "-----BEGIN X-----\nAAAA=\n-----END X-----\n", "not base64"},
        BadPem{"PaddingInside", "-----BEGIN X-----\nAA==AAAA\n-----END X-----\n", "not base64"},
        BadPem{"UnendedBegin", "-----BEGIN X\nAAAA\n-----END X-----\n", "BEGIN line has no end"},
        BadPem{"Encrypted", "-----BEGIN X-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END X-----\n", "encrypted"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(Hex, GoesThereAndBack) {
  EXPECT_EQ(HexLower(std::string("\x00\xab\x7f", 3)), "00ab7f");
  EXPECT_EQ(*HexDecode("00AB7f"), std::string("\x00\xab\x7f", 3));
  EXPECT_FALSE(HexDecode("0").ok());
  EXPECT_FALSE(HexDecode("0g").ok());
  EXPECT_FALSE(HexDecode("00:1").ok());
}

// --- DER -----------------------------------------------------------------------------------------------------------

TEST(DerReader, RefusesWhatOnlyBerAllows) {
  struct Case {
    const char* name;
    std::string bytes;
    bool ok;
  };
  const std::string long_content(200, 'x');
  for (const Case& c :
       std::vector<Case>{{"empty", "", false},
                         {"tag alone", "\x30", false},
                         {"short form", std::string("\x30\x01x", 3), true},
                         {"content cut", std::string("\x30\x02x", 3), false},
                         {"indefinite", std::string("\x30\x80\x00\x00", 4), false},
                         {"long form for 1", std::string("\x30\x81\x01x", 4), false},
                         {"long form for 200", "\x30\x81\xc8" + long_content, true},
                         {"zero before the length", std::string("\x30\x82\x00\xc8", 4) + long_content, false},
                         {"length beyond the end", std::string("\x30\x83\xff\xff\xff", 5), false},
                         {"four length bytes", std::string("\x30\x84\x00\x00\x00\x01x", 7), false},
                         {"tag number 31", std::string("\x1f\x01\x00", 3), false}}) {
    der::Element element;
    EXPECT_EQ(der::Reader(c.bytes).Next(element), c.ok) << c.name;
  }
}

TEST(DerTime, WritesTheFormItsYearDemandsAndReadsItBack) {
  struct Case {
    absl::CivilSecond civil;
    const char* content;
    uint8_t tag;
  };
  for (const Case& c :
       std::vector<Case>{{absl::CivilSecond(1950, 1, 1, 0, 0, 0), "500101000000Z", der::kUtcTime},
                         {absl::CivilSecond(2026, 11, 23, 20, 59, 1), "261123205901Z", der::kUtcTime},
                         {absl::CivilSecond(2049, 12, 31, 23, 59, 59), "491231235959Z", der::kUtcTime},
                         {absl::CivilSecond(2050, 1, 1, 0, 0, 0), "20500101000000Z", der::kGeneralizedTime},
                         {absl::CivilSecond(9999, 12, 31, 23, 59, 59), "99991231235959Z", der::kGeneralizedTime}}) {
    const absl::Time time = absl::FromCivil(c.civil, absl::UTCTimeZone());
    std::string out;
    der::AppendTime(time, out);
    der::Element element;
    ASSERT_TRUE(der::Reader(out).Next(element));
    EXPECT_EQ(element.tag, c.tag);
    EXPECT_EQ(element.content, c.content);
    EXPECT_EQ(der::ParseTime(element), time);
  }
}

TEST(DerTime, RefusesOtherForms) {
  for (const char* text : {"2611232059Z", "261123205901", "261123205901+0000", "261323205901Z", "260231000000Z",
                           "26112320590aZ", "261123206001Z", "20501123205901.5Z", ""}) {
    for (const uint8_t tag : {der::kUtcTime, der::kGeneralizedTime, der::kInteger}) {
      EXPECT_FALSE(der::ParseTime(der::Element{tag, text, text}).has_value()) << text;
    }
  }
}

TEST(DerOid, ReadsAsDottedText) {
  EXPECT_EQ(der::OidText(absl::string_view("\x2a\x86\x48\xce\x3d\x02\x01", 7)), "1.2.840.10045.2.1");
  EXPECT_EQ(der::OidText(absl::string_view("\x55\x1d\x11", 3)), "2.5.29.17");
  EXPECT_EQ(der::OidText(absl::string_view("\x80\x01", 2)), "?");
  EXPECT_EQ(der::OidText(""), "?");
}

// --- Serial numbers ------------------------------------------------------------------------------------------------

TEST(SerialNumber, IsTimeThenChance) {
  CountingEntropy entropy(7);
  const absl::Time now = absl::FromUnixSeconds(0x6a000000);
  const SerialNumber first = SerialNumber::Make(now, entropy);
  EXPECT_EQ(first.ToHex(), "35000000000000000000000000000007");
  EXPECT_LT(first, SerialNumber::Make(now + absl::Seconds(2), entropy));
  EXPECT_LT(first, SerialNumber::Make(now, entropy));
  // 30.5 us a step, up to the last before the next two seconds.
  EXPECT_EQ(SerialNumber::Make(now + absl::Microseconds(31), entropy).ToHex().substr(0, 12), "350000000001");
  EXPECT_EQ(SerialNumber::Make(now + absl::Seconds(1), entropy).ToHex().substr(0, 12), "350000008000");
  EXPECT_EQ(SerialNumber::Make(now + absl::Microseconds(1'999'999), entropy).ToHex().substr(0, 12), "35000000ffff");
}

TEST(SerialNumber, StaysPositiveAndShortestWhateverTheClock) {
  CountingEntropy entropy;
  for (const int64_t seconds : {int64_t{-5}, int64_t{0}, int64_t{1} << 31, (int64_t{1} << 32) - 1, int64_t{1} << 40}) {
    const SerialNumber serial = SerialNumber::Make(absl::FromUnixSeconds(seconds), entropy);
    EXPECT_TRUE(der::IsPositiveInteger(serial.bytes())) << seconds;
    EXPECT_NE(serial.bytes()[0], 0) << seconds;
  }
}

TEST(SerialNumber, HexAndBytesGoThereAndBack) {
  CountingEntropy entropy;
  const SerialNumber serial = SerialNumber::Make(TestNow(), entropy);
  EXPECT_EQ(*SerialNumber::FromHex(serial.ToHex()), serial);
  EXPECT_EQ(*SerialNumber::FromBytes(serial.bytes()), serial);
  EXPECT_EQ(absl::Hash<SerialNumber>()(*SerialNumber::FromHex(serial.ToHex())), absl::Hash<SerialNumber>()(serial));
  for (const std::string& bad :
       {std::string("00"), std::string(32, '0'), std::string(32, 'f'), std::string(32, 'g'), serial.ToHex() + "00"}) {
    EXPECT_FALSE(SerialNumber::FromHex(bad).ok()) << bad;
  }
  EXPECT_TRUE(SerialNumber().empty());
}

// --- Validity ------------------------------------------------------------------------------------------------------

TEST(Validity, CutsToWholeSecondsAndKeepsOrder) {
  const absl::StatusOr<Validity> validity =
      Validity::Make(TestNow() + absl::Milliseconds(900), TestNow() + absl::Milliseconds(5900));
  ASSERT_TRUE(validity.ok());
  EXPECT_EQ(validity->not_before, TestNow());
  EXPECT_EQ(validity->lifetime(), absl::Seconds(5));
  EXPECT_TRUE(validity->Contains(TestNow()));
  EXPECT_TRUE(validity->Contains(validity->not_after + absl::Milliseconds(999)));
  EXPECT_FALSE(validity->Contains(validity->not_after + absl::Seconds(1)));
  EXPECT_FALSE(validity->Contains(TestNow() - absl::Milliseconds(1)));
  EXPECT_FALSE(Validity::Make(TestNow(), TestNow() + absl::Milliseconds(900)).ok());
  EXPECT_FALSE(Validity::Make(TestNow(), absl::InfiniteFuture()).ok());
  EXPECT_FALSE(Validity::Make(absl::InfinitePast(), TestNow()).ok());
}

// --- Keys ----------------------------------------------------------------------------------------------------------

class EveryKeyType : public testing::TestWithParam<KeyType> {};

TEST_P(EveryKeyType, SignsVerifiesAndTravels) {
  const std::unique_ptr<SoftwareKey> key = NewKey(GetParam());
  EXPECT_EQ(key->public_key().type(), GetParam());
  EXPECT_EQ(*ParseKeyType(KeyTypeName(GetParam())), GetParam());
  const std::string signature = *key->Sign("message");
  EXPECT_TRUE(key->public_key().Verify(key->signature_algorithm(), "message", signature).ok());
  EXPECT_EQ(ReasonOf(key->public_key().Verify(key->signature_algorithm(), "other", signature)), "SIGNATURE_INVALID");

  const absl::StatusOr<std::unique_ptr<SoftwareKey>> from_der = SoftwareKey::FromPkcs8Der(key->ToPkcs8Der().reveal());
  ASSERT_TRUE(from_der.ok()) << from_der.status();
  EXPECT_EQ((*from_der)->public_key(), key->public_key());
  const absl::StatusOr<std::unique_ptr<SoftwareKey>> from_pem = SoftwareKey::FromPem(key->ToPkcs8Pem().reveal());
  ASSERT_TRUE(from_pem.ok()) << from_pem.status();
  EXPECT_TRUE(key->public_key().Verify(key->signature_algorithm(), "m", *(*from_pem)->Sign("m")).ok());

  const absl::StatusOr<PublicKey> slow = PublicKey::FromSpkiByOpenSsl(key->public_key().spki());
  ASSERT_TRUE(slow.ok());
  EXPECT_EQ(*slow, key->public_key());
  EXPECT_EQ(slow->KeyIdentifier().size(), 20u);
}

INSTANTIATE_TEST_SUITE_P(Keys, EveryKeyType,
                         testing::Values(KeyType::kEcP256, KeyType::kEcP384, KeyType::kEd25519, KeyType::kRsa2048),
                         [](const auto& info) {
                           std::string name(KeyTypeName(info.param));
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

TEST(SoftwareKey, TwoKeysOnOneThreadDoNotMixTheirContexts) {
  const std::unique_ptr<SoftwareKey> a = NewKey(), b = NewKey();
  for (int i = 0; i < 3; ++i) {
    for (const SoftwareKey* key : {a.get(), b.get(), a.get()}) {
      EXPECT_TRUE(key->public_key().Verify(key->signature_algorithm(), "m", *key->Sign("m")).ok());
    }
  }
}

// More RSA keys than a thread has contexts ready for, in turns, with signatures that do not fit in between.
TEST(PublicKey, ManyRsaKeysOnOneThreadDoNotMixTheirContexts) {
  std::vector<std::unique_ptr<SoftwareKey>> keys;
  std::vector<std::string> signatures;
  for (int i = 0; i < 6; ++i) {
    keys.push_back(SoftwareKey::Generate(KeyType::kRsa2048).value());
    signatures.push_back(keys.back()->Sign("m").value());
  }
  const HashValue digest = Hash(HashType::kSha256, "m");
  for (size_t turn = 0; turn < keys.size(); ++turn) {
    for (size_t i = 0; i < keys.size(); ++i) {
      // A copy that ends here: what a context is kept of is OpenSSL's key.
      const PublicKey key = PublicKey::FromSpki(keys[i]->public_key().spki()).value();
      const size_t other = (i + turn) % keys.size();
      EXPECT_EQ(key.Verify(keys[i]->signature_algorithm(), "m", signatures[other]).ok(), other == i);
      const SignatureAlgorithm pkcs1{SignatureScheme::kRsaPkcs1, HashType::kSha256};
      EXPECT_EQ(VerifyRsaDigest(keys[i]->public_key(), pkcs1, digest, signatures[other]), other == i);
      EXPECT_FALSE(VerifyRsaDigest(key, {SignatureScheme::kRsaPss, HashType::kSha256}, digest, signatures[i]));
      EXPECT_FALSE(VerifyRsaDigest(key, {SignatureScheme::kRsaPkcs1, HashType::kSha384}, digest, signatures[i]));
      EXPECT_TRUE(VerifyRsaDigest(key, pkcs1, digest, signatures[i])) << "after those that do not fit";
    }
  }
  EXPECT_EQ(ERR_peek_error(), 0u);
}

TEST(PublicKey, ADigestByRsaIsOfNoOtherKind) {
  const HashValue digest = Hash(HashType::kSha256, "m");
  const std::unique_ptr<SoftwareKey> rsa = SoftwareKey::Generate(KeyType::kRsa2048).value();
  for (const KeyType type : {KeyType::kEcP256, KeyType::kEcP384, KeyType::kEd25519}) {
    const std::unique_ptr<SoftwareKey> key = SoftwareKey::Generate(type).value();
    EXPECT_FALSE(VerifyRsaDigest(key->public_key(), {SignatureScheme::kRsaPkcs1, HashType::kSha256}, digest,
                                 key->Sign("m").value()));
  }
  for (const SignatureScheme scheme : {SignatureScheme::kEcdsa, SignatureScheme::kEd25519}) {
    EXPECT_FALSE(VerifyRsaDigest(rsa->public_key(), {scheme, HashType::kSha256}, digest, rsa->Sign("m").value()));
  }
}

TEST(SoftwareKey, RefusesWhatIsNoKeyOfOurs) {
  struct Case {
    const char* name;
    std::string text;
    const char* words;
  };
  const std::string pem = std::string(NewKey()->ToPkcs8Pem().reveal());
  for (const Case& c :
       std::vector<Case>{{"certificate", PemEncode("CERTIFICATE", "x").text(), "is a CERTIFICATE"},
                         {"encrypted", PemEncode("ENCRYPTED PRIVATE KEY", "x").text(), "decrypt it first"},
                         {"two", pem + pem, "2 PEM blocks"},
                         {"garbage", PemEncode("PRIVATE KEY", "garbage").text(), "not a PKCS#8"},
                         {"not pem", "garbage", "no PEM block"},
                         {"huge", std::string(70000, 'x'), "64 KiB"}}) {
    const absl::Status status = SoftwareKey::FromPem(c.text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.name;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.words)) << c.name;
    EXPECT_THAT(std::string(status.message()), HasSubstr("private key")) << c.name;
  }
  EXPECT_FALSE(SoftwareKey::FromPkcs8Der(std::string(NewKey()->ToPkcs8Der().reveal()) + "x").ok());
}

TEST(SoftwareKey, ReadsTheOlderPemForms) {
  EXPECT_EQ((*SoftwareKey::FromPem(TestFile("keys/ec-sec1.pem")))->public_key().type(), KeyType::kEcP256);
  EXPECT_EQ((*SoftwareKey::FromPem(TestFile("keys/ec-sec1-with-parameters.pem")))->public_key().type(),
            KeyType::kEcP256);
  EXPECT_EQ((*SoftwareKey::FromPem(TestFile("keys/rsa-pkcs1.pem")))->public_key().type(), KeyType::kRsa2048);
}

TEST(PublicKey, FastAndSlowPathAgreeOnEveryPoint) {
  const std::string spki(NewKey()->public_key().spki());
  std::set<std::string> reasons;
  for (size_t at = 0; at < spki.size(); ++at) {
    for (const int mask : {0x01, 0x40, 0x80}) {
      std::string changed = spki;
      changed[at] = static_cast<char>(changed[at] ^ mask);
      const absl::Status fast = PublicKey::FromSpki(changed).status();
      EXPECT_EQ(ReasonOf(fast), ReasonOf(PublicKey::FromSpkiByOpenSsl(changed).status())) << at << " " << mask;
      reasons.insert(ReasonOf(fast));
    }
  }
  EXPECT_TRUE(reasons.contains("KEY_MALFORMED")) << "a point off the curve must not pass";
  std::string compressed(
      "\x30\x39\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
      "\x03\x22\x00",
      26);
  compressed += static_cast<char>(2 | (spki.back() & 1));
  compressed += spki.substr(27, 32);
  EXPECT_EQ(ReasonOf(PublicKey::FromSpki(compressed).status()), "KEY_UNSUPPORTED");
}

TEST(PublicKey, AnAlgorithmOfAnotherKindIsUnsupported) {
  const std::unique_ptr<SoftwareKey> key = NewKey();
  const std::string signature = *key->Sign("m");
  EXPECT_EQ(ReasonOf(key->public_key().Verify(kEd25519Algorithm, "m", signature)), "SIGNATURE_UNSUPPORTED");
  EXPECT_EQ(ReasonOf(key->public_key().Verify(kSha256WithRsaAlgorithm, "m", signature)), "SIGNATURE_UNSUPPORTED");
  EXPECT_EQ(ReasonOf(key->public_key().Verify("", "m", signature)), "SIGNATURE_UNSUPPORTED");
  EXPECT_EQ(ReasonOf(key->public_key().Verify(kEcdsaWithSha256Algorithm, "m", signature + "x")), "SIGNATURE_INVALID");
}

}  // namespace
}  // namespace meshca
