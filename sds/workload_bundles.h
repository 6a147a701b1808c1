// The bundles of every trust domain as the SPIFFE Workload API hands them out, made once for each version of the trust.
#ifndef MESHCA_SDS_WORKLOAD_BUNDLES_H_
#define MESHCA_SDS_WORKLOAD_BUNDLES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ca/jwt/jwt_key.h"
#include "ca/rpc/payload.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/subscribers/trust_version.h"
#include "sds/trust_source.h"

namespace meshca::sds {

// Immutable. Holds nothing secret; the two answers are kept, because each goes to every stream.
struct WorkloadBundles {
  explicit WorkloadBundles(const Trust& trust);

  struct Domain {
    std::string id;  // the trust domain's ID, `spiffe://td`: the key of every map of bundles
    TrustDomain trust_domain;
    std::string roots_der;  // the X.509 authorities, DER, one behind the other
    std::vector<JwtKey> jwt_keys;
  };

  TrustVersion version = 0;
  std::vector<Domain> domains;  // our own first
  rpc::Payload x509;            // the answer of FetchX509Bundles
  // The answer of FetchJWTBundles: a JWK set for each trust domain, one without keys included. Internal: a key could
  // not be written.
  absl::StatusOr<rpc::Payload> jwt;

  // The keys that verify the JWT-SVIDs of `trust_domain`; null: the domain is not known.
  const std::vector<JwtKey>* JwtKeysOf(const TrustDomain& trust_domain) const;
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_WORKLOAD_BUNDLES_H_
