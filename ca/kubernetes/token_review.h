// Asking the API server whose token something is (authentication.k8s.io/v1 TokenReview).
#ifndef MESHCA_CA_KUBERNETES_TOKEN_REVIEW_H_
#define MESHCA_CA_KUBERNETES_TOKEN_REVIEW_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/kubernetes/api_call.h"

namespace meshca::kubernetes {

// What the API server says of a token. A value. A token that is not good is an answer too (HTTP 201), and no error:
// whoever decides requires `authenticated`, an empty `error` and an audience of his own in `audiences`.
struct TokenReview {
  bool authenticated = false;
  std::string error;                   // why not; one line that may be shown
  std::string username;                // "system:serviceaccount:NAMESPACE:NAME"
  std::string uid;                     // of the service account
  std::vector<std::string> audiences;  // those asked for that the token is for; empty: the API server knows none
  // What the token is bound to; "": to no pod, to no node.
  std::string pod_name;
  std::string pod_uid;
  std::string node_name;
  std::string node_uid;
};

// For ApiServer's Send or Call. `audiences`: those that the token may be for.
ApiCall CallToReviewToken(absl::string_view token, const std::vector<std::string>& audiences);

// An answer has at most this many bytes: the token comes back in it.
inline constexpr size_t kTokenReviewBytesMax = 256 * 1024;

// Reads the answer. InvalidArgument: it is no TokenReview; says nothing of what it holds.
absl::StatusOr<TokenReview> ReadTokenReview(absl::string_view json);

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_TOKEN_REVIEW_H_
