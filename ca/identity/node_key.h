// How the agent of a node whose certificate has ended shows that it is the machine which has the node's name: by the
// key of that certificate, which the inventory of nodes knows.
#ifndef MESHCA_CA_IDENTITY_NODE_KEY_H_
#define MESHCA_CA_IDENTITY_NODE_KEY_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/identity/caller_identity.h"
#include "ca/identity/node_store.h"
#include "ca/spiffe/trust_domain.h"

namespace meshca {

// What the agent shows: `NodeKeyProof` of agent.proto as a value. Unjudged.
struct NodeKeyProof {
  std::string node;
  std::string public_key;           // SubjectPublicKeyInfo, DER
  std::string challenge;            // as the CA gave it
  std::string signature_algorithm;  // AlgorithmIdentifier, DER
  std::string signature;            // over NodeKeyStatement
};

// What the key signs. It names everything that the answer depends on, so that a proof brings a certificate for the key
// of this very CSR (PKCS#10, DER), to this node, for this challenge: whoever overhears one gains nothing by it. No
// other signature of such a key, of a CSR or in a TLS handshake, begins like it.
std::string NodeKeyStatement(const TrustDomain& trust_domain, absl::string_view node, absl::string_view challenge,
                             absl::string_view csr);

// May whoever proved to have `proven` have a certificate for the key `new_sha256`, at `now`, as the agent of `node`?
// The key that counts is that of the newest certificate which the node's agent was given, and no older one: a key that
// was stolen is worth nothing once the agent has renewed. That certificate must have ended, but where it is for the new
// key itself: then the answer that brought it was lost, and is repeated.
//
// Unauthenticated: NODE_KEY_NOT_NEWEST, REJOIN_TOO_LATE. Unavailable (REJOIN_TOO_EARLY): the certificate lives. Whether
// the node is banned, or the certificate revoked, is for others to judge.
absl::Status JudgeNodeKey(const NodeRecord& node, const ProvenNodeKey& proven, absl::string_view new_sha256,
                          absl::Time now);

// For whoever shows a key by which no node of this name is known: Unauthenticated (NODE_KEY_NOT_NEWEST). The same
// sentence whether there is no such node, another machine has its name or a newer certificate was issued to it.
absl::Status NodeKeyIsNotNewest(absl::string_view node);

}  // namespace meshca

#endif  // MESHCA_CA_IDENTITY_NODE_KEY_H_
