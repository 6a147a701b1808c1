// What a Kubernetes cluster's pods say of a rotation of the root.
#ifndef MESHCA_CA_POD_CERTIFICATES_CLUSTER_ADVISOR_H_
#define MESHCA_CA_POD_CERTIFICATES_CLUSTER_ADVISOR_H_

#include <string>
#include <vector>

#include "ca/authn/known_pods.h"
#include "ca/authority/rotation_advisor.h"
#include "ca/base/clock.h"
#include "ca/kubernetes/cluster_pods.h"

namespace meshca {

class ClusterAdvisor final : public RotationAdvisor {
 public:
  // `pods` and `clock` outlive it; `pods` keeps the labels LabelsOfRestarts. `node_accounts`: of nodes' proxies.
  ClusterAdvisor(const kubernetes::ClusterPods& pods, std::vector<AccountName> node_accounts, const Clock& clock);

  bool HolderIsGone(const LiveLeaf& leaf) const override;
  void AdviseOn(const LiveLeaf& leaf, const RootRotation& rotation, Laggard& laggard) const override;
  std::vector<std::string> NeededRestarts(const RootRotation& rotation) const override;

 private:
  const kubernetes::ClusterPods& pods_;
  const std::vector<AccountName> node_accounts_;
  const Clock& clock_;
};

}  // namespace meshca

#endif  // MESHCA_CA_POD_CERTIFICATES_CLUSTER_ADVISOR_H_
