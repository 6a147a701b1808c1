#include "ca/kubernetes/needed_restarts.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace meshca::kubernetes {
namespace {

constexpr size_t kNamedMax = 10;
// Istio's charts label pods so; those of ztunnel have the version since 1.24.
constexpr char kVersionLabel[] = "app.kubernetes.io/version";
constexpr char kAppLabel[] = "app";
constexpr char kIstiod[] = "istiod";

// Names of pods, by what is restarted with them: "NAMESPACE/WORKLOAD".
using PodsByWorkload = std::map<std::string, std::vector<std::string>>;

std::string LabelOf(const FoundPod& found, absl::string_view key) {
  for (const auto& [name, value] : found.labels) {
    if (name == key) return value;
  }
  return "";
}

// "istio-system/a, istio-system/b and 3 more"
std::string PodsText(const PodsByWorkload& pods) {
  std::vector<std::string> named;
  size_t all = 0;
  for (const auto& [workload, names] : pods) {
    all += names.size();
    for (const std::string& name : names) {
      if (named.size() >= kNamedMax) break;
      named.push_back(absl::StrCat(workload.substr(0, workload.find('/')), "/", name));
    }
  }
  std::string text = absl::StrJoin(named, ", ");
  if (all > named.size()) absl::StrAppend(&text, " and ", all - named.size(), " more");
  return text;
}

// `kind`: "daemonset ", "deployment -l app="
std::string CommandsText(const PodsByWorkload& pods, absl::string_view kind) {
  std::vector<std::string> commands;
  for (const auto& [workload, names] : pods) {
    const size_t slash = workload.find('/');
    commands.push_back(
        absl::StrCat("kubectl -n ", workload.substr(0, slash), " rollout restart ", kind, workload.substr(slash + 1)));
  }
  return absl::StrJoin(commands, "; ");
}

}  // namespace

std::set<std::string> LabelsOfRestarts() { return {kVersionLabel, absl::StrCat(kAppLabel, "=", kIstiod)}; }

PodQuery PodsOfRestarts(std::vector<AccountName> node_accounts) {
  return {std::move(node_accounts), {{kAppLabel, kIstiod}}};
}

bool ReadsRootOnce(absl::string_view ztunnel_version) {
  const std::vector<std::string> parts = absl::StrSplit(ztunnel_version, absl::ByAnyChar(".-"));
  int major = 0;
  int minor = 0;
  if (parts.size() < 2 || !absl::SimpleAtoi(parts[0], &major) || !absl::SimpleAtoi(parts[1], &minor)) return true;
  return std::make_pair(major, minor) < std::make_pair(1, 30);
}

std::vector<std::string> NeededRestarts(std::vector<FoundPod> pods, const std::vector<AccountName>& node_accounts,
                                        absl::Time new_root_since) {
  std::sort(pods.begin(), pods.end(),
            [](const FoundPod& one, const FoundPod& other) { return one.pod.name < other.pod.name; });
  PodsByWorkload ztunnels;
  PodsByWorkload istiods;
  for (const FoundPod& each : pods) {
    const KnownPod& pod = each.pod;
    if (pod.ended || pod.created >= new_root_since) continue;
    if (LabelOf(each, kAppLabel) == kIstiod) {
      istiods[absl::StrCat(pod.account.namespace_name, "/", kIstiod)].push_back(pod.name);
    } else if (std::find(node_accounts.begin(), node_accounts.end(), pod.account) != node_accounts.end() &&
               ReadsRootOnce(LabelOf(each, kVersionLabel))) {
      // Its DaemonSet is named as its account is.
      ztunnels[pod.account.Text()].push_back(pod.name);
    }
  }
  std::vector<std::string> sentences;
  if (!ztunnels.empty()) {
    sentences.push_back(absl::StrCat(
        "ztunnel before 1.30 reads its CA's root once, when it starts. Restart, when both roots are published and "
        "before the old one is retired, these that are older than the new root (a pod without the label ",
        kVersionLabel, " counts as old): ", PodsText(ztunnels), ". By: ", CommandsText(ztunnels, "daemonset ")));
  }
  if (!istiods.empty()) {
    sentences.push_back(absl::StrCat(
        "istiod reads the roots of its clients' certificates once, when it starts. Where virtual machines connect to "
        "it by certificates, restart, when both roots are published and before the old one is retired, these that are "
        "older than the new root: ",
        PodsText(istiods), ". By: ", CommandsText(istiods, "deployment -l app=")));
  }
  return sentences;
}

}  // namespace meshca::kubernetes
