#include "ca/pod_certificates/denial_event.h"

#include <gmock/gmock.h>

#include "test/ca/authn/fake_cluster.h"
#include "test/ca/kubernetes/kept_events.h"
#include "test/ca/pod_certificates/pod_request_maker.h"

namespace meshca {
namespace {

using ::testing::SizeIs;

TEST(DenialEventTest, APodThatTheRequestOnlyClaimsToBeOfHearsNothing) {
  FakePods pods;
  pods.Put("front-pod", FrontPod());
  const PodRequest request = RequestForFront(*SoftwareKey::Generate(KeyType::kEcP256));
  const std::string why = "PodMismatch: it names another node";
  for (const char* field : {"uid", "name", "namespace"}) {
    PodRequest forged = request;
    if (field == std::string("uid")) forged.pod_uid = "another-pod";
    if (field == std::string("name")) forged.pod_name = "another";
    if (field == std::string("namespace")) forged.namespace_name = "strangers";
    kubernetes::KeptEvents events;
    TellDenied("v1", forged, why, pods, &events);
    ASSERT_THAT(events.all(), SizeIs(1)) << field;
    EXPECT_EQ(events.all().front().regarding.kind, "PodCertificateRequest");
  }
  kubernetes::KeptEvents events;
  TellDenied("v1", request, why, pods, &events);
  EXPECT_THAT(events.all(), SizeIs(2));
  TellDenied("v1", request, why, pods, nullptr);
}

}  // namespace
}  // namespace meshca
