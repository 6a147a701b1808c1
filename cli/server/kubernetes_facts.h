// What `meshca check` says of a server's work for a Kubernetes cluster: how it stands, and what to do.
#ifndef MESHCA_CLI_SERVER_KUBERNETES_FACTS_H_
#define MESHCA_CLI_SERVER_KUBERNETES_FACTS_H_

#include "absl/status/status.h"
#include "ca/base/checked_fact.h"
#include "ca/kubernetes/cluster.h"
#include "ca/kubernetes/lease_holder.h"
#include "ca/pod_certificates/pod_certificate_signer.h"
#include "ca/publishing/publisher.h"
#include "ca/request_signing/request_signer.h"
#include "ca/server_secrets/server_secret_keeper.h"

namespace meshca::cli {

// Pure functions.
CheckedFact FactOf(const kubernetes::ClusterReport& report);
// `signs`: the server answers requests for certificates, too.
CheckedFact FactOf(const kubernetes::LeaseStatus& status, bool signs);
CheckedFact FactOf(const PublisherStatus& status);
CheckedFact FactOf(const ServerSecretStatus& status);
// `pods`: why the cluster's pods are not followed at the moment; Ok: they are.
CheckedFact FactOf(const PodSignerStatus& status, const absl::Status& pods);
CheckedFact FactOfSigningRequests(const RequestSignerStatus& status, const absl::Status& pods);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_SERVER_KUBERNETES_FACTS_H_
