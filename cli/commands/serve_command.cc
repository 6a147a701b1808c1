// meshca serve
#include <string>
#include <utility>
#include <vector>

#include "cli/commands/commands.h"
#include "cli/commands/config_options.h"
#include "cli/commands/subcommand.h"
#include "cli/server/run_server.h"

namespace meshca::cli {
namespace {

void BindServe(CLI::App& app, ConfigOptions& options) {
  BindConfigOptions(config::Program::kServer, app, options);
  app.footer("Other machines reach the CA where it listens on more than the loopback: --listen :15012");
}

absl::Status Serve(Session& session, ConfigOptions& options) {
  config::ConfigInput input = session.Input();
  options.AddTo(input);
  session.exit_code = RunServer(input);
  return absl::OkStatus();
}

}  // namespace

void AddServe(CLI::App& root, Session& session) {
  AddVerb<ConfigOptions>(root, session, "serve", "Run the certificate authority: CSR service, SDS, admin API",
                         BindServe, Serve);
}

}  // namespace meshca::cli
