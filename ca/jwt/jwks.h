// The public keys of a token issuer (JSON Web Key Set, RFC 7517 §5).
#ifndef MESHCA_CA_JWT_JWKS_H_
#define MESHCA_CA_JWT_JWKS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/x509/digest.h"
#include "ca/x509/public_key.h"

namespace meshca {

// The signatures that are believed (RFC 7518 §3.1, RFC 8037). HMAC and none are no members: whatever a token's header
// says, a public key is never used as a shared secret.
enum class JwtAlgorithm { kRs256, kRs384, kRs512, kPs256, kPs384, kPs512, kEs256, kEs384, kEs512, kEdDsa };

absl::string_view JwtAlgorithmName(JwtAlgorithm algorithm);
// Whether keys of `type` sign by `algorithm`.
bool AlgorithmFits(JwtAlgorithm algorithm, KeyType type);
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
  // A key of the set that verifies nothing here.
  struct Ignored {
    std::string name;  // `"kid"`, escaped and cut short, or `keys[3]` for one without
    std::string why;   // a few words for people
    bool broken =
        false;  // it ought to be one of ours; else it is for another use, or of a kind that no algorithm takes

    friend bool operator==(const Ignored&, const Ignored&) = default;
  };

  // RFC 7517 §5: a key that cannot be used, because it is broken, weak, private, or for another purpose or algorithm,
  // is left out and the others stay good, so that one bad key neither stops every token nor keeps a withdrawn key
  // alive. A set without a usable key is a set: nothing verifies under it. Two keys of one kid are both tried.
  // InvalidArgument (reason JWKS_INVALID): no key set at all: not JSON, no list `keys`, too large, too many keys.
  static absl::StatusOr<Jwks> Parse(absl::string_view json);

  // The keys that may have made a signature by `algorithm`: those with that `kid`, or all where the token names none.
  using KeyRefs = absl::InlinedVector<const Key*, 2>;  // most tokens name their key
  KeyRefs Candidates(JwtAlgorithm algorithm, absl::string_view kid) const;
  const std::vector<Key>& keys() const { return keys_; }
  const std::vector<Ignored>& ignored() const { return ignored_; }
  // `"kid": why; ...` of the ignored keys, at most eight, then how many more; "": none.
  std::string IgnoredText() const;

 private:
  std::vector<Key> keys_;
  std::vector<Ignored> ignored_;
};

// Is `signature`, in the form JWS gives it (ECDSA: r and s side by side, RFC 7518 §3.4), the key's over `message`?
bool VerifyJwsSignature(JwtAlgorithm algorithm, const PublicKey& key, absl::string_view message,
                        absl::string_view signature);

// The same for kRs256 and kPs256 where the SHA-256 of the message is there already; false for any other algorithm.
bool VerifyJwsSha256(JwtAlgorithm algorithm, const PublicKey& key, const HashValue& sha256,
                     absl::string_view signature);

// A signature by ECDSA as certificates hold it (SEQUENCE of r and s) in the form that JWS gives it: r and s side by
// side, `half` bytes each. Internal: it is none.
absl::StatusOr<std::string> EcdsaToJws(absl::string_view der, size_t half);

}  // namespace meshca

#endif  // MESHCA_CA_JWT_JWKS_H_
