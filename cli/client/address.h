// HOST:PORT as users type it.
#ifndef MESHCA_CLI_CLIENT_ADDRESS_H_
#define MESHCA_CLI_CLIENT_ADDRESS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meshca::cli {

// "ca.example:15012", "127.0.0.1:15012", "[::1]:15012", or such a one behind https://, which is taken away.
// InvalidArgument says what is missing, or too much.
absl::StatusOr<std::string> ParseAddress(absl::string_view typed);

// The part before the port, without brackets.
std::string HostOf(absl::string_view address);
std::string PortOf(absl::string_view address);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_CLIENT_ADDRESS_H_
