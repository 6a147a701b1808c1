#include "ca/authn/token_reviewer.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/printable.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

constexpr size_t kWordsShown = 300;  // of the API server's own

absl::Status Refused(const ServiceAccountClaims& claims, absl::string_view sentence) {
  return WithReason(absl::UnauthenticatedError(absl::StrCat("service account token of ", claims.account.Text(),
                                                            ": the API server ", sentence)),
                    "TOKEN_REVIEW_REFUSED");
}

std::string Shown(absl::string_view text) { return Printable(text.substr(0, kWordsShown)); }

}  // namespace

absl::Status JudgeTokenReview(const TokenReviewAnswer& answer, const ServiceAccountClaims& claims,
                              const std::vector<std::string>& audiences) {
  if (!answer.error.empty()) return Refused(claims, absl::StrCat("says: ", Shown(answer.error)));
  if (!answer.authenticated) return Refused(claims, "does not know it: it has ended, or its pod or account is gone");
  if (std::find_first_of(answer.audiences.begin(), answer.audiences.end(), audiences.begin(), audiences.end()) ==
      answer.audiences.end()) {
    return Refused(claims, absl::StrCat("does not say that it is for ", absl::StrJoin(audiences, " or "), ", but ",
                                        answer.audiences.empty() ? "names no audience"
                                                                 : Shown(absl::StrJoin(answer.audiences, ", "))));
  }
  if (answer.username != claims.Username()) {
    return Refused(claims,
                   absl::StrCat("takes its holder for \"", Shown(answer.username), "\", not ", claims.Username()));
  }
  if (answer.uid != claims.account_uid) return Refused(claims, "takes it for that of another account of this name");
  if (!answer.pod_uid.empty() && answer.pod_uid != claims.pod_uid) {
    return Refused(claims, "takes it for that of another pod");
  }
  return absl::OkStatus();
}

}  // namespace meshca
