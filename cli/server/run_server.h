// `meshca serve`: the server in the foreground, until it is told to stop.
#ifndef MESHCA_CLI_SERVER_RUN_SERVER_H_
#define MESHCA_CLI_SERVER_RUN_SERVER_H_

#include "cli/config/resolve.h"

namespace meshca::cli {

// Runs the server in this process until SIGTERM or SIGINT; SIGHUP reads the configuration again, from `input`. Prints
// the first screen on stdout when it serves, errors on stderr. Returns the exit code. Call before any other thread
// exists.
int RunServer(const config::ConfigInput& input);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_SERVER_RUN_SERVER_H_
