// What a process was started with, as far as its configuration is concerned.
#ifndef MESHCA_CLI_CONFIG_CONFIG_INPUT_H_
#define MESHCA_CLI_CONFIG_CONFIG_INPUT_H_

#include <map>
#include <string>
#include <vector>

namespace meshca::config {

// Plain data, so that a test may be any user in any folder.
struct ConfigInput {
  // --config; "": MESHCA_CONFIG, or MESHCA_AGENT_CONFIG for an agent; without either there is no file.
  std::string config_file;
  // Key -> values as typed. Only flags that were given.
  std::map<std::string, std::vector<std::string>> flags;
  // Also HOME, XDG_STATE_HOME and XDG_RUNTIME_DIR.
  std::map<std::string, std::string> environment;
  bool is_root = false;
  std::string working_directory;
  std::string run_folder = "/run/meshca";  // root's programs have their sockets below it

  // Environment, user and folder of this process.
  static ConfigInput OfProcess();
};

}  // namespace meshca::config

#endif  // MESHCA_CLI_CONFIG_CONFIG_INPUT_H_
