#include "ca/rpc/client_status.h"

#include "ca/base/status.h"

namespace meshca::rpc {

std::optional<absl::Status> ClientStatus(const absl::Status& error) {
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
    // With a reason it was meant for the caller; without, a record of ours exists already.
    case absl::StatusCode::kAlreadyExists:
      return ReasonOf(error).empty() ? std::nullopt : std::optional<absl::Status>(error);
    default: return std::nullopt;
  }
}

}  // namespace meshca::rpc
