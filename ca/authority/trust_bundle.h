// The roots and keys that verify the SVIDs of one trust domain (SPIFFE Trust Domain and Bundle §4).
#ifndef MESHCA_CA_AUTHORITY_TRUST_BUNDLE_H_
#define MESHCA_CA_AUTHORITY_TRUST_BUNDLE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/jwt/jwt_key.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/x509/certificate.h"

namespace meshca {

// Immutable. `sequence_number` only grows over the life of a trust domain; equal numbers mean equal content
// (CheckFollows).
struct TrustBundle {
  TrustDomain trust_domain;
  uint64_t sequence_number = 0;
  std::vector<Certificate> roots;                  // the active authority's root first
  absl::Time published_at = absl::InfinitePast();  // when it was committed; acknowledgements come after that
  std::vector<JwtKey> jwt_keys = {};               // those that verify JWT-SVIDs, the one that signs among them

  // Every root as PEM, one after another: a CA file.
  std::string ToPem() const;
};

// Whether both have equal roots and keys in the same order. The order matters: the first root is the active one.
bool HaveSameContent(const TrustBundle& a, const TrustBundle& b);

// Whether `before` holds a root or a JWT key that `after` lacks, so that what it signed is not believed any more.
bool LosesAuthority(const TrustBundle& before, const TrustBundle& after);

// Checks that `after` may be published after `before`. Internal: another trust domain, a smaller sequence number, or
// other content under the same number, which subscribers would never notice.
absl::Status CheckFollows(const TrustBundle& before, const TrustBundle& after);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_TRUST_BUNDLE_H_
