// Who is at the other end of an SDS call: known by the transport alone, never by a token.
#ifndef MESHCA_SDS_CALLER_H_
#define MESHCA_SDS_CALLER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/authn/authenticator.h"
#include "ca/identity/caller_identity.h"
#include "ca/rpc/peer.h"
#include "ca/spiffe/spiffe_id.h"

namespace meshca::sds {

// An authenticated caller and the connection it came by. Immutable, shared by what serves it.
struct SdsCaller {
  CallerIdentity identity;
  std::shared_ptr<const rpc::Peer> peer;
  // Names the holder of a client certificate through all its renewals: the serial number (hex) of the certificate with
  // which the holder first became a subscriber, which is this one or one that it was renewed from. "" on Unix sockets.
  std::string lineage;
  // The serial number (hex) of the certificate that this one was first renewed from, whoever had it; of this one where
  // it renews none. "" on Unix sockets. The caller chose no part of it, so it is what instances are counted by: how
  // many one caller can make us remember.
  std::string line;

  // The identity that `default` stands for; null when the caller has none of its own.
  const SpiffeId* DefaultId() const { return identity.ids.empty() ? nullptr : &identity.ids.front(); }

  // May the private key of `id` go over this connection? On a Unix socket, where the caller may hold the identity; over
  // TLS only where the client certificate itself is that identity, whatever an authenticator says; never in plain text.
  bool MayReceiveKeyOf(const SpiffeId& id) const;
};

// What the connection proves, for the authenticators. Never blocks.
// Unauthenticated (reason CREDENTIAL_MISSING): TLS without a client certificate, or plain TCP; the message says how SDS
// is reached. CREDENTIAL_MALFORMED: a client certificate without a verified path.
absl::StatusOr<Credentials> PeerCredentials(const rpc::Peer& peer);

// How an instance takes its secrets: by a stream, which acknowledges, or by FetchSecrets, which does not. A process
// that does both is two instances, because it keeps what it fetched when its stream gets something newer.
enum class Taking { kStream, kFetch };

// The instance that a caller is: 16 hex digits, the same after a restart. On a Unix socket the process (pid and start
// time) with its node id; over mTLS the SPIFFE ID, the node id and the client certificate with its renewals
// (`lineage`). The SPIFFE ID of a process is no part of it: it may hold several, and get its first while it is
// connected.
std::string InstanceKey(const rpc::Peer& peer, Taking taking, absl::string_view lineage, absl::string_view spiffe_id,
                        absl::string_view node);

// SubscriberRecord::kind: "sds-unix", "sds-mtls", "sds-fetch-unix", "sds-fetch-mtls". HoldsWhatItWasSent knows the last
// two.
absl::string_view SubscriberKind(const rpc::Peer& peer, Taking taking);
// SubscriberRecord::peer: see SubscriberPrincipal.
std::string PeerText(const SdsCaller& caller);

}  // namespace meshca::sds

#endif  // MESHCA_SDS_CALLER_H_
