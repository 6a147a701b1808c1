#include "ca/authn/jwt_authenticator.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "ca/authn/jwt_cache.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/authn/jwt_maker.h"
#include "test/ca/authn/refuses.h"

namespace meshca {
namespace {

using testing::HasSubstr;
using Code = absl::StatusCode;

// Holds a set, and the next one that a look would find.
class FakeKeys final : public JwksSource {
 public:
  explicit FakeKeys(absl::string_view jwks) { Publish(jwks); }
  FakeKeys() = default;
  std::shared_ptr<const Jwks> Current() const override { return current_; }
  JwksReport Report() const override { return {"fake", absl::InfinitePast(), "", current_}; }
  void Refresh(Done done) override {
    ++looks;
    if (!next.empty()) Publish(next);
    std::move(done)(verdict);
  }
  void Stop() override {}
  void Publish(absl::string_view jwks) { current_ = std::make_shared<const Jwks>(Jwks::Parse(jwks).value()); }

  std::string next;
  absl::Status verdict;
  int looks = 0;

 private:
  std::shared_ptr<const Jwks> current_;
};

class JwtAuthenticatorTest : public testing::Test {
 protected:
  static JwtIssuer Issuer(std::shared_ptr<JwksSource> keys, std::string name = "https://issuer.test",
                          std::vector<std::string> audiences = {"istio-ca"},
                          absl::string_view spiffe_id = "spiffe://{trust_domain}/ns/{claims.ns}/sa/{claims.sa}") {
    JwtIssuer issuer;
    issuer.issuer = std::move(name);
    issuer.audiences = std::move(audiences);
    issuer.spiffe_id = ClaimTemplate::Parse(spiffe_id, TrustDomain::Parse("cluster.local").value()).value();
    issuer.keys = std::move(keys);
    return issuer;
  }
  void Use(std::vector<JwtIssuer> issuers) { authenticator_ = JwtAuthenticator::Create(std::move(issuers)).value(); }
  absl::StatusOr<CallerIdentity> Ask(absl::string_view token, absl::Time now = kJwtNow) {
    Credentials credentials;
    credentials.bearer_token = SecretBytes::CopyOf(token);
    std::optional<absl::StatusOr<CallerIdentity>> verdict;
    authenticator_->Authenticate(std::move(credentials), now,
                                 [&](absl::StatusOr<CallerIdentity> result) { verdict = std::move(result); });
    return verdict.value();
  }

  const JwtMaker maker_;
  std::shared_ptr<FakeKeys> keys_ = std::make_shared<FakeKeys>(maker_.JwksText());
  std::unique_ptr<JwtAuthenticator> authenticator_;
};

TEST_F(JwtAuthenticatorTest, GivesTheTemplatesId) {
  Use({Issuer(keys_)});
  auto caller = Ask(maker_.Token(ValidClaims()));
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(caller->method, AuthMethod::kJwt);
  ASSERT_EQ(caller->ids.size(), 1u);
  EXPECT_EQ(caller->ids[0].uri(), "spiffe://cluster.local/ns/default/sa/web");
  EXPECT_EQ(caller->subject, "jwt https://issuer.test sub=web");
  EXPECT_EQ(caller->proof_expires, absl::FromUnixSeconds(1767326645));
  EXPECT_FALSE(caller->IsRenewal());
  EXPECT_EQ(keys_->looks, 0);
  EXPECT_THAT(std::string(authenticator_->accepts()), HasSubstr("https://issuer.test"));
}

TEST_F(JwtAuthenticatorTest, TheIssuerChoosesTheRule) {
  const JwtMaker other_maker;
  Use({Issuer(keys_, "https://one.test"),
       Issuer(std::make_shared<FakeKeys>(other_maker.JwksText()), "https://two.test", {"a"},
              "spiffe://{trust_domain}/two/{claims.sub}"),
       Issuer(std::make_shared<FakeKeys>(other_maker.JwksText()), "https://two.test", {"b"},
              "spiffe://{trust_domain}/two-b/{claims.sub}")});
  const std::string two = absl::StrReplaceAll(ValidClaims(), {{"issuer.test", "two.test"}});
  auto a = Ask(other_maker.Token(absl::StrReplaceAll(two, {{"istio-ca", "a"}})));
  ASSERT_TRUE(a.ok()) << a.status();
  EXPECT_EQ(a->ids[0].path(), "/two/web");
  auto b = Ask(other_maker.Token(absl::StrReplaceAll(two, {{"istio-ca", "b"}})));
  ASSERT_TRUE(b.ok()) << b.status();
  EXPECT_EQ(b->ids[0].path(), "/two-b/web");
  EXPECT_THAT(Ask(other_maker.Token(two)), Refuses(Code::kUnauthenticated, "JWT_WRONG_AUDIENCE", "accepted: a"));
  EXPECT_THAT(Ask(maker_.Token(two)), Refuses(Code::kUnauthenticated, "JWT_SIGNATURE_INVALID", ""))
      << "one issuer's key is worth nothing in another's name";
  EXPECT_THAT(Ask(maker_.Token(ValidClaims())),
              Refuses(Code::kUnauthenticated, "JWT_WRONG_ISSUER",
                      "its issuer is \"https://issuer.test\"; accepted: https://one.test, https://two.test"));
}

TEST_F(JwtAuthenticatorTest, AGoodTokenWithoutAnIdIsPermissionDenied) {
  Use({Issuer(keys_)});
  EXPECT_THAT(Ask(maker_.Token(absl::StrReplaceAll(ValidClaims(), {{"\"sa\":\"web\"", "\"sb\":\"web\""}}))),
              Refuses(Code::kPermissionDenied, "JWT_CLAIM_MISSING", "{claims.sa}"));
  EXPECT_THAT(Ask(maker_.Token(absl::StrReplaceAll(ValidClaims(), {{"\"sa\":\"web\"", "\"sa\":\"a/b\""}}))),
              Refuses(Code::kPermissionDenied, "JWT_CLAIM_INVALID", "a/b"));
}

TEST_F(JwtAuthenticatorTest, ANewKeyIsLookedForOnce) {
  const JwtMaker fresh("k2");
  Use({Issuer(keys_)});
  const std::string token = fresh.Token(ValidClaims());
  EXPECT_THAT(Ask(token), Refuses(Code::kUnauthenticated, "JWT_UNKNOWN_KEY", "no key \"k2\""));
  EXPECT_EQ(keys_->looks, 1);
  keys_->next = fresh.JwksText();
  EXPECT_TRUE(Ask(token).ok());
  EXPECT_EQ(keys_->looks, 2);
  EXPECT_THAT(Ask(JwtMaker("k2").Token(ValidClaims())), Refuses(Code::kUnauthenticated, "JWT_SIGNATURE_INVALID", ""))
      << "a known kid";
  EXPECT_EQ(keys_->looks, 2) << "a bad signature sends nobody looking";
}

TEST_F(JwtAuthenticatorTest, KeysThatWereNeverReachedAreUnavailable) {
  auto away = std::make_shared<FakeKeys>();
  away->verdict = WithReason(absl::UnavailableError("never reached: connection refused"), "JWKS_UNAVAILABLE");
  Use({Issuer(away)});
  EXPECT_THAT(Ask(maker_.Token(ValidClaims())),
              Refuses(Code::kUnavailable, "JWKS_UNAVAILABLE", "keys of issuer https://issuer.test: never reached"));
  away->verdict = absl::OkStatus();
  away->next = maker_.JwksText();
  EXPECT_TRUE(Ask(maker_.Token(ValidClaims())).ok());
}

TEST_F(JwtAuthenticatorTest, AVerdictIsRememberedForAMinuteAtMost) {
  Use({Issuer(keys_)});
  const std::string token = maker_.Token(ValidClaims());
  ASSERT_TRUE(Ask(token).ok());
  keys_->Publish(JwtMaker("k1").JwksText());  // the key is taken back
  EXPECT_TRUE(Ask(token, kJwtNow + absl::Seconds(59)).ok());
  EXPECT_THAT(Ask(token, kJwtNow + absl::Seconds(60)), Refuses(Code::kUnauthenticated, "JWT_SIGNATURE_INVALID", ""));
}

TEST_F(JwtAuthenticatorTest, AVerdictNeverOutlivesTheToken) {
  Use({Issuer(keys_)});
  const absl::Time end = absl::FromUnixSeconds(1767326645);
  const std::string token = maker_.Token(ValidClaims());
  ASSERT_TRUE(Ask(token, end - absl::Seconds(1)).ok());
  keys_->Publish(JwtMaker("k1").JwksText());
  EXPECT_FALSE(Ask(token, end).ok()) << "judged anew from exp on";
  EXPECT_THAT(Ask(maker_.Token(ValidClaims()), end + Jwt::kLeeway),
              Refuses(Code::kUnauthenticated, "JWT_SIGNATURE_INVALID", ""));
}

TEST_F(JwtAuthenticatorTest, KnowsAJwtByItsLooks) {
  Use({Issuer(keys_)});
  auto recognises = [&](absl::string_view token) {
    Credentials credentials;
    credentials.bearer_token = SecretBytes::CopyOf(token);
    return authenticator_->Recognises(credentials);
  };
  EXPECT_TRUE(recognises(maker_.Token(ValidClaims())));
  EXPECT_TRUE(recognises("eyJhbGciOiJub25lIn0.e30."));
  EXPECT_TRUE(recognises("not.a.token")) << "said to be malformed, rather than of no known kind";
  EXPECT_FALSE(recognises(""));
  EXPECT_FALSE(recognises("s3cr3t"));
}

CallerIdentity Named(std::string subject) {
  CallerIdentity caller;
  caller.subject = std::move(subject);
  return caller;
}

TEST(JwtCache, IsBoundedAndKeepsWhatIsUsed) {
  JwtCache cache(2);
  const absl::Time end = kJwtNow + absl::Hours(1);
  cache.Put("a", Named("a"), end, kJwtNow);
  cache.Put("b", Named("b"), end, kJwtNow);
  EXPECT_TRUE(cache.Find("a", kJwtNow).has_value());
  cache.Put("c", Named("c"), end, kJwtNow);
  EXPECT_EQ(cache.size(), 2u);
  EXPECT_EQ(cache.Find("a", kJwtNow)->subject, "a");
  EXPECT_FALSE(cache.Find("b", kJwtNow).has_value());
  cache.Put("a", Named("a2"), end, kJwtNow);
  EXPECT_EQ(cache.Find("a", kJwtNow)->subject, "a2");
  EXPECT_EQ(cache.size(), 2u);
}

TEST(JwtCache, ForgetsWhenTheClockWentBack) {
  JwtCache cache;
  cache.Put("a", Named("a"), kJwtNow + absl::Hours(1), kJwtNow);
  EXPECT_FALSE(cache.Find("a", kJwtNow - absl::Seconds(1)).has_value());
  EXPECT_EQ(cache.size(), 0u);
  cache.Put("late", Named("late"), kJwtNow, kJwtNow);
  EXPECT_EQ(cache.size(), 0u) << "an ended token is not kept";
}

}  // namespace
}  // namespace meshca
