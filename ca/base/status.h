// How an error travels: an absl::Status with gRPC's code, a sentence for people, and a reason for programs.
//
// Each layer adds its noun on the way up (`Annotate`): "workload CSR: SPIFFE ID: path has a dot segment". The reason
// ("CSR_SIGNATURE_INVALID") rides along as a payload and survives annotation.
#ifndef MESHCA_CA_BASE_STATUS_H_
#define MESHCA_CA_BASE_STATUS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meshca {

// `status` with "noun: " before its message; code and payloads stay. Ok stays Ok.
absl::Status Annotate(const absl::Status& status, absl::string_view noun);

// `status` carrying `reason`, an UPPER_SNAKE_CASE word for programs. Replaces an earlier reason.
absl::Status WithReason(absl::Status status, absl::string_view reason);

// The reason `status` carries, or "".
std::string ReasonOf(const absl::Status& status);

// The gRPC spelling of a code in errors and metrics: "InvalidArgument", "Ok".
absl::string_view CodeName(absl::StatusCode code);

// strerror(error) as a Status whose code fits the errno: ENOSPC, EDQUOT, EIO, EROFS -> Unavailable; ENOENT -> NotFound;
// EACCES, EPERM -> PermissionDenied; EEXIST -> AlreadyExists; else Internal. `what` says what was tried: "open /x/y".
absl::Status ErrnoStatus(int error, absl::string_view what);

}  // namespace meshca

#define MESHCA_INTERNAL_CONCAT2(a, b) a##b
#define MESHCA_INTERNAL_CONCAT(a, b) MESHCA_INTERNAL_CONCAT2(a, b)

// Returns from the enclosing function when the expression, an absl::Status, is not Ok.
#define MESHCA_RETURN_IF_ERROR(expression)         \
  do {                                             \
    absl::Status meshca_status = (expression);     \
    if (!meshca_status.ok()) return meshca_status; \
  } while (false)

// MESHCA_ASSIGN_OR_RETURN(auto x, F()): x gets F()'s value, or the enclosing function returns F()'s error.
#define MESHCA_ASSIGN_OR_RETURN(target, expression) \
  MESHCA_INTERNAL_ASSIGN_OR_RETURN(MESHCA_INTERNAL_CONCAT(meshca_or_, __LINE__), target, expression)
#define MESHCA_INTERNAL_ASSIGN_OR_RETURN(temp, target, expression) \
  auto temp = (expression);                                        \
  if (!temp.ok()) return std::move(temp).status();                 \
  target = *std::move(temp)

#endif  // MESHCA_CA_BASE_STATUS_H_
