// By which socket a command that acts for a workload reaches the server on this host.
#ifndef MESHCA_CLI_COMMANDS_WORKLOAD_SOCKET_H_
#define MESHCA_CLI_COMMANDS_WORKLOAD_SOCKET_H_

#include <string>

#include "absl/status/statusor.h"
#include "cli/session.h"

namespace meshca::cli {

// The path, found to have a listener: the admin socket where this user may use it, else the API socket, which also
// --api-socket alone asks for. Says on stderr which of them it is, because they decide differently who may have what.
// Unavailable, PermissionDenied: Session::ApiSocket.
absl::StatusOr<std::string> WorkloadSocket(const Session& session);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_COMMANDS_WORKLOAD_SOCKET_H_
