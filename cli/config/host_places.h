// Where the server or the agent of this host has its state and its sockets, for commands that look for it.
#ifndef MESHCA_CLI_CONFIG_HOST_PLACES_H_
#define MESHCA_CLI_CONFIG_HOST_PLACES_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/config/config_input.h"
#include "cli/config/flags.h"
#include "cli/config/value_origin.h"

namespace meshca::config {

struct HostPlaces {
  std::string state_dir;
  std::string admin_socket;
  std::string api_socket;
};

// Found as the program itself finds them: by flags, environment, file and defaults. Where none of these names a place,
// an ordinary user's own socket is not there and that of root's program is, it is root's: workloads are seldom root,
// and the program that serves them mostly is.
// Errors: ResolvePaths', ResolveAgentPaths'.
absl::StatusOr<HostPlaces> FindHostPlaces(const ConfigInput& input, Program program);

// What somebody adds to a command so that it finds the socket: " --api-socket PATH" where that was chosen by whoever
// started the program, else " --state-dir DIR" where that was, else "". `socket_key` is the socket's key, such as
// "api_socket"; `socket` and `state_dir` are the values.
std::string FlagToFind(const Origins& origins, const std::string& socket_key, absl::string_view socket,
                       absl::string_view state_dir);

}  // namespace meshca::config

#endif  // MESHCA_CLI_CONFIG_HOST_PLACES_H_
