// meshca version
#include "cli/version.h"
#include "cli/output.h"

#include <cstdio>

#include "cli/commands/commands.h"
#include "cli/commands/subcommand.h"
#include "cli/message_text.h"

namespace meshca::cli {
namespace {

absl::Status RunVersion(Session& session) {
  switch (session.format) {
    case OutputFormat::kJson: Out("{\"version\":%s}\n", JsonString(kVersion)); break;
    case OutputFormat::kYaml: Out("version: \"%s\"\n", kVersion); break;
    case OutputFormat::kTable: Out("meshca %s\n", kVersion); break;
  }
  return absl::OkStatus();
}

}  // namespace

void AddVersion(CLI::App& root, Session& session) {
  AddVerb(root, session, "version", "Which meshca this is", RunVersion);
}

}  // namespace meshca::cli
