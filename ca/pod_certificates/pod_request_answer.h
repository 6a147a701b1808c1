// The answers to a PodCertificateRequest, as calls that write its status.
#ifndef MESHCA_CA_POD_CERTIFICATES_POD_REQUEST_ANSWER_H_
#define MESHCA_CA_POD_CERTIFICATES_POD_REQUEST_ANSWER_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/kubernetes/api_call.h"
#include "ca/pod_certificates/pod_request.h"
#include "ca/pod_certificates/pod_request_judge.h"
#include "ca/x509/validity.h"

namespace meshca {

// What a pod gets. A value.
struct PodCertificate {
  std::string chain_pem;  // leaf first, root left out
  Validity validity;      // the leaf's
  absl::Time begin_refresh_at;
};

// By `version` of the API. Aborted where somebody has changed the request since it was read.
kubernetes::ApiCall CallToIssue(absl::string_view version, const PodRequest& request, const PodCertificate& certificate,
                                absl::Time now);
kubernetes::ApiCall CallToDeny(absl::string_view version, const PodRequest& request, const PodDenial& denial,
                               absl::Time now);

}  // namespace meshca

#endif  // MESHCA_CA_POD_CERTIFICATES_POD_REQUEST_ANSWER_H_
