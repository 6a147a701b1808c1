// The reason for programs that rides beside a gRPC status.
#ifndef MESHCA_CA_RPC_CLIENT_ERROR_DETAILS_H_
#define MESHCA_CA_RPC_CLIENT_ERROR_DETAILS_H_

#include <string>

#include "absl/strings/string_view.h"

namespace meshca::rpc {

// `details` is grpc-status-details-bin: a google.rpc.Status. The reason of its ErrorInfo with domain "meshca", or "".
std::string ReasonInDetails(const std::string& details);

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_CLIENT_ERROR_DETAILS_H_
