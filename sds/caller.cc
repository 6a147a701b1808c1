#include "sds/caller.h"

#include <openssl/sha.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/edge/credentials.h"
#include "ca/edge/svid_verifier.h"
#include "ca/subscribers/subscriber_principal.h"
#include "ca/subscribers/subscriber_record.h"
#include "ca/x509/chain_verifier.h"
#include "ca/x509/encoding.h"

namespace meshca::sds {

bool SdsCaller::MayReceiveKeyOf(const SpiffeId& id) const {
  if (!identity.MayHold(id)) return false;
  switch (peer->transport) {
    case rpc::Transport::kUnix: return true;
    case rpc::Transport::kTls: {
      const std::shared_ptr<const VerifiedPeer> holder = VerifiedPeerOf(*peer);
      return holder != nullptr && holder->spiffe_id == id;
    }
    case rpc::Transport::kPlaintext: return false;
  }
  return false;
}

absl::StatusOr<Credentials> PeerCredentials(const rpc::Peer& peer) {
  MESHCA_ASSIGN_OR_RETURN(Credentials credentials, CredentialsOf(peer));
  if (credentials.unix_peer.has_value() || credentials.client_certificate != nullptr) return credentials;
  return WithReason(absl::UnauthenticatedError("SDS knows its callers by their connection: use the Unix socket, or TLS "
                                               "with a client certificate of this CA"),
                    "CREDENTIAL_MISSING");
}

std::string InstanceKey(const rpc::Peer& peer, Taking taking, absl::string_view lineage, absl::string_view spiffe_id,
                        absl::string_view node) {
  std::string text = absl::StrCat(SubscriberKind(peer, taking), "\n", node);
  if (peer.unix_credentials.has_value()) {
    const rpc::UnixCredentials& process = *peer.unix_credentials;
    absl::StrAppend(&text, "\n", process.pid, "\n", process.pid_start_ticks);
    // Processes of a PID namespace that the kernel cannot show us all have pid 0: never one instance.
    if (process.pid <= 0) absl::StrAppend(&text, "\n", peer.connection_id);
  } else {
    absl::StrAppend(&text, "\n", spiffe_id, "\n", lineage);
  }
  uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const uint8_t*>(text.data()), text.size(), digest);
  return HexLower({reinterpret_cast<const char*>(digest), 8});
}

absl::string_view SubscriberKind(const rpc::Peer& peer, Taking taking) {
  const bool on_socket = peer.transport == rpc::Transport::kUnix;
  if (taking == Taking::kWorkload) return kWorkloadApiKind;
  if (taking == Taking::kWorkloadJwt) return kWorkloadJwtKind;
  if (taking == Taking::kFetch) return on_socket ? "sds-fetch-unix" : "sds-fetch-mtls";
  return on_socket ? "sds-unix" : "sds-mtls";
}

std::string PeerText(const SdsCaller& caller) {
  const rpc::Peer& peer = *caller.peer;
  if (!peer.unix_credentials.has_value()) return CertificatePeerText(peer.address, caller.line);
  return UnixPeerText(peer.unix_credentials->pid, peer.unix_credentials->uid);
}

}  // namespace meshca::sds
