#include "ca/pod_certificates/pod_leaf_advice.h"

#include <functional>
#include <string>

#include "ca/identity/pod_origin.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/authn/fake_cluster.h"

namespace meshca {
namespace {

using testing::HasSubstr;

const absl::Time kAdviceNow = absl::FromUnixSeconds(1'790'000'000);

// Given an hour ago for a day, to pod web/front-1.
LiveLeaf PodLeaf() {
  LiveLeaf leaf;
  leaf.method = AuthMethod::kPodCertificate;
  leaf.instance = "pod web/front-1";
  leaf.origin = PodOrigin{"web", "front", "account-uid", "pod-uid", std::string(PodOrigin::kNoToken)}.ToOrigin();
  leaf.not_before = kAdviceNow - absl::Hours(1);
  leaf.issued_at = leaf.not_before + absl::Minutes(4);
  leaf.not_after = leaf.not_before + absl::Hours(24);
  return leaf;
}

KnownPod Front() {
  KnownPod pod;
  pod.name = "front-1";
  pod.account = {"web", "front"};
  return pod;
}

struct GoneCase {
  const char* name;
  std::function<void(FakePods&, LiveLeaf&)> change;
  bool gone;
};

class PodOfLeaf : public testing::TestWithParam<GoneCase> {};

TEST_P(PodOfLeaf, IsGoneWhereThatIsCertain) {
  FakePods pods;
  pods.SetAge(absl::Seconds(10));
  pods.Put("pod-uid", Front());
  LiveLeaf leaf = PodLeaf();
  GetParam().change(pods, leaf);
  EXPECT_EQ(PodOfLeafIsGone(leaf, pods, kAdviceNow), GetParam().gone);
}

void Forget(FakePods& pods, LiveLeaf& leaf) {
  leaf.origin = PodOrigin{"web", "front", "account-uid", "never-seen", std::string(PodOrigin::kNoToken)}.ToOrigin();
  pods.SetAge(absl::Seconds(10));
}

INSTANTIATE_TEST_SUITE_P(
    Pods, PodOfLeaf,
    testing::Values(GoneCase{"Lives", [](FakePods&, LiveLeaf&) {}, false},
                    GoneCase{"Deleted", [](FakePods& pods, LiveLeaf&) { pods.Delete("pod-uid"); }, true},
                    GoneCase{"DeletedAndTheApiServerIsAway",
                             [](FakePods& pods, LiveLeaf&) {
                               pods.Delete("pod-uid");
                               pods.SetAge(absl::Hours(1));
                             },
                             false},
                    GoneCase{"Ended",
                             [](FakePods& pods, LiveLeaf&) {
                               KnownPod pod = Front();
                               pod.ended = true;
                               pods.Put("pod-uid", pod);
                             },
                             true},
                    GoneCase{"OnANodeThatIsAway",
                             [](FakePods& pods, LiveLeaf&) {
                               KnownPod pod = Front();
                               pod.deleted_at = kAdviceNow - absl::Hours(9);
                               pods.Put("pod-uid", pod);
                             },
                             false},
                    GoneCase{"NotThere", Forget, true},
                    GoneCase{"NotThereYet",
                             [](FakePods& pods, LiveLeaf& leaf) {
                               Forget(pods, leaf);
                               leaf.issued_at = kAdviceNow - absl::Seconds(15);
                             },
                             false},
                    GoneCase{"OfATokenThatIsBoundToNoPod",
                             [](FakePods&, LiveLeaf& leaf) {
                               leaf.origin = PodOrigin{"web", "front", "account-uid", "", "https://issuer"}.ToOrigin();
                             },
                             false},
                    GoneCase{"OfNoPod",
                             [](FakePods&, LiveLeaf& leaf) {
                               leaf.origin = {OriginKind::kEntry, "pod-uid"};
                             },
                             false}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(PodLeafRenews, AtHalfOfItsLifeOrEarlyWhereItsRootWasBeingLeft) {
  const LiveLeaf leaf = PodLeaf();
  const absl::Time half = leaf.not_before + absl::Hours(12) + absl::Minutes(5);
  RootRotation rotation;
  EXPECT_EQ(PodLeafRenewsBy(leaf, rotation), half) << "nothing is published yet";
  rotation.published_at = leaf.issued_at + absl::Minutes(1);
  EXPECT_EQ(PodLeafRenewsBy(leaf, rotation), half) << "it was given before";
  rotation.published_at = leaf.issued_at - absl::Minutes(1);
  EXPECT_EQ(PodLeafRenewsBy(leaf, rotation), leaf.not_before + absl::Minutes(15));
  rotation.rolled_back = true;
  EXPECT_EQ(PodLeafRenewsBy(leaf, rotation), half) << "its root was the new one then";
  LiveLeaf of_token = leaf;
  of_token.method = AuthMethod::kServiceAccount;
  EXPECT_EQ(PodLeafRenewsBy(of_token, rotation), absl::InfiniteFuture());
}

struct AdviceCase {
  const char* name;
  std::function<void(LiveLeaf&)> leaf;
  const char* advice;
  bool renews;
};

class PodLeafAdvice : public testing::TestWithParam<AdviceCase> {};

TEST_P(PodLeafAdvice, NamesThePodThatIsRestarted) {
  FakePods pods;
  pods.Put("pod-uid", Front());
  KnownPod proxy;
  proxy.name = "ztunnel-x";
  proxy.account = {"istio-system", "ztunnel"};
  pods.Put("proxy-uid", proxy);
  LiveLeaf leaf = PodLeaf();
  GetParam().leaf(leaf);
  Laggard laggard;
  laggard.detail = "as it was";
  AdviseOnPodLeaf(leaf, RootRotation(), pods, kAdviceNow, laggard);
  EXPECT_THAT(laggard.detail, HasSubstr(GetParam().advice));
  EXPECT_EQ(laggard.renews_by != absl::InfiniteFuture(), GetParam().renews);
}

INSTANTIATE_TEST_SUITE_P(
    Leaves, PodLeafAdvice,
    testing::Values(
        AdviceCase{"OfAKubelet", [](LiveLeaf&) {},
                   "its kubelet renews it, or restart the pod: kubectl -n web delete pod front-1", true},
        AdviceCase{"OfAKubeletThatIsLate", [](LiveLeaf& leaf) { leaf.not_after = leaf.not_before + absl::Minutes(90); },
                   "its kubelet is late: look at its node's log", true},
        AdviceCase{"OfAPodThatIsNotKnown",
                   [](LiveLeaf& leaf) {
                     leaf.origin = PodOrigin{"web", "front", "account-uid", "other", "x"}.ToOrigin();
                   },
                   "kubectl -n web delete pod front-1", true},
        AdviceCase{
            "OfAToken", [](LiveLeaf& leaf) { leaf.method = AuthMethod::kServiceAccount; },
            "counts until it ends or its holder renews it, or restart the pod: kubectl -n web delete pod front-1",
            false},
        AdviceCase{"OfANodesProxyOnBehalfOfOthers",
                   [](LiveLeaf& leaf) {
                     leaf.method = AuthMethod::kServiceAccount;
                     leaf.instance = "";
                     leaf.origin = PodOrigin{"web", "front", "account-uid", "proxy-uid", "x"}.ToOrigin();
                   },
                   "kubectl -n istio-system delete pod ztunnel-x", false},
        AdviceCase{"OfAnEntry",
                   [](LiveLeaf& leaf) {
                     leaf.origin = {OriginKind::kEntry, "e"};
                   },
                   "as it was", false}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace meshca
