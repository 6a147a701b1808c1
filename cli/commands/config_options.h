// The flags that are configuration keys.
#ifndef MESHCA_CLI_COMMANDS_CONFIG_OPTIONS_H_
#define MESHCA_CLI_COMMANDS_CONFIG_OPTIONS_H_

#include <map>
#include <string>
#include <vector>

#include "cli/config/flags.h"
#include "cli/config/resolve.h"

namespace CLI {
class App;
}

namespace meshca::cli {

// What was given of them.
struct ConfigOptions {
  std::map<std::string, std::vector<std::string>> values;  // by key
  bool show_origin = false;
  std::string file;  // of --config, or of `config validate FILE`

  void AddTo(config::ConfigInput& input) const;
};

// Declares one flag for each scalar key of the configuration of `program`, and --config: for the command that runs it,
// whose help is whole though some of these are global options too.
void BindConfigOptions(config::Program program, CLI::App& app, ConfigOptions& options);
// Those of both but the global ones, for commands that are told by --agent whose configuration is meant. A flag of the
// other one is refused when the configuration is resolved.
void BindAllConfigOptions(CLI::App& app, ConfigOptions& options);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_COMMANDS_CONFIG_OPTIONS_H_
