#include "ca/authn/pod_rights.h"

#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/authn/fake_cluster.h"
#include "test/ca/authn/refuses.h"
#include "test/fakes/fake_clock.h"

namespace meshca {
namespace {

using Code = absl::StatusCode;

class PodRightsTest : public testing::Test {
 protected:
  PodRightsTest() {
    pods_.Put("front-pod", front_.AsKnown());
    pods_.PutAccount({"web", "front"}, "front-account");
    pods_.Put("zt-pod", ztunnel_.AsKnown());
    pods_.PutAccount({"istio-system", "ztunnel"}, "zt-account");
  }
  absl::Status Check(const PodOrigin& origin) const { return rights_.CheckPodOrigin(origin, issued_at_); }
  std::shared_ptr<const KnownPods> Borrowed() const { return {std::shared_ptr<void>(), &pods_}; }
  void Away() { pods_.SetAge(absl::Hours(1)); }

  const PodToken front_{.account_uid = "front-account", .pod_uid = "front-pod"};
  const PodToken ztunnel_{.namespace_name = "istio-system",
                          .account = "ztunnel",
                          .account_uid = "zt-account",
                          .pod = "ztunnel-1",
                          .pod_uid = "zt-pod"};
  const std::string cluster_ = "https://kubernetes.test";
  const PodOrigin own_{"web", "front", "front-account", "front-pod", cluster_};
  const PodOrigin unbound_{"web", "front", "front-account", "", cluster_};
  const PodOrigin on_behalf_{"web", "front", "zt-account", "zt-pod", cluster_};
  FakeClock clock_;
  absl::Time issued_at_ = clock_.Now() - absl::Hours(2);
  FakePods pods_;
  PodRights rights_{{{"istio-system", "ztunnel"}}, Borrowed(), clock_};
};

TEST_F(PodRightsTest, HoldWhileWhatGaveThemIsThere) {
  EXPECT_EQ(Check(own_), absl::OkStatus());
  EXPECT_EQ(Check(unbound_), absl::OkStatus());
  EXPECT_EQ(Check(on_behalf_), absl::OkStatus());
  Away();
  EXPECT_EQ(Check(own_), absl::OkStatus()) << "what is known goes on counting";
  EXPECT_EQ(Check(on_behalf_), absl::OkStatus());
}

TEST_F(PodRightsTest, EndWithThePod) {
  KnownPod pod = front_.AsKnown();
  pod.deleted_at = clock_.Now() - kDeletedPodGrace;
  pods_.Put("front-pod", pod);
  EXPECT_THAT(Check(own_), Refuses(Code::kPermissionDenied, "", "which has ended"));
  EXPECT_THAT(Check(on_behalf_), Refuses(Code::kPermissionDenied, "", "on node node-1"));
  pods_.Delete("front-pod");
  EXPECT_THAT(Check(own_), Refuses(Code::kPermissionDenied, "", "pod front-pod, which was deleted"));
  Away();
  EXPECT_THAT(Check(own_), Refuses(Code::kPermissionDenied, "", "was deleted")) << "that does not change";
}

TEST_F(PodRightsTest, OfAPodWhoseKubeletAskedNeedNoIssuer) {
  PodOrigin asked = own_;
  asked.issuer = std::string(PodOrigin::kNoToken);
  EXPECT_EQ(Check(asked), absl::OkStatus());
  pods_.Delete("front-pod");
  EXPECT_THAT(Check(asked), Refuses(Code::kPermissionDenied, "", "pod front-pod, which was deleted"));
}

TEST_F(PodRightsTest, EndWithTheAccount) {
  pods_.PutAccount({"web", "front"}, "front-account-2");
  EXPECT_THAT(Check(own_), Refuses(Code::kPermissionDenied, "", "service account front-account, which was deleted"));
  EXPECT_THAT(Check(unbound_), Refuses(Code::kPermissionDenied, "", "was deleted"));
}

TEST_F(PodRightsTest, OfWhatIsNotKnownDependOnTheWatch) {
  PodOrigin other = own_;
  other.pod_uid = "other-pod";
  EXPECT_THAT(Check(other), Refuses(Code::kPermissionDenied, "", "not there any more"));
  Away();
  EXPECT_THAT(Check(other), Refuses(Code::kUnavailable, "PODS_UNKNOWN", "retry"));
  PodOrigin of_other_account = unbound_;
  of_other_account.account_uid = "other-account";
  EXPECT_THAT(Check(of_other_account), Refuses(Code::kUnavailable, "PODS_UNKNOWN", "web/front"));
  pods_.SetAge(absl::InfiniteDuration());
  EXPECT_THAT(Check(other), Refuses(Code::kUnavailable, "PODS_UNKNOWN", ""));
  pods_.SetAge(absl::ZeroDuration());
  EXPECT_THAT(Check(of_other_account), Refuses(Code::kPermissionDenied, "", "not there any more"));
}

TEST_F(PodRightsTest, OfWhatWasNotHeardOfSinceTheCertificateAreNotGone) {
  PodOrigin other = own_;
  other.pod_uid = "pod-that-only-the-api-server-knew";
  issued_at_ = clock_.Now();
  pods_.SetAge(absl::Seconds(30));
  EXPECT_THAT(Check(other), Refuses(Code::kUnavailable, "PODS_UNKNOWN", "pod-that-only"));
  PodOrigin of_other_account = unbound_;
  of_other_account.account_uid = "other-account";
  EXPECT_THAT(Check(of_other_account), Refuses(Code::kUnavailable, "PODS_UNKNOWN", ""));
  EXPECT_EQ(Check(own_), absl::OkStatus());
  clock_.Advance(absl::Seconds(31));
  EXPECT_THAT(Check(other), Refuses(Code::kPermissionDenied, "", "not there any more"));
  EXPECT_THAT(Check(of_other_account), Refuses(Code::kPermissionDenied, "", "not there any more"));
}

TEST_F(PodRightsTest, OfANodesProxyEndWithItAndWithWhomItStoodFor) {
  PodOrigin of_stranger = on_behalf_;
  of_stranger.account = "stranger";
  EXPECT_THAT(Check(of_stranger), Refuses(Code::kPermissionDenied, "", "web/stranger on node node-1"));
  const PodRights none_trusted({}, Borrowed(), clock_);
  EXPECT_THAT(none_trusted.CheckPodOrigin(on_behalf_, issued_at_),
              Refuses(Code::kPermissionDenied, "", "trusted_node_accounts"));
  pods_.Delete("zt-pod");
  EXPECT_THAT(Check(on_behalf_), Refuses(Code::kPermissionDenied, "", "pod zt-pod, which was deleted"));
}

TEST_F(PodRightsTest, OfAnotherIssuersTokenStandAndFallWithTheirPodToo) {
  PodOrigin other = own_;
  other.issuer = "https://the-cluster-before-it-was-moved.test";
  EXPECT_EQ(Check(other), absl::OkStatus());
  // A pod of another cluster has another uid.
  other.pod_uid = "pod-of-another-cluster";
  EXPECT_THAT(Check(other), Refuses(Code::kPermissionDenied, "", "not there any more"));
}

}  // namespace
}  // namespace meshca
