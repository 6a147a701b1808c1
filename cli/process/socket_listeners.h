// The two Unix sockets that every process of ours serves: one for workloads, one for operators.
#ifndef MESHCA_CLI_PROCESS_SOCKET_LISTENERS_H_
#define MESHCA_CLI_PROCESS_SOCKET_LISTENERS_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/rpc/health.h"
#include "ca/rpc/limits.h"
#include "ca/rpc/router.h"
#include "ca/rpc/server.h"

namespace meshca::cli {

// With what every listener serves beside its own services.
std::shared_ptr<const rpc::Router> WithHealthAndReflection(std::shared_ptr<rpc::Router> router,
                                                           rpc::HealthService& health);

// Each makes the socket's folder where it is missing, binds, and returns the socket's path. Errors: those of
// rpc::Server::AddListener and of the folder.
//
// Anybody may ask at the socket for workloads (mode 0666): the kernel says who it is.
absl::StatusOr<std::string> BindApiSocket(rpc::Server& server, const std::string& path,
                                          std::shared_ptr<const rpc::Router> router,
                                          const rpc::ConnectionLimits& limits);
// The process's own user and, where that is root and the group exists, members of the group `meshca` may connect to the
// socket for operators (0660, else 0600); its peers are privileged (Peer::privileged).
absl::StatusOr<std::string> BindAdminSocket(rpc::Server& server, const std::string& path,
                                            std::shared_ptr<const rpc::Router> router,
                                            const rpc::ConnectionLimits& limits);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_PROCESS_SOCKET_LISTENERS_H_
