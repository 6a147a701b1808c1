// What a call brought that may prove who made it.
#ifndef MESHCA_CA_EDGE_CREDENTIALS_H_
#define MESHCA_CA_EDGE_CREDENTIALS_H_

#include <string>

#include "absl/status/statusor.h"
#include "ca/authn/authenticator.h"
#include "ca/rpc/metadata.h"
#include "ca/rpc/peer.h"

namespace meshca {

// What the connection alone proves, in the form that authenticators read: the client certificate or the Unix peer, and
// the source (CredentialSource). The certificate comes with the path that the handshake verified: Peer::identity is the
// VerifiedPeer of SvidVerifier, the only verifier whose listeners may serve callers that are known by a certificate.
// Never blocks.
//
// Unauthenticated (reason CREDENTIAL_MALFORMED): a client certificate without a verified path.
absl::StatusOr<Credentials> CredentialsOf(const rpc::Peer& peer);

// The same with the bearer token of `authorization`, for services that take tokens.
//
// Unauthenticated (reason CREDENTIAL_MALFORMED): also for an `authorization` that is not one bearer token.
absl::StatusOr<Credentials> CredentialsOf(const rpc::Peer& peer, const rpc::Metadata& metadata);

// Credentials::source, whom the work on a caller's credential is counted against: the SPIFFE ID that a client
// certificate has proven, so that the callers behind one address translator are not one; else "uid 1000"; else the
// address, of IPv6 the /64 (one customer's network: within it addresses cost nothing), and one for the whole loopback.
std::string CredentialSource(const rpc::Peer& peer);

// The caller as audit entries name it: "uid 0 pid 812", or the address.
std::string ActorOf(const rpc::Peer& peer);

}  // namespace meshca

#endif  // MESHCA_CA_EDGE_CREDENTIALS_H_
