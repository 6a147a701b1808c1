// Makes the certificate request of a key that was made here.
#ifndef MESHCA_CLI_CLIENT_CSR_BUILDER_H_
#define MESHCA_CLI_CLIENT_CSR_BUILDER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ca/spiffe/spiffe_id.h"
#include "ca/x509/encoding.h"
#include "ca/x509/signing_key.h"

namespace meshca::cli {

// PKCS#10 with an empty subject and a critical subjectAltName: the SPIFFE ID as its one URI, then the DNS names.
// InvalidArgument: a DNS name that cannot be one. Internal: OpenSSL.
absl::StatusOr<Pem> BuildCsr(const SoftwareKey& key, const SpiffeId& id, const std::vector<std::string>& dns_names);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_CLIENT_CSR_BUILDER_H_
