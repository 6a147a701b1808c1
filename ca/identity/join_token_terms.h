// What a join token may be made for.
#ifndef MESHCA_CA_IDENTITY_JOIN_TOKEN_TERMS_H_
#define MESHCA_CA_IDENTITY_JOIN_TOKEN_TERMS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/spiffe/spiffe_id.h"
#include "ca/spiffe/trust_domain.h"

namespace meshca {

struct JoinTokenTerms {
  // A token is a password that lies around; what needs longer has better ways to prove who it is.
  static constexpr absl::Duration kTtlMax = absl::Hours(24 * 30);

  SpiffeId spiffe_id;
  std::string node;  // "" for none
  absl::Duration ttl = absl::Minutes(10);
};

// InvalidArgument: SPIFFE_ID_TRUST_DOMAIN (another than `trust_domain`), SPIFFE_ID_INVALID (no workload's), TOKEN_TTL
// (outside 1 s to kTtlMax), a node of more than 253 bytes.
absl::Status CheckJoinTokenTerms(const JoinTokenTerms& terms, const TrustDomain& trust_domain);

}  // namespace meshca

#endif  // MESHCA_CA_IDENTITY_JOIN_TOKEN_TERMS_H_
