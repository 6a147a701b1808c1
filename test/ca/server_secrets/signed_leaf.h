// Certificates for Secrets, signed by a test's authorities.
#ifndef MESHCA_TEST_CA_SERVER_SECRETS_SIGNED_LEAF_H_
#define MESHCA_TEST_CA_SERVER_SECRETS_SIGNED_LEAF_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ca/issuance/issuer.h"
#include "ca/server_secrets/standing_leaf.h"
#include "test/ca/issuance/test_ca.h"

namespace meshca {

inline ServerNames IstiodNames() {
  return {Id("/ns/istio-system/sa/istiod"), {"istio-pilot.istio-system.svc", "istiod.istio-system.svc"}};
}

// What MakeStandingLeaf takes.
inline IssuedCertificate IssueTo(const SoftwareKey& key, std::shared_ptr<const AuthoritySnapshot> authorities,
                                 absl::Time now, const ServerNames& names = IstiodNames()) {
  IssuanceRequest request;
  request.caller.method = AuthMethod::kServerUser;
  request.caller.subject = "meshca";
  request.caller.instance = "Secret istio-system/istiod-tls";
  request.caller.origin = {OriginKind::kPublished, "meshca"};
  request.spiffe_id = names.spiffe_id;
  request.dns_names = names.dns_names;
  request.public_key = key.public_key();
  SignedLeaf signed_leaf = *Issuer(CertificateProfile(), SystemEntropy()).Issue(request, *authorities->issuing, now);
  return {std::move(signed_leaf.chain), std::move(signed_leaf.record), std::move(authorities)};
}

}  // namespace meshca

#endif  // MESHCA_TEST_CA_SERVER_SECRETS_SIGNED_LEAF_H_
