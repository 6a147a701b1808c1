// Plain TCP, for what gRPC does not do.
#ifndef MESHCA_CLI_CLIENT_TCP_H_
#define MESHCA_CLI_CLIENT_TCP_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/base/unique_fd.h"

namespace meshca::cli {

// A connected, non-blocking socket to HOST:PORT. Unavailable names the address and what happened.
absl::StatusOr<UniqueFd> ConnectTcp(const std::string& address, absl::Time until);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_CLIENT_TCP_H_
