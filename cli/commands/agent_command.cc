// meshca agent
#include <string>
#include <utility>

#include "cli/agent_process/run_agent.h"
#include "cli/commands/commands.h"
#include "cli/commands/config_options.h"
#include "cli/commands/subcommand.h"

namespace meshca::cli {
namespace {

void BindAgent(CLI::App& app, ConfigOptions& options) {
  BindConfigOptions(config::Program::kAgent, app, options);
  app.footer(
      "A node joins by a token, once. On the CA's host: meshca token create --node NODE --out token\n"
      "Bring it here: meshca agent --server HOST:PORT --token-file token");
}

absl::Status RunAgentCommand(Session& session, ConfigOptions& options) {
  config::ConfigInput input = session.Input();
  options.AddTo(input);
  session.exit_code = RunAgent(input);
  return absl::OkStatus();
}

}  // namespace

void AddAgent(CLI::App& root, Session& session) {
  AddVerb<ConfigOptions>(root, session, "agent",
                         "Run a node's agent: SDS and the SPIFFE Workload API, with keys made on the node", BindAgent,
                         RunAgentCommand);
}

}  // namespace meshca::cli
