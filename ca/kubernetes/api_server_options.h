// Where the Kubernetes API server is, and who we are to it.
#ifndef MESHCA_CA_KUBERNETES_API_SERVER_OPTIONS_H_
#define MESHCA_CA_KUBERNETES_API_SERVER_OPTIONS_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "ca/http/client_tls.h"
#include "ca/http/url.h"
#include "ca/kubernetes/outage.h"

namespace meshca::kubernetes {

// A value. In a pod InClusterOptions makes it; cli/config reads it from a kubeconfig file.
struct ApiServerOptions {
  http::Url url;        // its target stands before every path; mostly "/"
  http::ClientTls tls;  // its files are read again for each connection
  // A bearer token, which is no PEM; white space around it does not count. Its file is read again for each call, for
  // the kubelet replaces it before it ends. Empty: the client certificate of `tls` alone says who we are.
  http::PemSource token;
  std::string described;       // for people: "in-cluster", "/etc/meshca/kubeconfig, context prod"
  std::string namespace_name;  // our own; "default" where nothing says it
  OutageTerms outage;          // how it is found out that it is away, and back
  // Name, connection and handshake. A service address behind which nobody is swallows the first packet; more than this
  // would hold up a retry.
  absl::Duration connect_timeout = absl::Seconds(5);
};

// Of a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT by `get_env` (null: not set), and the files of its
// service account in `folder`. FailedPrecondition: this is no pod with a service account token; says what is missing.
absl::StatusOr<ApiServerOptions> InClusterOptions(
    const std::function<const char*(const char*)>& get_env,
    const std::string& folder = "/var/run/secrets/kubernetes.io/serviceaccount");

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_API_SERVER_OPTIONS_H_
