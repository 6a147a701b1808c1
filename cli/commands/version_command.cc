// meshca version
#include "ca/base/version.h"

#include "ca/base/printable.h"
#include "cli/commands/commands.h"
#include "cli/commands/subcommand.h"
#include "cli/terminal/output.h"

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
