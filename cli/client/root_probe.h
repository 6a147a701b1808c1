// Finds the root behind a fingerprint: nobody trusts a CA on first use.
#ifndef MESHCA_CLI_CLIENT_ROOT_PROBE_H_
#define MESHCA_CLI_CLIENT_ROOT_PROBE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/x509/certificate.h"

namespace meshca::cli {

// 32 raw bytes from hex as people paste it: either case, colons and a leading "sha256:" allowed. InvalidArgument.
absl::StatusOr<std::string> ParseFingerprint(absl::string_view text);

// The chain that the TLS server at `address` (HOST:PORT) shows, leaf first; nothing of it is believed yet.
// Unavailable: nobody answers; InvalidArgument: not a TLS server, or certificates that cannot be read.
absl::StatusOr<std::vector<Certificate>> FetchServerChain(const std::string& address, absl::Duration timeout);

// The self-signed CA certificate in the server's chain whose SubjectPublicKeyInfo has this SHA-256 (32 raw bytes). That
// key decides, so the certificate may serve as the only root of the connection that follows.
// Unauthenticated (reason ROOT_FINGERPRINT): the chain has no such root; says which it has.
absl::StatusOr<Certificate> FindRoot(const std::vector<Certificate>& chain, absl::string_view spki_sha256);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_CLIENT_ROOT_PROBE_H_
