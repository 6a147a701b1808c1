#include "ca/authn/jwt_authenticator.h"

#include <array>
#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "ca/authn/token_cache.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/authn/refuses.h"
#include "test/ca/jwt/jwt_maker.h"

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

// Never has a set; those who ask for a look wait until it stops.
class WaitingKeys final : public JwksSource {
 public:
  std::shared_ptr<const Jwks> Current() const override { return nullptr; }
  JwksReport Report() const override { return {"waiting", absl::InfinitePast(), "", nullptr}; }
  void Refresh(Done done) override { waiting.push_back(std::move(done)); }
  void Stop() override {
    for (Done& done : std::exchange(waiting, {})) std::move(done)(absl::UnavailableError("stopped"));
  }
  std::vector<Done> waiting;
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
  void Use(std::vector<JwtIssuer> issuers, FairPool::Options pool = {.threads = 1}) {
    authenticator_ = JwtAuthenticator::Create(std::move(issuers), std::move(pool)).value();
  }
  static Credentials Bearer(absl::string_view token, std::string source = "192.0.2.7") {
    Credentials credentials;
    credentials.bearer_token = SecretBytes::CopyOf(token);
    credentials.source = std::move(source);
    return credentials;
  }
  absl::StatusOr<CallerIdentity> Ask(absl::string_view token, absl::Time now = kJwtNow) {
    return AskWith(Bearer(token), now);
  }
  absl::StatusOr<CallerIdentity> AskWith(Credentials credentials, absl::Time now = kJwtNow) {
    std::promise<absl::StatusOr<CallerIdentity>> verdict;
    authenticator_->Authenticate(std::move(credentials), now, [&](absl::StatusOr<CallerIdentity> result) {
      answered_by_ = std::this_thread::get_id();
      verdict.set_value(std::move(result));
    });
    return verdict.get_future().get();
  }
  // Keeps the only thread of the pool, inside the answer to a token of its own, until Release.
  void OccupyThePool() {
    std::promise<void> occupied;
    authenticator_->Authenticate(Bearer(maker_.Token(ValidClaims(R"(,"jti":"occupies")")), "198.51.100.1"), kJwtNow,
                                 [this, &occupied](absl::StatusOr<CallerIdentity> result) {
                                   EXPECT_TRUE(result.ok()) << result.status();
                                   occupied.set_value();
                                   released_.get_future().wait();
                                 });
    occupied.get_future().wait();
  }
  void Release() { released_.set_value(); }
  std::string BadToken(int number) { return stranger_.Token(ValidClaims(absl::StrCat(R"(,"jti":")", number, R"(")"))); }

  std::thread::id answered_by_;
  std::promise<void> released_;
  const JwtMaker stranger_;  // signs by a key that has the name of the issuer's
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
  const std::string for_a = absl::StrReplaceAll(two, {{"istio-ca", "a"}});
  auto a = Ask(other_maker.Token(absl::StrReplaceAll(two, {{"istio-ca", "a"}})));
  ASSERT_TRUE(a.ok()) << a.status();
  EXPECT_EQ(a->ids[0].path(), "/two/web");
  auto b = Ask(other_maker.Token(absl::StrReplaceAll(two, {{"istio-ca", "b"}})));
  ASSERT_TRUE(b.ok()) << b.status();
  EXPECT_EQ(b->ids[0].path(), "/two-b/web");
  EXPECT_THAT(Ask(other_maker.Token(two)), Refuses(Code::kUnauthenticated, "JWT_WRONG_AUDIENCE", "accepted: a"));
  EXPECT_THAT(Ask(maker_.Token(for_a)), Refuses(Code::kUnauthenticated, "JWT_SIGNATURE_INVALID", ""))
      << "one issuer's key is worth nothing in another's name";
  EXPECT_THAT(Ask(maker_.Token(ValidClaims())),
              Refuses(Code::kUnauthenticated, "JWT_WRONG_ISSUER",
                      "its issuer is \"https://issuer.test\"; accepted: https://one.test, https://two.test"));
}

TEST_F(JwtAuthenticatorTest, TheOriginOfTheRightIsTheIssuer) {
  const JwtMaker other_maker;
  Use({Issuer(keys_, "https://one.test"),
       Issuer(std::make_shared<FakeKeys>(other_maker.JwksText()), "https://two.test", {"istio-ca"})});
  const auto caller = Ask(other_maker.Token(absl::StrReplaceAll(ValidClaims(), {{"issuer.test", "two.test"}})));
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(caller->OriginOf(caller->ids[0]), (Origin{OriginKind::kJwtIssuer, "https://two.test"}));
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
  EXPECT_THAT(Ask(maker_.Token(ValidClaims()), end + Jwt::kLeeway), Refuses(Code::kUnauthenticated, "JWT_EXPIRED", ""));
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

TEST_F(JwtAuthenticatorTest, CheapChecksComeBeforeAnySignature) {
  Use({Issuer(keys_)});
  const auto refused = [this](const std::string& token, absl::Time now = kJwtNow) {
    const std::string reason = ReasonOf(Ask(token, now).status());
    EXPECT_EQ(answered_by_, std::this_thread::get_id()) << reason << ": needs no thread of the pool";
    return reason;
  };
  EXPECT_EQ(refused("not.a.token"), "JWT_MALFORMED");
  EXPECT_EQ(refused(stranger_.Sign(R"({"alg":"HS256"})", ValidClaims())), "JWT_ALGORITHM_REFUSED");
  EXPECT_EQ(refused(stranger_.Sign(R"({"alg":"ES256","typ":"logout+jwt"})", ValidClaims())), "JWT_TYPE_REFUSED");
  EXPECT_EQ(refused(stranger_.Token(absl::StrReplaceAll(ValidClaims(), {{"issuer.test", "other.test"}}))),
            "JWT_WRONG_ISSUER");
  EXPECT_EQ(refused(stranger_.Token(absl::StrReplaceAll(ValidClaims(), {{"istio-ca", "vault"}}))),
            "JWT_WRONG_AUDIENCE");
  EXPECT_EQ(refused(BadToken(0), kJwtNow + absl::Hours(2)), "JWT_EXPIRED");
  EXPECT_EQ(refused(BadToken(0), kJwtNow - absl::Hours(2)), "JWT_NOT_YET_VALID");
  EXPECT_EQ(refused(JwtMaker("k9").Token(ValidClaims())), "JWT_UNKNOWN_KEY");
  EXPECT_EQ(authenticator_->signatures_verified(), 0u);
  EXPECT_EQ(ReasonOf(Ask(BadToken(0)).status()), "JWT_SIGNATURE_INVALID");
  EXPECT_EQ(authenticator_->signatures_verified(), 1u);
}

TEST_F(JwtAuthenticatorTest, SignaturesAreVerifiedOnThePoolAndAKnownTokenIsAnsweredAtOnce) {
  Use({Issuer(keys_)});
  const std::string token = maker_.Token(ValidClaims());
  ASSERT_TRUE(Ask(token).ok());
  EXPECT_NE(answered_by_, std::this_thread::get_id());
  ASSERT_TRUE(Ask(token).ok());
  EXPECT_EQ(answered_by_, std::this_thread::get_id());
  EXPECT_EQ(authenticator_->signatures_verified(), 1u);
}

TEST_F(JwtAuthenticatorTest, ATokenWhoseSignatureWasBadIsNotVerifiedAgainUntilTheKeysChange) {
  Use({Issuer(keys_)});
  const std::string token = stranger_.Token(ValidClaims());
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(Ask(token), Refuses(Code::kUnauthenticated, "JWT_SIGNATURE_INVALID", "does not fit"));
  }
  EXPECT_EQ(answered_by_, std::this_thread::get_id());
  EXPECT_EQ(authenticator_->signatures_verified(), 1u);
  keys_->Publish(stranger_.JwksText());
  EXPECT_TRUE(Ask(token).ok()) << "another key of the same name";
  EXPECT_EQ(authenticator_->signatures_verified(), 2u);
}

TEST_F(JwtAuthenticatorTest, OneTokenSentManyTimesAtOnceIsVerifiedOnce) {
  Use({Issuer(keys_)});
  OccupyThePool();
  const std::string token = maker_.Token(ValidClaims());
  std::array<std::promise<bool>, 8> verdicts;
  for (std::promise<bool>& verdict : verdicts) {
    authenticator_->Authenticate(Bearer(token), kJwtNow,
                                 [&verdict](absl::StatusOr<CallerIdentity> caller) { verdict.set_value(caller.ok()); });
  }
  Release();
  for (std::promise<bool>& verdict : verdicts) EXPECT_TRUE(verdict.get_future().get());
  EXPECT_EQ(authenticator_->signatures_verified(), 2u) << "with the one that occupied the pool";
}

TEST_F(JwtAuthenticatorTest, WhatNobodyWaitsForIsNotVerified) {
  Use({Issuer(keys_)});
  Credentials credentials = Bearer(maker_.Token(ValidClaims()));
  credentials.abandoned = [] { return true; };
  EXPECT_TRUE(absl::IsCancelled(AskWith(std::move(credentials)).status()));
  EXPECT_EQ(authenticator_->signatures_verified(), 0u);
}

TEST_F(JwtAuthenticatorTest, OneSourcesBadTokensDelayAnothersGoodOneByOneVerification) {
  Use({Issuer(keys_)}, {.threads = 1, .places_per_source_max = 16});
  OccupyThePool();
  std::atomic<int> refused = 0;
  std::atomic<int> before = 0;
  for (int i = 0; i < 100; ++i) {
    authenticator_->Authenticate(Bearer(BadToken(i), "203.0.113.1"), kJwtNow,
                                 [&](absl::StatusOr<CallerIdentity> caller) {
                                   if (ReasonOf(caller.status()) == "AUTHENTICATION_SHARE_USED") ++refused;
                                   if (ReasonOf(caller.status()) == "JWT_SIGNATURE_INVALID") ++before;
                                 });
  }
  EXPECT_EQ(refused, 84) << "beyond its share";
  std::promise<int> verified_before;
  authenticator_->Authenticate(Bearer(maker_.Token(ValidClaims())), kJwtNow,
                               [&](absl::StatusOr<CallerIdentity> caller) {
                                 EXPECT_TRUE(caller.ok()) << caller.status();
                                 verified_before.set_value(before);
                               });
  Release();
  EXPECT_EQ(verified_before.get_future().get(), 1);
  authenticator_.reset();
}

TEST_F(JwtAuthenticatorTest, TokensThatWaitForANewKeyHaveTheirSourcesPlacesToo) {
  auto slow = std::make_shared<WaitingKeys>();
  Use({Issuer(slow)}, {.threads = 1, .places_per_source_max = 2});
  int refused = 0;
  for (int i = 0; i < 5; ++i) {
    authenticator_->Authenticate(Bearer(BadToken(i)), kJwtNow, [&](absl::StatusOr<CallerIdentity> caller) {
      if (ReasonOf(caller.status()) == "AUTHENTICATION_SHARE_USED") ++refused;
    });
  }
  EXPECT_EQ(refused, 3);
  EXPECT_EQ(slow->waiting.size(), 2u);
  authenticator_->Authenticate(Bearer(BadToken(9), "198.51.100.9"), kJwtNow, [](absl::StatusOr<CallerIdentity>) {});
  EXPECT_EQ(slow->waiting.size(), 3u);
  slow->Stop();
}

CallerIdentity Named(std::string subject) {
  CallerIdentity caller;
  caller.subject = std::move(subject);
  return caller;
}

TEST(RefusedTokens, AreBoundedAndBelongToTheirKeySet) {
  RefusedTokens refused(2);
  const JwtMaker maker;
  const auto keys = std::make_shared<const Jwks>(Jwks::Parse(maker.JwksText()).value());
  const auto same_keys_again = std::make_shared<const Jwks>(Jwks::Parse(maker.JwksText()).value());
  refused.Put("a", keys);
  EXPECT_TRUE(refused.Contains("a", keys));
  EXPECT_FALSE(refused.Contains("a", same_keys_again));
  EXPECT_FALSE(refused.Contains("a", nullptr));
  EXPECT_FALSE(refused.Contains("b", keys));
  refused.Put("b", keys);
  refused.Put("b", keys);
  EXPECT_TRUE(refused.Contains("a", keys));
  refused.Put("c", keys);
  EXPECT_EQ(refused.size(), 2u);
  EXPECT_FALSE(refused.Contains("a", keys));
  EXPECT_TRUE(refused.Contains("c", keys));
}

TEST(TokenCache, IsBoundedAndKeepsWhatIsUsed) {
  TokenCache<CallerIdentity> cache(2);
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

TEST(TokenCache, ForgetsWhenTheClockWentBack) {
  TokenCache<CallerIdentity> cache;
  cache.Put("a", Named("a"), kJwtNow + absl::Hours(1), kJwtNow);
  EXPECT_FALSE(cache.Find("a", kJwtNow - absl::Seconds(1)).has_value());
  EXPECT_EQ(cache.size(), 0u);
  cache.Put("late", Named("late"), kJwtNow, kJwtNow);
  EXPECT_EQ(cache.size(), 0u) << "an ended token is not kept";
}

}  // namespace
}  // namespace meshca
