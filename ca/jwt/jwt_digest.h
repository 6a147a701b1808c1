// A token's two digests by one pass over its text.
#ifndef MESHCA_CA_JWT_JWT_DIGEST_H_
#define MESHCA_CA_JWT_JWT_DIGEST_H_

#include <string>

#include "absl/strings/string_view.h"
#include "ca/x509/digest.h"

namespace meshca {

// Whoever remembers tokens needs a name for each, and whoever verifies one needs the digest that its signature is over.
// The long part of the text, header and payload, is hashed once for both. A value.
struct JwtDigest {
  HashValue signing_input;  // SHA-256 of the text before its last dot (RFC 7515 §5.2)
  // 32 bytes: SHA-256 of `signing_input` and the rest of the text, that dot included. No two texts share it: the first
  // part has one length, and both texts together are the whole, so to share it would be a collision of SHA-256.
  std::string token;

  static JwtDigest Of(absl::string_view token);
};

}  // namespace meshca

#endif  // MESHCA_CA_JWT_JWT_DIGEST_H_
