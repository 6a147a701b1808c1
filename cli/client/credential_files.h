// A workload's key, chain and roots on disk, replaced together.
#ifndef MESHCA_CLI_CLIENT_CREDENTIAL_FILES_H_
#define MESHCA_CLI_CLIENT_CREDENTIAL_FILES_H_

#include <string>

#include "absl/status/status.h"
#include "ca/base/secret.h"

namespace meshca::cli {

inline constexpr char kKeyFile[] = "key.pem";
inline constexpr char kChainFile[] = "cert-chain.pem";
inline constexpr char kRootFile[] = "root-cert.pem";

struct CredentialFiles {
  SecretBytes key_pem;
  std::string chain_pem;
  std::string roots_pem;
};

// Writes the three files (0600) into `folder`, making it (0700) where it is missing. A reader sees all old or all new
// contents, never a key beside another key's certificate: the files are links through `..data`, a link to a folder of
// this generation that changes hands by one rename, the layout that Kubernetes mounts and Envoy watches. Survives power
// loss when it returns. The generation before is removed.
// Errors name the path.
absl::Status ReplaceCredentialFiles(const std::string& folder, const CredentialFiles& files);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_CLIENT_CREDENTIAL_FILES_H_
