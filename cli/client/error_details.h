// The reason for programs that rides beside a gRPC status.
#ifndef MESHCA_CLI_CLIENT_ERROR_DETAILS_H_
#define MESHCA_CLI_CLIENT_ERROR_DETAILS_H_

#include <string>

#include "absl/strings/string_view.h"

namespace meshca::cli {

// `details` is grpc-status-details-bin: a google.rpc.Status. The reason of its ErrorInfo with domain "meshca", or "".
std::string ReasonInDetails(const std::string& details);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_CLIENT_ERROR_DETAILS_H_
