// `meshca agent`: the agent in the foreground, until it is told to stop.
#ifndef MESHCA_CLI_AGENT_PROCESS_RUN_AGENT_H_
#define MESHCA_CLI_AGENT_PROCESS_RUN_AGENT_H_

#include "cli/config/config_input.h"

namespace meshca::cli {

// Runs the agent in this process until SIGTERM or SIGINT; SIGHUP reads the configuration again, from `input`. Prints
// the first screen on stdout when it serves, errors on stderr. Returns the exit code. Call before any other thread
// exists.
int RunAgent(const config::ConfigInput& input);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_AGENT_PROCESS_RUN_AGENT_H_
