// meshca config validate|show
#include <cstdio>
#include <string>

#include "ca/base/status.h"
#include "cli/commands/commands.h"
#include "cli/commands/config_options.h"
#include "cli/commands/subcommand.h"
#include "cli/config/resolve_agent.h"
#include "cli/terminal/output.h"

namespace meshca::cli {
namespace {

void BindValidate(CLI::App& app, ConfigOptions& options) {
  app.add_option("FILE", options.file, "Configuration file; absent: the one --config or MESHCA_CONFIG names");
  BindAllConfigOptions(app, options);
}

void BindShowConfig(CLI::App& app, ConfigOptions& options) {
  app.add_flag("--origin", options.show_origin, "Say behind each value where it came from");
  BindAllConfigOptions(app, options);
}

// A configuration that holds, a server's or an agent's.
struct Held {
  std::string file;  // "": there was none
  std::string yaml;
};

absl::StatusOr<Held> Resolve(const Session& session, const ConfigOptions& options) {
  config::ConfigInput input = session.Input();
  options.AddTo(input);
  const auto hold = [&](const auto& resolved) {
    for (const std::string& warning : resolved.warnings) Err("warning: %s\n", warning);
    return Held{resolved.config_file, resolved.ToYaml(options.show_origin)};
  };
  if (session.agent) {
    MESHCA_ASSIGN_OR_RETURN(const config::ResolvedAgentConfig resolved, config::ResolveAgentConfig(input));
    return hold(resolved);
  }
  MESHCA_ASSIGN_OR_RETURN(const config::ResolvedConfig resolved, config::ResolveConfig(input));
  return hold(resolved);
}

absl::Status RunValidate(Session& session, ConfigOptions& options) {
  MESHCA_ASSIGN_OR_RETURN(const Held held, Resolve(session, options));
  Out("ok: %s\n", held.file.empty() ? "defaults, environment and flags (no file)" : held.file);
  return absl::OkStatus();
}

absl::Status RunShow(Session& session, ConfigOptions& options) {
  MESHCA_ASSIGN_OR_RETURN(const Held held, Resolve(session, options));
  PutText(stdout, held.yaml);
  return absl::OkStatus();
}

}  // namespace

void AddConfig(CLI::App& root, Session& session) {
  CLI::App* noun = AddNoun(root, "config", "The configuration of `meshca serve`, or with --agent of `meshca agent`");
  AddVerb<ConfigOptions>(*noun, session, "validate", "Check a configuration; faults name file, line and key",
                         BindValidate, RunValidate);
  AddVerb<ConfigOptions>(*noun, session, "show", "Print the configuration that holds, as YAML", BindShowConfig,
                         RunShow);
}

}  // namespace meshca::cli
