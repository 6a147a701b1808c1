// The CA's answer to a CSR, checked before anything of it is kept.
#ifndef MESHCA_CLI_CLIENT_ISSUED_ANSWER_H_
#define MESHCA_CLI_CLIENT_ISSUED_ANSWER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/spiffe/spiffe_id.h"
#include "ca/x509/certificate.h"
#include "ca/x509/public_key.h"

namespace meshca::cli {

struct IssuedAnswer {
  Certificate leaf;
  std::string chain_pem;  // leaf first, roots left out
  std::string roots_pem;
};

// `elements`: cert_chain of CreateCertificate. Holds only when the leaf is for `key` and `id`, its chain verifies at
// `now` under the roots of the last element, and, where `trusted_roots_pem` says which CA was asked, one of those roots
// is among them.
// Unauthenticated (reason ANSWER_INVALID) says which of these does not hold.
absl::StatusOr<IssuedAnswer> CheckAnswer(const std::vector<std::string>& elements, const PublicKey& key,
                                         const SpiffeId& id, const std::string& trusted_roots_pem, absl::Time now);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_CLIENT_ISSUED_ANSWER_H_
