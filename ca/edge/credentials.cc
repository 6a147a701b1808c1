#include "ca/edge/credentials.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/edge/svid_verifier.h"
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

// The network of "192.0.2.7:41234" or "[2001:db8::1]:41234"; a text that is neither is a source of its own.
std::string AddressSource(absl::string_view address) {
  std::string host(address.substr(0, address.rfind(':')));
  if (absl::StartsWith(host, "[") && absl::EndsWith(host, "]")) host = host.substr(1, host.size() - 2);
  host = host.substr(0, host.find('%'));
  in_addr v4 = {};
  in6_addr v6 = {};
  if (inet_pton(AF_INET6, host.c_str(), &v6) == 1) {
    if (IN6_IS_ADDR_LOOPBACK(&v6)) return "loopback";
    if (!IN6_IS_ADDR_V4MAPPED(&v6)) {
      std::memset(v6.s6_addr + 8, 0, 8);
      char text[INET6_ADDRSTRLEN] = {};
      return absl::StrCat(inet_ntop(AF_INET6, &v6, text, sizeof text), "/64");
    }
    std::memcpy(&v4, v6.s6_addr + 12, sizeof v4);
  } else if (inet_pton(AF_INET, host.c_str(), &v4) != 1) {
    return host;
  }
  if (ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET) return "loopback";
  char text[INET_ADDRSTRLEN] = {};
  return inet_ntop(AF_INET, &v4, text, sizeof text);
}

}  // namespace

std::string CredentialSource(const rpc::Peer& peer) {
  if (const std::shared_ptr<const VerifiedPeer> verified = VerifiedPeerOf(peer); verified != nullptr) {
    return verified->spiffe_id.uri();
  }
  if (peer.unix_credentials.has_value()) return absl::StrCat("uid ", peer.unix_credentials->uid);
  return AddressSource(peer.address);
}

absl::StatusOr<Credentials> CredentialsOf(const rpc::Peer& peer) {
  Credentials credentials;
  credentials.client_certificate = VerifiedPeerOf(peer);
  if (credentials.client_certificate == nullptr && !peer.certificate_chain_der.empty()) {
    // A listener without SvidVerifier: nothing can be said of the authorities above the certificate.
    return Malformed("client certificate: this listener verified no path to a root");
  }
  if (peer.unix_credentials.has_value()) {
    const rpc::UnixCredentials& unix_credentials = *peer.unix_credentials;
    credentials.unix_peer = UnixPeer{unix_credentials.pid, unix_credentials.uid, unix_credentials.gid,
                                     unix_credentials.pid_start_ticks, peer.privileged};
  }
  credentials.peer_address = peer.address;
  credentials.source = CredentialSource(peer);
  return credentials;
}

absl::StatusOr<Credentials> CredentialsOf(const rpc::Peer& peer, const rpc::Metadata& metadata) {
  MESHCA_ASSIGN_OR_RETURN(SecretBytes bearer_token, BearerToken(metadata));
  MESHCA_ASSIGN_OR_RETURN(Credentials credentials, CredentialsOf(peer));
  credentials.bearer_token = std::move(bearer_token);
  return credentials;
}

std::string ActorOf(const rpc::Peer& peer) {
  if (!peer.unix_credentials.has_value()) return peer.address;
  return absl::StrCat("uid ", peer.unix_credentials->uid, " pid ", peer.unix_credentials->pid);
}

}  // namespace meshca
