// Is there an admission policy that keeps strangers from making PodCertificateRequests?
//
// Such a request has no field that says who created it, and a pod's name, uid and node are no secret: whoever may
// create one could ask by a key of his own for a pod that lives, and would get its identity. So nothing is signed
// unless the API server itself refuses such requests: admission_policy.yaml.
#ifndef MESHCA_CA_POD_CERTIFICATES_ADMISSION_GUARD_H_
#define MESHCA_CA_POD_CERTIFICATES_ADMISSION_GUARD_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/kubernetes/api_call.h"
#include "ca/kubernetes/picked_fields.h"

namespace meshca {

// Of the ValidatingAdmissionPolicy, and of its ValidatingAdmissionPolicyBinding.
inline constexpr char kAdmissionPolicyName[] = "meshca-pod-certificate-requests";

kubernetes::ApiCall CallToGetAdmissionPolicy();
kubernetes::ApiCall CallToGetAdmissionBinding();

// API servers go by a new policy this much later at the latest; it takes them a second or so.
inline constexpr absl::Duration kPolicyTakesHold = absl::Seconds(10);

// How the policy and its binding stand. A value.
struct Admission {
  // Since when strangers' requests are refused: kPolicyTakesHold after either object was written last, whatever was
  // written. By the API server's clock.
  absl::Time since;
  // Of both objects. Another one: something was written in between, though all may be again as it was.
  std::string edition;
  // Either was changed after it was created. When, only the word of who did so tells (metadata.managedFields, which
  // anybody who may write the object may empty), so `since` is believed by nobody who has not seen this edition before.
  bool edited = false;
};

// Judges both objects as the API server answered: the JSON, or the call's error. They have to look at every request and
// to demand what admission_policy.yaml demands, in its words; more may be demanded.
// FailedPrecondition: what is missing, and how to mend it. Unavailable: nobody can say at the moment; also where the
// rights to look are missing.
absl::StatusOr<Admission> JudgeAdmission(const absl::StatusOr<std::string>& policy,
                                         const absl::StatusOr<std::string>& binding, absl::string_view signer_name);

}  // namespace meshca

#endif  // MESHCA_CA_POD_CERTIFICATES_ADMISSION_GUARD_H_
