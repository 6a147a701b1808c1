// The keys that verify JWT-SVIDs, and how they are written as JSON Web Keys (RFC 7517).
#ifndef MESHCA_CA_JWT_JWT_KEY_H_
#define MESHCA_CA_JWT_JWT_KEY_H_

#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "ca/x509/public_key.h"

namespace meshca {

// A public key that JWT-SVIDs of one trust domain may be signed with (JWT-SVID §6).
struct JwtKey {
  std::string key_id;  // `kid`: the key's RFC 7638 thumbprint; never given to another key
  PublicKey key;

  friend bool operator==(const JwtKey&, const JwtKey&) = default;
};

// The members of the key's JWK that RFC 7638 §3.2 requires, in its order (lexicographic), without braces:
// `"crv":"P-256","kty":"EC","x":"...","y":"..."`. Internal: OpenSSL.
absl::StatusOr<std::string> JwkMembers(const PublicKey& key);

// The key's JWK thumbprint by SHA-256 (RFC 7638), as base64url: 43 characters. Internal: OpenSSL.
absl::StatusOr<std::string> JwkThumbprint(const PublicKey& key);

// One key as SPIFFE's bundles hold it (SPIFFE Trust Domain and Bundle §4.2): `{"use":"jwt-svid","kid":...}`. Internal:
// OpenSSL, or a kid with other than base64url characters.
absl::StatusOr<std::string> JwtSvidJwk(const JwtKey& key);

// The keys as a JWK set, `{"keys":[...]}`: what FetchJWTBundles and ValidateJWTSVID's clients read. Errors as above.
absl::StatusOr<std::string> JwtSvidJwks(std::span<const JwtKey> keys);

}  // namespace meshca

#endif  // MESHCA_CA_JWT_JWT_KEY_H_
