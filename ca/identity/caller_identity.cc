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
    case AuthMethod::kAgent: return "agent";
    case AuthMethod::kNodeKey: return "node-key";
    case AuthMethod::kServiceAccount: return "service-account";
    case AuthMethod::kPodCertificate: return "pod-certificate";
    case AuthMethod::kSigningRequest: return "certificate-signing-request";
  }
  return "unknown";
}

bool CallerIdentity::MayHold(const SpiffeId& id) const {
  if (std::find(ids.begin(), ids.end(), id) != ids.end()) return true;
  return any_id_of_trust_domain && !id.IsReserved();
}

const IdentityRights* CallerIdentity::RightsOf(const SpiffeId& id) const {
  const auto found =
      std::find_if(rights.begin(), rights.end(), [&](const IdentityRights& own) { return own.id == id; });
  return found == rights.end() ? nullptr : &*found;
}

bool CallerIdentity::MayHaveDnsName(const SpiffeId& id, absl::string_view name) const {
  const auto allows = [name](const std::string& allowed) {
    return allowed == "*" || absl::string_view(allowed) == name;
  };
  if (std::any_of(dns_names.begin(), dns_names.end(), allows)) return true;
  const IdentityRights* const own = RightsOf(id);
  return own != nullptr && std::any_of(own->dns_names.begin(), own->dns_names.end(), allows);
}

absl::Duration CallerIdentity::LifetimeMax(const SpiffeId& id) const {
  const IdentityRights* const own = RightsOf(id);
  return own == nullptr ? absl::ZeroDuration() : own->lifetime_max;
}

const Origin& CallerIdentity::OriginOf(const SpiffeId& id) const {
  const IdentityRights* const own = RightsOf(id);
  return own == nullptr ? origin : own->origin;
}

absl::string_view CallerIdentity::HintOf(const SpiffeId& id) const {
  const IdentityRights* const own = RightsOf(id);
  return own == nullptr ? absl::string_view() : absl::string_view(own->hint);
}

absl::Duration CallerIdentity::JwtTtlMax(const SpiffeId& id) const {
  const IdentityRights* const own = RightsOf(id);
  return own == nullptr ? absl::ZeroDuration() : own->jwt_ttl;
}

}  // namespace meshca
