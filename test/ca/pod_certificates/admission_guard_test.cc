#include "ca/pod_certificates/admission_guard.h"

#include <string>

#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meshca {
namespace {

using testing::HasSubstr;

constexpr char kPolicy[] =
    R"({"metadata":{"creationTimestamp":"2026-09-21T14:13:20Z"},"spec":{"failurePolicy":"Fail","matchConstraints":{"namespaceSelector":{},
  "objectSelector":{},"resourceRules":[{"apiGroups":["certificates.k8s.io"],"apiVersions":["*"],
  "operations":["CREATE"],"resources":["podcertificaterequests"]}]},
  "matchConditions":[{"name":"signer","expression":"object.spec.signerName == 'meshca.io/workload'"}],
  "validations":[{"expression":"'system:nodes' in request.userInfo.groups"}]}})";
constexpr char kBinding[] = R"({"metadata":{"creationTimestamp":"2026-09-21T14:13:25Z"},"spec":{)"
                            R"("policyName":"meshca-pod-certificate-requests","validationActions":["Deny"]}})";

absl::Status Judge(const absl::StatusOr<std::string>& policy, const absl::StatusOr<std::string>& binding) {
  return JudgeAdmission(policy, binding, "meshca.io/workload").status();
}

TEST(AdmissionGuard, HoldsAMomentAfterBothObjectsAreThere) {
  const absl::StatusOr<absl::Time> since =
      JudgeAdmission(std::string(kPolicy), std::string(kBinding), "meshca.io/workload");
  ASSERT_TRUE(since.ok()) << since.status();
  EXPECT_EQ(*since, absl::FromUnixSeconds(1'790'000'005) + kPolicyTakesHold);
}

TEST(AdmissionGuard, LooksForThemByName) {
  EXPECT_EQ(CallToGetAdmissionPolicy().Target(),
            "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/meshca-pod-certificate-requests");
  EXPECT_EQ(CallToGetAdmissionBinding().Target(),
            "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/meshca-pod-certificate-requests");
}

TEST(AdmissionGuard, OneThatIsMissingIsNamed) {
  const absl::Status no_policy = Judge(absl::NotFoundError("404"), std::string(kBinding));
  EXPECT_TRUE(absl::IsFailedPrecondition(no_policy));
  EXPECT_THAT(std::string(no_policy.message()),
              HasSubstr("no ValidatingAdmissionPolicy meshca-pod-certificate-requests, so whoever may create"));
  const absl::Status no_binding = Judge(std::string(kPolicy), absl::NotFoundError("404"));
  EXPECT_TRUE(absl::IsFailedPrecondition(no_binding));
  EXPECT_THAT(std::string(no_binding.message()), HasSubstr("no ValidatingAdmissionPolicyBinding"));
}

TEST(AdmissionGuard, WhoMayNotLookIsToldWhy) {
  const absl::Status status = Judge(absl::PermissionDeniedError("add this rule"), absl::UnknownError(""));
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("add this rule"));
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
        WeakCase{"NoValidation", R"({"expression":"'system:nodes' in request.userInfo.groups"})", "",
                 "validates nothing"},
        WeakCase{"OtherSigner", "meshca.io/workload", "other.test/signer", "requests to signer meshca.io/workload"},
        WeakCase{"OtherPolicy", "meshca-pod-certificate-requests", "other", "binds another policy, other"},
        WeakCase{"Audit", "Deny", "Audit", "does not deny"},
        WeakCase{"BoundForSome", R"(["Deny"])",
                 R"(["Deny"],"matchResources":{"namespaceSelector":{"matchLabels":{"a":"b"}}})", "for some requests"}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace meshca
