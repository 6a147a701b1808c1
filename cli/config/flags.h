// The keys of the configuration that are also flags and environment variables.
#ifndef MESHCA_CLI_CONFIG_FLAGS_H_
#define MESHCA_CLI_CONFIG_FLAGS_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace meshca::config {

// One scalar key, or list of scalars, outside of lists of mappings.
struct ConfigFlag {
  std::string key;          // "sds.over_mtls"
  std::string flag;         // "--sds-over-mtls"
  std::string environment;  // "MESHCA_SDS_OVER_MTLS"
  std::string help;         // one sentence, with the default
  std::string type;         // "text", "number", "true|false", "duration", "path", "text|json"
  bool is_bool = false;     // the flag alone means true; `--sds-over-mtls=false` turns it off
  bool repeated = false;    // may stand several times, or once with commas
  bool reloadable = false;
};

// Whose configuration it is: `meshca serve` (meshca.config.v1.Config, variables MESHCA_...) or `meshca agent`
// (AgentConfig, variables MESHCA_AGENT_...).
enum class Program { kServer, kAgent };

// In the schema's order. Made from the message's descriptor, so a new key is a flag at once.
const std::vector<ConfigFlag>& ConfigFlags(Program program = Program::kServer);

// The one for `key`, or null.
const ConfigFlag* FindConfigFlag(absl::string_view key, Program program = Program::kServer);

// The environment variable that names the configuration file: "MESHCA_CONFIG", "MESHCA_AGENT_CONFIG".
absl::string_view ConfigFileVariable(Program program);

}  // namespace meshca::config

#endif  // MESHCA_CLI_CONFIG_FLAGS_H_
