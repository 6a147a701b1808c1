// The proof of v1beta1's older form of a PodCertificateRequest: a signature over the pod's uid.
#ifndef MESHCA_CA_POD_CERTIFICATES_PROOF_OF_POSSESSION_H_
#define MESHCA_CA_POD_CERTIFICATES_PROOF_OF_POSSESSION_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "ca/x509/public_key.h"

namespace meshca {

// Is `proof` the key's signature over `pod_uid`? ECDSA with SHA-256 whatever the curve is, RSA-PSS with SHA-256 and a
// salt of any length (Go signs with the longest one), or Ed25519. InvalidArgument: it is not.
absl::Status CheckProofOfPossession(const PublicKey& key, absl::string_view pod_uid, absl::string_view proof);

}  // namespace meshca

#endif  // MESHCA_CA_POD_CERTIFICATES_PROOF_OF_POSSESSION_H_
