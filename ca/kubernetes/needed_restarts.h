// Istio's own programs that read roots once, when they start: whoever leaves a root has to start them anew before.
#ifndef MESHCA_CA_KUBERNETES_NEEDED_RESTARTS_H_
#define MESHCA_CA_KUBERNETES_NEEDED_RESTARTS_H_

#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authn/known_pods.h"
#include "ca/kubernetes/pod_table.h"

namespace meshca::kubernetes {

// PodDirectory's kept_labels by which these programs and their versions are known.
std::set<std::string> LabelsOfRestarts();

// Whom NeededRestarts is to be given: pods of node proxies (ztunnel), which run as `node_accounts`, and istiod's.
PodQuery PodsOfRestarts(std::vector<AccountName> node_accounts);

// Does a ztunnel of this version ("1.29.2", "1.30-alpha.3"; "": not known) read its CA's root only once? Those before
// 1.30 do; of what is no version nobody knows, so it does.
bool ReadsRootOnce(absl::string_view ztunnel_version);

// A sentence for each of both programs: which of its pods were created before `new_root_since`, and how to start them
// anew. At most ten pods of each are named. A pod that has ended needs nothing.
std::vector<std::string> NeededRestarts(std::vector<FoundPod> pods, const std::vector<AccountName>& node_accounts,
                                        absl::Time new_root_since);

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_NEEDED_RESTARTS_H_
