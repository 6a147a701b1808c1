#include "ca/server_secrets/early_pods.h"

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "ca/base/status.h"
#include "ca/kubernetes/object_reader.h"

namespace meshca {
namespace {

enum EarlyPodField { kPodName, kPodHash, kPodOwnerKind, kPodOwner, kPodDeleted, kPodRunningSince };

std::vector<std::string> EarlyPodPaths() {
  return {"metadata.name",
          "metadata.labels.pod-template-hash",
          "metadata.ownerReferences[].kind",
          "metadata.ownerReferences[].name",
          "metadata.deletionTimestamp",
          "status.containerStatuses[].state.running.startedAt"};
}

bool RunsSinceBefore(const kubernetes::PickedFields& pod, absl::Time created) {
  const auto& containers = pod.All(kPodRunningSince);
  return std::any_of(containers.begin(), containers.end(), [created](const auto& container) {
    absl::Time started;
    std::string ignored;
    return absl::ParseTime(absl::RFC3339_full, container.second, &started, &ignored) && started < created;
  });
}

std::string RestartedAs(const kubernetes::PickedFields& pod) {
  const absl::string_view kind = pod.Text(kPodOwnerKind);
  absl::string_view owner = pod.Text(kPodOwner);
  // A ReplicaSet of a Deployment has its name and the hash of its template.
  if (kind == "ReplicaSet" && !pod.Text(kPodHash).empty() &&
      absl::ConsumeSuffix(&owner, absl::StrCat("-", pod.Text(kPodHash)))) {
    return absl::StrCat("deployment/", owner);
  }
  if (kind == "DaemonSet" || kind == "StatefulSet") return absl::StrCat(absl::AsciiStrToLower(kind), "/", owner);
  return absl::StrCat("pod/", pod.Text(kPodName));
}

}  // namespace

kubernetes::ApiCall CallToListPods(absl::string_view namespace_name, absl::string_view label_selector) {
  kubernetes::ApiCall call;
  call.verb = "list";
  call.resource = kubernetes::Pods();
  call.namespace_name = std::string(namespace_name);
  call.query = absl::StrCat("limit=500&labelSelector=", kubernetes::PercentEncode(label_selector));
  return call;
}

absl::StatusOr<std::vector<std::string>> StartedBefore(absl::string_view list, absl::Time created) {
  std::set<std::string> early;
  kubernetes::ListReader reader(EarlyPodPaths(), [&](const kubernetes::PickedFields& pod) {
    if (pod.Text(kPodDeleted).empty() && RunsSinceBefore(pod, created)) early.insert(RestartedAs(pod));
  });
  MESHCA_RETURN_IF_ERROR(reader.Take(list));
  MESHCA_RETURN_IF_ERROR(reader.End());
  return std::vector<std::string>(early.begin(), early.end());
}

}  // namespace meshca
