// A JSON Web Token as it arrives: compact JWS (RFC 7515 §3.1, RFC 7519).
#ifndef MESHCA_CA_JWT_JWT_H_
#define MESHCA_CA_JWT_JWT_H_

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/json/json_value.h"
#include "ca/jwt/jwks.h"
#include "ca/jwt/jwt_digest.h"

namespace meshca {

// What of a token its signature is checked by, without the claims: read, they take fifty times the room of their text,
// and this waits in queues. A value.
struct JwtProof {
  // Keys tried where a token names none of them: each costs a verification, whoever sent the token.
  static constexpr size_t kCandidatesMax = 4;

  JwtAlgorithm algorithm = JwtAlgorithm::kRs256;
  std::string kid;            // "": the token names no key
  std::string signing_input;  // header.payload as sent
  // SHA-256 of `signing_input`, where it is there already; else Verify computes what it needs.
  std::optional<HashValue> signing_sha256 = std::nullopt;
  std::string signature;

  // Cheap: which of `keys` may have signed, at most kCandidatesMax, never none.
  // Unauthenticated: JWT_UNKNOWN_KEY (no key of that kid and type: the set may be older than the key),
  // JWT_KEY_AMBIGUOUS (more than kCandidatesMax keys may have signed: the token names none).
  absl::StatusOr<Jwks::KeyRefs> FindKeys(const Jwks& keys) const;

  // Dear, up to 0.7 ms for each key that FindKeys finds: never on a loop. Unauthenticated: its errors,
  // JWT_SIGNATURE_INVALID.
  absl::Status Verify(const Jwks& keys) const;

  // The refusal of a token whose signature was found to be bad.
  static absl::Status SignatureInvalid();

 private:
  bool IsSignedBy(const PublicKey& key) const;
};

// Parsed; nothing in it is to be believed before proof().Verify and CheckClaims were Ok. Pure, immutable.
class Jwt {
 public:
  static constexpr size_t kBytesMax = 16 * 1024;
  // How far the clocks of issuer and CA may differ: a token is taken this long before nbf and after exp.
  static constexpr absl::Duration kLeeway = absl::Seconds(60);

  // Two dots between three parts of base64url, header and payload JSON objects with at most 16 levels.
  // Unauthenticated: JWT_MALFORMED says which part and why (an encrypted token, a critical header included);
  // JWT_ALGORITHM_REFUSED names the algorithm; JWT_TYPE_REFUSED: `typ` says that it is something else than a token to
  // authenticate with (RFC 8725 §3.11). `digest` is that of this very token; null: nobody has computed it.
  static absl::StatusOr<Jwt> Parse(absl::string_view token, const JwtDigest* digest = nullptr);

  JwtAlgorithm algorithm() const { return proof_.algorithm; }
  const std::string& kid() const { return proof_.kid; }
  const JsonValue& claims() const { return claims_; }
  // "" when absent or no string.
  absl::string_view issuer() const { return claims_.FindText("iss"); }
  absl::string_view subject() const { return claims_.FindText("sub"); }
  // Every audience: aud is one string or a list of them.
  std::vector<std::string> audiences() const;
  // InfinitePast when there is no readable exp; CheckClaims refuses that.
  absl::Time expires() const;

  const JwtProof& proof() const { return proof_; }
  // The same where the rest is needed no more.
  JwtProof TakeProof() && { return std::move(proof_); }

  // iss, aud, exp (required), nbf and iat (where present), in this order.
  // Unauthenticated: JWT_WRONG_ISSUER, JWT_WRONG_AUDIENCE, JWT_EXPIRED, JWT_NOT_YET_VALID, JWT_MALFORMED (exp missing,
  // a time that is no number); each says what was found and what is wanted.
  absl::Status CheckClaims(absl::string_view issuer, const std::vector<std::string>& audiences, absl::Time now) const;
  // Two parts of CheckClaims, for tokens that have no issuer: JWT-SVIDs.
  absl::Status CheckAudience(const std::vector<std::string>& accepted) const;
  absl::Status CheckTimes(absl::Time now) const;

 private:
  JwtProof proof_;
  JsonValue claims_;
};

// Does the text have a JWT's outline (two dots, begins with an encoded `{`)? Cheap.
bool LooksLikeJwt(absl::string_view text);

}  // namespace meshca

#endif  // MESHCA_CA_JWT_JWT_H_
