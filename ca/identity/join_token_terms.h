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
  bool replace = false;  // see JoinToken::replace
};

// Completes and judges them. Terms with a node alone are for its agent (AgentId), and terms for an agent's ID name its
// node. InvalidArgument: SPIFFE_ID_TRUST_DOMAIN (another than `trust_domain`), SPIFFE_ID_INVALID (no workload's, or
// that of an agent of another node), TOKEN_TTL (outside 1 s to kTtlMax), TOKEN_REPLACE (`replace` without an agent's
// ID), NODE_NAME (of an agent's), a node of more than 253 bytes.
absl::Status CompleteJoinTokenTerms(const TrustDomain& trust_domain, JoinTokenTerms& terms);

// The command that makes a token for `id`, as errors tell it: by its node where that is a node's agent.
std::string NewTokenCommand(const SpiffeId& id);

}  // namespace meshca

#endif  // MESHCA_CA_IDENTITY_JOIN_TOKEN_TERMS_H_
