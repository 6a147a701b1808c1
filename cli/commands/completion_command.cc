// meshca completion SHELL
#include "cli/completion.h"

#include <cstdio>
#include <string>

#include "ca/base/status.h"
#include "cli/command_line.h"
#include "cli/commands/commands.h"
#include "cli/commands/subcommand.h"
#include "cli/terminal/output.h"

namespace meshca::cli {
namespace {

struct CompletionOptions {
  std::string shell;
};

void BindCompletion(CLI::App& app, CompletionOptions& options) {
  app.add_option("SHELL", options.shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
}

absl::Status RunCompletion(Session& session, CompletionOptions& options) {
  // A tree of its own: this one is being run.
  Session unused;
  MESHCA_ASSIGN_OR_RETURN(const std::string script, CompletionScript(*BuildTree(unused), options.shell));
  PutRaw(stdout, script);
  return absl::OkStatus();
}

}  // namespace

void AddCompletion(CLI::App& root, Session& session) {
  AddVerb<CompletionOptions>(root, session, "completion", "A script that completes commands in your shell",
                             BindCompletion, RunCompletion);
}

}  // namespace meshca::cli
