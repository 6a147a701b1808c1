#include "ca/signing_requests/signing_request_judge.h"

#include <functional>
#include <string>

#include "ca/base/status.h"
#include "ca/identity/pod_origin.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/authn/fake_cluster.h"
#include "test/ca/signing_requests/signing_request_maker.h"

namespace meshca {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using Kind = SigningVerdict::Kind;

const absl::Time kJudgedAt = absl::FromUnixSeconds(1'790'000'000);

// A request that its own account made; cases change one thing of it.
struct Judged {
  Judged() {
    pods.SetAge(absl::Seconds(3));
    pods.PutAccount({"web", "front"}, "front-account");
    pods.PutAccount({"web", "back"}, "back-account");
    pods.Put("front-pod", {.name = "front-1", .account = {"web", "front"}, .node = "node-1"});
  }
  SigningVerdict Verdict() const { return JudgeSigningRequest(request, pods, rules, kJudgedAt); }

  SigningRequest request = OwnSigningRequest();
  FakePods pods;
  SigningRules rules = TestSigningRules();
};

TEST(SigningRequestJudge, SignsWhatIsApprovedForAsLongAsItsAccountAndPodAreThere) {
  Judged judged;
  judged.request.is_approved = true;
  judged.request.expiration = absl::Hours(2);
  const SigningVerdict verdict = judged.Verdict();
  ASSERT_EQ(verdict.kind, Kind::kSign) << verdict.why.message;
  const CallerIdentity& caller = verdict.submitted.caller;
  EXPECT_EQ(caller.method, AuthMethod::kSigningRequest);
  EXPECT_EQ(caller.subject, "user system:serviceaccount:web:front");
  ASSERT_EQ(caller.ids.size(), 1u);
  EXPECT_EQ(caller.ids.front().uri(), kFrontId);
  EXPECT_EQ(caller.LifetimeMax(caller.ids.front()), absl::Hours(2));
  EXPECT_THAT(caller.instance, IsEmpty()) << "it stands in for no other certificate of that pod";
  const std::optional<PodOrigin> origin = PodOrigin::From(caller.OriginOf(caller.ids.front()));
  ASSERT_TRUE(origin.has_value());
  EXPECT_EQ(*origin,
            (PodOrigin{"web", "front", "front-account", "front-pod", std::string(PodOrigin::kSigningRequest)}));
}

TEST(SigningRequestJudge, WhatOthersAskedForHangsOnNoPodOfTheirs) {
  Judged judged;
  judged.request.is_approved = true;
  judged.request.username = "system:serviceaccount:istio-system:istiod";
  judged.request.pod_uid = "istiods-pod";
  const SigningVerdict verdict = judged.Verdict();
  ASSERT_EQ(verdict.kind, Kind::kSign) << verdict.why.message;
  EXPECT_EQ(PodOrigin::From(verdict.submitted.caller.origin)->pod_uid, "");
  EXPECT_EQ(PodOrigin::From(verdict.submitted.caller.origin)->account_uid, "front-account");
}

struct SigningCase {
  const char* name;
  std::function<void(Judged&)> change;
  Kind kind;
  const char* reason;
  const char* message;
};

class SigningVerdictOf : public testing::TestWithParam<SigningCase> {};

TEST_P(SigningVerdictOf, ARequest) {
  Judged judged;
  GetParam().change(judged);
  const SigningVerdict verdict = judged.Verdict();
  EXPECT_EQ(verdict.kind, GetParam().kind) << verdict.why.message;
  EXPECT_EQ(verdict.why.reason, GetParam().reason);
  EXPECT_THAT(verdict.why.message, HasSubstr(GetParam().message));
}

std::function<void(Judged&)> Asking(Asks asks) {
  return [asks = std::move(asks)](Judged& judged) { judged.request.pkcs10 = Pkcs10For(asks); };
}

INSTANTIATE_TEST_SUITE_P(
    WhoAsks, SigningVerdictOf,
    testing::Values(
        SigningCase{"Itself", [](Judged&) {}, Kind::kApprove, "OwnIdentity", "service account web/front, whose it is"},
        SigningCase{"OneWhoIsTrusted", [](Judged& j) { j.request.username = "ra"; }, Kind::kApprove, "TrustedRequester",
                    "\"ra\" is in kubernetes.signer_trusted_requesters"},
        SigningCase{"AStranger", [](Judged& j) { j.request.username = "system:serviceaccount:web:back"; }, Kind::kAwait,
                    "", "kubectl certificate approve csr-1"},
        SigningCase{"OneWhoseNameLooksLikeIt",
                    [](Judged& j) { j.request.username = "system:serviceaccount:web:front:x"; }, Kind::kAwait, "",
                    "identity of web/front, which is not that of"},
        SigningCase{"AnEarlierAccountOfThatName", [](Judged& j) { j.request.user_uid = "other"; }, Kind::kWait, "",
                    "another one of that name"},
        SigningCase{"AnAccountThatWasDeleted",
                    [](Judged& j) {
                      j.pods.PutAccount({"web", "front"}, "new-account");
                    },
                    Kind::kForget, "", "was deleted"},
        SigningCase{"APodThatWasDeleted", [](Judged& j) { j.pods.Delete("front-pod"); }, Kind::kForget, "",
                    "was deleted"},
        SigningCase{"WhileTheApiServerIsAway", [](Judged& j) { j.pods.SetAge(absl::Hours(1)); }, Kind::kWait, "",
                    "told nothing"},
        SigningCase{"ApprovedForAnAccountThatIsNotKnown",
                    [](Judged& j) {
                      j.request.is_approved = true;
                      j.request.pkcs10 = Pkcs10For({{"spiffe://cluster.local/ns/web/sa/nobody"}, {}, {}, false});
                    },
                    Kind::kWait, "", "no service account web/nobody is known"},
        SigningCase{"AskedByAStrangerForAnAccountThatIsNotKnown",
                    [](Judged& j) {
                      j.request.username = "jane";
                      j.request.pkcs10 = Pkcs10For({{"spiffe://cluster.local/ns/web/sa/nobody"}, {}, {}, false});
                    },
                    Kind::kAwait, "", "no service account web/nobody is known"},
        SigningCase{"ApprovedForAnAccountThatWasMadeAgain",
                    [](Judged& j) {
                      j.request.is_approved = true;
                      j.pods.PutAccount({"web", "front"}, "new-account");
                    },
                    Kind::kForget, "", "was deleted"},
        SigningCase{"ApprovedForAnotherAccountOfThatNameThanIsKnown",
                    [](Judged& j) {
                      j.request.is_approved = true;
                      j.request.user_uid = "from-before-a-restart";
                    },
                    Kind::kWait, "", "but another one of that name"},
        SigningCase{"ApprovedForAPodThatIsNotKnown",
                    [](Judged& j) {
                      j.request.is_approved = true;
                      j.request.pod_uid = "another-pod";
                    },
                    Kind::kWait, "", "another-pod"},
        SigningCase{"OfAPodThatHasEnded",
                    [](Judged& j) {
                      KnownPod pod = *j.pods.FindPod("front-pod");
                      pod.ended = true;
                      j.pods.Put("front-pod", pod);
                    },
                    Kind::kWait, "", "is not known to run"}),
    [](const auto& info) { return std::string(info.param.name); });

INSTANTIATE_TEST_SUITE_P(
    WhatFor, SigningVerdictOf,
    testing::Values(
        SigningCase{"NoPkcs10", [](Judged& j) { j.request.pkcs10 = "x"; }, Kind::kRefuse, "RequestInvalid", ""},
        SigningCase{"ALongOne",
                    [](Judged& j) {
                      j.request.pkcs10.clear();
                      j.request.is_long = true;
                    },
                    Kind::kRefuse, "RequestTooLong", "16384 bytes"},
        SigningCase{"AnAuthority", Asking({{kFrontId}, {}, {}, true}), Kind::kRefuse, "NamesNotAllowed", ""},
        SigningCase{"NoUri", Asking({{}, {}, {}, false}), Kind::kRefuse, "NoIdentity", "exactly one URI"},
        SigningCase{"TwoUris", Asking({{kFrontId, "spiffe://cluster.local/ns/web/sa/back"}, {}, {}, false}),
                    Kind::kRefuse, "NoIdentity", "exactly one URI"},
        SigningCase{"NoSpiffeId", Asking({{"https://cluster.local/"}, {}, {}, false}), Kind::kRefuse, "NoIdentity", ""},
        SigningCase{"AnotherTrustDomain", Asking({{"spiffe://other.test/ns/web/sa/front"}, {}, {}, false}),
                    Kind::kRefuse, "NoIdentity", "no service account's identity here"},
        SigningCase{"OurOwnIdentity", Asking({{"spiffe://cluster.local/meshca/server"}, {}, {}, false}), Kind::kRefuse,
                    "NoIdentity", "no service account's identity here"},
        SigningCase{"ADnsName", Asking({{kFrontId}, {"front.test"}, {}, false}), Kind::kRefuse, "NamesNotAllowed",
                    "front.test"},
        SigningCase{"AnAddress", Asking({{kFrontId}, {}, {"a@b.test"}, false}), Kind::kRefuse, "NamesNotAllowed",
                    "a@b.test"},
        SigningCase{"AnotherUsage", [](Judged& j) { j.request.usages.push_back("cert sign"); }, Kind::kRefuse,
                    "UsageNotAllowed", "\"cert sign\""},
        SigningCase{"AKeyThatIsNotSigned", [](Judged& j) { j.rules.profile.key_types = {KeyType::kEcP384}; },
                    Kind::kRefuse, "UnsupportedKeyType", "leaf.key_types"},
        SigningCase{"ApprovedOrNot",
                    [](Judged& j) {
                      j.request.is_approved = true;
                      j.request.pkcs10 = Pkcs10For({{kFrontId}, {"front.test"}, {}, false});
                    },
                    Kind::kRefuse, "NamesNotAllowed", "front.test"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(SigningRefusal, IsWhatNoOtherAttemptMends) {
  EXPECT_EQ(SigningRefusalOf(WithReason(absl::InvalidArgumentError("too long"), "LIFETIME"))->reason,
            "LifetimeNotAllowed");
  EXPECT_EQ(SigningRefusalOf(absl::PermissionDeniedError("no"))->reason, "IdentityNotAllowed");
  for (const absl::Status& passes : {absl::UnavailableError("away"), absl::ResourceExhaustedError("full"),
                                     absl::InternalError("odd"), absl::AbortedError("again")}) {
    EXPECT_FALSE(SigningRefusalOf(passes).has_value()) << passes;
  }
}

TEST(SigningRequest, IsReadFromItsObject) {
  const auto read = [](const std::string& more, const std::string& status = "{}") {
    return ReadSigningRequest(*kubernetes::PickFields(
        R"({"metadata":{"name":"csr-1","uid":"u","resourceVersion":"7"},"spec":{"signerName":"s","request":"eA==",)" +
            std::string(R"("usages":["server auth","client auth"],"username":"a","uid":"b",)") +
            R"("extra":{"authentication.kubernetes.io/pod-uid":["p"],"x":["y"]})" + more + R"(},"status":)" + status +
            "}",
        SigningRequestPaths()));
  };
  const absl::StatusOr<SigningRequest> plain = read("");
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ(plain->pkcs10, "x");
  EXPECT_THAT(plain->usages, testing::ElementsAre("server auth", "client auth"));
  EXPECT_EQ(plain->username + plain->user_uid + plain->pod_uid, "abp");
  EXPECT_EQ(plain->asker.party, "user a");
  EXPECT_EQ(plain->expiration, absl::ZeroDuration());
  EXPECT_FALSE(plain->is_approved || plain->is_answered || plain->has_conditions);
  EXPECT_EQ(read(R"(,"expirationSeconds":600)")->expiration, absl::Minutes(10));
  EXPECT_FALSE(read(R"(,"expirationSeconds":-1)").ok());
  const auto approved = read("", R"({"conditions":[{"type":"Approved"}]})");
  EXPECT_TRUE(approved->is_approved && approved->has_conditions && !approved->is_answered);
  EXPECT_TRUE(read("", R"({"conditions":[{"type":"Denied"}]})")->is_answered);
  EXPECT_TRUE(read("", R"({"certificate":"eA=="})")->is_answered);
}

TEST(SigningRequest, TheAccountsOfANamespaceShareAsOnePartyInWhichTheyTakeTurns) {
  for (const char* account : {"front", "front-2"}) {
    const absl::StatusOr<SigningRequest> request = ReadSigningRequest(*kubernetes::PickFields(
        absl::StrCat(R"({"metadata":{"name":"csr-1","uid":"u","resourceVersion":"7"},"spec":{"signerName":"s",)",
                     R"("username":"system:serviceaccount:web:)", account, R"("}})"),
        SigningRequestPaths()));
    ASSERT_TRUE(request.ok()) << request.status();
    EXPECT_EQ(request->asker.party, "namespace web");
    EXPECT_EQ(request->asker.account, account);
  }
}

TEST(SigningAnswer, ChangesNothingButWhatItIsFor) {
  SigningRequest request = OwnSigningRequest();
  const kubernetes::ApiCall denied = CallToRefuse(request, {"NoIdentity", "not \"yours\""});
  EXPECT_STREQ(denied.Method(), "PATCH");
  EXPECT_THAT(denied.Target(), HasSubstr("/apis/certificates.k8s.io/v1/certificatesigningrequests/csr-1/approval?"));
  EXPECT_EQ(denied.content_type, "application/json-patch+json");
  EXPECT_EQ(denied.body, R"([{"op":"test","path":"/metadata/uid","value":"csr-uid"},)"
                         R"({"op":"test","path":"/metadata/resourceVersion","value":"7"},)"
                         R"({"op":"add","path":"/status/conditions","value":[{"type":"Denied","status":"True",)"
                         R"("reason":"NoIdentity","message":"not \"yours\""}]}])");
  request.is_approved = request.has_conditions = true;
  const kubernetes::ApiCall failed = CallToRefuse(request, {"NoIdentity", "x"});
  EXPECT_THAT(failed.Target(), HasSubstr("/csr-1/status?"));
  EXPECT_THAT(failed.body, HasSubstr(R"({"op":"add","path":"/status/conditions/-","value":{"type":"Failed")"));
  EXPECT_THAT(CallToHandOut(request, "x").body, HasSubstr(R"("path":"/status/certificate","value":"eA==")"));
  EXPECT_THAT(CallToHandOut(request, "x").RbacRule(),
              HasSubstr("resources: [certificatesigningrequests/status], verbs: [patch]"));
}

}  // namespace
}  // namespace meshca
