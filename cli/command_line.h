// The command line as a whole: the tree of commands, parsing, exit codes.
#ifndef MESHCA_CLI_COMMAND_LINE_H_
#define MESHCA_CLI_COMMAND_LINE_H_

#include <memory>

#include "cli/session.h"

namespace CLI {
class App;
}

namespace meshca::cli {

// The whole tree, unparsed; its commands act on `session`, which outlives it.
std::unique_ptr<CLI::App> BuildTree(Session& session);

// Parses and runs. Answers go to stdout; errors and advice to stderr, one line each. Returns the exit code:
//   0 ok   1 failed   2 a mistake on the command line   3 refused as unsafe
int RunCommandLine(int argc, const char* const* argv);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_COMMAND_LINE_H_
