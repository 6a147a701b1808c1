// Tokens judged by the API server.
#ifndef MESHCA_CA_KUBERNETES_API_TOKEN_REVIEWER_H_
#define MESHCA_CA_KUBERNETES_API_TOKEN_REVIEWER_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authn/token_reviewer.h"
#include "ca/kubernetes/api_server.h"

namespace meshca::kubernetes {

// One TokenReview for each call, whose right is `create tokenreviews.authentication.k8s.io`. Thread-safe.
class ApiTokenReviewer final : public TokenReviewer {
 public:
  // `server` outlives it; its Stop ends the calls under way, whose errors come then.
  explicit ApiTokenReviewer(ApiServer& server, absl::Duration timeout = absl::Seconds(5))
      : server_(server), timeout_(timeout) {}

  // Errors: ApiServer's; InvalidArgument: the answer is no TokenReview.
  void Review(absl::string_view token, const std::vector<std::string>& audiences, Done done) override;

 private:
  ApiServer& server_;
  const absl::Duration timeout_;
};

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_API_TOKEN_REVIEWER_H_
