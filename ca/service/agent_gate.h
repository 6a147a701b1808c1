// Who is at the other end of the agent service: which node's agent, by its client certificate.
#ifndef MESHCA_CA_SERVICE_AGENT_GATE_H_
#define MESHCA_CA_SERVICE_AGENT_GATE_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authn/client_certificate.h"
#include "ca/identity/caller_identity.h"
#include "ca/identity/node_store.h"
#include "ca/issuance/issuance_store.h"
#include "ca/rpc/metadata.h"
#include "ca/rpc/peer.h"
#include "ca/x509/chain_verifier.h"

namespace meshca {

// An agent as its certificate says; the inventory may still know better (AgentGate::Judge).
struct AgentCaller {
  std::string node;
  SpiffeId id;
  CallerIdentity identity;  // what the certificate entitles to: its own renewal
  std::shared_ptr<const VerifiedPeer> certificate;
  std::string peer_address;
};

// Thread-safe.
class AgentGate {
 public:
  // All outlive the gate.
  AgentGate(const ClientCertificateAuthenticator& certificates, IssuanceStore& issuances, NodeStore& nodes)
      : certificates_(certificates), issuances_(issuances), nodes_(nodes) {}

  // By the connection alone; computes only. Unauthenticated (CREDENTIAL_MISSING: no client certificate; and the
  // authenticator's), PermissionDenied (NOT_AN_AGENT).
  absl::StatusOr<AgentCaller> Identify(const rpc::Peer& peer, const rpc::Metadata& metadata, absl::Time now) const;

  // By the inventory: the node is not banned (PermissionDenied, NODE_BANNED; said before anything else, because a ban
  // revokes the certificate too), the certificate is on record and not revoked, its machine has the node's name. Blocks
  // on the database. Errors are also IssuanceStore::JudgePresented's.
  absl::Status Judge(const AgentCaller& agent) const;

 private:
  const ClientCertificateAuthenticator& certificates_;
  IssuanceStore& issuances_;
  NodeStore& nodes_;
};

}  // namespace meshca

#endif  // MESHCA_CA_SERVICE_AGENT_GATE_H_
