// From file, environment and flags to the configuration that holds, with the origin of each value.
#ifndef MESHCA_CLI_CONFIG_RESOLVE_H_
#define MESHCA_CLI_CONFIG_RESOLVE_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cli/config/changes.h"
#include "cli/config/config_input.h"
#include "cli/config/value_origin.h"
#include "meshca/config/v1/config.pb.h"

namespace meshca::config {

// Everything is set: each scalar key has a value, each path is absolute, the rules of Validate hold. Immutable by
// convention once made; a reload makes a new one.
struct ResolvedConfig {
  v1::Config values;
  // Of every scalar key, and of what the file holds.
  Origins origins;
  // Worth saying, not worth refusing: an environment variable that is almost a key's.
  std::vector<std::string> warnings;
  std::string config_file;  // absolute; "" when there was none

  // The whole as YAML that LoadYaml reads back; with the origin of each value as a comment behind it. No secrets.
  std::string ToYaml(bool show_origin) const;
};

// InvalidArgument (reason CONFIG_INVALID): the file's faults as in loader.h, else a flag's or variable's, else a rule
// of Validate's. Each names where the value came from: `--leaf-lifetime: ...`, `MESHCA_LISTEN: ...`.
// NotFound, PermissionDenied: the file.
absl::StatusOr<ResolvedConfig> ResolveConfig(const ConfigInput& input);

// For commands that only talk to a server and want its sockets: ResolveConfig without Validate, but for the length of
// the sockets' paths.
absl::StatusOr<ResolvedConfig> ResolvePaths(const ConfigInput& input);

// The rules between keys, and those of single values that types cannot say: trust domain, addresses, lifetimes (leaf
// within its maximum, issuing authority at least twice that, root at least twice the issuing authority), socket paths
// within the 107 bytes of sun_path, URLs, claim templates, key files that cannot be the same.
// InvalidArgument (reason CONFIG_INVALID) names the keys, where they came from, and what would do.
absl::Status Validate(const ResolvedConfig& config);

// What a SIGHUP finds.
ConfigChanges ReloadableDiff(const ResolvedConfig& before, const ResolvedConfig& after);

}  // namespace meshca::config

#endif  // MESHCA_CLI_CONFIG_RESOLVE_H_
