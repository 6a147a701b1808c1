#include "ca/kubernetes/api_token_reviewer.h"

#include <utility>

#include "ca/kubernetes/token_review.h"

namespace meshca::kubernetes {
namespace {

absl::StatusOr<TokenReviewAnswer> AnswerOf(const absl::StatusOr<std::string>& body) {
  if (!body.ok()) return body.status();
  absl::StatusOr<TokenReview> review = ReadTokenReview(*body);
  if (!review.ok()) return review.status();
  TokenReviewAnswer answer;
  answer.authenticated = review->authenticated;
  answer.error = std::move(review->error);
  answer.audiences = std::move(review->audiences);
  answer.username = std::move(review->username);
  answer.uid = std::move(review->uid);
  answer.pod_uid = std::move(review->pod_uid);
  return answer;
}

}  // namespace

void ApiTokenReviewer::Review(absl::string_view token, const std::vector<std::string>& audiences, Done done) {
  server_.Send(
      CallToReviewToken(token, audiences), kTokenReviewBytesMax, timeout_,
      [done = std::move(done)](const absl::StatusOr<std::string>& body) mutable { std::move(done)(AnswerOf(body)); });
}

}  // namespace meshca::kubernetes
