#include "cli/commands/workload_socket.h"

#include <cstdio>

#include "ca/base/status.h"
#include "cli/terminal/output.h"

namespace meshca::cli {

absl::StatusOr<std::string> WorkloadSocket(const Session& session) {
  // An agent's operator may have no identity: there are none but those of the CA's entries.
  const bool only_api = session.agent || (!session.api_socket.empty() && session.admin_socket.empty());
  MESHCA_ASSIGN_OR_RETURN(const config::HostPlaces places, session.Places());
  const std::string& admin = places.admin_socket;
  if (!only_api && CheckSocket(admin, "--admin-socket").ok()) {
    Err("by the admin socket %s: an operator may have any identity\n", admin);
    return admin;
  }
  MESHCA_ASSIGN_OR_RETURN(std::string api, session.ApiSocket());
  Err("by the API socket %s: registration entries say who may have what\n", api);
  return api;
}

}  // namespace meshca::cli
