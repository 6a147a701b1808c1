#include "ca/kubernetes/api_refusal.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "ca/kubernetes/token_review.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/kubernetes/fake_api_server.h"

namespace meshca::kubernetes {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const Resource kRequests = {"certificates.k8s.io", "v1", "podcertificaterequests"};

absl::Status Refuse(int http_status, const std::string& body, const ApiCall& call = CallToGet(kRequests, "web", "r"),
                    const http::Headers& headers = {}) {
  return RefusalStatus(call, http::Response{http_status, headers, ""}, body);
}

std::string MessageOf(const absl::Status& status) { return std::string(status.message()); }

TEST(ApiRefusal, KeepsWhatProgramsWantToKnow) {
  const auto busy =
      RefusalOf(Refuse(429, StatusOf(429, "TooManyRequests", "later", "C"), ListOfPods(), {{"retry-after", "7"}}));
  ASSERT_TRUE(busy.has_value());
  EXPECT_EQ(busy->http_status, 429);
  EXPECT_EQ(busy->reason, "TooManyRequests");
  EXPECT_EQ(busy->cause, "C");
  EXPECT_EQ(busy->retry_after, absl::Seconds(7));
  EXPECT_FALSE(RefusalOf(absl::NotFoundError("")).has_value());
}

TEST(ApiRefusal, BelievesNoEndlessRetryAfter) {
  const auto after = [](const std::string& text) {
    return RefusalOf(Refuse(503, "", ListOfPods(), {{"Retry-After", text}}))->retry_after;
  };
  EXPECT_EQ(after("99999999999999"), ApiRefusal::kRetryAfterMax);
  EXPECT_EQ(after("99999999999999999999999"), absl::ZeroDuration());
  EXPECT_EQ(after("-1"), absl::ZeroDuration());
  EXPECT_EQ(after("Sun, 06 Nov 1994 08:49:37 GMT"), absl::ZeroDuration());
}

TEST(ApiRefusal, TellsAnAbsentServerFromOneThatRefuses) {
  const std::string status = StatusOf(500, "InternalError", "no");
  struct Case {
    absl::Status status;
    bool without_answer, proper;
  };
  for (const Case& one : {
           Case{absl::UnavailableError("connection refused"), true, false},
           Case{absl::DeadlineExceededError("no answer in time"), true, false},
           Case{absl::CancelledError(""), false, false},
           Case{absl::ResourceExhaustedError("too many calls of our own"), false, false},
           Case{Refuse(502, "<html>"), true, false},
           Case{Refuse(503, ""), true, false},
           Case{Refuse(504, ""), true, false},
           Case{Refuse(503, "", ListOfPods(), {{"Retry-After", "1"}}), false, false},
           Case{Refuse(503, status), false, false},
           Case{Refuse(500, status), false, false},
           Case{Refuse(500, ""), false, false},
           Case{Refuse(429, status), false, false},
           Case{Refuse(404, "404 page not found"), false, false},
           Case{Refuse(404, StatusOf(404, "NotFound", "no")), false, true},
           Case{Refuse(403, StatusOf(403, "Forbidden", "no")), false, true},
           Case{Refuse(409, StatusOf(409, "Conflict", "no")), false, true},
           Case{Refuse(422, StatusOf(422, "Invalid", "no")), false, true},
       }) {
    EXPECT_EQ(IsWithoutAnswer(one.status), one.without_answer) << one.status;
    EXPECT_EQ(IsProperRefusal(one.status), one.proper) << one.status;
  }
}

TEST(ApiRefusal, AnObjectIsMissingWhereTheApiServerItselfSaysSo) {
  EXPECT_TRUE(IsMissingObject(Refuse(404, StatusOf(404, "NotFound", "there is none"), ListOfPods())));
  EXPECT_FALSE(IsMissingObject(Refuse(404, "404 page not found\n", ListOfPods())));
  EXPECT_FALSE(IsMissingObject(Refuse(404, "", ListOfPods())));
  EXPECT_FALSE(IsMissingObject(Refuse(403, StatusOf(403, "NotFound", "no"), ListOfPods())));
  EXPECT_FALSE(IsMissingObject(absl::NotFoundError("a file")));
}

TEST(ApiRefusal, NamesTheRuleOnlyWhereOneIsMissing) {
  const std::string rule = R"(add this rule to the ClusterRole of meshca: {apiGroups: ["certificates.k8s.io"], )"
                           R"(resources: [podcertificaterequests], verbs: [get]})";
  const std::string by_rbac = R"(x is forbidden: User \"m\" cannot get resource \"x\" in API group \"\")";
  EXPECT_THAT(MessageOf(Refuse(403, StatusOf(403, "Forbidden", by_rbac))),
              AllOf(HasSubstr("User \"m\""), HasSubstr(rule)));
  EXPECT_THAT(MessageOf(Refuse(403, "")), HasSubstr(rule)) << "for all that is known it may be that";
  EXPECT_THAT(MessageOf(Refuse(403, "Forbidden")), HasSubstr(rule));
  EXPECT_THAT(MessageOf(Refuse(403, StatusOf(403, "Forbidden", "exceeded quota: objects"))),
              AllOf(HasSubstr("quota"), Not(HasSubstr("apiGroups"))));
  const absl::Status ending = Refuse(
      403, StatusOf(403, "Forbidden", "x is forbidden: namespace web is being terminated", "NamespaceTerminating"));
  EXPECT_EQ(ending.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(MessageOf(ending), AllOf(HasSubstr("being terminated"), Not(HasSubstr("apiGroups"))));
}

TEST(ApiRefusal, TellsAMissingRightFromAQuota) {
  const ApiCall call = CallToCreate(ConfigMaps(), "web", "{}");
  const std::string by_rbac = R"(x is forbidden: User \"m\" cannot create resource \"configmaps\" in API group \"\")";
  EXPECT_TRUE(IsMissingRight(Refuse(403, StatusOf(403, "Forbidden", by_rbac), call)));
  EXPECT_FALSE(IsMissingRight(Refuse(403, StatusOf(403, "Forbidden", "x is forbidden: exceeded quota"), call)));
  EXPECT_FALSE(IsMissingRight(Refuse(404, "", call)));
}

// Nobody is told to give all Secrets away for one.
TEST(ApiRefusal, NamesTheRuleOfOneSecretInItsNamespace) {
  const std::string by_rbac = R"(x is forbidden: User \"m\" cannot get resource \"secrets\" in API group \"\")";
  ApiCall call = CallToGet(Secrets(), "istio-system", "istio-ca-secret");
  call.granted_for = call.name;
  EXPECT_THAT(MessageOf(Refuse(403, StatusOf(403, "Forbidden", by_rbac), call)),
              HasSubstr("add this rule to a Role in namespace istio-system: {apiGroups: [\"\"], resources: [secrets], "
                        "resourceNames: [\"istio-ca-secret\"], verbs: [get]}"));
}

TEST(ApiRefusal, NamesTheRuleForOneObjectOfANamespace) {
  ApiCall call = CallToApply(Secrets(), "istio-system", "istiod-tls", "{}", ApplyConflict::kForce);
  call.body_is_secret = true;
  call.granted_for = "istiod-tls";
  EXPECT_THAT(MessageOf(Refuse(403, "", call)),
              HasSubstr(R"(add this rule to a Role in namespace istio-system: {apiGroups: [""], )"
                        R"(resources: [secrets], resourceNames: ["istiod-tls"], verbs: [create, patch]})"));
}

TEST(ApiRefusal, NamesTheRuleOfASigner) {
  const auto rule = [](const std::string& signer, const std::string& verb) {
    return absl::StrCat(R"(: {apiGroups: ["certificates.k8s.io"], resources: [signers], resourceNames: [")", signer,
                        R"("], verbs: [)", verb, "]}");
  };
  EXPECT_THAT(
      MessageOf(Refuse(
          403, StatusOf(403, "Forbidden", R"(x is forbidden: user not permitted to attest for signerName \"a.b/c\")"))),
      HasSubstr(rule("a.b/c", "attest")));
  EXPECT_THAT(MessageOf(Refuse(403, StatusOf(403, "Forbidden",
                                             R"(user not permitted to approve requests with signerName \"a.b/c\")"))),
              HasSubstr(rule("a.b/c", "approve")));
  EXPECT_THAT(
      MessageOf(Refuse(422, StatusOf(422, "Invalid",
                                     R"(spec.signerName: Forbidden: User \"u\" is not permitted to \"sign\" for )"
                                     R"(signer \"meshca.io/workload\", and more)"))),
      HasSubstr(rule("meshca.io/workload", "sign")));
  for (const char* other : {"not permitted to", "not permitted to sign", "not permitted to sign signer",
                            "not permitted to sign signer x", "signer \\\"x\\\""}) {
    EXPECT_THAT(MessageOf(Refuse(422, StatusOf(422, "Invalid", other))), Not(HasSubstr("apiGroups"))) << other;
  }
}

TEST(ApiRefusal, TellsAnApiThatIsNotServedFromAnObjectThatIsNotThere) {
  EXPECT_THAT(MessageOf(Refuse(404, "404 page not found\n")),
              HasSubstr("HTTP 404: 404 page not found; the API server does not serve "
                        "podcertificaterequests.certificates.k8s.io in version v1"));
  EXPECT_THAT(MessageOf(Refuse(404, StatusOf(404, "NotFound", "x not found"))),
              AllOf(HasSubstr("x not found"), Not(HasSubstr("does not serve"))));
}

TEST(ApiRefusal, DoesNotRepeatWhatMayQuoteASecret) {
  const ApiCall review = CallToReviewToken("hush-hush", {"a"});
  for (const std::string& body : {StatusOf(400, "BadRequest", "cannot read hush-hush"), std::string("hush-hush")}) {
    const absl::Status status = Refuse(400, body, review);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(MessageOf(status), AllOf(HasSubstr("HTTP 400"), HasSubstr("are not shown"), Not(HasSubstr("hush"))));
    EXPECT_THAT(MessageOf(Refuse(400, body)), HasSubstr("hush"));
  }
}

TEST(ApiRefusal, IsShortAndPrintableWhateverTheApiServerSays) {
  const std::string endless(100'000, 'x');
  for (const std::string& body : {StatusOf(500, endless, endless, endless), endless, std::string(1000, '['),
                                  StatusOf(500, "a\\nb", "c\\u0007\\nd", "e\\nf")}) {
    const absl::Status status = Refuse(500, body);
    EXPECT_LT(status.message().size(), 1024u);
    EXPECT_THAT(MessageOf(status), Not(HasSubstr("\n")));
    EXPECT_TRUE(RefusalOf(status).has_value());
  }
}

}  // namespace
}  // namespace meshca::kubernetes
