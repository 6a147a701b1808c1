#include "ca/jwt/jwt.h"

#include <set>
#include <string>
#include <vector>

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "ca/base/openssl_ptr.h"
#include "ca/base/status.h"
#include "ca/jwt/jwks.h"
#include "ca/jwt/jwt_digest.h"
#include "ca/x509/digest.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/authn/refuses.h"
#include "test/ca/jwt/jwt_maker.h"
#include "test/ca/jwt/jwt_vectors.h"

namespace meshca {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Code = absl::StatusCode;

const std::vector<std::string> kAudiences = {"other", "istio-ca"};

// Everything that a token must pass.
absl::Status Judge(absl::string_view token, const Jwks& keys, absl::Time now = kJwtNow) {
  absl::StatusOr<Jwt> jwt = Jwt::Parse(token);
  MESHCA_RETURN_IF_ERROR(jwt.status());
  MESHCA_RETURN_IF_ERROR(jwt->proof().Verify(keys));
  return jwt->CheckClaims("https://issuer.test", kAudiences, now);
}

std::string B64(absl::string_view text) { return absl::WebSafeBase64Escape(text); }

struct VectorCase {
  const char* name;
  const char* token;
  JwtAlgorithm algorithm;
};
class JwtVector : public testing::TestWithParam<VectorCase> {};

TEST_P(JwtVector, WhatAnotherImplementationSignedVerifies) {
  const Jwks keys = Jwks::Parse(kVectorJwks).value();
  absl::StatusOr<Jwt> jwt = Jwt::Parse(GetParam().token);
  ASSERT_TRUE(jwt.ok()) << jwt.status();
  EXPECT_EQ(jwt->algorithm(), GetParam().algorithm);
  EXPECT_EQ(jwt->subject(), "web");
  EXPECT_TRUE(Judge(GetParam().token, keys).ok()) << Judge(GetParam().token, keys);
}

TEST_P(JwtVector, AnyChangeBreaksTheSignature) {
  const Jwks keys = Jwks::Parse(kVectorJwks).value();
  const std::string token = GetParam().token;
  const size_t first_dot = token.find('.');
  const size_t last_dot = token.rfind('.');
  std::string payload;
  ASSERT_TRUE(absl::WebSafeBase64Unescape(token.substr(first_dot + 1, last_dot - first_dot - 1), &payload));
  const std::string other =
      absl::StrCat(token.substr(0, first_dot + 1), B64(absl::StrReplaceAll(payload, {{"default", "kube-sys"}})),
                   token.substr(last_dot));
  ASSERT_NE(other, token);
  EXPECT_THAT(Judge(other, keys), Refuses(Code::kUnauthenticated, "JWT_SIGNATURE_INVALID", "does not fit"));
  std::string flipped = token;
  flipped[last_dot + 10] = flipped[last_dot + 10] == 'A' ? 'B' : 'A';
  EXPECT_THAT(Judge(flipped, keys), Refuses(Code::kUnauthenticated, "JWT_SIGNATURE_INVALID", "does not fit"));
}

// All texts that differ from `text` in one bit.
std::vector<std::string> OneBitAway(const std::string& text) {
  std::vector<std::string> others;
  for (size_t at = 0; at < text.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      others.push_back(text);
      others.back()[at] = static_cast<char>(static_cast<unsigned char>(text[at]) ^ (1u << bit));
    }
  }
  return others;
}

// Of header, payload and signature. The digest comes with each, as an authenticator gives it.
TEST_P(JwtVector, NoTokenOneBitAwayVerifiesOrHasItsName) {
  const Jwks keys = Jwks::Parse(kVectorJwks).value();
  const JwtDigest digest = JwtDigest::Of(GetParam().token);
  const absl::StatusOr<Jwt> good = Jwt::Parse(GetParam().token, &digest);
  ASSERT_TRUE(good.ok()) << good.status();
  EXPECT_TRUE(good->proof().Verify(keys).ok());
  std::set<std::string> names = {digest.token};
  size_t refused_by_signature = 0;
  for (const std::string& other : OneBitAway(GetParam().token)) {
    const JwtDigest its = JwtDigest::Of(other);
    EXPECT_TRUE(names.insert(its.token).second) << other;
    const absl::StatusOr<Jwt> read = Jwt::Parse(other, &its);
    if (!read.ok()) continue;
    const absl::Status verified = read->proof().Verify(keys);
    EXPECT_FALSE(verified.ok()) << other;
    refused_by_signature += ReasonOf(verified) == "JWT_SIGNATURE_INVALID" ? 1 : 0;
  }
  EXPECT_GT(refused_by_signature, 100u);
  EXPECT_TRUE(good->proof().Verify(keys).ok()) << "what was refused in between changes nothing";
}

TEST(JwtDigest, NamesEachTextWhereverItsDotsStand) {
  std::set<std::string> names;
  for (const char* text : {"", ".", "..", "a", "a.", ".a", "a.b", "ab.", ".ab", "ab", "a.b.c", "a.bc.", "ab..c",
                           "a..bc", "abc", "a.b.c."}) {
    const JwtDigest digest = JwtDigest::Of(text);
    EXPECT_EQ(digest.token.size(), 32u);
    EXPECT_TRUE(names.insert(digest.token).second) << text;
  }
  EXPECT_EQ(JwtDigest::Of("a.b.c").signing_input.view(), Sha256("a.b"));
  EXPECT_EQ(JwtDigest::Of("a.b.c").token, Sha256(absl::StrCat(Sha256("a.b"), ".c")));
}

// A thread keeps the header that it read last.
TEST(Jwt, AHeaderIsTakenForNoOtherThatCameBeforeIt) {
  const auto parse = [](absl::string_view header) {
    return Jwt::Parse(absl::StrCat(B64(header), ".", B64("{}"), ".AAAA"));
  };
  const std::string good = R"({"alg":"RS256","kid":"a"})";
  const struct {
    std::string header;
    const char* kid;  // null: refused
    JwtAlgorithm algorithm = JwtAlgorithm::kRs256;
  } cases[] = {{good, "a"},
               {R"({"alg":"RS256","kid":"b"})", "b"},
               {R"({"alg":"ES256","kid":"a"})", "a", JwtAlgorithm::kEs256},
               {R"({"alg":"RS256"})", ""},
               {R"({"alg":"none","kid":"a"})", nullptr},
               {R"({"alg":"RS256","kid":"a","crit":["b64"]})", nullptr},
               {R"({"alg":"RS256","kid":"a","typ":"logout+jwt"})", nullptr},
               {absl::StrCat(R"({"alg":"RS256","kid":")", std::string(600, 'k'), "\"}"), nullptr}};
  for (const auto& each : cases) {
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(parse(good)->kid(), "a");
      const absl::StatusOr<Jwt> read = parse(each.header);
      const bool is_long = each.header.size() > 600;
      ASSERT_EQ(read.ok(), each.kid != nullptr || is_long) << each.header << ": " << read.status();
      if (!read.ok()) continue;
      EXPECT_EQ(read->kid(), is_long ? std::string(600, 'k') : each.kid) << each.header;
      EXPECT_EQ(read->algorithm(), each.algorithm) << each.header;
    }
  }
  EXPECT_FALSE(Jwt::Parse(absl::StrCat(".", B64("{}"), ".AAAA")).ok()) << "no header at all";
}

INSTANTIATE_TEST_SUITE_P(PyJwt, JwtVector,
                         testing::Values(VectorCase{"RS256", kVectorRs256, JwtAlgorithm::kRs256},
                                         VectorCase{"PS256", kVectorPs256, JwtAlgorithm::kPs256},
                                         VectorCase{"ES256", kVectorEs256, JwtAlgorithm::kEs256},
                                         VectorCase{"ES384", kVectorEs384, JwtAlgorithm::kEs384},
                                         VectorCase{"EdDSA", kVectorEdDsa, JwtAlgorithm::kEdDsa}),
                         [](const auto& info) { return info.param.name; });

struct TokenCase {
  const char* name;
  std::string token;
  const char* reason;
  const char* words;
};
class JwtReject : public testing::TestWithParam<TokenCase> {};

TEST_P(JwtReject, HasItsOwnReasonAndWords) {
  EXPECT_THAT(Judge(GetParam().token, Jwks::Parse(kVectorJwks).value()),
              Refuses(Code::kUnauthenticated, GetParam().reason, GetParam().words));
}

std::string WithHeader(absl::string_view header) { return absl::StrCat(B64(header), ".", B64("{}"), ".AA"); }

INSTANTIATE_TEST_SUITE_P(
    Algorithms, JwtReject,
    testing::Values(
        TokenCase{"None", kVectorNone, "JWT_ALGORITHM_REFUSED", "algorithm \"none\" would leave the token unsigned"},
        TokenCase{"NoneInCapitals", WithHeader(R"({"alg":"NONE"})"), "JWT_ALGORITHM_REFUSED", "unsigned"},
        TokenCase{"HmacWithThePublicKey", kVectorHmacWithPublicKey, "JWT_ALGORITHM_REFUSED", "\"HS256\" is HMAC"},
        TokenCase{"Hs512", WithHeader(R"({"alg":"HS512"})"), "JWT_ALGORITHM_REFUSED", "is HMAC"},
        TokenCase{"LowerCase", WithHeader(R"({"alg":"rs256"})"), "JWT_ALGORITHM_REFUSED",
                  "not known here; accepted are RS256"},
        TokenCase{"Rs1", WithHeader(R"({"alg":"RS1"})"), "JWT_ALGORITHM_REFUSED", "not known here"},
        TokenCase{"Empty", WithHeader(R"({"alg":""})"), "JWT_ALGORITHM_REFUSED", "not known here"}),
    [](const auto& info) { return info.param.name; });

std::string Deep(int levels) {
  return std::string(static_cast<size_t>(levels), '[') + std::string(static_cast<size_t>(levels), ']');
}

INSTANTIATE_TEST_SUITE_P(
    Form, JwtReject,
    testing::Values(
        TokenCase{"Empty", "", "JWT_MALFORMED", "three parts"},
        TokenCase{"TwoParts", "e30.e30", "JWT_MALFORMED", "three parts"},
        TokenCase{"FourParts", "e30.e30.AA.AA", "JWT_MALFORMED", "three parts"},
        TokenCase{"Encrypted", "e30.AA.AA.AA.AA", "JWT_MALFORMED", "encrypted (JWE)"},
        TokenCase{"TooLarge", std::string(Jwt::kBytesMax + 1, 'e'), "JWT_MALFORMED", "16385 bytes; the most is 16384"},
        TokenCase{"Padding", absl::StrCat("e30=.", "e30.AA"), "JWT_MALFORMED", "header is not base64url"},
        TokenCase{"StandardBase64", "e3+/.e30.AA", "JWT_MALFORMED", "header is not base64url"},
        TokenCase{"WhiteSpace", " e30.e30.AA", "JWT_MALFORMED", "header is not base64url"},
        TokenCase{"HeaderNoJson", absl::StrCat(B64("{"), ".e30.AA"), "JWT_MALFORMED", "header: not JSON"},
        TokenCase{"HeaderNoObject", absl::StrCat(B64("[]"), ".e30.AA"), "JWT_MALFORMED", "header is no JSON object"},
        TokenCase{"HeaderBytesAfter", absl::StrCat(B64("{} x"), ".e30.AA"), "JWT_MALFORMED", "header: not JSON"},
        TokenCase{"NoAlgorithm", "e30.e30.AA", "JWT_MALFORMED", "names no algorithm"},
        TokenCase{"AlgorithmNoText", WithHeader(R"({"alg":1})"), "JWT_MALFORMED", "names no algorithm"},
        TokenCase{"AlgorithmTwice", WithHeader(R"({"alg":"RS256","alg":"none"})"), "JWT_MALFORMED", "\"alg\" twice"},
        TokenCase{"TypeTwiceWithOthersBetween", WithHeader(R"({"typ":"JWT","alg":"RS256","kid":"a","typ":"JWT"})"),
                  "JWT_MALFORMED", "\"typ\" twice"},
        TokenCase{"Critical", WithHeader(R"({"alg":"RS256","crit":["b64"],"b64":false})"), "JWT_MALFORMED", "crit"},
        TokenCase{"KidNoText", WithHeader(R"({"alg":"RS256","kid":7})"), "JWT_MALFORMED", "kid is no text"},
        TokenCase{"PayloadNoJson", absl::StrCat(B64(R"({"alg":"RS256"})"), ".", B64("x"), ".AA"), "JWT_MALFORMED",
                  "payload: not JSON"},
        TokenCase{"PayloadClaimTwice",
                  absl::StrCat(B64(R"({"alg":"RS256"})"), ".", B64(R"({"sub":"a","sub":"b"})"), ".AA"), "JWT_MALFORMED",
                  "\"sub\" twice"},
        TokenCase{"PayloadDeep",
                  absl::StrCat(B64(R"({"alg":"RS256"})"), ".", B64(absl::StrCat("{\"a\":", Deep(16), "}")), ".AA"),
                  "JWT_MALFORMED", "nested deeper than 16"},
        TokenCase{"SignatureNoBase64", absl::StrCat(B64(R"({"alg":"RS256"})"), ".e30.A"), "JWT_MALFORMED",
                  "signature is not base64url"},
        TokenCase{"NoSignature", absl::StrCat(B64(R"({"alg":"RS256"})"), ".e30."), "JWT_MALFORMED", "no signature"}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Types, JwtReject,
    testing::Values(TokenCase{"NoText", WithHeader(R"({"alg":"RS256","typ":7})"), "JWT_MALFORMED", "typ is no text"},
                    TokenCase{"SecurityEvent", WithHeader(R"({"alg":"RS256","typ":"secevent+jwt"})"),
                              "JWT_TYPE_REFUSED", "its type is \"secevent+jwt\"; accepted are JWT"},
                    TokenCase{"Logout", WithHeader(R"({"alg":"RS256","typ":"application/logout+jwt"})"),
                              "JWT_TYPE_REFUSED", "logout+jwt"},
                    TokenCase{"Empty", WithHeader(R"({"alg":"RS256","typ":""})"), "JWT_TYPE_REFUSED", "its type is"}),
    [](const auto& info) { return info.param.name; });

TEST(Jwt, ATypeMayBeLeftOutOrSayThatItIsATokenToCallWith) {
  const JwtMaker issuer;
  const Jwks keys = Jwks::Parse(issuer.JwksText()).value();
  for (const char* header : {R"({"alg":"ES256"})", R"({"alg":"ES256","typ":"JWT"})", R"({"alg":"ES256","typ":"jwt"})",
                             R"({"alg":"ES256","typ":"JOSE"})", R"({"alg":"ES256","typ":"at+jwt"})",
                             R"({"alg":"ES256","typ":"application/at+jwt"})"}) {
    EXPECT_TRUE(Judge(issuer.Sign(header, ValidClaims()), keys).ok()) << header;
  }
}

INSTANTIATE_TEST_SUITE_P(Keys, JwtReject,
                         testing::Values(TokenCase{"UnknownKid", WithHeader(R"({"alg":"RS256","kid":"k9"})"),
                                                   "JWT_UNKNOWN_KEY", "no key \"k9\" for RS256"},
                                         TokenCase{"KidOfAnotherType", WithHeader(R"({"alg":"RS256","kid":"p256"})"),
                                                   "JWT_UNKNOWN_KEY", "for RS256"},
                                         TokenCase{"Es256WithTheP384Key", WithHeader(R"({"alg":"ES256","kid":"p384"})"),
                                                   "JWT_UNKNOWN_KEY", "for ES256"},
                                         TokenCase{"EcdsaTooShort", WithHeader(R"({"alg":"ES256","kid":"p256"})"),
                                                   "JWT_SIGNATURE_INVALID", "does not fit"},
                                         // r and s of zero: CVE-2022-21449 took these for a signature of anything.
                                         TokenCase{"EcdsaZeros",
                                                   absl::StrCat(B64(R"({"alg":"ES256","kid":"p256"})"), ".", B64("{}"),
                                                                ".", B64(std::string(64, '\0'))),
                                                   "JWT_SIGNATURE_INVALID", "does not fit"}),
                         [](const auto& info) { return info.param.name; });

// Claims of a token that is signed well.
struct ClaimCase {
  const char* name;
  std::string claims;
  absl::Duration later;  // than kJwtNow
  const char* reason;    // "" for a good token
  const char* words;
};
class JwtClaims : public testing::TestWithParam<ClaimCase> {};

TEST_P(JwtClaims, AreCheckedEachByItsOwnRule) {
  const JwtMaker issuer;
  const absl::Status verdict =
      Judge(issuer.Token(GetParam().claims), Jwks::Parse(issuer.JwksText()).value(), kJwtNow + GetParam().later);
  if (*GetParam().reason == '\0') {
    EXPECT_TRUE(verdict.ok()) << verdict;
  } else {
    EXPECT_THAT(verdict, Refuses(Code::kUnauthenticated, GetParam().reason, GetParam().words));
  }
}

std::string Claims(std::initializer_list<std::pair<const absl::string_view, absl::string_view>> changes) {
  return absl::StrReplaceAll(ValidClaims(), changes);
}

INSTANTIATE_TEST_SUITE_P(
    Times, JwtClaims,
    testing::Values(
        ClaimCase{"Good", ValidClaims(), absl::ZeroDuration(), "", ""},
        ClaimCase{"LastMomentOfTheLeeway", ValidClaims(), absl::Seconds(3659), "", ""},
        ClaimCase{"Expired", ValidClaims(), absl::Seconds(3660), "JWT_EXPIRED", "it expired at 2026-01-02T04:04:05Z"},
        ClaimCase{"EarliestMomentOfTheLeeway", ValidClaims(), absl::Seconds(-60), "", ""},
        ClaimCase{"NotYetValid", ValidClaims(), absl::Seconds(-61), "JWT_NOT_YET_VALID",
                  "not valid before 2026-01-02T03:04:05Z (nbf); the server's clock says 2026-01-02T03:03:04Z"},
        ClaimCase{"IssuedInTheFuture", Claims({{"\"nbf\":1767323045,", ""}}), absl::Seconds(-61), "JWT_NOT_YET_VALID",
                  "(iat)"},
        ClaimCase{"NoExpiry", Claims({{"\"exp\":1767326645,", ""}}), absl::ZeroDuration(), "JWT_MALFORMED",
                  "no expiry (exp)"},
        ClaimCase{"ExpiryNoNumber", Claims({{"1767326645", "\"1767326645\""}}), absl::ZeroDuration(), "JWT_MALFORMED",
                  "\"exp\" is no time"},
        ClaimCase{"ExpiryHuge", Claims({{"1767326645", "1e300"}}), absl::ZeroDuration(), "JWT_MALFORMED",
                  "\"exp\" is no time"},
        ClaimCase{"ExpiryNegative", Claims({{"1767326645", "-1"}}), absl::ZeroDuration(), "JWT_MALFORMED",
                  "\"exp\" is no time"},
        ClaimCase{"NotBeforeNoNumber", Claims({{"\"nbf\":1767323045", "\"nbf\":null"}}), absl::ZeroDuration(),
                  "JWT_MALFORMED", "\"nbf\" is no time"},
        ClaimCase{"Fraction", Claims({{"1767326645", "1767326645.75"}}), absl::Milliseconds(3660700), "", ""}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    IssuerAndAudience, JwtClaims,
    testing::Values(
        ClaimCase{"WrongIssuer", Claims({{"https://issuer.test", "https://issuer.test/"}}), absl::ZeroDuration(),
                  "JWT_WRONG_ISSUER", "its issuer is \"https://issuer.test/\", not \"https://issuer.test\""},
        ClaimCase{"NoIssuer", Claims({{"\"iss\":\"https://issuer.test\",", ""}}), absl::ZeroDuration(),
                  "JWT_WRONG_ISSUER", "its issuer is \"\""},
        ClaimCase{"WrongAudience", Claims({{"istio-ca", "vault"}}), absl::ZeroDuration(), "JWT_WRONG_AUDIENCE",
                  "its audience is \"vault\"; accepted: other, istio-ca"},
        ClaimCase{"NoAudience", Claims({{"\"aud\":[\"istio-ca\"],", ""}}), absl::ZeroDuration(), "JWT_WRONG_AUDIENCE",
                  "its audience is missing"},
        ClaimCase{"AudienceInText", Claims({{"[\"istio-ca\"]", "\"istio-ca\""}}), absl::ZeroDuration(), "", ""},
        ClaimCase{"AudienceOnePrefix", Claims({{"istio-ca", "istio-ca2"}}), absl::ZeroDuration(), "JWT_WRONG_AUDIENCE",
                  ""},
        ClaimCase{"AudienceNumber", Claims({{"[\"istio-ca\"]", "[7]"}}), absl::ZeroDuration(), "JWT_WRONG_AUDIENCE",
                  "missing"}),
    [](const auto& info) { return info.param.name; });

TEST(Jwt, WithoutAKidEachKeyOfTheTypeIsTried) {
  const JwtMaker first("a"), second("b");
  const Jwks keys = Jwks::Parse(absl::StrCat(R"({"keys":[)", first.Jwk(), ",", second.Jwk(), "]}")).value();
  EXPECT_TRUE(Judge(second.Sign(R"({"alg":"ES256"})", ValidClaims()), keys).ok());
  EXPECT_THAT(Judge(JwtMaker("c").Sign(R"({"alg":"ES256"})", ValidClaims()), keys),
              Refuses(Code::kUnauthenticated, "JWT_SIGNATURE_INVALID", ""));
}

TEST(Jwt, WithoutAKidOnlyAFewKeysAreTried) {
  const JwtMaker last("last");
  std::string list = last.Jwk();
  for (const char* kid : {"a", "b", "c"}) list = absl::StrCat(JwtMaker(kid).Jwk(), ",", list);
  const std::string token = last.Sign(R"({"alg":"ES256"})", ValidClaims());
  EXPECT_TRUE(Judge(token, Jwks::Parse(absl::StrCat(R"({"keys":[)", list, "]}")).value()).ok());
  list = absl::StrCat(JwtMaker("d").Jwk(), ",", list);
  const Jwks keys = Jwks::Parse(absl::StrCat(R"({"keys":[)", list, "]}")).value();
  EXPECT_THAT(Judge(token, keys), Refuses(Code::kUnauthenticated, "JWT_KEY_AMBIGUOUS",
                                          "5 of the issuer's keys may have signed it by ES256, and at most 4"));
  EXPECT_TRUE(Judge(last.Sign(R"({"alg":"ES256","kid":"last"})", ValidClaims()), keys).ok());
}

struct JwksCase {
  const char* name;
  std::string json;
  const char* words;
};
class JwksReject : public testing::TestWithParam<JwksCase> {};

TEST_P(JwksReject, IsNoKeySetAtAll) {
  EXPECT_THAT(Jwks::Parse(GetParam().json), Refuses(Code::kInvalidArgument, "JWKS_INVALID", GetParam().words));
}

std::string Keys(absl::string_view keys) { return absl::StrCat(R"({"keys":[)", keys, "]}"); }
std::string Zeros(size_t size) { return B64(std::string(size, '\0')); }

INSTANTIATE_TEST_SUITE_P(
    Rfc7517, JwksReject,
    testing::Values(JwksCase{"NoJson", "<html>", "not JSON at byte 1"}, JwksCase{"NoKeys", "{}", "no list \"keys\""},
                    JwksCase{"KeysNoList", R"({"keys":{}})", "no list \"keys\""},
                    JwksCase{"TooLarge", std::string(Jwks::kBytesMax + 1, ' '), "262145 bytes; the most is 262144"},
                    JwksCase{"TooManyKeys",
                             [] {
                               std::string keys;
                               for (int i = 0; i < 101; ++i)
                                 absl::StrAppend(&keys, i == 0 ? "" : ",", R"({"kty":"x"})");
                               return Keys(keys);
                             }(),
                             "101 keys; the most is 100"}),
    [](const auto& info) { return info.param.name; });

// A key that cannot be used, beside one that can.
struct IgnoredCase {
  const char* name;
  std::string jwk;
  std::string key;  // how it is named
  std::string why;  // part of what is said of it
  bool broken = true;
};
class JwksIgnores : public testing::TestWithParam<IgnoredCase> {};

TEST_P(JwksIgnores, OneBadKeyIsLeftOutAndTheOthersStayGood) {
  const JwtMaker issuer("good");
  for (const std::string& list :
       {absl::StrCat(GetParam().jwk, ",", issuer.Jwk()), absl::StrCat(issuer.Jwk(), ",", GetParam().jwk)}) {
    const absl::StatusOr<Jwks> keys = Jwks::Parse(Keys(list));
    ASSERT_TRUE(keys.ok()) << keys.status();
    EXPECT_TRUE(Judge(issuer.Token(ValidClaims()), *keys).ok());
    EXPECT_EQ(keys->keys().size(), 1u);
    ASSERT_EQ(keys->ignored().size(), 1u);
    EXPECT_THAT(keys->ignored().front().why, HasSubstr(GetParam().why));
    EXPECT_EQ(keys->ignored().front().broken, GetParam().broken);
    EXPECT_THAT(keys->IgnoredText(), HasSubstr(": "));
  }
  const Jwks alone = Jwks::Parse(Keys(GetParam().jwk)).value();
  EXPECT_THAT(alone.keys(), IsEmpty()) << "a set without a usable key is a set";
  EXPECT_EQ(alone.ignored().front().name, GetParam().key);
  EXPECT_THAT(Judge(issuer.Token(ValidClaims()), alone), Refuses(Code::kUnauthenticated, "JWT_UNKNOWN_KEY", "no key"));
}

std::string Rsa(const std::string& modulus, absl::string_view more = "") {
  return absl::StrCat(R"({"kty":"RSA","e":"AQAB","n":")", modulus, "\"", more, "}");
}
// A sound modulus of 2048 bits, as far as a reader of public keys can tell.
std::string Modulus() { return B64(std::string(256, '\xff')); }
std::string Point(absl::string_view members) { return absl::StrCat(R"({"kty":"EC","crv":"P-256")", members, "}"); }

INSTANTIATE_TEST_SUITE_P(
    Broken, JwksIgnores,
    testing::Values(
        IgnoredCase{"WeakRsa", Rsa(B64(std::string(128, '\xff')), R"(,"kid":"old")"), "\"old\"", "RSA of 1024 bits"},
        IgnoredCase{"HugeRsa", Rsa(B64(std::string(1024, '\xff'))), "keys[0]", "at most 4096"},
        IgnoredCase{"PaddedModulus", Rsa(Modulus() + "=="), "keys[0]", "\"n\" is not base64url without padding"},
        IgnoredCase{"EvenModulus", Rsa(B64(std::string(255, '\xff') + std::string(1, '\xfe'))), "keys[0]",
                    "not one that a sound generator makes"},
        IgnoredCase{"NoModulus", R"({"kty":"RSA","e":"AQAB"})", "keys[0]", "\"n\" is missing"},
        IgnoredCase{"CertificateAlone", R"({"kty":"RSA","x5c":["MIIB"]})", "keys[0]", "x5c alone is not read"},
        IgnoredCase{"PointWithoutY", Point(absl::StrCat(R"(,"x":")", Zeros(32), "\"")), "keys[0]", "\"y\" is missing"},
        IgnoredCase{"ShortPoint", Point(R"(,"x":"AA","y":"AA")"), "keys[0]", "\"x\" is not 32 bytes long"},
        IgnoredCase{"PointOffTheCurve", Point(absl::StrCat(R"(,"x":")", Zeros(32), R"(","y":")", Zeros(32), "\"")),
                    "keys[0]", "not on the curve"},
        IgnoredCase{"NoType", R"({"kid":"k"})", "\"k\"", "\"kty\" is missing"},
        IgnoredCase{"NoObject", "7", "keys[0]", "is no JSON object"},
        IgnoredCase{"KidIsANumber", R"({"kty":"RSA","kid":7})", "keys[0]", "\"kid\" is no text"},
        IgnoredCase{"PrivateKey", Rsa(Modulus(), R"(,"d":"AQ")"), "keys[0]", "must never be published"},
        IgnoredCase{"SharedKey", R"({"kty":"oct","k":"c2VjcmV0"})", "keys[0]", "must never be published"},
        IgnoredCase{"AlgorithmOfAnotherType", Rsa(Modulus(), R"(,"alg":"ES256")"), "keys[0]",
                    "does not take a key of type rsa-2048"},
        IgnoredCase{"OperationsNoList", Rsa(Modulus(), R"(,"key_ops":"verify")"), "keys[0]", "\"key_ops\" is no list"},
        IgnoredCase{"NameFromAStranger", Rsa("AQ", absl::StrCat(R"(,"kid":"\n)", std::string(100, 'k'), "\"")),
                    absl::StrCat("\"\\n", std::string(63, 'k'), "...\""), "RSA of"}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    ForSomethingElse, JwksIgnores,
    testing::Values(
        IgnoredCase{"Encryption", Rsa(Modulus(), R"(,"use":"enc")"), "keys[0]", "is for the use \"enc\"", false},
        IgnoredCase{"OperationsWithoutVerify", Rsa(Modulus(), R"(,"key_ops":["wrapKey"])"), "keys[0]",
                    "\"key_ops\" lacks verify", false},
        IgnoredCase{"UnknownType", R"({"kty":"AKP","pub":"AA"})", "keys[0]", "takes the key type \"AKP\"", false},
        IgnoredCase{"UnknownCurve", R"({"kty":"EC","crv":"P-521"})", "keys[0]", "takes the curve \"P-521\"", false},
        IgnoredCase{"UnknownAlgorithm", Rsa(Modulus(), R"(,"alg":"RS1")"), "keys[0]", "\"RS1\" is not accepted here",
                    false}),
    [](const auto& info) { return info.param.name; });

TEST(Jwks, TwoKeysOfOneNameAreBothTried) {
  const JwtMaker first("k"), second("k");
  const Jwks keys = Jwks::Parse(Keys(absl::StrCat(first.Jwk(), ",", second.Jwk()))).value();
  EXPECT_TRUE(Judge(first.Token(ValidClaims()), keys).ok());
  EXPECT_TRUE(Judge(second.Token(ValidClaims()), keys).ok());
  EXPECT_THAT(keys.ignored(), IsEmpty());
}

TEST(Jwks, WhatIsSaidOfManyIgnoredKeysIsBounded) {
  std::string list;
  for (int i = 0; i < 20; ++i) absl::StrAppend(&list, i == 0 ? "" : ",", R"({"kty":"x"})");
  EXPECT_THAT(Jwks::Parse(Keys(list)).value().IgnoredText(), HasSubstr("; and 12 more"));
}

TEST(Jwks, LeavesForeignKeysOut) {
  const Jwks keys = Jwks::Parse(kVectorJwks).value();
  std::vector<std::string> kids;
  for (const Jwks::Key& key : keys.keys()) kids.push_back(key.kid);
  EXPECT_THAT(kids, ElementsAre("rsa", "p256", "p384", "ed"));
}

TEST(Jwks, AKeysOwnAlgorithmBinds) {
  const Jwks keys =
      Jwks::Parse(absl::StrReplaceAll(kVectorJwks, {{"\"kid\": \"rsa\"", "\"kid\": \"rsa\", \"alg\": \"PS256\""}}))
          .value();
  EXPECT_TRUE(Judge(kVectorPs256, keys).ok());
  EXPECT_THAT(Judge(kVectorRs256, keys), Refuses(Code::kUnauthenticated, "JWT_UNKNOWN_KEY", "for RS256"));
}

struct AlgorithmCase {
  const char* name;
  const char* digest;
  bool pss = false;
  const char* curve = "";  // "": RSA
};
class JwsAlgorithm : public testing::TestWithParam<AlgorithmCase> {};

// Signed by OpenSSL itself, of which ca/jwt uses nothing for this.
std::string SignByOpenSsl(const AlgorithmCase& c, EVP_PKEY* key, absl::string_view message) {
  const EvpMdCtxPtr context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* options = nullptr;
  EXPECT_EQ(EVP_DigestSignInit_ex(context.get(), &options, c.digest, nullptr, nullptr, key, nullptr), 1);
  if (c.pss) {
    EXPECT_EQ(EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING), 1);
    EXPECT_EQ(EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST), 1);
  }
  std::string signature(1024, '\0');
  size_t size = signature.size();
  EXPECT_EQ(EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                           reinterpret_cast<const unsigned char*>(message.data()), message.size()),
            1);
  signature.resize(size);
  return signature;
}

TEST_P(JwsAlgorithm, VerifiesWhatOpenSslSignedAndNothingElse) {
  const AlgorithmCase& c = GetParam();
  const EvpPkeyPtr key(*c.curve == '\0' ? EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", size_t{2048})
                                        : EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", c.curve));
  unsigned char* raw = nullptr;
  const int size = i2d_PUBKEY(key.get(), &raw);
  ASSERT_GT(size, 0);
  const std::string spki(reinterpret_cast<const char*>(raw), static_cast<size_t>(size));
  OPENSSL_free(raw);
  const PublicKey public_key = PublicKey::OfCertificate(spki).value();

  std::string signature = SignByOpenSsl(c, key.get(), "header.payload");
  if (*c.curve != '\0') signature = EcdsaToJws(signature, absl::string_view(c.curve) == "P-521" ? 66 : 32).value();
  const JwtAlgorithm algorithm = ParseJwtAlgorithm(c.name).value();
  EXPECT_TRUE(VerifyJwsSignature(algorithm, public_key, "header.payload", signature));
  EXPECT_FALSE(VerifyJwsSignature(algorithm, public_key, "header.payloae", signature));
  // By the digest alone only where SHA-256 and RSA are its ways.
  const bool by_digest = absl::EndsWith(c.name, "S256") && absl::string_view(c.name) != "ES256";
  const HashValue digest = Hash(HashType::kSha256, "header.payload");
  EXPECT_EQ(VerifyJwsSha256(algorithm, public_key, digest, signature), by_digest);
  EXPECT_FALSE(VerifyJwsSha256(algorithm, public_key, Hash(HashType::kSha256, "header.payloae"), signature));
  for (const char* other : {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}) {
    if (absl::string_view(other) == c.name) continue;
    EXPECT_FALSE(VerifyJwsSignature(ParseJwtAlgorithm(other).value(), public_key, "header.payload", signature))
        << other;
    EXPECT_FALSE(VerifyJwsSha256(ParseJwtAlgorithm(other).value(), public_key, digest, signature)) << other;
  }
}

INSTANTIATE_TEST_SUITE_P(Rfc7518, JwsAlgorithm,
                         testing::Values(AlgorithmCase{"RS256", "SHA256"}, AlgorithmCase{"RS384", "SHA384"},
                                         AlgorithmCase{"RS512", "SHA512"}, AlgorithmCase{"PS256", "SHA256", true},
                                         AlgorithmCase{"PS384", "SHA384", true}, AlgorithmCase{"PS512", "SHA512", true},
                                         AlgorithmCase{"ES256", "SHA256", false, "P-256"},
                                         AlgorithmCase{"ES512", "SHA512", false, "P-521"}),
                         [](const auto& info) { return info.param.name; });

TEST(EcdsaToJws, WhatIsNotTwoNumbersIsRefused) {
  using std::string;
  for (const string& der :
       {string(), string("\x30\x00", 2), string("\x30\x03\x02\x01\x05"), string("\x30\x06\x02\x01\x05\x02\x01\x05z"),
        string("\x30\x07\x02\x01\x05\x02\x02\x05\x05", 9)}) {
    EXPECT_EQ(EcdsaToJws(der, 1).status().code(), Code::kInternal) << B64(der);
  }
  EXPECT_EQ(EcdsaToJws("\x30\x06\x02\x01\x05\x02\x01\x06", 2).value(), string("\0\x05\0\x06", 4));
}

}  // namespace
}  // namespace meshca
