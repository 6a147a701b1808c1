#include "ca/authn/service_account_authenticator.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "ca/identity/pod_origin.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/authn/fake_cluster.h"
#include "test/ca/authn/refuses.h"
#include "test/ca/jwt/jwt_maker.h"
#include "test/fakes/fake_clock.h"

namespace meshca {
namespace {

using Code = absl::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;

class ClusterKeys final : public JwksSource {
 public:
  std::shared_ptr<const Jwks> Current() const override { return current; }
  JwksReport Report() const override { return {"cluster", absl::InfinitePast(), "", current}; }
  void Refresh(Done done) override {
    ++looks;
    if (holds) return held.push_back(std::move(done));
    if (next != nullptr) current = next;
    if (found != nullptr) found();
    std::move(done)(current == nullptr ? absl::UnavailableError("never reached") : absl::OkStatus());
  }
  void Stop() override {}
  static std::shared_ptr<const Jwks> Of(const JwtMaker& maker) {
    return std::make_shared<const Jwks>(Jwks::Parse(maker.JwksText()).value());
  }

  std::shared_ptr<const Jwks> current;
  std::shared_ptr<const Jwks> next;
  std::function<void()> found;
  int looks = 0;
  bool holds = false;
  std::vector<Done> held;  // who waits for a look
};

std::string IdUri(absl::string_view namespace_name, absl::string_view account) {
  return absl::StrCat("spiffe://cluster.local/ns/", namespace_name, "/sa/", account);
}

class ServiceAccountTest : public testing::Test {
 protected:
  ServiceAccountTest() {
    keys_->current = ClusterKeys::Of(maker_);
    options_.issuer = [this] { return issuer_; };
    options_.audiences = {"istio-ca"};
    options_.spiffe_id =
        ServiceAccountTemplate::Parse(ServiceAccountTemplate::kDefault, TrustDomain::Parse("cluster.local").value())
            .value();
    options_.trusted_node_accounts = {{"istio-system", "ztunnel"}};
    options_.pool.threads = 1;
    // Nobody's patience ends by itself: tests that wait for that say so.
    options_.patience.patience = absl::Hours(1);
    options_.patience.interval = absl::Milliseconds(1);
    reviewer_.AnswerAtOnce(absl::UnavailableError("connection refused"));
  }
  // Its pod and account are known.
  void Know(const PodToken& token) {
    pods_.Put(token.pod_uid, token.AsKnown());
    pods_.PutAccount({token.namespace_name, token.account}, token.account_uid);
  }
  ServiceAccountAuthenticator& Authn() {
    if (authenticator_ == nullptr) {
      authenticator_ = std::make_unique<ServiceAccountAuthenticator>(options_, keys_, pods_, reviewer_, clock_);
    }
    return *authenticator_;
  }
  static Credentials Bearer(absl::string_view token, std::string source = "192.0.2.7") {
    Credentials credentials;
    credentials.bearer_token = SecretBytes::CopyOf(token);
    credentials.source = std::move(source);
    return credentials;
  }
  using Verdict = absl::StatusOr<CallerIdentity>;
  std::future<Verdict> Begin(absl::string_view token, std::string source = "192.0.2.7", absl::Time now = kJwtNow) {
    auto verdict = std::make_shared<std::promise<Verdict>>();
    std::future<Verdict> answer = verdict->get_future();
    Authn().Authenticate(Bearer(token, std::move(source)), now,
                         [verdict](Verdict result) { verdict->set_value(std::move(result)); });
    return answer;
  }
  Verdict Ask(absl::string_view token, absl::Time now = kJwtNow) { return Begin(token, "192.0.2.7", now).get(); }
  // The same text each time: a signature is another one whenever it is made.
  Verdict Ask(const PodToken& token, absl::Time now = kJwtNow) {
    std::string& text = texts_[token.Claims()];
    if (text.empty()) text = maker_.Token(token.Claims());
    return Ask(text, now);
  }
  static std::vector<std::string> Uris(const Verdict& caller) {
    std::vector<std::string> uris;
    if (caller.ok()) {
      for (const SpiffeId& id : caller->ids) uris.push_back(id.uri());
    }
    return uris;
  }

  std::string issuer_ = "https://kubernetes.test";
  const JwtMaker maker_;
  std::map<std::string, std::string> texts_;
  FakeClock clock_;
  FakePods pods_;
  FakeReviewer reviewer_;
  std::shared_ptr<ClusterKeys> keys_ = std::make_shared<ClusterKeys>();
  ServiceAccountOptions options_;
  std::unique_ptr<ServiceAccountAuthenticator> authenticator_;  // last: it uses the others
};

TEST_F(ServiceAccountTest, AKnownPodIsItsAccountAndNobodyIsAsked) {
  const PodToken token;
  Know(token);
  const Verdict caller = Ask(token);
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_THAT(Uris(caller), ElementsAre(IdUri("web", "front")));
  EXPECT_EQ(caller->method, AuthMethod::kServiceAccount);
  EXPECT_EQ(caller->subject, "service account web/front");
  EXPECT_EQ(caller->instance, "pod web/front-7d4c-x2x9p");
  EXPECT_EQ(caller->proof_expires, token.ends);
  EXPECT_EQ(PodOrigin::From(caller->origin),
            (PodOrigin{"web", "front", "account-uid-1", "pod-uid-1", "https://kubernetes.test"}));
  EXPECT_EQ(reviewer_.calls(), 0);
  EXPECT_TRUE(Ask(token).ok());
  EXPECT_EQ(Authn().signatures_verified(), 1u) << "the second time it is remembered";
}

// Neither what is remembered of a good token nor of a bad one is taken for another's.
TEST_F(ServiceAccountTest, ATokenOneBitAwayIsNotTheOneThatIsRemembered) {
  const PodToken token;
  Know(token);
  const std::string text = maker_.Token(token.Claims());
  const auto flipped = [&text](size_t at, int bit) {
    std::string other = text;
    other[at] = static_cast<char>(static_cast<unsigned char>(other[at]) ^ (1u << bit));
    return other;
  };
  const size_t in_signature = text.rfind('.') + 5;
  EXPECT_FALSE(Ask(flipped(in_signature, 1)).ok());
  ASSERT_TRUE(Ask(text).ok()) << "though another of its header and payload was refused";
  for (size_t at = 0; at < text.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) EXPECT_FALSE(Ask(flipped(at, bit)).ok()) << at << " " << bit;
  }
  const uint64_t verified = Authn().signatures_verified();
  EXPECT_GT(verified, 100u);
  EXPECT_TRUE(Ask(text).ok());
  EXPECT_FALSE(Ask(flipped(in_signature, 1)).ok());
  EXPECT_EQ(Authn().signatures_verified(), verified) << "both are remembered";
}

TEST_F(ServiceAccountTest, RefusesWhatAnyJwtIsRefusedFor) {
  Know(PodToken());
  reviewer_.AnswerAtOnce(PodToken().AsReviewed());  // whatever the API server would say
  EXPECT_THAT(Ask(PodToken{.audience = "vault"}), Refuses(Code::kUnauthenticated, "JWT_WRONG_AUDIENCE", "istio-ca"));
  EXPECT_THAT(Ask(PodToken{.begins = kJwtNow - absl::Hours(2), .ends = kJwtNow - absl::Hours(1)}),
              Refuses(Code::kUnauthenticated, "JWT_EXPIRED", ""));
  EXPECT_THAT(Ask(PodToken{.begins = kJwtNow + absl::Hours(1), .ends = kJwtNow + absl::Hours(2)}),
              Refuses(Code::kUnauthenticated, "JWT_NOT_YET_VALID", ""));
  const std::string claims = PodToken().Claims();
  EXPECT_THAT(Ask(maker_.Sign(R"({"alg":"none"})", claims)),
              Refuses(Code::kUnauthenticated, "JWT_ALGORITHM_REFUSED", ""));
  // A public key is no shared secret.
  EXPECT_THAT(Ask(maker_.Sign(R"({"alg":"HS256","kid":"k1"})", claims)),
              Refuses(Code::kUnauthenticated, "JWT_ALGORITHM_REFUSED", ""));
  EXPECT_THAT(Ask(JwtMaker().Token(claims)), Refuses(Code::kUnauthenticated, "JWT_SIGNATURE_INVALID", ""));
  EXPECT_THAT(Ask(JwtMaker().Token(claims)), Refuses(Code::kUnauthenticated, "JWT_SIGNATURE_INVALID", ""));
  EXPECT_THAT(Ask(absl::StrCat("ey.", std::string(1 << 20, 'a'), ".b")),
              Refuses(Code::kUnauthenticated, "JWT_MALFORMED", "the most is"));
  EXPECT_THAT(Ask(PodToken{.subject = "system:serviceaccount:web:admin"}),
              Refuses(Code::kUnauthenticated, "SERVICE_ACCOUNT_CLAIMS", "subject"));
  EXPECT_THAT(Ask(maker_.Token(ValidClaims())), Refuses(Code::kUnauthenticated, "JWT_WRONG_ISSUER", ""));
  EXPECT_EQ(reviewer_.calls(), 0) << "none of these is in doubt";
}

TEST_F(ServiceAccountTest, ATokenOfAnotherIssuerIsLeftToTheApiServer) {
  const PodToken token{.issuer = "https://the-issuer-before.test"};
  Know(token);
  EXPECT_THAT(Ask(token), Refuses(Code::kUnavailable, "TOKEN_REVIEW_UNAVAILABLE", ""))
      << "its pod alone proves nothing";
  reviewer_.AnswerAtOnce(TokenReviewAnswer{});
  EXPECT_THAT(Ask(token), Refuses(Code::kUnauthenticated, "TOKEN_REVIEW_REFUSED", ""));
  PodToken good = token;
  good.more = R"(,"jti":"2")";
  reviewer_.AnswerAtOnce(good.AsReviewed());
  const Verdict caller = Ask(good);
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(PodOrigin::From(caller->origin)->issuer, "https://the-issuer-before.test");
  EXPECT_EQ(reviewer_.calls(), 3);
  EXPECT_EQ(Authn().signatures_verified(), 0u);
  PodToken for_others = good;
  for_others.audience = "vault";
  EXPECT_THAT(Ask(for_others), Refuses(Code::kUnauthenticated, "JWT_WRONG_AUDIENCE", ""));
  EXPECT_THAT(Ask(PodToken{.issuer = ""}), Refuses(Code::kUnauthenticated, "JWT_WRONG_ISSUER", ""));
  // As those whose signature nobody verified, they have half of the calls.
  for (int i = 0; i < 100; ++i) {
    good.more = absl::StrCat(R"(,"jti":"more )", i, "\"");
    Begin(maker_.Token(good.Claims()), absl::StrCat("198.51.100.", i)).get().IgnoreError();
  }
  EXPECT_EQ(reviewer_.calls(), 25);
}

TEST_F(ServiceAccountTest, APodThatGoesLosesItsRightThoughItsTokenIsRemembered) {
  const PodToken token;
  Know(token);
  ASSERT_TRUE(Ask(token).ok());
  pods_.Delete(token.pod_uid);
  EXPECT_THAT(Ask(token), Refuses(Code::kUnauthenticated, "POD_GONE", "web/front, pod front-7d4c-x2x9p"));
  // One of the same name has another uid.
  PodToken next = token;
  next.pod_uid = "pod-uid-2";
  Know(next);
  EXPECT_THAT(Ask(token), Refuses(Code::kUnauthenticated, "POD_GONE", ""));
  EXPECT_TRUE(Ask(next).ok());
  pods_.PutAccount({"web", "front"}, "account-uid-2");
  EXPECT_THAT(Ask(next), Refuses(Code::kUnauthenticated, "SERVICE_ACCOUNT_GONE", ""));
  EXPECT_EQ(reviewer_.calls(), 0);
}

TEST_F(ServiceAccountTest, ThousandsOfKnownPodsCostNoCall) {
  PodToken token;
  pods_.PutAccount({token.namespace_name, token.account}, token.account_uid);
  options_.pool.places_max = 20'000;
  std::vector<std::future<Verdict>> answers;
  for (int i = 0; i < 10'000; ++i) {
    token.pod_uid = absl::StrCat("pod-", i);
    pods_.Put(token.pod_uid, token.AsKnown());
    answers.push_back(Begin(maker_.Token(token.Claims()), absl::StrCat("10.0.", i / 250, ".", i % 250)));
  }
  int good = 0;
  for (auto& answer : answers) good += answer.get().ok() ? 1 : 0;
  EXPECT_EQ(good, 10'000);
  EXPECT_EQ(reviewer_.calls(), 0);
}

TEST_F(ServiceAccountTest, ThousandsOfNewPodsWaitForTheWatchAndCostNoCall) {
  PodToken token;
  pods_.SetAge(absl::InfiniteDuration());
  pods_.PutAccount({token.namespace_name, token.account}, token.account_uid);
  options_.pool.places_max = 20'000;
  std::vector<std::future<Verdict>> answers;
  for (int i = 0; i < 2'000; ++i) {
    token.pod_uid = absl::StrCat("pod-", i);
    answers.push_back(Begin(maker_.Token(token.Claims()), absl::StrCat("10.0.", i / 250, ".", i % 250)));
  }
  for (int i = 0; i < 2'000; ++i) {
    token.pod_uid = absl::StrCat("pod-", i);
    pods_.Put(token.pod_uid, token.AsKnown());
  }
  pods_.SetAge(absl::ZeroDuration());
  int good = 0;
  for (auto& answer : answers) good += answer.get().ok() ? 1 : 0;
  EXPECT_EQ(good, 2'000);
  EXPECT_EQ(reviewer_.calls(), 0);
}

TEST_F(ServiceAccountTest, ThousandsOfUnknownPodsCostABoundedNumberOfCalls) {
  PodToken token;
  options_.pool.places_max = 20'000;
  options_.patience.patience = absl::ZeroDuration();
  options_.reviews.burst = 50;
  reviewer_.AnswerAtOnce(token.AsReviewed());  // for another pod's uid: refused
  std::vector<std::future<Verdict>> answers;
  for (int i = 0; i < 10'000; ++i) {
    token.pod_uid = absl::StrCat("pod-", i);
    answers.push_back(Begin(maker_.Token(token.Claims()), absl::StrCat("10.0.", i / 250, ".", i % 250)));
  }
  int busy = 0;
  int refused = 0;
  for (auto& answer : answers) {
    const absl::Status status = answer.get().status();
    busy += ReasonOf(status) == "TOKEN_REVIEWS_BUSY" && absl::IsUnavailable(status) ? 1 : 0;
    refused += ReasonOf(status) == "TOKEN_REVIEW_REFUSED" ? 1 : 0;
  }
  EXPECT_EQ(reviewer_.calls(), 50);
  EXPECT_EQ(refused, 50);
  EXPECT_EQ(busy, 9'950);
}

TEST_F(ServiceAccountTest, APodThatTheWatchDoesNotTellOfIsReviewedOnceForAll) {
  options_.patience.patience = absl::ZeroDuration();
  const PodToken token;
  reviewer_.KeepQuestions();
  std::vector<std::future<Verdict>> answers;
  const std::string text = maker_.Token(token.Claims());
  for (int i = 0; i < 20; ++i) answers.push_back(Begin(text, absl::StrCat("192.0.2.", i)));
  reviewer_.AwaitQuestions(1);
  EXPECT_EQ(reviewer_.last_token(), text);
  EXPECT_THAT(reviewer_.audiences(), ElementsAre("istio-ca"));
  reviewer_.AnswerFirst(token.AsReviewed());
  for (auto& answer : answers) EXPECT_THAT(Uris(answer.get()), ElementsAre(IdUri("web", "front")));
  EXPECT_TRUE(Ask(text, kJwtNow + absl::Seconds(59)).ok());
  EXPECT_EQ(reviewer_.calls(), 1);
  // The watch has the last word, also about what is remembered.
  pods_.Delete(token.pod_uid);
  EXPECT_THAT(Ask(text, kJwtNow + absl::Seconds(59)), Refuses(Code::kUnauthenticated, "POD_GONE", ""));
}

TEST_F(ServiceAccountTest, ThePodMayGoWhileTheApiServerIsAsked) {
  options_.patience.patience = absl::ZeroDuration();
  const PodToken token;
  reviewer_.KeepQuestions();
  std::future<Verdict> answer = Begin(maker_.Token(token.Claims()));
  reviewer_.AwaitQuestions(1);
  pods_.Delete(token.pod_uid);
  reviewer_.AnswerFirst(token.AsReviewed());  // as an API server does for some seconds
  EXPECT_THAT(answer.get(), Refuses(Code::kUnauthenticated, "POD_GONE", ""));
}

TEST_F(ServiceAccountTest, AnAnswerIsRememberedForAMinuteAndNeverPastTheEnd) {
  PodToken token{.pod_uid = "", .ends = kJwtNow + absl::Seconds(90)};
  reviewer_.AnswerAtOnce(token.AsReviewed());
  ASSERT_TRUE(Ask(token).ok());
  ASSERT_TRUE(Ask(token, kJwtNow + absl::Seconds(59)).ok());
  EXPECT_EQ(reviewer_.calls(), 1);
  ASSERT_TRUE(Ask(token, kJwtNow + absl::Seconds(60)).ok());
  EXPECT_EQ(reviewer_.calls(), 2);
  ASSERT_TRUE(Ask(token, kJwtNow + absl::Seconds(89)).ok());
  EXPECT_EQ(reviewer_.calls(), 2);
  ASSERT_TRUE(Ask(token, kJwtNow + absl::Seconds(90)).ok()) << "the clocks may differ a little";
  EXPECT_EQ(reviewer_.calls(), 3);
  reviewer_.AnswerAtOnce(TokenReviewAnswer{});
  PodToken other = token;
  other.account = "back";
  EXPECT_THAT(Ask(other), Refuses(Code::kUnauthenticated, "TOKEN_REVIEW_REFUSED", "web/back"));
  EXPECT_THAT(Ask(other, kJwtNow + absl::Seconds(4)), Refuses(Code::kUnauthenticated, "TOKEN_REVIEW_REFUSED", ""));
  EXPECT_EQ(reviewer_.calls(), 4);
  reviewer_.AnswerAtOnce(other.AsReviewed());
  EXPECT_TRUE(Ask(other, kJwtNow + absl::Seconds(5)).ok()) << "a refusal is remembered for a short time";
}

TEST_F(ServiceAccountTest, WithoutTheApiServerADoubtIsNobodysFault) {
  const PodToken unbound{.pod_uid = ""};
  const Verdict verdict = Ask(unbound);
  EXPECT_THAT(verdict, Refuses(Code::kUnavailable, "TOKEN_REVIEW_UNAVAILABLE", "retry with backoff"));
  // Our own right may be what is missing: that is no word about the caller.
  reviewer_.AnswerAtOnce(absl::UnauthenticatedError("HTTP 401: secret-path"));
  EXPECT_THAT(Ask(unbound), Refuses(Code::kUnavailable, "TOKEN_REVIEW_UNAVAILABLE", "meshca check"));
  EXPECT_THAT(std::string(Ask(unbound).status().message()), testing::Not(HasSubstr("secret-path")));
  EXPECT_EQ(reviewer_.calls(), 3) << "no answer is not remembered";
  // What is known goes on counting until it is old.
  const PodToken token;
  Know(token);
  pods_.SetAge(absl::Minutes(4));
  EXPECT_TRUE(Ask(token).ok());
  pods_.SetAge(absl::Minutes(6));
  EXPECT_THAT(Ask(token), Refuses(Code::kUnavailable, "TOKEN_REVIEW_UNAVAILABLE", ""));
  reviewer_.AnswerAtOnce(token.AsReviewed());
  EXPECT_TRUE(Ask(token).ok());
  pods_.Delete(token.pod_uid);
  EXPECT_THAT(Ask(token), Refuses(Code::kUnauthenticated, "POD_GONE", ""));
}

TEST_F(ServiceAccountTest, TheIssuerIsNotKnownBeforeTheApiServerIsReached) {
  issuer_.clear();
  Know(PodToken());
  EXPECT_THAT(Ask(PodToken()), Refuses(Code::kUnavailable, "JWKS_UNAVAILABLE", "not been reached yet"));
}

TEST_F(ServiceAccountTest, WhoeverAsksHasItLookedForAndIsAnsweredByWhatIsFound) {
  issuer_.clear();
  keys_->current = nullptr;
  Know(PodToken());
  EXPECT_THAT(Ask(PodToken()), Refuses(Code::kUnavailable, "JWKS_UNAVAILABLE", "not been reached yet"));
  EXPECT_EQ(keys_->looks, 1);
  // It is back, though nobody has looked by himself yet.
  keys_->next = ClusterKeys::Of(maker_);
  keys_->found = [this] { issuer_ = "https://kubernetes.test"; };
  EXPECT_TRUE(Ask(PodToken()).ok());
}

TEST_F(ServiceAccountTest, AnUnknownKeyIsLookedForAndThenLeftToTheApiServer) {
  const PodToken token;
  Know(token);
  const JwtMaker rotated("k2");
  const std::string text = rotated.Token(token.Claims());
  EXPECT_THAT(Ask(text), Refuses(Code::kUnavailable, "TOKEN_REVIEW_UNAVAILABLE", ""));
  EXPECT_EQ(keys_->looks, 1);
  reviewer_.AnswerAtOnce(token.AsReviewed());
  EXPECT_TRUE(Ask(text).ok());
  EXPECT_EQ(Authn().signatures_verified(), 0u);
  reviewer_.AnswerAtOnce(absl::UnavailableError("away"));
  keys_->next = ClusterKeys::Of(rotated);
  EXPECT_TRUE(Ask(rotated.Token(PodToken{.more = R"(,"jti":"2")"}.Claims())).ok());
  EXPECT_EQ(Authn().signatures_verified(), 1u);
  // Claims that nobody has verified are worth what the API server says of them.
  keys_->current = keys_->next = nullptr;
  reviewer_.AnswerAtOnce(token.AsReviewed());
  EXPECT_THAT(Ask(JwtMaker("k3").Token(PodToken{.account = "admin"}.Claims())),
              Refuses(Code::kUnauthenticated, "TOKEN_REVIEW_REFUSED", "takes its holder for"));
}

TEST_F(ServiceAccountTest, AlwaysReviewAsksAboutKnownPodsToo) {
  options_.always_review = true;
  const PodToken token;
  Know(token);
  EXPECT_THAT(Ask(token), Refuses(Code::kUnavailable, "TOKEN_REVIEW_UNAVAILABLE", ""));
  reviewer_.AnswerAtOnce(token.AsReviewed());
  EXPECT_TRUE(Ask(token).ok());
  EXPECT_TRUE(Ask(token).ok());
  EXPECT_EQ(reviewer_.calls(), 2);
  EXPECT_THAT(Ask(JwtMaker().Token(token.Claims())), Refuses(Code::kUnauthenticated, "JWT_SIGNATURE_INVALID", ""))
      << "garbage is refused here";
  EXPECT_EQ(reviewer_.calls(), 2);
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(Ask(PodToken{.more = absl::StrCat(R"(,"jti":")", i, "\"")}).ok()) << "its number has no limit";
  }
  EXPECT_EQ(reviewer_.calls(), 102);
  // Of those that anybody can make it has.
  const JwtMaker stranger("nobodys-key");
  for (int i = 0; i < 100; ++i) {
    Begin(stranger.Token(token.Claims()), absl::StrCat("198.51.100.", i)).get().IgnoreError();
  }
  EXPECT_EQ(reviewer_.calls(), 102 + 25);
}

TEST_F(ServiceAccountTest, ATrustedNodeAccountHoldsTheIdentitiesOfItsNode) {
  const PodToken ztunnel{.namespace_name = "istio-system",
                         .account = "ztunnel",
                         .account_uid = "zt-account",
                         .pod = "ztunnel-1",
                         .pod_uid = "zt-pod"};
  Know(ztunnel);
  Know(PodToken());
  Know(PodToken{.account = "elsewhere", .account_uid = "e", .pod_uid = "e-pod", .node = "node-2"});
  KnownPod ended = PodToken{.account = "job"}.AsKnown();
  ended.ended = true;
  pods_.Put("job-pod", ended);
  const Verdict caller = Ask(ztunnel);
  EXPECT_THAT(Uris(caller), ElementsAre(IdUri("istio-system", "ztunnel"), IdUri("web", "front")));
  // What such a certificate rests on: the proxy's pod, and an account that has a pod on its node.
  EXPECT_EQ(PodOrigin::From(caller->OriginOf(caller->ids[1])),
            (PodOrigin{"web", "front", "zt-account", "zt-pod", "https://kubernetes.test"}));
  // What was remembered of the token says nothing of the node.
  pods_.Delete("pod-uid-1");
  EXPECT_THAT(Uris(Ask(ztunnel)), ElementsAre(IdUri("istio-system", "ztunnel")));
  // Others hold their own alone.
  Know(PodToken{.account = "back", .account_uid = "back-account", .pod_uid = "back-pod"});
  EXPECT_THAT(Uris(Ask(PodToken{.account = "back", .account_uid = "back-account", .pod_uid = "back-pod"})),
              ElementsAre(IdUri("web", "back")));
}

TEST_F(ServiceAccountTest, ANodeIsTakenFromTheWatchAlone) {
  PodToken ztunnel{.namespace_name = "istio-system",
                   .account = "ztunnel",
                   .account_uid = "zt-account",
                   .pod = "ztunnel-1",
                   .pod_uid = "zt-pod"};
  pods_.PutAccount({"istio-system", "ztunnel"}, ztunnel.account_uid);
  Know(PodToken());
  options_.patience.patience = absl::ZeroDuration();
  reviewer_.AnswerAtOnce(ztunnel.AsReviewed());
  EXPECT_THAT(Uris(Ask(ztunnel)), ElementsAre(IdUri("istio-system", "ztunnel"))) << "its pod is not known";
  ztunnel.pod_uid = "";
  reviewer_.AnswerAtOnce(ztunnel.AsReviewed());
  EXPECT_THAT(Uris(Ask(ztunnel)), ElementsAre(IdUri("istio-system", "ztunnel"))) << "it is bound to no pod";
  ztunnel.pod_uid = "zt-pod";
  Know(ztunnel);
  pods_.SetAge(absl::Hours(1));
  reviewer_.AnswerAtOnce(ztunnel.AsReviewed());
  EXPECT_THAT(Ask(ztunnel), Refuses(Code::kUnavailable, "PODS_UNKNOWN", "retry")) << "the watch is old";
  pods_.SetAge(absl::InfiniteDuration());
  EXPECT_THAT(Ask(ztunnel), Refuses(Code::kUnavailable, "PODS_UNKNOWN", "")) << "nothing was ever listed";
  pods_.SetAge(absl::ZeroDuration());
  ztunnel.node = "node-2";
  EXPECT_THAT(Ask(ztunnel), Refuses(Code::kUnauthenticated, "POD_MISMATCH", "not on node node-2"));
}

TEST_F(ServiceAccountTest, LeavesTheTokensOfOtherIssuersToOthers) {
  EXPECT_TRUE(Authn().Recognises(Bearer(maker_.Token(ValidClaims()))));
  EXPECT_FALSE(Authn().Recognises(Bearer("meshca-jt1.x.y.z")));
  Authn().SetOtherIssuers({"https://issuer.test"});
  EXPECT_FALSE(Authn().Recognises(Bearer(maker_.Token(ValidClaims()))));
  EXPECT_TRUE(Authn().Recognises(Bearer(maker_.Token(PodToken().Claims()))));
  EXPECT_TRUE(Authn().IsOtherIssuer("https://issuer.test"));
  EXPECT_FALSE(Authn().IsOtherIssuer("https://kubernetes.test"));
  EXPECT_FALSE(Authn().IsOtherIssuer(""));
  Authn().SetOtherIssuers({});
  EXPECT_TRUE(Authn().Recognises(Bearer(maker_.Token(ValidClaims())))) << "one that nobody else judges any more";
}

TEST_F(ServiceAccountTest, WhoeverWaitsIsAnsweredWhenItEnds) {
  const PodToken token;
  std::future<Verdict> waits = Begin(maker_.Token(token.Claims()));
  reviewer_.KeepQuestions();
  std::future<Verdict> asks = Begin(maker_.Token(PodToken{.pod_uid = ""}.Claims()));
  reviewer_.AwaitQuestions(1);
  authenticator_.reset();
  EXPECT_EQ(waits.get().status().code(), Code::kUnavailable);
  EXPECT_EQ(asks.get().status().code(), Code::kUnavailable);
  reviewer_.AnswerFirst(token.AsReviewed());  // too late, and harmless
}

TEST_F(ServiceAccountTest, AfterStopNobodyWaitsAndNothingBegins) {
  options_.patience.patience = absl::ZeroDuration();
  const PodToken known;
  Know(known);
  ASSERT_TRUE(Ask(known).ok());
  reviewer_.KeepQuestions();
  std::future<Verdict> asks = Begin(maker_.Token(PodToken{.pod_uid = ""}.Claims()));
  reviewer_.AwaitQuestions(1);
  Authn().Stop();
  ASSERT_EQ(asks.wait_for(std::chrono::seconds(0)), std::future_status::ready) << "before what takes the answer ends";
  EXPECT_EQ(asks.get().status().code(), Code::kUnavailable);
  for (const PodToken& token : {known, PodToken{.pod_uid = "other-pod"}, PodToken{.pod_uid = ""}}) {
    EXPECT_EQ(Ask(token).status().code(), Code::kUnavailable);
  }
  EXPECT_EQ(reviewer_.calls(), 1);
  Authn().Stop();
}

TEST_F(ServiceAccountTest, CallersOfOneSourceHaveTheirPlacesAlone) {
  options_.patience.places_per_source_max = 2;
  std::vector<std::future<Verdict>> answers;
  PodToken token;
  for (int i = 0; i < 3; ++i) {
    token.pod_uid = absl::StrCat("pod-", i);
    answers.push_back(Begin(maker_.Token(token.Claims())));
  }
  EXPECT_THAT(answers[2].get(), Refuses(Code::kResourceExhausted, "AUTHENTICATION_SHARE_USED", "retry"));
  token.pod_uid = "pod-7";
  std::future<Verdict> other = Begin(maker_.Token(token.Claims()), "198.51.100.1");
  Know(token);
  EXPECT_TRUE(other.get().ok());
}

TEST_F(ServiceAccountTest, WhoWaitsForKeysHasAPlaceOfHisSourceAndIsAToken) {
  options_.pool.places_per_source_max = 2;
  const JwtMaker rotated("k2");
  for (const bool is_known : {true, false}) {
    if (!is_known) issuer_.clear();
    keys_->holds = true;
    std::vector<std::future<Verdict>> answers;
    PodToken token;
    for (int i = 0; i < 3; ++i) {
      token.pod_uid = absl::StrCat("pod-", i);
      answers.push_back(Begin(rotated.Token(token.Claims())));
    }
    // At once: who waits would be waited for here for ever.
    const bool is_refused = answers[2].wait_for(std::chrono::seconds(0)) == std::future_status::ready;
    EXPECT_TRUE(is_refused);
    if (is_refused) {
      EXPECT_THAT(answers[2].get(), Refuses(Code::kResourceExhausted, "AUTHENTICATION_SHARE_USED", "retry"));
    }
    std::future<Verdict> other = Begin(rotated.Token(token.Claims()), "198.51.100.1");
    EXPECT_EQ(keys_->held.size(), 3u) << "two of the first source, and one of another";
    EXPECT_THAT(Begin("ey.no.token", "198.51.100.2").get(), Refuses(Code::kUnauthenticated, "JWT_MALFORMED", ""));
    for (JwksSource::Done& done : std::exchange(keys_->held, {})) std::move(done)(absl::OkStatus());
    for (std::future<Verdict>* each : {&answers[0], &answers[1], &other}) {
      EXPECT_EQ(each->get().status().code(), Code::kUnavailable);
    }
  }
}

// The desk by itself.

TokenReviewDesk::Question QuestionOf(const std::string& hash, std::string source = "a", bool verified = true) {
  TokenReviewDesk::Question question;
  question.token = SecretBytes::CopyOf(hash);
  question.token_digest = hash;
  question.claims.account = {"web", "front"};
  question.claims.account_uid = "account-uid-1";
  question.claims.pod_uid = "pod-uid-1";
  question.expires = kJwtNow + absl::Hours(1);
  question.source = std::move(source);
  question.signature_verified = verified;
  return question;
}

TEST(TokenReviewDesk, MakesSoManyCallsAtOnceAndVerifiedTokensGoFirst) {
  FakeReviewer reviewer;
  FakeClock clock;
  TokenReviewDesk desk({.under_way_max = 1, .waiting_max = 4, .waiting_per_source_max = 2}, {"istio-ca"}, reviewer,
                       clock);
  std::vector<std::string> answers;
  const auto ask = [&](const std::string& hash, const std::string& source, bool verified) {
    desk.Ask(QuestionOf(hash, source, verified), kJwtNow, [&answers, hash](const absl::Status& status) {
      answers.push_back(absl::StrCat(hash, " ", status.ok() ? "good" : ReasonOf(status)));
    });
  };
  ask("1", "a", true);
  ask("2", "a", false);
  ask("3", "a", true);
  EXPECT_THAT(answers, ElementsAre("3 TOKEN_REVIEWS_BUSY")) << "two of one source";
  ask("4", "b", true);
  ask("5", "c", true);
  ask("6", "d", true);
  EXPECT_THAT(answers, ElementsAre("3 TOKEN_REVIEWS_BUSY", "6 TOKEN_REVIEWS_BUSY")) << "four of all";
  answers.clear();
  EXPECT_EQ(reviewer.calls(), 1);
  reviewer.AnswerFirst(PodToken().AsReviewed());
  reviewer.AnswerFirst(PodToken().AsReviewed());
  // Whoever has waited for too long is told so before anything else begins.
  clock.Advance(absl::Seconds(5));
  reviewer.AnswerFirst(PodToken().AsReviewed());
  EXPECT_THAT(answers, ElementsAre("1 good", "4 good", "2 TOKEN_REVIEWS_BUSY", "5 good"));
  EXPECT_EQ(reviewer.calls(), 3);
  EXPECT_EQ(desk.calls(), 3u);
}

TEST(TokenReviewDesk, SpendsABudgetThatFillsUpAgain) {
  FakeReviewer reviewer;
  FakeClock clock;
  reviewer.AnswerAtOnce(absl::UnavailableError("away"));
  TokenReviewDesk desk({.per_second = 2, .burst = 3}, {"istio-ca"}, reviewer, clock);
  int number = 0;
  const auto ask = [&](int times) {
    for (int i = 0; i < times; ++i) {
      const std::string each = absl::StrCat(number++);
      desk.Ask(QuestionOf(each, each), kJwtNow, [](const absl::Status&) {});
    }
  };
  ask(10);
  EXPECT_EQ(reviewer.calls(), 3);
  clock.Advance(absl::Seconds(1));
  ask(10);
  EXPECT_EQ(reviewer.calls(), 5);
  clock.Advance(absl::Hours(1));
  ask(10);
  EXPECT_EQ(reviewer.calls(), 8);
}

TEST(TokenReviewDesk, GivesOneSourceHalfOfTheBudget) {
  FakeReviewer reviewer;
  FakeClock clock;
  reviewer.AnswerAtOnce(absl::UnavailableError("away"));
  TokenReviewDesk desk({.per_second = 2, .burst = 8}, {"istio-ca"}, reviewer, clock);
  int number = 0;
  std::string last;
  const auto ask = [&](int times, const std::string& source) {
    const int before = reviewer.calls();
    for (int i = 0; i < times; ++i) {
      desk.Ask(QuestionOf(absl::StrCat(number++), source), kJwtNow,
               [&](const absl::Status& status) { last = std::string(status.message()); });
    }
    return reviewer.calls() - before;
  };
  EXPECT_EQ(ask(10, "a"), 4);
  EXPECT_THAT(last, HasSubstr("for callers of one source"));
  EXPECT_EQ(ask(10, "b"), 4) << "what the first left";
  clock.Advance(absl::Seconds(1));
  EXPECT_EQ(ask(10, "a"), 1) << "one of two";
  EXPECT_EQ(ask(10, "b"), 1);
  clock.Advance(absl::Hours(1));
  EXPECT_EQ(ask(10, "a"), 4);
}

TEST(TokenReviewDesk, AsksFreelyAboutVerifiedTokensAlone) {
  FakeReviewer reviewer;
  FakeClock clock;
  reviewer.AnswerAtOnce(absl::UnavailableError("away"));
  TokenReviewDesk desk({.per_second = 1, .burst = 8, .verified_freely = true}, {"istio-ca"}, reviewer, clock);
  for (int i = 0; i < 100; ++i) desk.Ask(QuestionOf(absl::StrCat(i)), kJwtNow, [](const absl::Status&) {});
  EXPECT_EQ(reviewer.calls(), 100);
  for (int i = 100; i < 200; ++i) {
    desk.Ask(QuestionOf(absl::StrCat(i), absl::StrCat(i), false), kJwtNow, [](const absl::Status&) {});
  }
  EXPECT_EQ(reviewer.calls(), 104);
}

TEST(TokenReviewDesk, KeepsHalfOfItsBudgetAndPlacesForVerifiedTokens) {
  FakeReviewer reviewer;
  FakeClock clock;
  TokenReviewDesk desk({.waiting_max = 12, .per_second = 1, .burst = 8}, {"istio-ca"}, reviewer, clock);
  std::vector<std::string> reasons;
  const auto ask = [&](const std::string& hash, bool verified) {
    desk.Ask(QuestionOf(hash, hash, verified), kJwtNow,
             [&reasons](const absl::Status& status) { reasons.push_back(ReasonOf(status)); });
  };
  for (int i = 0; i < 20; ++i) ask(absl::StrCat("garbage-", i), false);
  EXPECT_EQ(reviewer.calls(), 4);
  EXPECT_EQ(reasons.size(), 16u);
  for (int i = 0; i < 20; ++i) ask(absl::StrCat("good-", i), true);
  EXPECT_EQ(reviewer.calls(), 8);
  EXPECT_EQ(reasons.size(), 32u);
  EXPECT_THAT(reasons, testing::Each("TOKEN_REVIEWS_BUSY"));
  ask("good-0", false);
  EXPECT_EQ(reasons.size(), 33u) << "eight wait, which is more than half of the places";
  ask("good-0", true);
  EXPECT_EQ(reasons.size(), 33u) << "the question is asked already";
  desk.Stop();
  EXPECT_EQ(reasons.size(), 42u);
}

TEST(TokenReviewDesk, SaysWhyTheLastCallGaveNoAnswer) {
  FakeReviewer reviewer;
  FakeClock clock;
  TokenReviewDesk desk({}, {"istio-ca"}, reviewer, clock);
  EXPECT_EQ(desk.last_error(), "");
  reviewer.AnswerAtOnce(absl::PermissionDeniedError("no right to create tokenreviews"));
  desk.Ask(QuestionOf("1"), kJwtNow, [](const absl::Status&) {});
  EXPECT_EQ(desk.last_error(), "no right to create tokenreviews");
  reviewer.AnswerAtOnce(TokenReviewAnswer{});  // a refused token is an answer
  desk.Ask(QuestionOf("2"), kJwtNow, [](const absl::Status&) {});
  EXPECT_EQ(desk.last_error(), "");
}

TEST(TokenReviewDesk, RemembersABoundedNumberOfAnswers) {
  FakeReviewer reviewer;
  FakeClock clock;
  reviewer.AnswerAtOnce(PodToken().AsReviewed());
  TokenReviewDesk desk({.per_second = 0, .answers_max = 2}, {"istio-ca"}, reviewer, clock);
  for (const char* hash : {"1", "2", "3", "3", "1"}) {
    desk.Ask(QuestionOf(hash), kJwtNow, [](const absl::Status& status) { EXPECT_TRUE(status.ok()) << status; });
  }
  EXPECT_EQ(reviewer.calls(), 4) << "the first had been pushed out";
}

}  // namespace
}  // namespace meshca
