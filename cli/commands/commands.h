// Every command there is. Each adds itself to the tree of CLI11 and leaves what it does in Session::action; what it
// parses lives as long as the tree. One file a noun.
#ifndef MESHCA_CLI_COMMANDS_COMMANDS_H_
#define MESHCA_CLI_COMMANDS_COMMANDS_H_

#include "cli/session.h"

namespace CLI {
class App;
}

namespace meshca::cli {

// Adds one command, its subcommands and their options under `root`. `session` outlives `root`.
using AddCommand = void (*)(CLI::App& root, Session& session);

void AddAgent(CLI::App& root, Session& session);
void AddServe(CLI::App& root, Session& session);
void AddStatus(CLI::App& root, Session& session);
void AddCheck(CLI::App& root, Session& session);
void AddRequest(CLI::App& root, Session& session);
void AddRoot(CLI::App& root, Session& session);
void AddCert(CLI::App& root, Session& session);
void AddToken(CLI::App& root, Session& session);
void AddEntry(CLI::App& root, Session& session);
void AddNode(CLI::App& root, Session& session);
void AddJwt(CLI::App& root, Session& session);
void AddBundle(CLI::App& root, Session& session);
void AddSubscriber(CLI::App& root, Session& session);
void AddSds(CLI::App& root, Session& session);
void AddWorkload(CLI::App& root, Session& session);
void AddHealth(CLI::App& root, Session& session);
void AddConfig(CLI::App& root, Session& session);
void AddKek(CLI::App& root, Session& session);
void AddDb(CLI::App& root, Session& session);
void AddAudit(CLI::App& root, Session& session);
void AddCompletion(CLI::App& root, Session& session);
void AddVersion(CLI::App& root, Session& session);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_COMMANDS_COMMANDS_H_
