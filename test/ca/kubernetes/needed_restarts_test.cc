#include "ca/kubernetes/needed_restarts.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meshca::kubernetes {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

const absl::Time kNewRoot = absl::FromUnixSeconds(1'790'000'000);
const std::vector<AccountName> kNodeAccounts = {{"istio-system", "ztunnel"}};

FoundPod Pod(const std::string& name, PodLabels labels, const std::string& account = "ztunnel",
             absl::Duration created = -absl::Hours(1)) {
  FoundPod found;
  found.pod.name = name;
  found.pod.account = {"istio-system", account};
  found.pod.created = kNewRoot + created;
  found.labels = std::move(labels);
  return found;
}

FoundPod Ztunnel(const std::string& name, const std::string& version) {
  return Pod(name, {{"app.kubernetes.io/version", version}});
}

TEST(NeededRestarts, AreOfZtunnelsThatReadTheirRootOnce) {
  const std::vector<std::string> needed =
      NeededRestarts({Ztunnel("old", "1.29.4"), Ztunnel("new", "1.30.0"), Pod("unknown", {}),
                      Pod("later", {}, "ztunnel", absl::ZeroDuration()), Pod("other-account", {}, "web")},
                     kNodeAccounts, kNewRoot);
  ASSERT_THAT(needed, SizeIs(1));
  EXPECT_THAT(needed[0],
              AllOf(HasSubstr(": istio-system/old, istio-system/unknown. By: "),
                    HasSubstr("kubectl -n istio-system rollout restart daemonset ztunnel"), Not(HasSubstr("istiod"))));
}

TEST(NeededRestarts, AreOfIstiodsThatAreOlderThanTheRoot) {
  FoundPod ended = Pod("ended", {{"app", "istiod"}}, "istiod");
  ended.pod.ended = true;
  const std::vector<std::string> needed =
      NeededRestarts({Pod("istiod-1", {{"app", "istiod"}, {"app.kubernetes.io/version", "1.31.0"}}, "istiod"),
                      Pod("istiod-2", {{"app", "istiod"}}, "istiod", absl::Seconds(1)), ended},
                     kNodeAccounts, kNewRoot);
  ASSERT_THAT(needed, SizeIs(1));
  EXPECT_THAT(needed[0], AllOf(HasSubstr("certificates, restart"), HasSubstr("root: istio-system/istiod-1. By: "),
                               HasSubstr("kubectl -n istio-system rollout restart deployment -l app=istiod")));
}

TEST(NeededRestarts, NameTenPodsAndCountTheOthers) {
  std::vector<FoundPod> pods;
  for (int i = 10; i < 23; ++i) pods.push_back(Ztunnel(absl::StrCat("z-", i), ""));
  const std::vector<std::string> needed = NeededRestarts(std::move(pods), kNodeAccounts, kNewRoot);
  ASSERT_THAT(needed, SizeIs(1));
  EXPECT_THAT(needed[0], AllOf(HasSubstr("istio-system/z-19 and 3 more. By"), Not(HasSubstr("z-20"))));
  EXPECT_THAT(NeededRestarts({}, kNodeAccounts, kNewRoot), IsEmpty());
}

struct VersionCase {
  const char* version;
  bool once;
};

class ZtunnelVersion : public testing::TestWithParam<VersionCase> {};

TEST_P(ZtunnelVersion, SaysWhetherItsRootIsReadOnce) {
  EXPECT_EQ(ReadsRootOnce(GetParam().version), GetParam().once) << GetParam().version;
}

INSTANTIATE_TEST_SUITE_P(Labels, ZtunnelVersion,
                         testing::Values(VersionCase{"1.29.2", true}, VersionCase{"1.30.0", false},
                                         VersionCase{"1.30-alpha.c7", false}, VersionCase{"1.31.0-distroless", false},
                                         VersionCase{"2.0", false}, VersionCase{"1.9.9", true}, VersionCase{"", true},
                                         VersionCase{"latest", true}, VersionCase{"1", true},
                                         VersionCase{"v1.31", true}));

}  // namespace
}  // namespace meshca::kubernetes
