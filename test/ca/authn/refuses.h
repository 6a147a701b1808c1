// A refusal, as a test expects it: its code, its reason for programs, and words for people.
#ifndef MESHCA_TEST_CA_AUTHN_REFUSES_H_
#define MESHCA_TEST_CA_AUTHN_REFUSES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "gmock/gmock.h"

namespace meshca {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

// EXPECT_THAT(result, Refuses(absl::StatusCode::kUnauthenticated, "JWT_EXPIRED", "expired at"));
MATCHER_P3(Refuses, code, reason, words,
           absl::StrCat("refuses with ", std::string(CodeName(code)), " ", reason, " and the words \"", words, "\"")) {
  const absl::Status& status = StatusOf(arg);
  *result_listener << CodeName(status.code()) << " " << ReasonOf(status) << ": " << status.message();
  return status.code() == code && ReasonOf(status) == reason && absl::StrContains(status.message(), words);
}

}  // namespace meshca

#endif  // MESHCA_TEST_CA_AUTHN_REFUSES_H_
