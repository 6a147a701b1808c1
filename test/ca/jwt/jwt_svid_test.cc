#include "ca/jwt/jwt_svid.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "ca/jwt/base64url.h"
#include "ca/jwt/jwks.h"
#include "ca/jwt/jwt.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/authn/refuses.h"
#include "test/ca/jwt/jwt_maker.h"

namespace meshca {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Code = absl::StatusCode;

PublicKey KeyOfJwk(absl::string_view jwk) {
  return Jwks::Parse(absl::StrCat(R"({"keys":[)", jwk, "]}")).value().keys().at(0).key;
}

// Keys of two trust domains: ours, and one more whose key has the same kid.
class KnownKeys {
 public:
  KnownKeys() {
    keys_["cluster.local"] = {{"k1", KeyOfJwk(ours_.Jwk())}};
    keys_["other.test"] = {{"k1", KeyOfJwk(other_.Jwk())}};
  }
  const std::vector<JwtKey>* operator()(const TrustDomain& domain) const {
    const auto found = keys_.find(domain.name());
    return found == keys_.end() ? nullptr : &found->second;
  }
  const JwtMaker& ours() const { return ours_; }
  const JwtMaker& other() const { return other_; }

 private:
  const JwtMaker ours_{"k1"};
  const JwtMaker other_{"k1"};
  std::map<std::string, std::vector<JwtKey>> keys_;
};

constexpr char kHeader[] = R"({"alg":"ES256","kid":"k1","typ":"JWT"})";
constexpr char kPayload[] =
    R"({"sub":"spiffe://cluster.local/ns/default/sa/web","aud":["db","cache"],"exp":1767323345,"iat":1767323045})";

std::string Payload(std::initializer_list<std::pair<const absl::string_view, absl::string_view>> changes) {
  return absl::StrReplaceAll(kPayload, changes);
}

TEST(ValidateJwtSvid, AGoodTokenGivesIdAudiencesEndAndEveryClaim) {
  const KnownKeys keys;
  const std::string token =
      keys.ours().Sign(kHeader, Payload({{R"("iat":1767323045)", R"("iat":1767323045,"tenant":{"name":"a"})"}}));
  const auto svid = ValidateJwtSvid(token, "cache", keys, kJwtNow);
  ASSERT_TRUE(svid.ok()) << svid.status();
  EXPECT_EQ(svid->id.uri(), "spiffe://cluster.local/ns/default/sa/web");
  EXPECT_THAT(svid->audiences, ElementsAre("db", "cache"));
  EXPECT_EQ(svid->expires_at, kJwtNow + absl::Minutes(5));
  ASSERT_NE(svid->claims.Find("tenant"), nullptr);
  EXPECT_EQ(svid->claims.Find("tenant")->FindText("name"), "a");
}

struct SvidCase {
  const char* name;
  std::string header;
  std::string payload;
  const char* reason;  // "" for a good token
  const char* words;
  absl::Duration later = absl::ZeroDuration();
};
class JwtSvidRule : public testing::TestWithParam<SvidCase> {};

TEST_P(JwtSvidRule, IsKept) {
  const KnownKeys keys;
  const auto verdict =
      ValidateJwtSvid(keys.ours().Sign(GetParam().header, GetParam().payload), "db", keys, kJwtNow + GetParam().later);
  if (*GetParam().reason == '\0') {
    EXPECT_TRUE(verdict.ok()) << verdict.status();
  } else {
    EXPECT_THAT(verdict, Refuses(Code::kUnauthenticated, GetParam().reason, GetParam().words));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Headers, JwtSvidRule,
    testing::Values(
        SvidCase{"Good", kHeader, kPayload, "", ""},
        SvidCase{"TypeMayBeJose", R"({"alg":"ES256","kid":"k1","typ":"JOSE"})", kPayload, "", ""},
        SvidCase{"TypeMayBeLeftOut", R"({"alg":"ES256","kid":"k1"})", kPayload, "", ""},
        SvidCase{"TypeInSmallLettersIsRefused", R"({"alg":"ES256","kid":"k1","typ":"jwt"})", kPayload,
                 "JWT_TYPE_REFUSED", "(typ) is \"jwt\"; accepted are JWT and JOSE"},
        SvidCase{"TypeOfAnAccessTokenIsRefused", R"({"alg":"ES256","kid":"k1","typ":"at+jwt"})", kPayload,
                 "JWT_TYPE_REFUSED", "at+jwt"},
        SvidCase{"TypeThatIsNoTextIsRefused", R"({"alg":"ES256","kid":"k1","typ":1})", kPayload, "JWT_TYPE_REFUSED",
                 "(typ)"},
        SvidCase{"UnknownHeaderIsRefused", R"({"alg":"ES256","kid":"k1","typ":"JWT","x":1})", kPayload,
                 "JWT_HEADER_REFUSED", "its header has \"x\"; only alg, kid and typ may be there"},
        SvidCase{"RegisteredHeaderIsRefusedToo", R"({"alg":"ES256","kid":"k1","cty":"JWT"})", kPayload,
                 "JWT_HEADER_REFUSED", "\"cty\""},
        SvidCase{"KeyInTheHeaderIsRefused", R"({"alg":"ES256","kid":"k1","jwk":{"kty":"EC"}})", kPayload,
                 "JWT_HEADER_REFUSED", "\"jwk\""},
        SvidCase{"CriticalExtensionIsRefused", R"({"alg":"ES256","kid":"k1","crit":["b64"]})", kPayload,
                 "JWT_HEADER_REFUSED", "\"crit\""},
        SvidCase{"NoAlgorithmIsRefused", R"({"kid":"k1"})", kPayload, "JWT_MALFORMED", "names no algorithm"},
        SvidCase{"AlgorithmNoneIsRefused", R"({"alg":"none","kid":"k1"})", kPayload, "JWT_ALGORITHM_REFUSED",
                 "\"none\"; accepted are RS256, RS384, RS512, ES256"},
        SvidCase{"HmacIsRefused", R"({"alg":"HS256","kid":"k1"})", kPayload, "JWT_ALGORITHM_REFUSED", "\"HS256\""},
        SvidCase{"EdDsaIsNotOfTheStandard", R"({"alg":"EdDSA","kid":"k1"})", kPayload, "JWT_ALGORITHM_REFUSED",
                 "\"EdDSA\""},
        SvidCase{"AlgorithmInSmallLettersIsRefused", R"({"alg":"es256","kid":"k1"})", kPayload, "JWT_ALGORITHM_REFUSED",
                 "\"es256\""},
        SvidCase{"KeyOfAnotherKindIsRefused", R"({"alg":"RS256","kid":"k1"})", kPayload, "JWT_UNKNOWN_KEY",
                 "does not sign by RS256"},
        SvidCase{"NoKidIsRefused", R"({"alg":"ES256"})", kPayload, "JWT_UNKNOWN_KEY", "names no key (kid)"},
        SvidCase{"EmptyKidIsRefused", R"({"alg":"ES256","kid":""})", kPayload, "JWT_UNKNOWN_KEY", "names no key"},
        SvidCase{"UnknownKidIsRefused", R"({"alg":"ES256","kid":"k2"})", kPayload, "JWT_UNKNOWN_KEY",
                 "the trust domain cluster.local has no key \"k2\""}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Claims, JwtSvidRule,
    testing::Values(
        SvidCase{"NoSubject", kHeader, Payload({{R"("sub")", R"("sob")"}}), "JWT_SUBJECT_REFUSED", "no subject (sub)"},
        SvidCase{"SubjectIsNoSpiffeId", kHeader, Payload({{"spiffe://cluster", "https://cluster"}}),
                 "JWT_SUBJECT_REFUSED", "no SPIFFE ID"},
        SvidCase{"SubjectIsNoText", kHeader, Payload({{R"("spiffe://cluster.local/ns/default/sa/web")", "7"}}),
                 "JWT_SUBJECT_REFUSED", "no SPIFFE ID"},
        SvidCase{"SubjectOfAnUnknownDomain", kHeader, Payload({{"cluster.local", "nobody.test"}}),
                 "JWT_SUBJECT_REFUSED", "of the trust domain nobody.test, whose keys are not known here"},
        SvidCase{"KeyOfOurDomainSignsForNoOther", kHeader, Payload({{"cluster.local", "other.test"}}),
                 "JWT_SIGNATURE_INVALID", ""},
        SvidCase{"OtherAudience", kHeader, Payload({{R"(["db","cache"])", R"(["mail"])"}}), "JWT_WRONG_AUDIENCE",
                 "its audience is \"mail\"; accepted: db"},
        SvidCase{"AudienceMayBeOneText", kHeader, Payload({{R"(["db","cache"])", R"("db")"}}), "", ""},
        SvidCase{"NoAudience", kHeader, Payload({{R"("aud")", R"("oud")"}}), "JWT_WRONG_AUDIENCE", "missing"},
        SvidCase{"EmptyAudience", kHeader, Payload({{R"(["db","cache"])", "[]"}}), "JWT_WRONG_AUDIENCE", "missing"},
        SvidCase{"NoExpiry", kHeader, Payload({{R"("exp":1767323345,)", ""}}), "JWT_MALFORMED", "no expiry (exp)"},
        SvidCase{"LastMomentOfTheLeeway", kHeader, kPayload, "", "", absl::Seconds(359)},
        SvidCase{"Expired", kHeader, kPayload, "JWT_EXPIRED", "it expired at 2026-01-02T03:09:05Z", absl::Seconds(360)},
        SvidCase{"IssuedAtMayBeLeftOut", kHeader, Payload({{R"(,"iat":1767323045)", ""}}), "", ""},
        SvidCase{"NotYetValid", kHeader, Payload({{R"("iat":1767323045)", R"("nbf":1767323200)"}}), "JWT_NOT_YET_VALID",
                 "(nbf)"},
        SvidCase{"IssuerIsNotAskedFor", kHeader, Payload({{R"("aud")", R"("iss":"anybody","aud")"}}), "", ""}),
    [](const auto& info) { return info.param.name; });

TEST(ValidateJwtSvid, AForeignKeysSignatureIsNoneOfOurs) {
  const KnownKeys keys;
  EXPECT_THAT(ValidateJwtSvid(keys.other().Sign(kHeader, kPayload), "db", keys, kJwtNow),
              Refuses(Code::kUnauthenticated, "JWT_SIGNATURE_INVALID", "does not fit"));
  const std::string theirs = keys.other().Sign(kHeader, Payload({{"cluster.local", "other.test"}}));
  EXPECT_EQ(ValidateJwtSvid(theirs, "db", keys, kJwtNow).value().id.trust_domain_name(), "other.test");
}

TEST(ValidateJwtSvid, TheValidatorMustNameItself) {
  const KnownKeys keys;
  EXPECT_THAT(ValidateJwtSvid(keys.ours().Sign(kHeader, kPayload), "", keys, kJwtNow),
              Refuses(Code::kInvalidArgument, "JWT_AUDIENCE_INVALID", "name whom the token must be for"));
}

TEST(ValidateJwtSvid, WhatIsNoTokenIsMalformedWhateverItIs) {
  const KnownKeys keys;
  for (const std::string& text : {std::string(), std::string("a.b"), std::string("e30"), std::string("..."),
                                  std::string("e30=.e30.AA"), std::string(Jwt::kBytesMax + 1, 'e')}) {
    EXPECT_THAT(ValidateJwtSvid(text, "db", keys, kJwtNow), Refuses(Code::kUnauthenticated, "JWT_MALFORMED", ""))
        << text.substr(0, 20);
  }
}

class MintedSvid : public testing::Test {
 protected:
  MintedSvid() {
    key_id_ = JwkThumbprint(key_->public_key()).value();
    keys_ = {{key_id_, key_->public_key()}};
    claims_ = {SpiffeId::Parse("spiffe://cluster.local/ns/default/sa/web").value(),
               {"db", "with \"quotes\" and \\"},
               kJwtNow,
               kJwtNow + absl::Seconds(300)};
  }

  std::string Mint() { return MintJwtSvid(claims_, *key_, key_id_).value(); }

  const std::unique_ptr<SoftwareKey> key_ = SoftwareKey::Generate(KeyType::kEcP256).value();
  std::string key_id_;
  std::vector<JwtKey> keys_;
  JwtSvidClaims claims_;
};

TEST_F(MintedSvid, HasTheStandardsHeadersAndClaimsAndNoOthers) {
  const std::vector<std::string> parts = absl::StrSplit(Mint(), '.');
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(Base64UrlDecode(parts[0]).value(), absl::StrCat(R"({"alg":"ES256","kid":")", key_id_, R"(","typ":"JWT"})"));
  EXPECT_EQ(Base64UrlDecode(parts[1]).value(),
            R"({"sub":"spiffe://cluster.local/ns/default/sa/web","aud":["db","with \"quotes\" and \\"],)"
            R"("exp":1767323345,"iat":1767323045})");
}

// ECDSA's numbers are now and then a byte shorter: each must be padded in its place.
TEST_F(MintedSvid, EveryTokenOfManyValidates) {
  const auto keys_of = [this](const TrustDomain&) { return &keys_; };
  for (int i = 0; i < 600; ++i) {
    const auto svid = ValidateJwtSvid(Mint(), claims_.audiences[1], keys_of, kJwtNow);
    ASSERT_TRUE(svid.ok()) << svid.status();
    ASSERT_EQ(svid->id, claims_.subject);
  }
}

TEST_F(MintedSvid, NoKeyButP256Signs) {
  const auto other = SoftwareKey::Generate(KeyType::kEd25519).value();
  EXPECT_EQ(MintJwtSvid(claims_, *other, "k").status().code(), Code::kInternal);
}

TEST(JwtAudiences, AreOneToSixteenShortTextsThatCanBeShown) {
  EXPECT_TRUE(CheckJwtAudiences({"db", "spiffe://cluster.local/db", "münchen"}).ok());
  EXPECT_TRUE(CheckJwtAudiences(std::vector<std::string>(16, "a")).ok());
  EXPECT_TRUE(CheckJwtAudiences({std::string(256, 'a')}).ok());
  struct Row {
    std::vector<std::string> audiences;
    const char* words;
  };
  for (const Row& row :
       {Row{{}, "none is named"}, Row{std::vector<std::string>(17, "a"), "17 are named; the most is 16"},
        Row{{"a", ""}, "one is empty"}, Row{{std::string(257, 'a')}, "has 257 bytes; the most is 256"},
        Row{{"a\nb"}, "cannot be shown"}, Row{{"a\xff"}, "not UTF-8"}}) {
    EXPECT_THAT(CheckJwtAudiences(row.audiences), Refuses(Code::kInvalidArgument, "JWT_AUDIENCE_INVALID", row.words));
  }
}

// RFC 7638 §3.1's own example.
TEST(JwkThumbprint, IsTheOneOfTheStandardsExample) {
  const PublicKey key = KeyOfJwk(
      R"({"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_)"
      R"(BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAta)"
      R"(Sqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBn)"
      R"(iIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB"})");
  EXPECT_EQ(JwkThumbprint(key).value(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}

TEST(JwtSvidJwks, NamesUseKidAndPointOfEachKey) {
  const JwtMaker maker;
  const JwtKey key{"kid-1_A", KeyOfJwk(maker.Jwk())};
  const std::string json = JwtSvidJwks(std::vector<JwtKey>{key, key}).value();
  EXPECT_THAT(json, HasSubstr(R"({"keys":[{"use":"jwt-svid","kid":"kid-1_A","crv":"P-256","kty":"EC","x":")"));
  EXPECT_EQ(JwtSvidJwks({}).value(), R"({"keys":[]})");
  EXPECT_EQ(JwtSvidJwks(std::vector<JwtKey>{{"a\"", key.key}}).status().code(), Code::kInternal);
}

}  // namespace
}  // namespace meshca
