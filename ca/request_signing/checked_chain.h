// The last look at a chain before it leaves.
#ifndef MESHCA_CA_REQUEST_SIGNING_CHECKED_CHAIN_H_
#define MESHCA_CA_REQUEST_SIGNING_CHECKED_CHAIN_H_

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/issuance/issuance_pipeline.h"
#include "ca/x509/validity.h"

namespace meshca {

// Verifies the chain as its holder's peers will: the API server takes one that leads nowhere. Returns the leaf's
// validity. Errors: ChainVerifier's.
absl::StatusOr<Validity> CheckedValidityOf(const IssuedCertificate& issued, absl::Time now);

}  // namespace meshca

#endif  // MESHCA_CA_REQUEST_SIGNING_CHECKED_CHAIN_H_
