// The verbs of `meshca root` that replace one root by another.
#ifndef MESHCA_CLI_COMMANDS_ROOT_ROTATION_COMMAND_H_
#define MESHCA_CLI_COMMANDS_ROOT_ROTATION_COMMAND_H_

#include "cli/session.h"

namespace CLI {
class App;
}

namespace meshca::cli {

// Under `noun`, which is `meshca root`.
void AddRootRotation(CLI::App& noun, Session& session);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_COMMANDS_ROOT_ROTATION_COMMAND_H_
