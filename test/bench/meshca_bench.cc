// `meshca-bench`: puts a load on a running server, ours or another that speaks the same protocols, and says what it
// cost.
#include <CLI/CLI.hpp>
#include <csignal>

#include "test/bench/agents_command.h"
#include "test/bench/csr_command.h"
#include "test/bench/jwt_command.h"
#include "test/bench/sds_command.h"
#include "test/bench/token_command.h"

int main(int argc, char** argv) {
  // OpenSSL writes to connections that a server may have reset: an error to count, not the end of this process. A
  // handler rather than SIG_IGN, because commands started from here would inherit that.
  std::signal(SIGPIPE, [](int) {});
  int exit_code = 0;
  CLI::App tool("Loads for servers that give identities to a mesh; see test/bench/README.md", "meshca-bench");
  tool.require_subcommand(1);
  meshca::bench::AddCsrCommand(tool, exit_code);
  meshca::bench::AddSdsCommand(tool, exit_code);
  meshca::bench::AddAgentsCommand(tool, exit_code);
  meshca::bench::AddJwtCommand(tool, exit_code);
  meshca::bench::AddTokenCommand(tool, exit_code);
  try {
    tool.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return tool.exit(error) == 0 ? 0 : 2;
  }
  return exit_code;
}
