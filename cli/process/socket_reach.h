// Whether users of this host can reach a Unix socket that is for everybody.
#ifndef MESHCA_CLI_PROCESS_SOCKET_REACH_H_
#define MESHCA_CLI_PROCESS_SOCKET_REACH_H_

#include <string>

namespace meshca::cli {

// Why other users than the owner cannot connect to `socket` whatever its own mode is: "/s (mode 0700) lets no other
// user pass" names the first folder above it that lacks o+x. "" where every folder that can be looked at lets everybody
// pass. Access control lists are not looked at.
std::string WhyOthersCannotReach(const std::string& socket);

// The line of a first screen that says so, and what mends it; "" where `why` is.
std::string ShutSocketNote(const std::string& why);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_PROCESS_SOCKET_REACH_H_
