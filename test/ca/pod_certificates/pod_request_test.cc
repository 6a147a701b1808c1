#include "ca/pod_certificates/pod_request.h"

#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "ca/kubernetes/picked_fields.h"
#include "ca/pod_certificates/pod_request_answer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meshca {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kObject[] = R"({"apiVersion":"certificates.k8s.io/v1","kind":"PodCertificateRequest",
  "metadata":{"namespace":"web","name":"req-1","uid":"req-uid","resourceVersion":"7",
  "creationTimestamp":"2026-09-21T14:13:20Z"},
  "spec":{"signerName":"meshca.io/workload","podName":"front-1","podUID":"pod-uid","serviceAccountName":"front",
  "serviceAccountUID":"account-uid","nodeName":"node-1","nodeUID":"node-uid","maxExpirationSeconds":3600,
  "stubPKCS10Request":"AAEC","unverifiedUserAnnotations":{"b.test/x":"1","a.test/y":""}},"status":{}})";

absl::StatusOr<PodRequest> Read(const std::string& json) {
  return ReadPodRequest(*kubernetes::PickFields(json, PodRequestPaths()));
}

TEST(PodRequest, IsReadFromTheObject) {
  const absl::StatusOr<PodRequest> request = Read(kObject);
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->namespace_name, "web");
  EXPECT_EQ(request->uid, "req-uid");
  EXPECT_EQ(request->resource_version, "7");
  EXPECT_EQ(request->created, absl::FromUnixSeconds(1'790'000'000));
  EXPECT_EQ(request->signer_name, "meshca.io/workload");
  EXPECT_EQ(request->pod_uid, "pod-uid");
  EXPECT_EQ(request->account_uid, "account-uid");
  EXPECT_EQ(request->node, "node-1");
  EXPECT_EQ(request->asker.party, "node node-1");
  EXPECT_EQ(request->asker.namespace_name, request->namespace_name);
  EXPECT_EQ(request->asker.account, request->account);
  EXPECT_EQ(request->max_expiration, absl::Hours(1));
  EXPECT_EQ(request->stub_pkcs10, std::string("\0\1\2", 3));
  EXPECT_THAT(request->user_annotations, ElementsAre("a.test/y", "b.test/x"));
  EXPECT_FALSE(request->is_answered);
  EXPECT_EQ(request->Text(), "PodCertificateRequest web/req-1 of pod front-1");
}

TEST(PodRequest, ADayIsTheLongestWhereNothingIsSaid) {
  EXPECT_EQ(Read(absl::StrReplaceAll(kObject, {{"\"maxExpirationSeconds\":3600,", ""}}))->max_expiration,
            absl::Hours(24));
}

TEST(PodRequest, AnyConditionThatEndsItIsAnAnswer) {
  for (const std::string type : {"Issued", "Denied", "Failed"}) {
    const std::string status = absl::StrCat(R"("status":{"conditions":[{"type":")", type, R"("}]})");
    EXPECT_TRUE(Read(absl::StrReplaceAll(kObject, {{"\"status\":{}", status}}))->is_answered) << type;
  }
  EXPECT_FALSE(Read(absl::StrReplaceAll(kObject, {{"\"status\":{}", R"("status":{"conditions":[{"type":"Seen"}]})"}}))
                   ->is_answered);
}

TEST(PodRequest, WhatIsMissingOrBrokenIsNamed) {
  const auto why = [](const char* from, const char* to) {
    return std::string(Read(absl::StrReplaceAll(kObject, {{from, to}})).status().message());
  };
  EXPECT_THAT(why("\"podUID\":\"pod-uid\",", ""), HasSubstr("spec.podUID is empty"));
  EXPECT_THAT(why("AAEC", "%%%"), HasSubstr("spec.stubPKCS10Request is no base64"));
  EXPECT_THAT(why("2026-09-21T14:13:20Z", "long ago"), HasSubstr("metadata.creationTimestamp is no time"));
  EXPECT_THAT(why(":3600", ":\"long\""), HasSubstr("spec.maxExpirationSeconds is no number"));
}

TEST(PodRequestAnswer, IssuesByOneUpdateOfTheStatus) {
  const PodRequest request = *Read(kObject);
  const absl::Time begin = absl::FromUnixSeconds(1'790'000'000);
  const kubernetes::ApiCall call = CallToIssue(
      "v1beta1", request, {"LEAF\nISSUER\n", {begin, begin + absl::Hours(1)}, begin + absl::Minutes(30)}, begin);
  EXPECT_EQ(call.Text(), "update podcertificaterequests.certificates.k8s.io/status req-1 in namespace web");
  EXPECT_EQ(call.body,
            R"({"apiVersion":"certificates.k8s.io/v1beta1","kind":"PodCertificateRequest","metadata":{"name":"req-1",)"
            R"("namespace":"web","uid":"req-uid","resourceVersion":"7"},"status":{"conditions":[{"type":"Issued",)"
            R"("status":"True","reason":"Issued","message":"signed by meshca","lastTransitionTime":)"
            R"("2026-09-21T14:13:20Z"}],"certificateChain":"LEAF\nISSUER\n","notBefore":"2026-09-21T14:13:20Z",)"
            R"("notAfter":"2026-09-21T15:13:20Z","beginRefreshAt":"2026-09-21T14:43:20Z"}})");
}

TEST(PodRequestAnswer, DeniesWithAReasonAndNothingElse) {
  const kubernetes::ApiCall call =
      CallToDeny("v1", *Read(kObject), {"UnsupportedKeyType", "say \"please\""}, absl::UnixEpoch());
  EXPECT_THAT(call.body, HasSubstr(R"("type":"Denied","status":"True","reason":"UnsupportedKeyType",)"
                                   R"("message":"say \"please\"","lastTransitionTime":"1970-01-01T00:00:00Z"}]}})"));
}

}  // namespace
}  // namespace meshca
