// Decides what a CertificateSigningRequest is answered. Pure functions.
#ifndef MESHCA_CA_SIGNING_REQUESTS_SIGNING_REQUEST_JUDGE_H_
#define MESHCA_CA_SIGNING_REQUESTS_SIGNING_REQUEST_JUDGE_H_

#include <optional>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/authn/known_pods.h"
#include "ca/authn/service_account_template.h"
#include "ca/issuance/certificate_profile.h"
#include "ca/issuance/issuance_request.h"
#include "ca/issuance/request_policy.h"
#include "ca/signing_requests/signing_request.h"
#include "ca/signing_requests/signing_request_answer.h"
#include "ca/spiffe/trust_domain.h"

namespace meshca {

// The operator's rules. `policy` is asked for DNS names alone; null: nobody has any. It outlives whoever judges.
struct SigningRules {
  ServiceAccountTemplate spiffe_id;
  TrustDomain trust_domain;
  CertificateProfile profile;
  // Names of users whose requests are approved, whichever service account's identity they ask for.
  std::set<std::string> trusted_requesters;
  const RequestPolicy* policy = nullptr;
};

struct SigningVerdict {
  enum class Kind {
    kSign,     // `submitted`
    kApprove,  // `why`; then it is judged again
    kRefuse,   // `why`: it can never be signed
    kAwait,    // somebody else may approve it: `why.message`
    kWait,     // it is judged again later: `why.message`
    kForget,   // nobody waits for an answer any more: `why.message`
  };
  Kind kind = Kind::kWait;
  SubmittedRequest submitted = {};
  SigningReason why = {};
};

// The rules, the first that fits:
//   it cannot be read, asks for a CA, for names or usages that nobody has, or for no service account's identity of this
//   trust domain, or by a key that is not signed: refused
//   the watch of the cluster is older than kWatchAgeMax: wait, for the account may be gone
//   the account whose identity it is is not known: wait; where it is not approved and would not be, somebody else may
//   the requester is that account, and that account, or the pod that its token was bound to, is gone: forget; is not
//   known: wait
//   it is approved, whoever did that: sign
//   the requester is that account: approve
//   the requester is trusted: approve
//   else: somebody else may approve it
// Lifetimes and key types that the rules of an ID forbid the pipeline refuses: SigningRefusalOf.
SigningVerdict JudgeSigningRequest(const SigningRequest& request, const KnownPods& pods, const SigningRules& rules,
                                   absl::Time now);

// What an error of the pipeline is to whoever asks: a reason where no other attempt can end better; nothing where it
// may.
std::optional<SigningReason> SigningRefusalOf(const absl::Status& refused);

}  // namespace meshca

#endif  // MESHCA_CA_SIGNING_REQUESTS_SIGNING_REQUEST_JUDGE_H_
