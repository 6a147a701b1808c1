// What the token of a Kubernetes service account says of its holder.
#ifndef MESHCA_CA_AUTHN_SERVICE_ACCOUNT_CLAIMS_H_
#define MESHCA_CA_AUTHN_SERVICE_ACCOUNT_CLAIMS_H_

#include <string>

#include "absl/status/statusor.h"
#include "ca/authn/known_pods.h"
#include "ca/jwt/jwt.h"

namespace meshca {

// The claim `kubernetes.io`, checked for its form: names are DNS names (RFC 1123) of at most 253 bytes, so that
// no two accounts have one username. A value; not to be believed before the token's signature was verified, or the API
// server was asked.
struct ServiceAccountClaims {
  std::string issuer;
  AccountName account;
  std::string account_uid;
  // The pod that the token was made for; both "": it is bound to nothing.
  std::string pod;
  std::string pod_uid;
  std::string node;  // that the pod was placed on when the token was made; "": it does not say

  bool IsBoundToPod() const { return !pod_uid.empty(); }
  // "system:serviceaccount:istio-system:ztunnel": how the API server names the holder.
  std::string Username() const;

  friend bool operator==(const ServiceAccountClaims&, const ServiceAccountClaims&) = default;
};

// Unauthenticated (SERVICE_ACCOUNT_CLAIMS) names the claim that is missing or malformed: it is no token of a service
// account, or one that never ends, of the kind that Kubernetes keeps in Secrets. Unauthenticated
// (TOKEN_BOUND_ELSEWHERE): it is bound to a Secret, or to a node and no pod. A right by it would outlive what it is
// bound to, which no watch here tells of.
absl::StatusOr<ServiceAccountClaims> ReadServiceAccountClaims(const Jwt& token);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_SERVICE_ACCOUNT_CLAIMS_H_
