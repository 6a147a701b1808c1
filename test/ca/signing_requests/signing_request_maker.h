// CertificateSigningRequests of service account web/front.
#ifndef MESHCA_TEST_CA_SIGNING_REQUESTS_SIGNING_REQUEST_MAKER_H_
#define MESHCA_TEST_CA_SIGNING_REQUESTS_SIGNING_REQUEST_MAKER_H_

#include <memory>
#include <string>

#include "ca/signing_requests/signing_request.h"
#include "ca/signing_requests/signing_request_judge.h"
#include "test/ca/issuance/test_ca.h"
#include "test/ca/spiffe/test_domain.h"

namespace meshca {

inline constexpr char kFrontId[] = "spiffe://cluster.local/ns/web/sa/front";

inline std::string Pkcs10For(const Asks& asks, KeyType type = KeyType::kEcP256) {
  return MakeCsr(**SoftwareKey::Generate(type), asks);
}

// As the account asks for itself, from a pod.
inline SigningRequest OwnSigningRequest() {
  SigningRequest request;
  request.name = "csr-1";
  request.uid = "csr-uid";
  request.resource_version = "7";
  request.signer_name = "meshca.io/workload";
  request.pkcs10 = Pkcs10For({{kFrontId}, {}, {}, false});
  request.usages = {"digital signature", "key encipherment", "server auth", "client auth"};
  request.username = "system:serviceaccount:web:front";
  request.user_uid = "front-account";
  request.pod_uid = "front-pod";
  return request;
}

inline SigningRules TestSigningRules() {
  return {.spiffe_id = *ServiceAccountTemplate::Parse(ServiceAccountTemplate::kDefault, TestDomain()),
          .trust_domain = TestDomain(),
          .profile = CertificateProfile(),
          .trusted_requesters = {"ra"}};
}

}  // namespace meshca

#endif  // MESHCA_TEST_CA_SIGNING_REQUESTS_SIGNING_REQUEST_MAKER_H_
