#include "sds/edge_status.h"

#include <string>

#include "ca/base/log.h"
#include "ca/base/status.h"

namespace meshca::sds {

absl::Status EdgeStatus(const absl::Status& error) {
  switch (error.code()) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDeadlineExceeded: return error;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAborted: return WithReason(absl::UnavailableError(error.message()), ReasonOf(error));
    default:
      LogError("SDS: request failed",
               {{"code", std::string(CodeName(error.code()))}, {"error", std::string(error.message())}});
      return absl::InternalError("SDS: the server failed; its log says how");
  }
}

}  // namespace meshca::sds
