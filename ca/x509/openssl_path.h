// The second opinion on a chain: OpenSSL's own path validation.
#ifndef MESHCA_CA_X509_OPENSSL_PATH_H_
#define MESHCA_CA_X509_OPENSSL_PATH_H_

#include <span>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/x509/certificate.h"
#include "ca/x509/chain_verifier.h"

namespace meshca {

// Would a program that verifies by OpenSSL believe `chain` (leaf first, the root left out) at `now`, in `role`, where
// `root` is all that it trusts? Rare work: what is verified on every connection is verified by ChainVerifier.
// InvalidArgument: no; names the certificate and OpenSSL's reason. Internal: OpenSSL.
absl::Status VerifyByOpenSsl(std::span<const Certificate> chain, const Certificate& root, absl::Time now,
                             PeerRole role);

}  // namespace meshca

#endif  // MESHCA_CA_X509_OPENSSL_PATH_H_
