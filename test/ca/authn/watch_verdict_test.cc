#include "ca/authn/watch_verdict.h"

#include <functional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "ca/authn/service_account_claims.h"
#include "ca/authn/service_account_template.h"
#include "ca/authn/token_reviewer.h"
#include "ca/identity/pod_origin.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/authn/fake_cluster.h"
#include "test/ca/authn/refuses.h"
#include "test/ca/jwt/jwt_maker.h"

namespace meshca {
namespace {

using Code = absl::StatusCode;
using Kind = WatchVerdict::Kind;

absl::StatusOr<ServiceAccountClaims> ClaimsOf(absl::string_view json) {
  static const auto* const maker = new JwtMaker();
  return ReadServiceAccountClaims(Jwt::Parse(maker->Token(json)).value());
}
ServiceAccountClaims ClaimsOf(const PodToken& token) { return ClaimsOf(token.Claims()).value(); }

TEST(ServiceAccountClaims, AreReadWithAndWithoutAPod) {
  const ServiceAccountClaims bound = ClaimsOf(PodToken());
  EXPECT_EQ(bound.issuer, "https://kubernetes.test");
  EXPECT_EQ(bound.account.Text(), "web/front");
  EXPECT_EQ(bound.account_uid, "account-uid-1");
  EXPECT_EQ(bound.pod_uid, "pod-uid-1");
  EXPECT_EQ(bound.node, "node-1");
  EXPECT_TRUE(bound.IsBoundToPod());
  EXPECT_EQ(bound.Username(), "system:serviceaccount:web:front");
  const ServiceAccountClaims unbound = ClaimsOf(PodToken{.pod_uid = "", .node = ""});
  EXPECT_FALSE(unbound.IsBoundToPod());
  EXPECT_EQ(unbound.node, "");
}

struct ClaimsCase {
  const char* name;
  const char* from;
  const char* to;
  const char* says;
};
class ServiceAccountClaimsReject : public testing::TestWithParam<ClaimsCase> {};
TEST_P(ServiceAccountClaimsReject, NamesTheClaim) {
  const std::string good = PodToken().Claims();
  const std::string bad = absl::StrReplaceAll(good, {{GetParam().from, GetParam().to}});
  ASSERT_NE(good, bad);
  EXPECT_THAT(ClaimsOf(bad), Refuses(Code::kUnauthenticated, "SERVICE_ACCOUNT_CLAIMS", GetParam().says));
}
INSTANTIATE_TEST_SUITE_P(
    Each, ServiceAccountClaimsReject,
    testing::Values(
        ClaimsCase{"NoClaim", "\"kubernetes.io\"", "\"kubernetes.dev\"", "kubernetes.io is missing"},
        ClaimsCase{"NoNamespace", "\"namespace\"", "\"namespaces\"", ".namespace"},
        ClaimsCase{"NoAccount", "\"serviceaccount\"", "\"account\"", ".serviceaccount"},
        ClaimsCase{"NoAccountUid", "account-uid-1", "", ".serviceaccount.uid"},
        ClaimsCase{"BlankInUid", "account-uid-1", "a b", ".serviceaccount.uid"},
        ClaimsCase{"PodWithoutUid", R"("uid":"pod-uid-1")", R"("u":"x")", ".pod.uid"},
        ClaimsCase{"PodIsNoObject", R"("pod":{"name":"front-7d4c-x2x9p","uid":"pod-uid-1"})", R"("pod":"x")", ".pod"},
        ClaimsCase{"OtherUser", "system:serviceaccount:web:front", "system:serviceaccount:web:admin", "subject"},
        ClaimsCase{"NoServiceAccount", "system:serviceaccount:web:front", "system:node:node-1", "subject"},
        // The username would be that of account "b" in "web:front" as well.
        ClaimsCase{"ColonInNamespace", R"("namespace":"web")", R"("namespace":"web:front")", ".namespace"},
        ClaimsCase{"SlashInAccount", R"("name":"front")", R"("name":"fr/ont")", ".serviceaccount.name"},
        ClaimsCase{"UpperCase", R"("namespace":"web")", R"("namespace":"Web")", ".namespace"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(ServiceAccountClaims, BoundToWhatNobodyWatchesAreRefused) {
  const std::string unbound = PodToken{.pod_uid = ""}.Claims();
  ASSERT_TRUE(ClaimsOf(unbound).ok());
  const auto with = [](const std::string& claims, const std::string& bound) {
    return absl::StrReplaceAll(claims, {{R"("serviceaccount":)", absl::StrCat(bound, R"(,"serviceaccount":)")}});
  };
  const std::string secret = R"("secret":{"name":"s","uid":"secret-uid"})";
  EXPECT_THAT(ClaimsOf(with(unbound, secret)),
              Refuses(Code::kUnauthenticated, "TOKEN_BOUND_ELSEWHERE", "bound to a Secret"));
  EXPECT_THAT(ClaimsOf(with(PodToken().Claims(), secret)),
              Refuses(Code::kUnauthenticated, "TOKEN_BOUND_ELSEWHERE", ""));
  EXPECT_THAT(ClaimsOf(with(unbound, R"("node":{"name":"node-1","uid":"node-uid"})")),
              Refuses(Code::kUnauthenticated, "TOKEN_BOUND_ELSEWHERE", "bound to a node and no pod"));
}

TEST(ServiceAccountTemplate, GivesIdsAndNeedsBothNames) {
  const TrustDomain domain = TrustDomain::Parse("cluster.local").value();
  const auto usual = ServiceAccountTemplate::Parse(ServiceAccountTemplate::kDefault, domain);
  ASSERT_TRUE(usual.ok()) << usual.status();
  EXPECT_EQ(usual->IdOf({"web", "front"})->uri(), "spiffe://cluster.local/ns/web/sa/front");
  const auto turned =
      ServiceAccountTemplate::Parse("spiffe://{trust_domain}/sa/a-{service_account}/{namespace}", domain);
  ASSERT_TRUE(turned.ok()) << turned.status();
  EXPECT_EQ(turned->IdOf({"web", "front"})->uri(), "spiffe://cluster.local/sa/a-front/web");
  const auto account_of = [](const ServiceAccountTemplate& of, const std::string& uri) {
    const std::optional<AccountName> account = of.AccountOf(SpiffeId::Parse(uri).value());
    return account.has_value() ? account->Text() : "none";
  };
  EXPECT_EQ(account_of(*usual, "spiffe://cluster.local/ns/web/sa/front"), "web/front");
  EXPECT_EQ(account_of(*turned, "spiffe://cluster.local/sa/a-front/web"), "web/front");
  for (const char* none : {"spiffe://other.test/ns/web/sa/front", "spiffe://cluster.local/ns/web/sa/front/x",
                           "spiffe://cluster.local/ns/web/account/front", "spiffe://cluster.local"}) {
    EXPECT_EQ(account_of(*usual, none), "none") << none;
  }
  EXPECT_EQ(account_of(*turned, "spiffe://cluster.local/sa/b-front/web"), "none");
  EXPECT_EQ(account_of(*turned, "spiffe://cluster.local/sa/a/web"), "none");
  for (const char* bad : {"spiffe://{trust_domain}/sa/{service_account}", "spiffe://{trust_domain}/ns/{namespace}",
                          "spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}/{claims.sub}",
                          "spiffe://{trust_domain}/{namespace}/{service_account}",
                          "spiffe://{trust_domain}/ns/{namespace}-{service_account}",
                          "spiffe://{trust_domain}/sa/{service_account}.{namespace}",
                          "spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}{namespace}",
                          "spiffe://other.test/ns/{namespace}/sa/{service_account}"}) {
    EXPECT_THAT(ServiceAccountTemplate::Parse(bad, domain), Refuses(Code::kInvalidArgument, "TEMPLATE_INVALID", ""))
        << bad;
  }
}

struct VerdictCase {
  const char* name;
  std::function<void(PodToken& token, FakePods& pods)> change;
  Kind kind;
  const char* reason;  // of a refusal, else words of the doubt
};
class WatchVerdicts : public testing::TestWithParam<VerdictCase> {};
TEST_P(WatchVerdicts, AreAsThePodStands) {
  PodToken token;
  FakePods pods;
  pods.Put(token.pod_uid, token.AsKnown());
  pods.PutAccount({token.namespace_name, token.account}, token.account_uid);
  GetParam().change(token, pods);
  const WatchVerdict verdict = JudgeByWatch(ClaimsOf(token), pods, kJwtNow);
  ASSERT_EQ(verdict.kind, GetParam().kind) << verdict.doubt << verdict.refusal;
  if (verdict.kind == Kind::kRefused) {
    EXPECT_THAT(verdict.refusal, Refuses(Code::kUnauthenticated, GetParam().reason, "web/front"));
  } else {
    EXPECT_THAT(verdict.doubt, testing::HasSubstr(GetParam().reason));
  }
}

KnownPod Changed(const PodToken& token, const std::function<void(KnownPod&)>& change) {
  KnownPod pod = token.AsKnown();
  change(pod);
  return pod;
}

INSTANTIATE_TEST_SUITE_P(
    Each, WatchVerdicts,
    testing::Values(
        VerdictCase{"Lives", [](auto&, auto&) {}, Kind::kLives, ""},
        VerdictCase{"AtTheAgeItMayHave", [](auto&, auto& pods) { pods.SetAge(kWatchAgeMax); }, Kind::kLives, ""},
        VerdictCase{"NotPlacedYet",
                    [](auto& token, auto& pods) {
                      pods.Put(token.pod_uid, Changed(token, [](KnownPod& pod) { pod.node = ""; }));
                    },
                    Kind::kLives, ""},
        VerdictCase{"BeingDeleted",
                    [](auto& token, auto& pods) {
                      pods.Put(token.pod_uid,
                               Changed(token, [](KnownPod& pod) { pod.deleted_at = kJwtNow - absl::Seconds(59); }));
                    },
                    Kind::kLives, ""},
        VerdictCase{"DeletedButOnALostNode",
                    [](auto& token, auto& pods) {
                      pods.Put(token.pod_uid,
                               Changed(token, [](KnownPod& pod) { pod.deleted_at = kJwtNow - absl::Seconds(60); }));
                    },
                    Kind::kRefused, "POD_GONE"},
        VerdictCase{"Ended",
                    [](auto& token, auto& pods) {
                      pods.Put(token.pod_uid, Changed(token, [](KnownPod& pod) { pod.ended = true; }));
                    },
                    Kind::kRefused, "POD_GONE"},
        VerdictCase{"EndedIsSoHoweverOldTheWatchIs",
                    [](auto& token, auto& pods) {
                      pods.Put(token.pod_uid, Changed(token, [](KnownPod& pod) { pod.ended = true; }));
                      pods.SetAge(absl::Hours(1));
                    },
                    Kind::kRefused, "POD_GONE"},
        VerdictCase{"Deleted", [](auto& token, auto& pods) { pods.Delete(token.pod_uid); }, Kind::kRefused, "POD_GONE"},
        VerdictCase{"MadeAnewUnderItsName",
                    [](auto& token, auto& pods) {
                      pods.Delete(token.pod_uid);
                      pods.Put("pod-uid-2", token.AsKnown());
                    },
                    Kind::kRefused, "POD_GONE"},
        VerdictCase{"AccountDeleted", [](auto& token, auto& pods) { pods.Delete(token.account_uid); }, Kind::kRefused,
                    "SERVICE_ACCOUNT_GONE"},
        VerdictCase{"AccountMadeAnew",
                    [](auto& token, auto& pods) {
                      pods.PutAccount({token.namespace_name, token.account}, "account-uid-2");
                    },
                    Kind::kRefused, "SERVICE_ACCOUNT_GONE"},
        VerdictCase{"UnboundOfAnAccountThatIsGone",
                    [](auto& token, auto& pods) {
                      token.pod_uid = "";
                      pods.Delete(token.account_uid);
                    },
                    Kind::kRefused, "SERVICE_ACCOUNT_GONE"},
        VerdictCase{"OtherAccount",
                    [](auto& token, auto& pods) {
                      pods.Put(token.pod_uid, Changed(token, [](KnownPod& pod) { pod.account.account = "back"; }));
                    },
                    Kind::kRefused, "POD_MISMATCH"},
        VerdictCase{"OtherNamespace",
                    [](auto& token, auto& pods) {
                      pods.Put(token.pod_uid,
                               Changed(token, [](KnownPod& pod) { pod.account.namespace_name = "other"; }));
                    },
                    Kind::kRefused, "POD_MISMATCH"},
        VerdictCase{"OtherNode",
                    [](auto& token, auto& pods) {
                      pods.Put(token.pod_uid, Changed(token, [](KnownPod& pod) { pod.node = "node-2"; }));
                    },
                    Kind::kRefused, "POD_MISMATCH"},
        VerdictCase{"PodUnknown", [](auto& token, auto&) { token.pod_uid = "pod-uid-9"; }, Kind::kNotKnownYet,
                    "pod is not known"},
        // The account of the token may be newer than the one that the watch knows.
        VerdictCase{"AccountUnknown", [](auto& token, auto&) { token.account_uid = "account-uid-9"; },
                    Kind::kNotKnownYet, "service account is not known"},
        VerdictCase{"NeverListed", [](auto&, auto& pods) { pods.SetAge(absl::InfiniteDuration()); }, Kind::kNotKnownYet,
                    "not been listed"},
        VerdictCase{"Old", [](auto&, auto& pods) { pods.SetAge(kWatchAgeMax + absl::Seconds(1)); }, Kind::kInDoubt,
                    "5m1s"},
        VerdictCase{"Unbound", [](auto& token, auto&) { token.pod_uid = ""; }, Kind::kInDoubt, "bound to no pod"}),
    [](const auto& info) { return std::string(info.param.name); });

struct ReviewCase {
  const char* name;
  std::function<void(TokenReviewAnswer& answer)> change;
  const char* says;
};
class TokenReviewRefusals : public testing::TestWithParam<ReviewCase> {};
TEST_P(TokenReviewRefusals, NameWhatIsWrong) {
  TokenReviewAnswer answer = PodToken().AsReviewed();
  const ServiceAccountClaims claims = ClaimsOf(PodToken());
  ASSERT_TRUE(JudgeTokenReview(answer, claims, {"other", "istio-ca"}).ok());
  GetParam().change(answer);
  EXPECT_THAT(JudgeTokenReview(answer, claims, {"other", "istio-ca"}),
              Refuses(Code::kUnauthenticated, "TOKEN_REVIEW_REFUSED", GetParam().says));
}
INSTANTIATE_TEST_SUITE_P(
    Each, TokenReviewRefusals,
    testing::Values(ReviewCase{"NotAuthenticated", [](auto& a) { a.authenticated = false; }, "does not know it"},
                    ReviewCase{"Error", [](auto& a) { a.error = "invalid \x1b[31m token"; },
                               "says: invalid \\u{1b}[31m token"},
                    ReviewCase{"NoAudience", [](auto& a) { a.audiences = {}; }, "names no audience"},
                    ReviewCase{"OtherAudience", [](auto& a) { a.audiences = {"vault"}; }, "vault"},
                    ReviewCase{"OtherUser", [](auto& a) { a.username = "system:serviceaccount:web:back"; }, "web:back"},
                    ReviewCase{"NoServiceAccount", [](auto& a) { a.username = "front"; }, "\"front\""},
                    ReviewCase{"OtherAccountOfThatName", [](auto& a) { a.uid = "account-uid-2"; }, "another account"},
                    ReviewCase{"NoUid", [](auto& a) { a.uid = ""; }, "another account"},
                    ReviewCase{"OtherPod", [](auto& a) { a.pod_uid = "pod-uid-2"; }, "another pod"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(PodOrigin, IsReadAsItWasWritten) {
  const PodOrigin bound{"web", "front", "account-uid", "pod-uid", "https://issuer.test/a b"};
  EXPECT_EQ(bound.ToOrigin().reference, "web/front account-uid pod-uid https://issuer.test/a b");
  EXPECT_EQ(PodOrigin::From(bound.ToOrigin()), bound);
  const PodOrigin unbound{"web", "front", "account-uid", "", "https://issuer.test"};
  EXPECT_EQ(PodOrigin::From(unbound.ToOrigin()), unbound);
  EXPECT_EQ(PodOrigin::From({OriginKind::kJwtIssuer, bound.ToOrigin().reference}), std::nullopt);
  for (const char* bad : {"", "web/front", "web/front a b", "webfront a b c", "/front a b c", "web/ a b c",
                          "a/b/c a b c", "web/front  b c"}) {
    EXPECT_EQ(PodOrigin::From({OriginKind::kPod, bad}), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace meshca
