// meshca config validate|show
#include <cstdio>

#include "ca/base/status.h"
#include "cli/commands/commands.h"
#include "cli/commands/config_options.h"
#include "cli/commands/subcommand.h"
#include "cli/terminal/output.h"

namespace meshca::cli {
namespace {

void BindValidate(CLI::App& app, ConfigOptions& options) {
  app.add_option("FILE", options.file, "Configuration file; absent: the one --config or MESHCA_CONFIG names");
  BindConfigOptions(app, options);
}

void BindShowConfig(CLI::App& app, ConfigOptions& options) {
  app.add_flag("--origin", options.show_origin, "Say behind each value where it came from");
  BindConfigOptions(app, options);
}

absl::StatusOr<config::ResolvedConfig> Resolve(const Session& session, const ConfigOptions& options) {
  config::ConfigInput input = session.Input();
  options.AddTo(input);
  absl::StatusOr<config::ResolvedConfig> resolved = config::ResolveConfig(input);
  if (resolved.ok()) {
    for (const std::string& warning : resolved->warnings) Err("warning: %s\n", warning);
  }
  return resolved;
}

absl::Status RunValidate(Session& session, ConfigOptions& options) {
  MESHCA_ASSIGN_OR_RETURN(const config::ResolvedConfig resolved, Resolve(session, options));
  const std::string& file = resolved.config_file;
  Out("ok: %s\n", file.empty() ? "defaults, environment and flags (no file)" : file);
  return absl::OkStatus();
}

absl::Status RunShow(Session& session, ConfigOptions& options) {
  MESHCA_ASSIGN_OR_RETURN(const config::ResolvedConfig resolved, Resolve(session, options));
  PutText(stdout, resolved.ToYaml(options.show_origin));
  return absl::OkStatus();
}

}  // namespace

void AddConfig(CLI::App& root, Session& session) {
  CLI::App* noun = AddNoun(root, "config", "The configuration of `meshca serve`");
  AddVerb<ConfigOptions>(*noun, session, "validate", "Check a configuration; faults name file, line and key",
                         BindValidate, RunValidate);
  AddVerb<ConfigOptions>(*noun, session, "show", "Print the configuration that holds, as YAML", BindShowConfig,
                         RunShow);
}

}  // namespace meshca::cli
