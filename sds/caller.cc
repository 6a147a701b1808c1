#include "sds/caller.h"

#include <openssl/sha.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/subscribers/subscriber_principal.h"
#include "ca/x509/chain_verifier.h"
#include "ca/x509/encoding.h"

namespace meshca::sds {
namespace {

// What the verifier of our TLS listeners found; null without a client certificate. A certificate that came without a
// verified path proves nothing.
std::shared_ptr<const VerifiedPeer> VerifiedOf(const rpc::Peer& peer) {
  return std::static_pointer_cast<const VerifiedPeer>(peer.identity);
}

}  // namespace

bool SdsCaller::MayReceiveKeyOf(const SpiffeId& id) const {
  if (!identity.MayHold(id)) return false;
  switch (peer->transport) {
    case rpc::Transport::kUnix: return true;
    case rpc::Transport::kTls: {
      const std::shared_ptr<const VerifiedPeer> holder = VerifiedOf(*peer);
      return holder != nullptr && holder->spiffe_id == id;
    }
    case rpc::Transport::kPlaintext: return false;
  }
  return false;
}

absl::StatusOr<Credentials> PeerCredentials(const rpc::Peer& peer) {
  Credentials credentials;
  credentials.peer_address = peer.address;
  if (peer.transport == rpc::Transport::kUnix && peer.unix_credentials.has_value()) {
    const rpc::UnixCredentials& unix_credentials = *peer.unix_credentials;
    credentials.unix_peer = UnixPeer{unix_credentials.pid, unix_credentials.uid, unix_credentials.gid,
                                     unix_credentials.pid_start_ticks, peer.privileged};
    return credentials;
  }
  if (peer.transport != rpc::Transport::kTls || peer.certificate_chain_der.empty()) {
    return WithReason(absl::UnauthenticatedError("SDS knows its callers by their connection: use the Unix socket, or "
                                                 "TLS with a client certificate of this CA"),
                      "CREDENTIAL_MISSING");
  }
  credentials.client_certificate = VerifiedOf(peer);
  if (credentials.client_certificate == nullptr) {
    return WithReason(absl::UnauthenticatedError("client certificate: this listener verified no path to a root"),
                      "CREDENTIAL_MALFORMED");
  }
  return credentials;
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
  if (taking == Taking::kFetch) return on_socket ? "sds-fetch-unix" : "sds-fetch-mtls";
  return on_socket ? "sds-unix" : "sds-mtls";
}

std::string PeerText(const SdsCaller& caller) {
  const rpc::Peer& peer = *caller.peer;
  if (!peer.unix_credentials.has_value()) return CertificatePeerText(peer.address, caller.line);
  return UnixPeerText(peer.unix_credentials->pid, peer.unix_credentials->uid);
}

}  // namespace meshca::sds
