// What a test expects of a Status or StatusOr.
#ifndef MESHCA_TEST_FAKES_STATUS_MATCHERS_H_
#define MESHCA_TEST_FAKES_STATUS_MATCHERS_H_

#include <gmock/gmock.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/base/status.h"

namespace meshca {

namespace internal {
inline const absl::Status& StatusIn(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusIn(const absl::StatusOr<T>& status_or) {
  return status_or.status();
}
}  // namespace internal

// EXPECT_THAT(store.Probe(), IsOk());
MATCHER(IsOk, "is Ok") {
  *result_listener << "whose status is " << internal::StatusIn(arg).ToString();
  return internal::StatusIn(arg).ok();
}

// EXPECT_THAT(status, StatusIs(absl::StatusCode::kAborted, HasSubstr("revision")));
MATCHER_P2(StatusIs, code, message, "") {
  const absl::Status& status = internal::StatusIn(arg);
  *result_listener << "whose status is " << status.ToString();
  return status.code() == code && testing::ExplainMatchResult(testing::Matcher<std::string>(message),
                                                              std::string(status.message()), result_listener);
}
MATCHER_P(StatusIs, code, "") {
  *result_listener << "whose status is " << internal::StatusIn(arg).ToString();
  return internal::StatusIn(arg).code() == code;
}

// The reason for programs: EXPECT_THAT(status, HasReason("TOKEN_USED"));
MATCHER_P(HasReason, reason, "") {
  *result_listener << "whose reason is " << ReasonOf(internal::StatusIn(arg));
  return ReasonOf(internal::StatusIn(arg)) == reason;
}

}  // namespace meshca

#endif  // MESHCA_TEST_FAKES_STATUS_MATCHERS_H_
