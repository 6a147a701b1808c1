#include "cli/config/resolve_agent.h"

#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "cli/config/faults.h"
#include "cli/config/gather.h"
#include "cli/config/rules.h"
#include "cli/config/to_yaml.h"

namespace meshca::config {
namespace {

void ApplyAgentPaths(const ConfigInput& input, v1::AgentConfig& values, Faults& faults) {
  const std::string usual = DefaultStateDir(input, "meshca-agent");
  if (!values.has_state_dir()) {
    if (usual.empty()) {
      return faults.Add({}, "state_dir", "HOME and XDG_STATE_HOME are not set; say where state goes: --state-dir DIR");
    }
    values.set_state_dir(usual);
  }
  // As for a server: a state directory of one's own brings its sockets along.
  const std::string runtime = Variable(input, "XDG_RUNTIME_DIR");
  std::string folder = values.state_dir();
  if (values.state_dir() == usual && input.is_root) {
    folder = "/run/meshca/agent";
  } else if (values.state_dir() == usual && absl::StartsWith(runtime, "/")) {
    folder = Absolute("meshca/agent", runtime);
  }
  if (!values.has_admin_socket()) values.set_admin_socket(Absolute("admin.sock", folder));
  if (!values.has_api_socket()) values.set_api_socket(Absolute("api.sock", folder));
}

absl::StatusOr<ResolvedAgentConfig> GatherAgent(const ConfigInput& input) {
  ResolvedAgentConfig config;
  Faults faults("");
  MESHCA_RETURN_IF_ERROR(
      Gather(input, {Program::kAgent, config.values, config.origins, config.warnings, config.config_file}, faults));
  ApplyAgentPaths(input, config.values, faults);
  for (std::string& server : *config.values.mutable_server()) TakeScheme("https", server);
  TakeScheme("http", *config.values.mutable_http_listen());
  MESHCA_RETURN_IF_ERROR(faults.ToStatus());
  return config;
}

void CheckServers(const v1::AgentConfig& values, Rules& rules) {
  std::set<std::string> seen;
  for (int i = 0; i < values.server_size(); ++i) {
    const std::string& server = values.server(i);
    const std::string key = absl::StrCat("server[", i, "]");
    rules.Check(key, CheckAddress(server, "https"));
    if (absl::StartsWith(server, ":")) rules.Fault(key, absl::StrCat("\"", server, "\" names no host"));
    if (absl::EndsWith(server, ":0")) rules.Fault(key, absl::StrCat("nothing listens at port 0: \"", server, "\""));
    if (!seen.insert(server).second) rules.Fault(key, absl::StrCat(server, " is named twice"));
  }
}

}  // namespace

std::string ResolvedAgentConfig::ToYaml(bool show_origin) const { return config::ToYaml(values, origins, show_origin); }

absl::StatusOr<ResolvedAgentConfig> ResolveAgentConfig(const ConfigInput& input) {
  MESHCA_ASSIGN_OR_RETURN(ResolvedAgentConfig config, GatherAgent(input));
  Faults faults("");
  Rules rules(config.origins, faults);
  CheckServers(config.values, rules);
  if (config.values.http_listen() != "off") {
    rules.Check("http_listen", CheckAddress(config.values.http_listen(), "http"));
  }
  CheckSocketPaths(config.values.admin_socket(), config.values.api_socket(), rules);
  MESHCA_RETURN_IF_ERROR(faults.ToStatus());
  return config;
}

ConfigChanges ReloadableDiff(const ResolvedAgentConfig& before, const ResolvedAgentConfig& after) {
  return CompareConfigs(before.values, after.values);
}

absl::StatusOr<ResolvedAgentConfig> ResolveAgentPaths(const ConfigInput& input) {
  MESHCA_ASSIGN_OR_RETURN(ResolvedAgentConfig config, GatherAgent(input));
  Faults faults("");
  Rules rules(config.origins, faults);
  CheckSocketPaths(config.values.admin_socket(), config.values.api_socket(), rules);
  MESHCA_RETURN_IF_ERROR(faults.ToStatus());
  return config;
}

}  // namespace meshca::config
