#include "ca/server_secrets/early_pods.h"

#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace meshca {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const absl::Time kCreated = absl::FromUnixSeconds(1767323045);  // 2026-01-02T03:04:05Z

std::string PodJson(const std::string& name, const std::string& metadata, const std::vector<std::string>& started) {
  const auto state = [](std::string* out, const std::string& at) {
    absl::StrAppend(out, R"({"state":{"running":{"startedAt":")", at, R"("}}})");
  };
  return absl::StrCat(R"({"metadata":{"name":")", name, "\"", metadata, R"(},"status":{"containerStatuses":[)",
                      absl::StrJoin(started, ",", state), "]}}");
}

std::string OfDeployment(const std::string& name) {
  return absl::StrCat(R"(,"labels":{"pod-template-hash":"5d8f"},"ownerReferences":[{"kind":"ReplicaSet","name":")",
                      name, R"(-5d8f"}])");
}

absl::StatusOr<std::vector<std::string>> Early(const std::vector<std::string>& pods) {
  return StartedBefore(
      absl::StrCat(R"({"kind":"PodList","metadata":{"resourceVersion":"1"},"items":[)", absl::StrJoin(pods, ","), "]}"),
      kCreated);
}

TEST(EarlyPods, AreNamedByWhatRestartsThem) {
  const std::string before = "2026-01-02T03:04:04Z";
  EXPECT_THAT(*Early({PodJson("istiod-5d8f-a", OfDeployment("istiod"), {before}),
                      PodJson("istiod-5d8f-b", OfDeployment("istiod"), {before}),
                      PodJson("set-0", R"(,"ownerReferences":[{"kind":"StatefulSet","name":"set"}])", {before}),
                      PodJson("alone", "", {before}),
                      PodJson("other", R"(,"ownerReferences":[{"kind":"ReplicaSet","name":"bare"}])", {before})}),
              ElementsAre("deployment/istiod", "pod/alone", "pod/other", "statefulset/set"));
}

TEST(EarlyPods, AreNoneThatRunSinceLaterOrEndOrHaveNotBegun) {
  EXPECT_THAT(
      *Early({PodJson("late", OfDeployment("istiod"), {"2026-01-02T03:04:05Z"}),
              PodJson("waits", OfDeployment("istiod"), {}),
              PodJson("unreadable", OfDeployment("istiod"), {"yesterday"}),
              PodJson("ends", absl::StrCat(OfDeployment("istiod"), R"(,"deletionTimestamp":"2026-01-02T03:05:00Z")"),
                      {"2026-01-02T03:00:00Z"})}),
      IsEmpty());
  EXPECT_THAT(*Early({}), IsEmpty());
}

TEST(EarlyPods, OneContainerOfThePodIsEnough) {
  EXPECT_THAT(*Early({PodJson("two", OfDeployment("istiod"), {"2026-01-02T03:10:00Z", "2026-01-02T03:00:00Z"})}),
              ElementsAre("deployment/istiod"));
}

TEST(EarlyPods, AreAskedForByTheirLabels) {
  const kubernetes::ApiCall call = CallToListPods("istio-system", "app=istiod,istio.io/rev=canary");
  EXPECT_EQ(call.Target(),
            "/api/v1/namespaces/istio-system/pods?limit=500&labelSelector=app%3Distiod%2Cistio.io%2Frev%3Dcanary");
  EXPECT_FALSE(StartedBefore("no list", kCreated).ok());
}

}  // namespace
}  // namespace meshca
