#include "ca/kubernetes/api_call.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/kubernetes/fake_api_server.h"

namespace meshca::kubernetes {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(ApiCall, IsMadeAsTheApiHasIt) {
  RecordingApiServer recorder;
  const auto server = ConnectTo(recorder.server());
  const std::string body = R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"roots"}})";
  ASSERT_TRUE(Ask(*server, CallToGet(ConfigMaps(), "web", "roots")).ok());
  EXPECT_THAT(recorder.last().head, StartsWith("GET /prefix/api/v1/namespaces/web/configmaps/roots HTTP/1.1\r\n"));

  ASSERT_TRUE(Ask(*server, CallToCreate(ConfigMaps(), "web", body)).ok());
  EXPECT_THAT(recorder.last().head,
              AllOf(StartsWith("POST /prefix/api/v1/namespaces/web/configmaps?fieldManager=meshca HTTP/1.1\r\n"),
                    HasSubstr("Content-Type: application/json\r\n")));
  EXPECT_EQ(recorder.last().body, body);

  const std::string roots = "/prefix/api/v1/namespaces/web/configmaps/roots";
  ASSERT_TRUE(Ask(*server, CallToApply(ConfigMaps(), "web", "roots", body, ApplyConflict::kForce)).ok());
  EXPECT_THAT(recorder.last().head, AllOf(StartsWith("PATCH " + roots + "?fieldManager=meshca&force=true HTTP/1.1\r\n"),
                                          HasSubstr("Content-Type: application/apply-patch+yaml\r\n")));
  EXPECT_EQ(recorder.last().body, body);
  ASSERT_TRUE(Ask(*server, CallToApply(ConfigMaps(), "web", "roots", body, ApplyConflict::kRefuse)).ok());
  EXPECT_THAT(recorder.last().head, StartsWith("PATCH " + roots + "?fieldManager=meshca&force=false HTTP/1.1\r\n"));

  const Resource requests = {"certificates.k8s.io", "v1", "podcertificaterequests"};
  ASSERT_TRUE(Ask(*server, CallToUpdateStatus(requests, "web", "r", body)).ok());
  EXPECT_THAT(recorder.last().head,
              StartsWith("PUT /prefix/apis/certificates.k8s.io/v1/namespaces/web/podcertificaterequests/r/"
                         "status?fieldManager=meshca HTTP/1.1\r\n"));
  EXPECT_EQ(recorder.last().body, body);
}

TEST(ApiCall, NamesTheRuleThatAllowsIt) {
  EXPECT_EQ(CallToApply(ConfigMaps(), "web", "roots", "{}", ApplyConflict::kForce).RbacRule(),
            "{apiGroups: [\"\"], resources: [configmaps], verbs: [create, patch]}");
  EXPECT_EQ(CallToUpdateStatus({"certificates.k8s.io", "v1", "podcertificaterequests"}, "web", "r", "").RbacRule(),
            "{apiGroups: [\"certificates.k8s.io\"], resources: [podcertificaterequests/status], verbs: [update]}");
  EXPECT_EQ(CallToUpdateStatus({"certificates.k8s.io", "v1", "podcertificaterequests"}, "web", "r", "").Text(),
            "update podcertificaterequests.certificates.k8s.io/status r in namespace web");
}

}  // namespace
}  // namespace meshca::kubernetes
