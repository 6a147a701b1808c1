#include "cli/agent/ca_caller.h"

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca::agent {

absl::Status OfOneRequest(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kInvalidArgument:
      return WithReason(absl::UnavailableError(absl::StrCat("the CA refuses this agent: ", status.message())),
                        ReasonOf(status));
    default: return status;
  }
}

}  // namespace meshca::agent
