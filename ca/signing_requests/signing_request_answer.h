// What is said of a CertificateSigningRequest, as calls that change it.
#ifndef MESHCA_CA_SIGNING_REQUESTS_SIGNING_REQUEST_ANSWER_H_
#define MESHCA_CA_SIGNING_REQUESTS_SIGNING_REQUEST_ANSWER_H_

#include <string>

#include "absl/strings/string_view.h"
#include "ca/kubernetes/api_call.h"
#include "ca/signing_requests/signing_request.h"

namespace meshca {

// Why a request is approved, or refused: a condition's.
struct SigningReason {
  std::string reason;   // "NotAnIdentity"
  std::string message;  // a sentence for people
};

// Each is a JSON patch (RFC 6902) that changes nothing but what it is for, and nothing at all where the object is not
// as `request` says any more: the API server answers 409 or 422 then.

// Writes /approval. Takes the right to approve for the signer.
kubernetes::ApiCall CallToApprove(const SigningRequest& request, const SigningReason& why);
// What it can never be signed for: Denied, by /approval; of a request that somebody has approved Failed, by /status.
kubernetes::ApiCall CallToRefuse(const SigningRequest& request, const SigningReason& why);
// Writes /status. Takes the right to sign for the signer.
kubernetes::ApiCall CallToHandOut(const SigningRequest& request, absl::string_view chain_pem);

}  // namespace meshca

#endif  // MESHCA_CA_SIGNING_REQUESTS_SIGNING_REQUEST_ANSWER_H_
