// Requests of one pod, web/front-1 of account front on node-1, for the tests of this folder.
#ifndef MESHCA_TEST_CA_POD_CERTIFICATES_POD_REQUEST_MAKER_H_
#define MESHCA_TEST_CA_POD_CERTIFICATES_POD_REQUEST_MAKER_H_

#include <memory>
#include <string>

#include "ca/authn/known_pods.h"
#include "ca/pod_certificates/pod_request.h"
#include "ca/x509/signing_key.h"
#include "test/ca/issuance/test_ca.h"

namespace meshca {

inline KnownPod FrontPod() {
  KnownPod pod;
  pod.name = "front-1";
  pod.account = {"web", "front"};
  pod.node = "node-1";
  return pod;
}

inline PodRequest RequestForFront(const std::shared_ptr<const SoftwareKey>& key) {
  PodRequest request;
  request.namespace_name = "web";
  request.name = "req-1";
  request.uid = "req-uid";
  request.resource_version = "7";
  request.created = absl::FromUnixSeconds(1'790'000'000);  // 2026-09-21T14:13:20Z
  request.signer_name = "meshca.io/workload";
  request.pod_name = "front-1";
  request.pod_uid = "front-pod";
  request.account = "front";
  request.account_uid = "front-account";
  request.node = "node-1";
  request.max_expiration = absl::Hours(24);
  request.stub_pkcs10 = MakeCsr(*key, Asks{});
  return request;
}
inline PodRequest RequestForFront(std::unique_ptr<SoftwareKey> key) {
  return RequestForFront(std::shared_ptr<const SoftwareKey>(std::move(key)));
}

// The request in v1beta1's older form, with a proof over `proven`.
inline void MakeOlder(std::unique_ptr<SoftwareKey> key, const std::string& proven, PodRequest& request) {
  request.stub_pkcs10.clear();
  request.pkix_public_key = std::string(key->public_key().spki());
  request.proof_of_possession = *key->Sign(proven);
}

}  // namespace meshca

#endif  // MESHCA_TEST_CA_POD_CERTIFICATES_POD_REQUEST_MAKER_H_
