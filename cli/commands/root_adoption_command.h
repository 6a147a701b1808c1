// meshca root import|export: a CA comes from elsewhere, or goes there.
#ifndef MESHCA_CLI_COMMANDS_ROOT_ADOPTION_COMMAND_H_
#define MESHCA_CLI_COMMANDS_ROOT_ADOPTION_COMMAND_H_

#include "cli/commands/subcommand.h"

namespace meshca::cli {

// Each adds its verb to `noun`, which is "root".
void AddRootImport(CLI::App& noun, Session& session);
void AddRootExport(CLI::App& noun, Session& session);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_COMMANDS_ROOT_ADOPTION_COMMAND_H_
