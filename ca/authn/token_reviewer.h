// A token judged by the cluster's API server (TokenReview, authentication.k8s.io/v1).
#ifndef MESHCA_CA_AUTHN_TOKEN_REVIEWER_H_
#define MESHCA_CA_AUTHN_TOKEN_REVIEWER_H_

#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/authn/service_account_claims.h"

namespace meshca {

// The `status` of the answer. That the call went well says nothing: the API server answers 201 for a bad token too.
struct TokenReviewAnswer {
  bool authenticated = false;
  std::string error;
  std::vector<std::string> audiences;
  std::string username;
  std::string uid;      // of the user, which is the service account
  std::string pod_uid;  // "": it does not say
};

// Whether the answer is for the holder of a token with these claims, asked for at `audiences`. It is only when every
// part of it says so: no error, authenticated, one of `audiences` among its own (an API server that knows no audiences
// names none), the username and uid of the account, the pod's uid where it gives one.
// Unauthenticated (TOKEN_REVIEW_REFUSED) names the part that does not.
absl::Status JudgeTokenReview(const TokenReviewAnswer& answer, const ServiceAccountClaims& claims,
                              const std::vector<std::string>& audiences);

// Thread-safe.
class TokenReviewer {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<TokenReviewAnswer>) &&>;
  virtual ~TokenReviewer() = default;

  // One call of the API server. Never blocks. `done` runs exactly once, on any thread, perhaps before this returns. It
  // keeps the token no longer than the call takes. Errors, whatever the code: there was no answer; says why.
  virtual void Review(absl::string_view token, const std::vector<std::string>& audiences, Done done) = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_TOKEN_REVIEWER_H_
