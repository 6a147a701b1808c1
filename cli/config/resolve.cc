#include "cli/config/resolve.h"

#include <utility>

#include "absl/strings/match.h"
#include "ca/base/status.h"
#include "cli/config/convert_kubernetes.h"
#include "cli/config/faults.h"
#include "cli/config/gather.h"
#include "cli/config/validate.h"
#include "cli/config/value.h"

namespace meshca::config {
namespace {

void ApplyPaths(const ConfigInput& input, ResolvedConfig& config, Faults& faults) {
  v1::Config& values = config.values;
  const std::string usual = DefaultStateDir(input, "meshca");
  if (!values.has_state_dir()) {
    if (usual.empty()) {
      return faults.Add({}, "state_dir", "HOME and XDG_STATE_HOME are not set; say where state goes: --state-dir DIR");
    }
    values.set_state_dir(usual);
  }
  // A state directory of one's own brings its sockets along, so that the same --state-dir finds the server; for the
  // usual place, said aloud or not, they are where everybody looks.
  const std::string runtime = Variable(input, "XDG_RUNTIME_DIR");
  std::string admin = Absolute("admin.sock", values.state_dir());
  std::string api = Absolute("api.sock", values.state_dir());
  if (values.state_dir() == usual && input.is_root) {
    const SocketPlaces roots = SocketsOfRoot(input, Program::kServer);
    admin = roots.admin;
    api = roots.api;
  } else if (values.state_dir() == usual && absl::StartsWith(runtime, "/")) {
    admin = Absolute("meshca/admin.sock", runtime);
    api = Absolute("meshca/api.sock", runtime);
  }
  if (!values.has_admin_socket()) values.set_admin_socket(admin);
  if (!values.has_api_socket()) values.set_api_socket(api);
  if (!values.has_kek_file()) values.set_kek_file(Absolute("kek", values.state_dir()));
}

absl::StatusOr<ResolvedConfig> GatherServer(const ConfigInput& input) {
  ResolvedConfig config;
  Faults faults("");
  MESHCA_RETURN_IF_ERROR(
      Gather(input, {Program::kServer, config.values, config.origins, config.warnings, config.config_file}, faults));
  ApplyPaths(input, config, faults);
  TakeScheme("https", *config.values.mutable_listen());
  TakeScheme("http", *config.values.mutable_http_listen());
  MESHCA_RETURN_IF_ERROR(faults.ToStatus());
  return config;
}

}  // namespace

absl::StatusOr<ResolvedConfig> ResolveConfig(const ConfigInput& input) {
  MESHCA_ASSIGN_OR_RETURN(ResolvedConfig config, GatherServer(input));
  MESHCA_RETURN_IF_ERROR(Validate(config));
  for (std::string& warning : KubernetesWarnings(config.values)) config.warnings.push_back(std::move(warning));
  return config;
}

absl::StatusOr<ResolvedConfig> ResolvePaths(const ConfigInput& input) {
  MESHCA_ASSIGN_OR_RETURN(ResolvedConfig config, GatherServer(input));
  Faults faults("");
  CheckSockets(config, faults);
  MESHCA_RETURN_IF_ERROR(faults.ToStatus());
  return config;
}

ConfigChanges ReloadableDiff(const ResolvedConfig& before, const ResolvedConfig& after) {
  return CompareConfigs(before.values, after.values);
}

}  // namespace meshca::config
