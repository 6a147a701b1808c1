// meshca version
#include "cli/version.h"

#include <cstdio>

#include "cli/commands/commands.h"
#include "cli/commands/subcommand.h"
#include "cli/message_text.h"

namespace meshca::cli {
namespace {

absl::Status Run(Session& session) {
  switch (session.format) {
    case OutputFormat::kJson: std::printf("{\"version\":%s}\n", JsonString(kVersion).c_str()); break;
    case OutputFormat::kYaml: std::printf("version: \"%s\"\n", kVersion); break;
    case OutputFormat::kTable: std::printf("meshca %s\n", kVersion); break;
  }
  return absl::OkStatus();
}

}  // namespace

void AddVersion(CLI::App& root, Session& session) { AddVerb(root, session, "version", "Which meshca this is", Run); }

}  // namespace meshca::cli
