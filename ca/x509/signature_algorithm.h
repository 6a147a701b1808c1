// Which signature algorithm an AlgorithmIdentifier names (RFC 5280 §4.1.1.2). For ca/x509 and JWK (ca/authn).
#ifndef MESHCA_CA_X509_SIGNATURE_ALGORITHM_H_
#define MESHCA_CA_X509_SIGNATURE_ALGORITHM_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/x509/digest.h"

namespace meshca {

enum class SignatureScheme { kEcdsa, kRsaPkcs1, kRsaPss, kEd25519 };

struct SignatureAlgorithm {
  SignatureScheme scheme;
  HashType hash;  // of no meaning for Ed25519
};

// Reads a DER AlgorithmIdentifier. InvalidArgument: reason SIGNATURE_WEAK (MD5, SHA-1, SHA-224) or
// SIGNATURE_UNSUPPORTED (anything else that PublicKey::Verify does not allow).
absl::StatusOr<SignatureAlgorithm> ReadSignatureAlgorithm(absl::string_view algorithm);

// DER AlgorithmIdentifiers as meshca writes them.
inline constexpr absl::string_view kEcdsaWithSha256Algorithm("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02", 12);
inline constexpr absl::string_view kEcdsaWithSha384Algorithm("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03", 12);
inline constexpr absl::string_view kEd25519Algorithm("\x30\x05\x06\x03\x2b\x65\x70", 7);
inline constexpr absl::string_view kSha256WithRsaAlgorithm(
    "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00", 15);

}  // namespace meshca

#endif  // MESHCA_CA_X509_SIGNATURE_ALGORITHM_H_
