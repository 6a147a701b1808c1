// Who is at the other end of an SDS call. The connection alone says so, never a token in the call.
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

// An authenticated caller and its connection. Immutable; shared by the streams and fetches of that caller.
struct SdsCaller {
  CallerIdentity identity;
  std::shared_ptr<const rpc::Peer> peer;
  // Keeps the holder of a client certificate one and the same instance while it renews: the serial number (hex) of the
  // certificate with which this holder first became a subscriber. That is its present certificate or an ancestor of it.
  // "" on Unix sockets.
  std::string lineage;
  // The serial number (hex) of the first certificate in the chain of renewals that led to the present one; of the
  // present one if it renews none. "" on Unix sockets. The number of instances that are remembered is limited for each
  // `line`, because the caller cannot choose it (instance_room.h).
  std::string line;

  // The identity that the name `default` stands for; null when the caller has no identity of its own.
  const SpiffeId* DefaultId() const { return identity.ids.empty() ? nullptr : &identity.ids.front(); }

  // May the private key of `id` go over this connection? On a Unix socket, where the caller may hold the identity; over
  // TLS only where the client certificate itself is that identity, whatever an authenticator says; never in plain text.
  bool MayReceiveKeyOf(const SpiffeId& id) const;
};

// What the connection proves, for the authenticators. Never blocks.
// Unauthenticated (reason CREDENTIAL_MISSING): TLS without a client certificate, or plain TCP; the message says how SDS
// is reached. CREDENTIAL_MALFORMED: a client certificate without a verified path.
absl::StatusOr<Credentials> PeerCredentials(const rpc::Peer& peer);

// How an instance receives secrets: on a stream of SDS, whose client acknowledges, by FetchSecrets, whose client does
// not, or on streams of the SPIFFE Workload API, with X.509-SVIDs and X.509 bundles, or with JWT bundles. A process
// that does several counts as several instances: it may go on using what it fetched after its stream got newer.
enum class Taking { kStream, kFetch, kWorkload, kWorkloadJwt };
inline constexpr Taking kAllTakings[] = {Taking::kStream, Taking::kFetch, Taking::kWorkload, Taking::kWorkloadJwt};

// Names the instance that a caller is: 16 hex digits, the same after a restart of this server. A hash of the node id
// and, on a Unix socket, of the process (pid and start time; the connection too where the pid cannot be seen); over
// mTLS of the SPIFFE ID and `lineage`. The SPIFFE ID of a process is left out: a process may hold several, and may get
// its first one while it is connected.
std::string InstanceKey(const rpc::Peer& peer, Taking taking, absl::string_view lineage, absl::string_view spiffe_id,
                        absl::string_view node);

// SubscriberRecord::kind: "sds-unix", "sds-mtls", "sds-fetch-unix", "sds-fetch-mtls", "workload-api" or "workload-jwt".
// The last four acknowledge nothing: HoldsWhatItWasSent or CannotAcknowledge (ca/subscribers) is true for them.
absl::string_view SubscriberKind(const rpc::Peer& peer, Taking taking);
// SubscriberRecord::peer: a text for people, from which subscriber_principal.h reads whom the instance counts against.
std::string PeerText(const SdsCaller& caller);

}  // namespace meshca::sds

#endif  // MESHCA_SDS_CALLER_H_
