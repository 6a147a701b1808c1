#include "ca/identity/caller_identity.h"

#include <algorithm>

namespace meshca {

absl::string_view AuthMethodName(AuthMethod method) {
  switch (method) {
    case AuthMethod::kJoinToken: return "join-token";
    case AuthMethod::kJwt: return "jwt";
    case AuthMethod::kClientCertificate: return "client-certificate";
    case AuthMethod::kUnixPeer: return "unix-peer";
    case AuthMethod::kServerUser: return "server-user";
  }
  return "unknown";
}

bool CallerIdentity::MayHold(const SpiffeId& id) const {
  if (std::find(ids.begin(), ids.end(), id) != ids.end()) return true;
  return any_id_of_trust_domain && !id.IsReserved();
}

bool CallerIdentity::MayHaveDnsName(absl::string_view name) const {
  return std::any_of(dns_names.begin(), dns_names.end(), [name](const std::string& allowed) {
    return allowed == "*" || absl::string_view(allowed) == name;
  });
}

}  // namespace meshca
