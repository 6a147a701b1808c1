// The configuration of `meshca agent` that holds, from file, environment and flags.
#ifndef MESHCA_CLI_CONFIG_RESOLVE_AGENT_H_
#define MESHCA_CLI_CONFIG_RESOLVE_AGENT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/config/changes.h"
#include "cli/config/config_input.h"
#include "cli/config/value_origin.h"
#include "meshca/config/v1/agent_config.pb.h"

namespace meshca::config {

// As ResolvedConfig is for `meshca serve`. Everything is set but perhaps `server`, without which no agent runs, and
// `token_file`, which one that has joined does not need.
struct ResolvedAgentConfig {
  v1::AgentConfig values;
  Origins origins;
  std::vector<std::string> warnings;
  std::string config_file;  // absolute; "" when there was none

  // See ResolvedConfig::ToYaml.
  std::string ToYaml(bool show_origin) const;
};

// Errors: ResolveConfig's. The rules: addresses (of servers too), no server twice, socket paths.
absl::StatusOr<ResolvedAgentConfig> ResolveAgentConfig(const ConfigInput& input);

// What a SIGHUP finds.
ConfigChanges ReloadableDiff(const ResolvedAgentConfig& before, const ResolvedAgentConfig& after);

// For commands that only talk to an agent on this host: no rule is checked but the sockets' paths.
absl::StatusOr<ResolvedAgentConfig> ResolveAgentPaths(const ConfigInput& input);

}  // namespace meshca::config

#endif  // MESHCA_CLI_CONFIG_RESOLVE_AGENT_H_
