// The certificate request of a key alone: what an agent sends for the keys that it makes.
#ifndef MESHCA_CA_X509_KEY_REQUEST_H_
#define MESHCA_CA_X509_KEY_REQUEST_H_

#include "absl/status/statusor.h"
#include "ca/x509/encoding.h"
#include "ca/x509/signing_key.h"

namespace meshca {

// PKCS#10 (RFC 2986) with an empty subject and no attributes: it asks for nothing and proves possession of `key`. For
// signers that take the names from elsewhere. About the cost of one signature. Internal: OpenSSL or the key's device.
absl::StatusOr<Der> MakeKeyRequest(const SigningKey& key);

}  // namespace meshca

#endif  // MESHCA_CA_X509_KEY_REQUEST_H_
