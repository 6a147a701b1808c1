// The X.509 authorities of one trust domain (SPIFFE Trust Domain and Bundle §4).
#ifndef MESHCA_CA_AUTHORITY_TRUST_BUNDLE_H_
#define MESHCA_CA_AUTHORITY_TRUST_BUNDLE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/x509/certificate.h"

namespace meshca {

// Immutable. `sequence_number` only grows over the life of a trust domain; equal numbers mean equal content.
struct TrustBundle {
  TrustDomain trust_domain;
  uint64_t sequence_number = 0;
  std::vector<Certificate> roots;                  // the active authority's root first
  absl::Time published_at = absl::InfinitePast();  // when the store took it: what acknowledgements lag behind

  // Every root as PEM, one after another: a CA file.
  std::string ToPem() const;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_TRUST_BUNDLE_H_
