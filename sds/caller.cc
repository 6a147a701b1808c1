#include "sds/caller.h"

#include <openssl/sha.h>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/x509/certificate.h"
#include "ca/x509/chain_verifier.h"
#include "ca/x509/encoding.h"

namespace meshca::sds {
namespace {

// The verifier of our TLS listeners leaves what it found in Peer::identity; where another one was installed the
// certificate is read from its bytes.
absl::StatusOr<Certificate> LeafOf(const rpc::Peer& peer) {
  if (peer.identity != nullptr) return std::static_pointer_cast<const VerifiedPeer>(peer.identity)->leaf;
  return Certificate::Parse(Der(peer.certificate_chain_der.front()));
}

}  // namespace

bool SdsCaller::MayReceiveKeyOf(const SpiffeId& id) const {
  if (!identity.MayHold(id)) return false;
  switch (peer->transport) {
    case rpc::Transport::kUnix: return true;
    case rpc::Transport::kTls: {
      if (peer->certificate_chain_der.empty()) return false;
      const absl::StatusOr<Certificate> leaf = LeafOf(*peer);
      if (!leaf.ok()) return false;
      const absl::StatusOr<SpiffeId> holder = leaf->spiffe_id();
      return holder.ok() && *holder == id;
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
  absl::StatusOr<Certificate> leaf = LeafOf(peer);
  if (!leaf.ok()) {
    return WithReason(absl::UnauthenticatedError(absl::StrCat("client certificate: ", leaf.status().message())),
                      "CREDENTIAL_MALFORMED");
  }
  credentials.client_certificate = *std::move(leaf);
  return credentials;
}

std::string InstanceKey(const rpc::Peer& peer, absl::string_view lineage, absl::string_view spiffe_id,
                        absl::string_view node) {
  std::string text = absl::StrCat(SubscriberKind(peer), "\n", node);
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

absl::string_view SubscriberKind(const rpc::Peer& peer) {
  return peer.transport == rpc::Transport::kUnix ? "sds-unix" : "sds-mtls";
}

std::string PeerText(const rpc::Peer& peer) {
  if (!peer.unix_credentials.has_value()) return peer.address;
  return absl::StrCat("pid ", peer.unix_credentials->pid, " uid ", peer.unix_credentials->uid);
}

}  // namespace meshca::sds
