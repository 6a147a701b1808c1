#include "ca/service/credentials.h"

#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/x509/chain_verifier.h"

namespace meshca {
namespace {

constexpr absl::string_view kScheme = "Bearer ";

absl::Status Malformed(absl::string_view what) {
  return WithReason(absl::UnauthenticatedError(what), "CREDENTIAL_MALFORMED");
}

absl::StatusOr<SecretBytes> BearerToken(const rpc::Metadata& metadata) {
  const std::vector<absl::string_view> values = metadata.FindAll("authorization");
  if (values.empty()) return SecretBytes();
  // Two credentials would let a proxy that checked one of them pass the other on.
  if (values.size() > 1) return Malformed("authorization: given more than once");
  if (!absl::StartsWithIgnoreCase(values[0], kScheme)) {
    return Malformed("authorization: not a bearer token; send \"authorization: Bearer TOKEN\"");
  }
  const absl::string_view token = absl::StripAsciiWhitespace(values[0].substr(kScheme.size()));
  if (token.empty()) return Malformed("authorization: the bearer token is empty");
  return SecretBytes::CopyOf(token);
}

}  // namespace

absl::StatusOr<Credentials> CredentialsOf(const rpc::Peer& peer, const rpc::Metadata& metadata) {
  Credentials credentials;
  MESHCA_ASSIGN_OR_RETURN(credentials.bearer_token, BearerToken(metadata));
  if (peer.identity != nullptr) {
    credentials.client_certificate = std::static_pointer_cast<const VerifiedPeer>(peer.identity);
  } else if (!peer.certificate_chain_der.empty()) {
    // A listener without SvidVerifier: nothing can be said of the authorities above the certificate.
    return Malformed("client certificate: this listener verified no path to a root");
  }
  if (peer.unix_credentials.has_value()) {
    const rpc::UnixCredentials& unix_credentials = *peer.unix_credentials;
    credentials.unix_peer = UnixPeer{unix_credentials.pid, unix_credentials.uid, unix_credentials.gid,
                                     unix_credentials.pid_start_ticks, peer.privileged};
  }
  credentials.peer_address = peer.address;
  return credentials;
}

std::string ActorOf(const rpc::Peer& peer) {
  if (!peer.unix_credentials.has_value()) return peer.address;
  return absl::StrCat("uid ", peer.unix_credentials->uid, " pid ", peer.unix_credentials->pid);
}

}  // namespace meshca
