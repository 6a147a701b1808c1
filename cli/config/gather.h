// Gathers the values of a configuration from file, environment, flags and defaults, whichever message holds its keys.
#ifndef MESHCA_CLI_CONFIG_GATHER_H_
#define MESHCA_CLI_CONFIG_GATHER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cli/config/config_input.h"
#include "cli/config/faults.h"
#include "cli/config/flags.h"
#include "cli/config/value_origin.h"

namespace google::protobuf {
class Message;
}

namespace meshca::config {

// Where gathered values go. `values` is the message of `program`.
struct Gathered {
  Program program;
  google::protobuf::Message& values;
  Origins& origins;
  std::vector<std::string>& warnings;
  std::string& config_file;  // absolute; "" when there was none
};

// Flag before environment, environment before file, file before default. What flags and variables break is added to
// `faults`, so that all of it is told at once. Errors: the file's (loader.h).
absl::Status Gather(const ConfigInput& input, Gathered gathered, Faults& faults);

// The value of an environment variable; "" where it is not set.
std::string Variable(const ConfigInput& input, const std::string& name);

// Where state goes when nobody says: /var/lib/NAME for root, else below $XDG_STATE_HOME or ~/.local/state; "" when HOME
// is unset too.
std::string DefaultStateDir(const ConfigInput& input, absl::string_view name);

// Where a program that root runs has its sockets unless it is told otherwise.
struct SocketPlaces {
  std::string admin;
  std::string api;
};
SocketPlaces SocketsOfRoot(const ConfigInput& input, Program program);

// `listen` and its like are pasted as URLs too: takes `scheme` off. What is no address stays as it is, for validation
// to say so: commands that only look for a socket do not mind.
void TakeScheme(absl::string_view scheme, std::string& address);

}  // namespace meshca::config

#endif  // MESHCA_CLI_CONFIG_GATHER_H_
