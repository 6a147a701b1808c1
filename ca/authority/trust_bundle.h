// What one trust domain is verified with (SPIFFE Trust Domain and Bundle §4).
#ifndef MESHCA_CA_AUTHORITY_TRUST_BUNDLE_H_
#define MESHCA_CA_AUTHORITY_TRUST_BUNDLE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/x509/certificate.h"
#include "ca/x509/public_key.h"

namespace meshca {

// A public key by which the JWT-SVIDs of the trust domain are verified.
struct JwtAuthority {
  std::string kid;  // names the key in a token's header; base64url characters, one key's for ever
  PublicKey key;

  friend bool operator==(const JwtAuthority&, const JwtAuthority&) = default;
};

// Immutable. `sequence_number` only grows over the life of a trust domain; equal numbers mean equal content
// (CheckFollows).
struct TrustBundle {
  TrustDomain trust_domain;
  uint64_t sequence_number = 0;
  std::vector<Certificate> roots;                  // the active authority's root first
  absl::Time published_at = absl::InfinitePast();  // when the store took it: what acknowledgements lag behind
  // Empty today. They live in memory only: the rows of the database hold roots alone.
  std::vector<JwtAuthority> jwt_authorities = {};

  // Every root as PEM, one after another: a CA file.
  std::string ToPem() const;
};

// Do both verify the same? The order counts: the first root is that of what signs.
bool HaveSameContent(const TrustBundle& a, const TrustBundle& b);

// Does `before` hold a root or a JWT key that `after` does not? Whoever was believed by it is not believed any more.
bool LosesAuthority(const TrustBundle& before, const TrustBundle& after);

// May `after` be published where `before` was the newest? Internal where not: another trust domain, a number that went
// back, or other content under the same number, which would leave subscribers with what they have.
absl::Status CheckFollows(const TrustBundle& before, const TrustBundle& after);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_TRUST_BUNDLE_H_
