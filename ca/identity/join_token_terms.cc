#include "ca/identity/join_token_terms.h"

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/identity/node_name.h"

namespace meshca {
namespace {

absl::Status Invalid(absl::string_view reason, absl::string_view what) {
  return WithReason(absl::InvalidArgumentError(what), reason);
}

// Fills in what a token for a node's agent need not say twice.
absl::Status CompleteAgentTerms(const TrustDomain& trust_domain, JoinTokenTerms& terms) {
  if (terms.spiffe_id.empty() && !terms.node.empty()) {
    MESHCA_ASSIGN_OR_RETURN(terms.spiffe_id, AgentId(trust_domain, terms.node));
  }
  if (!IsAgentId(terms.spiffe_id)) {
    if (!terms.replace) return absl::OkStatus();
    return Invalid("TOKEN_REPLACE",
                   "--replace: goes with --node alone: it lets the agent that joins by this token take "
                   "the node's name from a machine that lives");
  }
  const absl::string_view node = NodeOfAgent(terms.spiffe_id);
  if (node.empty()) {
    return Invalid("NODE_NAME", absl::StrCat("SPIFFE ID ", terms.spiffe_id.uri(),
                                             " is no agent's: what stands behind /meshca/agent/ is no node's name; "
                                             "meshca token create --node NAME makes a token for an agent"));
  }
  if (terms.node.empty()) terms.node = std::string(node);
  if (absl::string_view(terms.node) == node) return absl::OkStatus();
  return Invalid("SPIFFE_ID_INVALID",
                 absl::StrCat("SPIFFE ID ", terms.spiffe_id.uri(), " is that of the agent of node ", node,
                              ", not of node ", terms.node, "; give --node alone"));
}

}  // namespace

absl::Status CompleteJoinTokenTerms(const TrustDomain& trust_domain, JoinTokenTerms& terms) {
  if (terms.node.size() > kNodeNameBytesMax) return absl::InvalidArgumentError("node has more than 253 bytes");
  MESHCA_RETURN_IF_ERROR(CompleteAgentTerms(trust_domain, terms));
  const SpiffeId& id = terms.spiffe_id;
  if (id.empty()) return Invalid("SPIFFE_ID_INVALID", "a token is for a SPIFFE ID, or (--node) for a node's agent");
  if (!id.MemberOf(trust_domain)) {
    return Invalid("SPIFFE_ID_TRUST_DOMAIN",
                   absl::StrCat("SPIFFE ID ", id.uri(), " is not in trust domain ", trust_domain.name()));
  }
  if (!id.has_path()) {
    return Invalid("SPIFFE_ID_INVALID", absl::StrCat("SPIFFE ID ", id.uri(), " has no path; a workload's ID has one"));
  }
  if (terms.ttl < absl::Seconds(1) || terms.ttl > JoinTokenTerms::kTtlMax) {
    return Invalid("TOKEN_TTL", absl::StrCat("ttl ", absl::FormatDuration(terms.ttl), " is outside 1s to ",
                                             absl::FormatDuration(JoinTokenTerms::kTtlMax)));
  }
  return absl::OkStatus();
}

std::string NewTokenCommand(const SpiffeId& id) {
  const absl::string_view node = NodeOfAgent(id);
  return node.empty() ? absl::StrCat("meshca token create ", id.uri())
                      : absl::StrCat("meshca token create --node ", node);
}

}  // namespace meshca
