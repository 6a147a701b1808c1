#include "sds/workload_bundles.h"

#include <utility>

#include "ca/base/status.h"
#include "sds/discovery_response.h"

namespace meshca::sds {
namespace {

// Field numbers of spiffe/workload/workload.proto, and those of every map's entries.
constexpr int kX509Bundles = 2, kJwtBundles = 1;
constexpr int kMapKey = 1, kMapValue = 2;

// One entry of the map `field`.
void AppendBundle(int field, absl::string_view id, absl::string_view bundle, std::string& out) {
  wire::AppendHead(field, wire::FieldSize(id.size()) + wire::FieldSize(bundle.size()), out);
  wire::AppendField(kMapKey, id, out);
  wire::AppendField(kMapValue, bundle, out);
}

absl::StatusOr<rpc::Payload> JwtAnswer(const std::vector<WorkloadBundles::Domain>& domains) {
  std::string answer;
  for (const WorkloadBundles::Domain& domain : domains) {
    MESHCA_ASSIGN_OR_RETURN(const std::string keys, JwtSvidJwks(domain.jwt_keys));
    AppendBundle(kJwtBundles, domain.id, keys, answer);
  }
  return rpc::Frame(answer);
}

}  // namespace

WorkloadBundles::WorkloadBundles(const Trust& trust) : version(trust.version) {
  std::string answer;
  for (const DomainTrust& one : trust.domains) {
    Domain& domain = domains.emplace_back();
    domain.id = one.trust_domain.Id();
    domain.trust_domain = one.trust_domain;
    for (const Der& root : one.roots) domain.roots_der += root.bytes();
    domain.jwt_keys = one.jwt_keys;
    AppendBundle(kX509Bundles, domain.id, domain.roots_der, answer);
  }
  x509 = rpc::Frame(answer);
  jwt = JwtAnswer(domains);
}

const std::vector<JwtKey>* WorkloadBundles::JwtKeysOf(const TrustDomain& trust_domain) const {
  for (const Domain& domain : domains) {
    if (domain.trust_domain == trust_domain) return &domain.jwt_keys;
  }
  return nullptr;
}

}  // namespace meshca::sds
