#include "ca/kubernetes/token_review.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/printable.h"
#include "ca/base/status.h"
#include "ca/kubernetes/picked_fields.h"

namespace meshca::kubernetes {
namespace {

constexpr size_t kErrorBytesShown = 512;

// In the order of the fields of kPaths.
enum Field {
  kKind,
  kAuthenticated,
  kError,
  kUsername,
  kUid,
  kAudiences,
  kPodName,
  kPodUid,
  kNodeName,
  kNodeUid,
};

const std::vector<std::string>& TokenReviewPaths() {
  static const auto* const paths = new std::vector<std::string>{
      "kind",
      "status.authenticated",
      "status.error",
      "status.user.username",
      "status.user.uid",
      "status.audiences[]",
      R"(status.user.extra.authentication\.kubernetes\.io/pod-name[])",
      R"(status.user.extra.authentication\.kubernetes\.io/pod-uid[])",
      R"(status.user.extra.authentication\.kubernetes\.io/node-name[])",
      R"(status.user.extra.authentication\.kubernetes\.io/node-uid[])",
  };
  return *paths;
}

}  // namespace

ApiCall CallToReviewToken(absl::string_view token, const std::vector<std::string>& audiences) {
  const auto append_string = [](std::string* out, const std::string& text) { out->append(JsonString(text)); };
  // No field manager: nothing is stored.
  ApiCall call;
  call.verb = "create";
  call.resource = TokenReviews();
  call.body = absl::StrCat(R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":)",
                           JsonString(token), R"(,"audiences":[)", absl::StrJoin(audiences, ",", append_string), "]}}");
  call.body_is_secret = true;
  return call;
}

absl::StatusOr<TokenReview> ReadTokenReview(absl::string_view json) {
  // A parser's words could quote the token, which stands in the answer.
  const absl::StatusOr<PickedFields> fields = PickFields(json, TokenReviewPaths());
  if (!fields.ok()) return absl::InvalidArgumentError("the API server's answer to a TokenReview is no JSON object");
  if (fields->Text(kKind) != "TokenReview") {
    return absl::InvalidArgumentError("the API server's answer to a TokenReview is none");
  }
  const auto text = [&fields](Field field) { return std::string(fields->Text(field)); };
  TokenReview review;
  review.authenticated = text(kAuthenticated) == "true";
  review.error = Printable(fields->Text(kError).substr(0, kErrorBytesShown));
  review.username = text(kUsername);
  review.uid = text(kUid);
  for (const auto& [name, audience] : fields->All(kAudiences)) review.audiences.push_back(audience);
  review.pod_name = text(kPodName);
  review.pod_uid = text(kPodUid);
  review.node_name = text(kNodeName);
  review.node_uid = text(kNodeUid);
  return review;
}

}  // namespace meshca::kubernetes
