// Where a Kubernetes API server is and who we are to it, as a kubeconfig file says.
#ifndef MESHCA_CLI_CONFIG_KUBECONFIG_H_
#define MESHCA_CLI_CONFIG_KUBECONFIG_H_

#include <string>

#include "absl/status/statusor.h"
#include "ca/kubernetes/api_server_options.h"

namespace meshca::config {

// Reads the file's current context: its cluster's server and CA, its user's token or client certificate, its namespace.
// As kubectl has it: relative paths start at the file's folder, `...-data` goes before the file of that name, and
// `tokenFile` before `token`. Keys that change nothing for us are passed over.
//
// Refused, each with what to do instead: exec plugins and auth-provider (no program is run for a credential),
// insecure-skip-tls-verify, user name and password, impersonation, a proxy, http to another host than this one, and
// whatever yaml_tree.h refuses of YAML.
//
// The file is a secret file (secret_access.h) where a token or a key stands in it. What it names is read too, so that
// PEM that is none, or a key that is another certificate's, is found now.
//
// Errors, all with the file and none with a secret: InvalidArgument (reason CONFIG_INVALID; each fault on a line of its
// own, with line, column and key), ReadFile's.
absl::StatusOr<kubernetes::ApiServerOptions> ReadKubeconfig(const std::string& path);

}  // namespace meshca::config

#endif  // MESHCA_CLI_CONFIG_KUBECONFIG_H_
