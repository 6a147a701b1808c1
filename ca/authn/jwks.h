// The public keys of a token issuer (JSON Web Key Set, RFC 7517 §5).
#ifndef MESHCA_CA_AUTHN_JWKS_H_
#define MESHCA_CA_AUTHN_JWKS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/x509/public_key.h"

namespace meshca {

// The signatures that are believed (RFC 7518 §3.1, RFC 8037). HMAC and none are no members: whatever a token's header
// says, a public key is never used as a shared secret.
enum class JwtAlgorithm { kRs256, kPs256, kEs256, kEs384, kEdDsa };

absl::string_view JwtAlgorithmName(JwtAlgorithm algorithm);
// Unauthenticated (reason JWT_ALGORITHM_REFUSED) names the algorithm, says why (none, HMAC, unknown), and lists ours.
absl::StatusOr<JwtAlgorithm> ParseJwtAlgorithm(absl::string_view name);

// Immutable.
class Jwks {
 public:
  static constexpr size_t kBytesMax = 256 * 1024;
  static constexpr size_t kKeysMax = 100;

  struct Key {
    std::string kid;  // "": none
    std::string alg;  // "": any that the key's type allows
    PublicKey key;
  };

  // Keys of a type, curve or use that no algorithm here takes are left out, as RFC 7517 §5 wants; a key that should be
  // one of ours and is broken makes the set invalid. InvalidArgument (reason JWKS_INVALID) names the key by its place:
  // not JSON, no `keys`, a broken key, a private key, no key left, too large.
  static absl::StatusOr<Jwks> Parse(absl::string_view json);

  // The keys that may have made a signature by `algorithm`: those with that `kid`, or all where the token names none.
  std::vector<const Key*> Candidates(JwtAlgorithm algorithm, absl::string_view kid) const;
  const std::vector<Key>& keys() const { return keys_; }

 private:
  std::vector<Key> keys_;
};

// Is `signature`, in the form JWS gives it (ECDSA: r and s side by side, RFC 7518 §3.4), the key's over `message`?
bool VerifyJwsSignature(JwtAlgorithm algorithm, const PublicKey& key, absl::string_view message,
                        absl::string_view signature);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_JWKS_H_
