#include "ca/pod_certificates/cluster_advisor.h"

#include <utility>

#include "ca/kubernetes/needed_restarts.h"
#include "ca/pod_certificates/pod_leaf_advice.h"

namespace meshca {
namespace {

// A ConfigMap has the new root this much after its publication at the latest, where the API server is well. Who is told
// to restart though its pod began in between has lost nothing.
constexpr absl::Duration kWrittenWithin = absl::Seconds(15);

}  // namespace

ClusterAdvisor::ClusterAdvisor(const kubernetes::ClusterPods& pods, std::vector<AccountName> node_accounts,
                               const Clock& clock)
    : pods_(pods), node_accounts_(std::move(node_accounts)), clock_(clock) {}

bool ClusterAdvisor::HolderIsGone(const LiveLeaf& leaf) const { return PodOfLeafIsGone(leaf, pods_, clock_.Now()); }

void ClusterAdvisor::AdviseOn(const LiveLeaf& leaf, const RootRotation& rotation, Laggard& laggard) const {
  AdviseOnPodLeaf(leaf, rotation, pods_, clock_.Now(), laggard);
}

std::vector<std::string> ClusterAdvisor::NeededRestarts(const RootRotation& rotation) const {
  return kubernetes::NeededRestarts(pods_.directory().Find(kubernetes::PodsOfRestarts(node_accounts_)), node_accounts_,
                                    rotation.published_at + kWrittenWithin);
}

}  // namespace meshca
