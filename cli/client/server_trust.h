// Whom a client believes to be the CA.
#ifndef MESHCA_CLI_CLIENT_SERVER_TRUST_H_
#define MESHCA_CLI_CLIENT_SERVER_TRUST_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meshca::cli {

// What the user gave; "" where nothing. The first that is there decides.
struct ServerTrust {
  std::string ca_cert_file;      // PEM
  std::string ca_fingerprint;    // hex
  absl::string_view token;       // a join token carries the root's fingerprint
  std::string certificate_file;  // a client certificate: root-cert.pem beside it is what its issuance trusted
};

// The roots (PEM) for a connection to `address`; for a fingerprint the server is asked for its chain first.
// A usage error where nothing was given: nobody trusts a CA on first use.
absl::StatusOr<std::string> RootsFor(const ServerTrust& trust, const std::string& address);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_CLIENT_SERVER_TRUST_H_
