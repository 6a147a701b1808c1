#include "ca/pod_certificates/admission_guard.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "ca/kubernetes/api_refusal.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/kubernetes/fake_api_server.h"

namespace meshca {
namespace {

using testing::HasSubstr;

constexpr char kPolicy[] =
    R"({"metadata":{"creationTimestamp":"2026-09-21T14:13:20Z"},"spec":{"failurePolicy":"Fail","matchConstraints":{"namespaceSelector":{},
  "objectSelector":{},"resourceRules":[{"apiGroups":["certificates.k8s.io"],"apiVersions":["*"],
  "operations":["CREATE"],"resources":["podcertificaterequests"]}]},
  "matchConditions":[{"name":"signer","expression":"object.spec.signerName == 'meshca.io/workload'"}],
  "validations":[{"expression":"'system:nodes' in request.userInfo.groups"},
  {"expression":"request.userInfo.username == 'system:node:' + object.spec.nodeName"}]}})";
constexpr char kBinding[] = R"({"metadata":{"creationTimestamp":"2026-09-21T14:13:25Z"},"spec":{)"
                            R"("policyName":"meshca-pod-certificate-requests","validationActions":["Deny"]}})";

absl::Status Judge(const absl::StatusOr<std::string>& policy, const absl::StatusOr<std::string>& binding) {
  return JudgeAdmission(policy, binding, "meshca.io/workload").status();
}

TEST(AdmissionGuard, HoldsAMomentAfterBothObjectsAreThere) {
  const absl::StatusOr<Admission> admission =
      JudgeAdmission(std::string(kPolicy), std::string(kBinding), "meshca.io/workload");
  ASSERT_TRUE(admission.ok()) << admission.status();
  EXPECT_EQ(admission->since, absl::FromUnixSeconds(1'790'000'005) + kPolicyTakesHold);
}

TEST(AdmissionGuard, OneThatWasEditedAndEditedBackHoldsAMomentAfterThat) {
  const std::string binding = absl::StrReplaceAll(
      kBinding,
      {{R"(25Z")", R"(25Z","uid":"u","generation":3,"managedFields":[{"manager":"a","time":"2026-09-21T14:15:00Z"},)"
                   R"({"manager":"b","time":"2026-09-21T14:14:00Z"}])"}});
  const absl::StatusOr<Admission> admission = JudgeAdmission(std::string(kPolicy), binding, "meshca.io/workload");
  ASSERT_TRUE(admission.ok()) << admission.status();
  EXPECT_EQ(admission->since, absl::FromUnixSeconds(1'790'000'100) + kPolicyTakesHold);
  EXPECT_NE(admission->edition,
            JudgeAdmission(std::string(kPolicy), std::string(kBinding), "meshca.io/workload")->edition);
}

TEST(AdmissionGuard, TellsWhetherAnybodyHasEverEditedIt) {
  const auto edited = [](const std::string& policy, const std::string& binding) {
    return JudgeAdmission(policy, binding, "meshca.io/workload")->edited;
  };
  const auto of_generation = [](const char* json, const char* generation) {
    return absl::StrReplaceAll(json,
                               {{R"("metadata":{)", absl::StrCat(R"("metadata":{"generation":)", generation, ",")}});
  };
  EXPECT_FALSE(edited(of_generation(kPolicy, "1"), of_generation(kBinding, "1")));
  EXPECT_TRUE(edited(of_generation(kPolicy, "2"), of_generation(kBinding, "1")));
  EXPECT_TRUE(edited(of_generation(kPolicy, "1"), of_generation(kBinding, "3")));
  EXPECT_TRUE(edited(kPolicy, of_generation(kBinding, "1"))) << "nobody can say so";
}

TEST(AdmissionGuard, HoldsWhicheverWayItIsWritten) {
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {R"("apiVersions":["*"])", R"("apiVersions":["v1","v1beta1"])"},
           {R"(["certificates.k8s.io"],"apiVersions")", R"(["*"],"scope":"*","apiVersions")"},
           {R"('meshca.io/workload')", R"(\"meshca.io/workload\")"},
           {R"("name":"signer")", R"("name":"for-meshca")"},
           {R"(groups"},
  {"expression":")",
            R"(groups &&\n    )"},
           {R"("validations":[)", R"("validations":[{"expression":"object.metadata.namespace != 'kube-system'"},)"}}) {
    const std::string policy = absl::StrReplaceAll(kPolicy, {{from, to}});
    ASSERT_NE(policy, kPolicy) << from;
    EXPECT_TRUE(Judge(policy, std::string(kBinding)).ok()) << policy << Judge(policy, std::string(kBinding));
  }
}

TEST(AdmissionGuard, LooksForThemByName) {
  EXPECT_EQ(CallToGetAdmissionPolicy().Target(),
            "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/meshca-pod-certificate-requests");
  EXPECT_EQ(CallToGetAdmissionBinding().Target(),
            "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/meshca-pod-certificate-requests");
}

// HTTP 404 with this body.
absl::Status NotThere(absl::string_view body) {
  http::Response head;
  head.status = 404;
  return kubernetes::RefusalStatus(CallToGetAdmissionPolicy(), head, body);
}

TEST(AdmissionGuard, OneThatIsMissingIsNamed) {
  const absl::Status missing = NotThere(kubernetes::StatusOf(404, "NotFound", "there is none"));
  const absl::Status no_policy = Judge(missing, std::string(kBinding));
  EXPECT_TRUE(absl::IsFailedPrecondition(no_policy));
  EXPECT_THAT(std::string(no_policy.message()),
              HasSubstr("no ValidatingAdmissionPolicy meshca-pod-certificate-requests, so whoever may create"));
  const absl::Status no_binding = Judge(std::string(kPolicy), missing);
  EXPECT_TRUE(absl::IsFailedPrecondition(no_binding));
  EXPECT_THAT(std::string(no_binding.message()), HasSubstr("no ValidatingAdmissionPolicyBinding"));
}

TEST(AdmissionGuard, OneThatAProxyDoesNotFindIsNotKnownToBeMissing) {
  const absl::Status lost = NotThere("404 page not found\n");
  EXPECT_TRUE(absl::IsUnavailable(Judge(lost, std::string(kBinding))));
  EXPECT_TRUE(absl::IsUnavailable(Judge(std::string(kPolicy), lost)));
}

TEST(AdmissionGuard, WhoMayNotLookIsToldWhy) {
  const absl::Status status = Judge(absl::PermissionDeniedError("add this rule"), absl::UnknownError(""));
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("add this rule"));
}

// Longer than is read of one text, or of one list: what comes after might let everybody through.
TEST(AdmissionGuard, WhatIsCutShortIsAsGoodAsNone) {
  const std::string spaces(size_t{1024} * 1024, ' ');
  const std::string many = absl::StrJoin(std::vector<std::string>(2000, R"({"expression":"true"})"), ",");
  const std::string times = absl::StrJoin(std::vector<std::string>(2000, R"({"time":"2026-09-21T14:13:20Z"})"), ",");
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {R"(object.spec.nodeName")", absl::StrCat("object.spec.nodeName", spaces, R"(|| true")")},
           {R"('meshca.io/workload'")", absl::StrCat("'meshca.io/workload'", spaces, R"(&& false")")},
           {R"("validations":[)", absl::StrCat(R"("validations":[)", many, ",")},
           {R"("metadata":{)", absl::StrCat(R"("metadata":{"managedFields":[)", times, "],")}}) {
    const std::string policy = absl::StrReplaceAll(kPolicy, {{from, to}});
    ASSERT_NE(policy, kPolicy);
    const absl::Status status = Judge(policy, std::string(kBinding));
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << from;
    EXPECT_THAT(std::string(status.message()), HasSubstr("too long to be judged")) << from;
  }
}

struct WeakCase {
  const char* name;
  const char* from;  // in the policy, or the binding
  const char* to;
  const char* fault;
};

class AdmissionWeak : public testing::TestWithParam<WeakCase> {};

TEST_P(AdmissionWeak, IsAsGoodAsNone) {
  const auto& [name, from, to, fault] = GetParam();
  const std::string policy = absl::StrReplaceAll(kPolicy, {{from, to}});
  const std::string binding = absl::StrReplaceAll(kBinding, {{from, to}});
  ASSERT_TRUE(policy != kPolicy || binding != kBinding);
  const absl::Status status = Judge(policy, binding);
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(fault));
}

INSTANTIATE_TEST_SUITE_P(
    By, AdmissionWeak,
    testing::Values(
        WeakCase{"FailurePolicy", "\"Fail\"", "\"Ignore\"", "failurePolicy Ignore"},
        WeakCase{"OtherResource", "podcertificaterequests\"", "certificatesigningrequests\"", "does not look at every"},
        WeakCase{"OtherOperation", "CREATE", "UPDATE", "does not look at every"},
        WeakCase{"SomeNamespaces", R"("namespaceSelector":{})", R"("namespaceSelector":{"matchLabels":{"a":"b"}})",
                 "does not look at every"},
        WeakCase{"NoValidation", R"("validations")", R"("others")", "validates nothing"},
        WeakCase{"ValidatesEverything", R"('system:nodes' in request.userInfo.groups)", "true",
                 "has other validations"},
        WeakCase{"AnyNode", R"(request.userInfo.username ==)", "request.userInfo.username !=", "has other validations"},
        WeakCase{"OrSomebodyElse", R"(request.userInfo.groups")", R"(request.userInfo.groups || true")",
                 "has other validations"},
        WeakCase{"AllButTheSigner", "signerName ==", "signerName !=", "requests to signer meshca.io/workload"},
        WeakCase{"TheSignerSometimes", "'meshca.io/workload'", "'meshca.io/workload' && false",
                 "requests to signer meshca.io/workload"},
        WeakCase{"ASignerThatBeginsSo", "'meshca.io/workload'", "'meshca.io/workload-2'",
                 "requests to signer meshca.io/workload"},
        WeakCase{"OneVersionExactly", R"("apiVersions":["*"],)",
                 R"("apiVersions":["v1beta1"]}],"matchPolicy":"Exact","others":[{)", "does not look at every"},
        WeakCase{"BothVersionsExactly", R"("apiVersions":["*"],)",
                 R"("apiVersions":["v1","v1beta1"]}],"matchPolicy":"Exact","others":[{)", "does not look at every"},
        WeakCase{"OneVersion", R"("apiVersions":["*"])", R"("apiVersions":["v1"])", "does not look at every"},
        WeakCase{"OfTheClusterAlone", R"("resources":)", R"("scope":"Cluster","resources":)", "does not look at every"},
        WeakCase{"TwoHalfRules", R"("resourceRules":[)",
                 R"("resourceRules":[{"apiGroups":["apps"],"apiVersions":["*"],"operations":["CREATE"],)"
                 R"("resources":["podcertificaterequests"]},)",
                 "does not look at every"},
        WeakCase{"Parameters", R"("failurePolicy")",
                 R"("paramKind":{"apiVersion":"v1","kind":"ConfigMap"},"failurePolicy")", "has a paramKind"},
        WeakCase{"OtherSigner", "meshca.io/workload", "other.test/signer", "requests to signer meshca.io/workload"},
        WeakCase{"OtherPolicy", "meshca-pod-certificate-requests", "other", "binds another policy, other"},
        WeakCase{"Audit", "Deny", "Audit", "does not deny"},
        WeakCase{"BoundForSome", R"(["Deny"])",
                 R"(["Deny"],"matchResources":{"namespaceSelector":{"matchLabels":{"a":"b"}}})", "for some requests"}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace meshca
