// Signatures by RSA over a digest that is there already.
#ifndef MESHCA_CA_X509_RSA_VERIFY_H_
#define MESHCA_CA_X509_RSA_VERIFY_H_

#include "absl/strings/string_view.h"
#include "ca/x509/digest.h"
#include "ca/x509/public_key.h"
#include "ca/x509/signature_algorithm.h"

namespace meshca {

// Is `signature` that of `key` over a message whose digest by `algorithm.hash` is `digest`? `algorithm.scheme` is
// kRsaPkcs1, or kRsaPss (a salt as long as the hash, MGF1 with the same hash); false for any other, and for a key that
// is not RSA. OpenSSL's error queue of this thread is empty afterwards. Thread-safe.
bool VerifyRsaDigest(const PublicKey& key, const SignatureAlgorithm& algorithm, const HashValue& digest,
                     absl::string_view signature);

}  // namespace meshca

#endif  // MESHCA_CA_X509_RSA_VERIFY_H_
