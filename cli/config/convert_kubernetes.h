// From the configuration's `kubernetes` to the types of ca/kubernetes, ca/publishing, ca/pod_certificates and
// ca/signing_requests.
#ifndef MESHCA_CLI_CONFIG_CONVERT_KUBERNETES_H_
#define MESHCA_CLI_CONFIG_CONVERT_KUBERNETES_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/authn/service_account_authenticator.h"
#include "ca/kubernetes/api_server_options.h"
#include "ca/kubernetes/lease_record.h"
#include "ca/pod_certificates/pod_certificate_signer.h"
#include "ca/publishing/publisher.h"
#include "ca/server_secrets/server_secret_keeper.h"
#include "ca/signing_requests/signing_request_judge.h"
#include "cli/config/value_origin.h"
#include "meshca/config/v1/config.pb.h"

namespace meshca::config {

// Does it work for a Kubernetes cluster? A key of `kubernetes` that somebody has given says so.
bool ServesKubernetes(const Origins& origins);

// Where the cluster is and who this is to it. FailedPrecondition: no kubeconfig is named, and this is no pod. Errors of
// ReadKubeconfig.
absl::StatusOr<kubernetes::ApiServerOptions> ToApiServer(const v1::Kubernetes& kubernetes);

// How tokens of its service accounts are judged; all but their issuer. InvalidArgument names the key: the template of
// the SPIFFE ID, an account that is no NAMESPACE/ACCOUNT.
absl::StatusOr<ServiceAccountOptions> ToServiceAccounts(const v1::Config& config);

// What the signer of PodCertificateRequests goes by; nothing: there is none. Errors of what `config` is made of, which
// has passed Validate.
absl::StatusOr<std::optional<PodSignerOptions>> ToPodSigner(const v1::Config& config);

// The Secrets with servers' certificates, and what those may be like. InvalidArgument names the element: a service
// account that has no SPIFFE ID.
absl::StatusOr<std::vector<ServerSecretOptions>> ToServerSecrets(const v1::Config& config);
absl::StatusOr<CertificateProfile> ToServerSecretProfile(const v1::Config& config);
// Is there anything that it writes in the cluster?
bool WritesInCluster(const v1::Kubernetes& kubernetes);
// Where the Lease of the trust domain is.
kubernetes::LeasePlace ToLeasePlace(const v1::Config& config);
// InvalidArgument: `name` is no name of a namespace.
absl::Status CheckNamespace(absl::string_view name);
// By what the same signer judges CertificateSigningRequests; whoever uses them sets their `policy`. The same errors.
absl::StatusOr<SigningRules> ToSigningRules(const v1::Config& config);

// What in a valid configuration will not do what somebody may expect of it, a sentence each.
std::vector<std::string> KubernetesWarnings(const v1::Config& config);

// In what the roots are published; empty: in nothing.
std::vector<PublisherOptions> ToPublishers(const v1::Kubernetes& kubernetes);

}  // namespace meshca::config

#endif  // MESHCA_CLI_CONFIG_CONVERT_KUBERNETES_H_
