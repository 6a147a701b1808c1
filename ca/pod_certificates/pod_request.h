// A kubelet's request for the certificate of one of its pods, as the API server holds it.
#ifndef MESHCA_CA_POD_CERTIFICATES_POD_REQUEST_H_
#define MESHCA_CA_POD_CERTIFICATES_POD_REQUEST_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/kubernetes/picked_fields.h"
#include "ca/kubernetes/resource.h"
#include "ca/request_signing/api_request.h"

namespace meshca {

// A PodCertificateRequest of certificates.k8s.io v1 or v1beta1. A value, answered when it is Issued, Denied or
// Failed; what it says of the pod is its creator's word.
struct PodRequest : ApiRequest {
  absl::Time created;         // by the API server's clock, whole seconds
  uint64_t looks_before = 0;  // AdmissionWatch::looks when it was read

  std::string pod_name;
  std::string pod_uid;
  std::string account;
  std::string account_uid;
  std::string node;
  absl::Duration max_expiration;  // of notAfter - notBefore
  // Names of what the pod's author wants to tell the signer, sorted.
  std::vector<std::string> user_annotations;

  // DER. One of the two has the key; v1 knows the PKCS#10 alone, so that of a request by v1beta1's older form neither
  // shows there.
  std::string stub_pkcs10;
  std::string pkix_public_key;
  std::string proof_of_possession;  // over the pod's uid, beside pkix_public_key

  bool HasKey() const { return !stub_pkcs10.empty() || !pkix_public_key.empty(); }
  std::string Text() const override;
};

// Of `version`, "v1" or "v1beta1".
kubernetes::Resource PodCertificateRequests(absl::string_view version);

// What is picked of each object (kubernetes::FieldPicker), and read by ReadPodRequest.
std::vector<std::string> PodRequestPaths();

// InvalidArgument: a field that is missing or cannot be read, by its name. The API server lets no such object in.
absl::StatusOr<PodRequest> ReadPodRequest(const kubernetes::PickedFields& object);

}  // namespace meshca

#endif  // MESHCA_CA_POD_CERTIFICATES_POD_REQUEST_H_
