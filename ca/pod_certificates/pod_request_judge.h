// Whether a PodCertificateRequest is answered, and by what. Values in, values out.
#ifndef MESHCA_CA_POD_CERTIFICATES_POD_REQUEST_JUDGE_H_
#define MESHCA_CA_POD_CERTIFICATES_POD_REQUEST_JUDGE_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/authn/known_pods.h"
#include "ca/authn/service_account_template.h"
#include "ca/issuance/certificate_profile.h"
#include "ca/issuance/issuance_request.h"
#include "ca/pod_certificates/pod_request.h"

namespace meshca {

// What is wrong with a request for ever. The kubelet never asks again for that pod, so no fault that may pass is one.
struct PodDenial {
  std::string reason;  // of the condition: "UnsupportedKeyType"
  std::string message;
};

// What is known of a request and of the pod that it names. A value.
struct PodFacts {
  std::optional<KnownPod> pod;  // of that uid
  bool is_gone = false;         // the pod or its account was there and was deleted
  std::string account_uid;      // of the account of that name as it is now; "": none is known
  absl::Duration age;           // of all that the watch of the cluster knows
  // A request that was created before may be anybody's: no admission policy looked at it.
  absl::Time guarded_since = absl::InfinitePast();
};
// As the watch knows them.
PodFacts FactsOf(const PodRequest& request, const KnownPods& pods);

struct PodVerdict {
  enum class Kind {
    kSign,    // `submitted`
    kDeny,    // `denial`
    kWait,    // nothing is said, and it is judged again later: `why`
    kAwait,   // nothing is said, and it is not judged again: `why`
    kForget,  // nobody waits for an answer any more: `why`
  };
  Kind kind = Kind::kWait;
  SubmittedRequest submitted;
  PodDenial denial;
  std::string why;  // for people
};

// The rules for a signer's requests, the first that fits:
//   the request asks for what nobody gets (annotations, a life under an hour, a key that cannot be used): denied
//   it was made before the admission policy was there: await that the kubelet asks anew, once the API server has
//   dropped it the watch is older than kWatchAgeMax: wait, for the pod may be gone pod or account were deleted: forget
//   the pod, its node or its account are not known yet, or the account is another one of that name: wait
//   the pod has ended, or is not the one that the request says it is (name, namespace, account, node): denied
//   the account's names make no SPIFFE ID: denied
//   else: sign for the ID of the pod's account
// Key types that the rules of an ID forbid, and lifetimes, the pipeline refuses: DenialOf.
PodVerdict JudgePodRequest(const PodRequest& request, const PodFacts& facts, const ServiceAccountTemplate& spiffe_id,
                           const CertificateProfile& profile, absl::Time now);

// What an error of the pipeline is to a kubelet: a denial where no other attempt can end better; nothing where it may.
std::optional<PodDenial> DenialOf(const absl::Status& refused, const CertificateProfile& profile);

}  // namespace meshca

#endif  // MESHCA_CA_POD_CERTIFICATES_POD_REQUEST_JUDGE_H_
