// A CertificateSigningRequest, as the API server holds it.
#ifndef MESHCA_CA_SIGNING_REQUESTS_SIGNING_REQUEST_H_
#define MESHCA_CA_SIGNING_REQUESTS_SIGNING_REQUEST_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/kubernetes/picked_fields.h"
#include "ca/kubernetes/resource.h"
#include "ca/request_signing/api_request.h"

namespace meshca {

// Of certificates.k8s.io v1. A value. Who asks is the API server's word; all else is the requester's. It is answered
// when it has a certificate, or is Denied or Failed. Requests are in no namespace.
struct SigningRequest : ApiRequest {
  // A PKCS#10 request of a workload takes one or two KiB.
  static constexpr size_t kPkcs10BytesMax = 16 * 1024;

  std::string Text() const override;

  std::string pkcs10;    // PEM; "" where it is longer than kPkcs10BytesMax
  bool is_long = false;  // it is
  std::vector<std::string> usages;
  absl::Duration expiration = absl::ZeroDuration();  // how long the certificate is to live; zero: no wish

  std::string username;  // "system:serviceaccount:web:front"
  std::string user_uid;  // of a service account: its uid; "": the user has none
  std::string pod_uid;   // of the pod that the requester's token is bound to; "": to none

  bool is_approved = false;
  bool has_conditions = false;  // of any type
};

kubernetes::Resource SigningRequests();

// What is picked of each object (kubernetes::FieldPicker), and read by ReadSigningRequest.
std::vector<std::string> SigningRequestPaths();

// InvalidArgument: a field that is missing or cannot be read, by its name. The API server lets no such object in.
absl::StatusOr<SigningRequest> ReadSigningRequest(const kubernetes::PickedFields& object);

}  // namespace meshca

#endif  // MESHCA_CA_SIGNING_REQUESTS_SIGNING_REQUEST_H_
