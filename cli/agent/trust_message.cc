#include "cli/agent/trust_message.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/jwt/jwt_key.h"
#include "ca/x509/public_key.h"

namespace meshca::agent {
namespace {

constexpr int kDomainsMax = 256;
constexpr int kRootsMax = 64;  // of one trust domain
constexpr int kJwtKeysMax = 64;
constexpr size_t kKidBytesMax = 256;

absl::Status Malformed(absl::string_view what) {
  return WithReason(absl::InvalidArgumentError(absl::StrCat("the trust that the CA told cannot be taken: ", what)),
                    "TRUST_MALFORMED");
}

absl::StatusOr<std::vector<Der>> ReadRoots(const v1::TrustDomainKeys& keys) {
  if (keys.x509_authorities().empty()) return absl::InvalidArgumentError("it has no root");
  if (keys.x509_authorities_size() > kRootsMax) {
    return absl::InvalidArgumentError(absl::StrCat(keys.x509_authorities_size(), " roots, more than ", kRootsMax));
  }
  std::vector<Der> roots;
  for (const std::string& bytes : keys.x509_authorities()) {
    Der der(bytes);
    const absl::StatusOr<Certificate> root = Certificate::Parse(der);
    if (!root.ok()) return Annotate(root.status(), absl::StrCat("root ", roots.size() + 1));
    if (!root->is_ca()) return absl::InvalidArgumentError(absl::StrCat("root ", roots.size() + 1, " is no CA's"));
    roots.push_back(std::move(der));
  }
  return roots;
}

absl::StatusOr<std::vector<JwtKey>> ReadJwtKeys(const v1::TrustDomainKeys& keys) {
  if (keys.jwt_authorities_size() > kJwtKeysMax) {
    return absl::InvalidArgumentError(absl::StrCat(keys.jwt_authorities_size(), " JWT keys, more than ", kJwtKeysMax));
  }
  std::vector<JwtKey> read;
  for (const v1::JwtAuthority& authority : keys.jwt_authorities()) {
    if (authority.kid().empty() || authority.kid().size() > kKidBytesMax) {
      return absl::InvalidArgumentError("a JWT key has no kid, or one that is too long");
    }
    const bool twice =
        std::any_of(read.begin(), read.end(), [&](const JwtKey& known) { return known.key_id == authority.kid(); });
    if (twice) return absl::InvalidArgumentError(absl::StrCat("two JWT keys have the kid ", authority.kid()));
    absl::StatusOr<PublicKey> key = PublicKey::FromSpki(authority.public_key());
    if (!key.ok()) return Annotate(key.status(), absl::StrCat("JWT key ", authority.kid()));
    read.push_back({authority.kid(), *std::move(key)});
  }
  return read;
}

absl::StatusOr<sds::DomainTrust> ReadDomain(const v1::TrustDomainKeys& keys) {
  sds::DomainTrust domain;
  MESHCA_ASSIGN_OR_RETURN(domain.trust_domain, TrustDomain::Parse(keys.trust_domain()));
  absl::StatusOr<std::vector<Der>> roots = ReadRoots(keys);
  if (!roots.ok()) return Annotate(roots.status(), domain.trust_domain.name());
  domain.roots = *std::move(roots);
  absl::StatusOr<std::vector<JwtKey>> jwt_keys = ReadJwtKeys(keys);
  if (!jwt_keys.ok()) return Annotate(jwt_keys.status(), domain.trust_domain.name());
  domain.jwt_keys = *std::move(jwt_keys);
  return domain;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const sds::Trust>> ReadTrust(const v1::Trust& message) {
  if (message.version() == 0) return Malformed("it has no version");
  if (message.domains().empty()) return Malformed("it has no trust domain");
  if (message.domains_size() > kDomainsMax) {
    return Malformed(absl::StrCat(message.domains_size(), " trust domains, more than ", kDomainsMax));
  }
  auto trust = std::make_shared<sds::Trust>();
  trust->version = message.version();
  for (const v1::TrustDomainKeys& keys : message.domains()) {
    absl::StatusOr<sds::DomainTrust> domain = ReadDomain(keys);
    if (!domain.ok()) return Malformed(domain.status().message());
    const bool twice = std::any_of(trust->domains.begin(), trust->domains.end(), [&](const sds::DomainTrust& known) {
      return known.trust_domain == domain->trust_domain;
    });
    if (twice) return Malformed(absl::StrCat(domain->trust_domain.name(), " is there twice"));
    trust->domains.push_back(*std::move(domain));
  }
  return std::shared_ptr<const sds::Trust>(std::move(trust));
}

std::vector<Certificate> RootsOf(const sds::DomainTrust& domain) {
  std::vector<Certificate> roots;
  for (const Der& der : domain.roots) {
    absl::StatusOr<Certificate> root = Certificate::Parse(der);
    if (root.ok()) roots.push_back(*std::move(root));
  }
  return roots;
}

}  // namespace meshca::agent
