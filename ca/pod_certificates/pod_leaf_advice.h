// What the watch of a cluster's pods says about certificates that pods hold, when a rotation waits for them.
#ifndef MESHCA_CA_POD_CERTIFICATES_POD_LEAF_ADVICE_H_
#define MESHCA_CA_POD_CERTIFICATES_POD_LEAF_ADVICE_H_

#include "absl/time/time.h"
#include "ca/authn/known_pods.h"
#include "ca/authority/leaf_inventory.h"
#include "ca/authority/root_rotation.h"
#include "ca/subscribers/laggard.h"

namespace meshca {

// Is the pod gone whose right gave `leaf`? Its key was in the memory of its processes, or in a volume that goes with
// it. True only of what is certain: the pod has ended; or it is not there, and the API server was heard of since the
// certificate was made, and lately. A pod whose deletion was only asked for may run on, on a node that is away.
bool PodOfLeafIsGone(const LiveLeaf& leaf, const KnownPods& pods, absl::Time now);

// When the kubelet has renewed a pod's certificate at the latest, by the beginRefreshAt that it was given.
// InfiniteFuture: no kubelet renews `leaf`.
absl::Time PodLeafRenewsBy(const LiveLeaf& leaf, const RootRotation& rotation);

// Adds to `laggard`, which describes `leaf`: when a kubelet renews it at the latest, and how the pod that holds it is
// restarted. Nothing, where no pod holds it.
void AdviseOnPodLeaf(const LiveLeaf& leaf, const RootRotation& rotation, const KnownPods& pods, absl::Time now,
                     Laggard& laggard);

}  // namespace meshca

#endif  // MESHCA_CA_POD_CERTIFICATES_POD_LEAF_ADVICE_H_
