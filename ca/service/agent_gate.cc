#include "ca/service/agent_gate.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/authn/authenticator.h"
#include "ca/base/status.h"
#include "ca/edge/credentials.h"
#include "ca/identity/node_name.h"

namespace meshca {

absl::StatusOr<AgentCaller> AgentGate::Identify(const rpc::Peer& peer, const rpc::Metadata& metadata,
                                                absl::Time now) const {
  MESHCA_ASSIGN_OR_RETURN(const Credentials credentials, CredentialsOf(peer, metadata));
  if (!credentials.bearer_token.empty()) {
    return WithReason(
        absl::UnauthenticatedError("agent: a token is for Join alone; the other calls of an agent are made "
                                   "by its client certificate and nothing else"),
        "CREDENTIAL_UNRECOGNISED");
  }
  if (credentials.client_certificate == nullptr) {
    return WithReason(absl::UnauthenticatedError("agent: no client certificate; a new agent calls Join first, with a "
                                                 "token of `meshca token create --node NODE`"),
                      "CREDENTIAL_MISSING");
  }
  AgentCaller agent;
  MESHCA_ASSIGN_OR_RETURN(agent.identity, certificates_.Judge(*credentials.client_certificate, now));
  agent.id = agent.identity.ids.front();
  agent.node = std::string(NodeOfAgent(agent.id));
  if (agent.node.empty()) {
    return WithReason(absl::PermissionDeniedError(absl::StrCat("agent: the client certificate is that of ",
                                                               agent.id.uri(), ", which is no node's agent")),
                      "NOT_AN_AGENT");
  }
  agent.certificate = credentials.client_certificate;
  agent.peer_address = peer.address;
  return agent;
}

absl::Status AgentGate::Judge(const AgentCaller& agent) const {
  const absl::StatusOr<NodeRecord> node = nodes_.FindNode(agent.node);
  if (!node.ok() && !absl::IsNotFound(node.status())) return node.status();
  if (node.ok() && node->banned()) return NodeIsBanned(*node);
  return issuances_.JudgePresented(*agent.identity.presented, agent.identity.trusted_origins).status();
}

}  // namespace meshca
