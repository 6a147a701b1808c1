// JWT-SVIDs: made, and judged as SPIFFE's standard (JWT-SVID) says.
#ifndef MESHCA_CA_JWT_JWT_SVID_H_
#define MESHCA_CA_JWT_JWT_SVID_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/json/json_value.h"
#include "ca/jwt/jwt_key.h"
#include "ca/spiffe/spiffe_id.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/x509/signing_key.h"

namespace meshca {

// What a JWT-SVID of ours says. There is no issuer (`iss`): a JWT-SVID is verified by the keys of its trust domain.
struct JwtSvidClaims {
  SpiffeId subject;
  std::vector<std::string> audiences;  // CheckJwtAudiences has passed them
  absl::Time issued_at;                // both in whole seconds in the token: rounded down
  absl::Time expires_at;
};

// The longest life of a JWT-SVID made here: nothing but its end takes one back.
constexpr absl::Duration kJwtSvidLifetimeMax = absl::Minutes(5);

constexpr size_t kJwtAudiencesMax = 16;
constexpr size_t kJwtAudienceBytesMax = 256;

// One to 16 audiences, each 1 to 256 bytes of UTF-8 without control characters. InvalidArgument (reason
// JWT_AUDIENCE_INVALID) names the one that is not.
absl::Status CheckJwtAudiences(const std::vector<std::string>& audiences);

// The token: compact JWS by ES256 with the headers alg, kid and typ (JWT), claims sub, aud (a list), exp and iat.
// `key` is of type P-256 and `key_id` its thumbprint. About the cost of one signature. Internal: OpenSSL, or a key of
// another type.
absl::StatusOr<std::string> MintJwtSvid(const JwtSvidClaims& claims, const SigningKey& key, absl::string_view key_id);

struct ValidJwtSvid {
  SpiffeId id;
  std::vector<std::string> audiences;
  absl::Time expires_at;
  JsonValue claims;  // all of them, as sent
};

// The keys that verify the JWT-SVIDs of a trust domain; null: the domain is not known.
using JwtKeysOf = absl::FunctionRef<const std::vector<JwtKey>*(const TrustDomain&)>;

// Judges a token by JWT-SVID §2 to §5. What the standard leaves open: clocks may differ by Jwt::kLeeway, nbf and iat
// are looked at where present, and a token must name its key (kid), as every token of SPIFFE's implementations does.
// The signature, which is dear, is looked at last. Pure.
//
// Unauthenticated, with a reason for programs and words that say what was found and what is wanted:
//   JWT_MALFORMED, JWT_TYPE_REFUSED       Jwt::Parse's; typ is neither JWT nor JOSE, in capitals
//   JWT_HEADER_REFUSED                    a header other than alg, kid and typ
//   JWT_ALGORITHM_REFUSED                 alg is none of RS, ES or PS with 256, 384 or 512
//   JWT_SUBJECT_REFUSED                   sub is no SPIFFE ID, or of a trust domain without keys here
//   JWT_UNKNOWN_KEY                       no kid, or none of that trust domain's keys that fits alg
//   JWT_WRONG_AUDIENCE, JWT_EXPIRED, JWT_NOT_YET_VALID, JWT_SIGNATURE_INVALID
// InvalidArgument (JWT_AUDIENCE_INVALID): `audience`, the validator's own name, is empty.
absl::StatusOr<ValidJwtSvid> ValidateJwtSvid(absl::string_view token, absl::string_view audience, JwtKeysOf keys_of,
                                             absl::Time now);

}  // namespace meshca

#endif  // MESHCA_CA_JWT_JWT_SVID_H_
