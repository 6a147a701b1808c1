// meshca entry apply
#ifndef MESHCA_CLI_COMMANDS_ENTRY_APPLY_COMMAND_H_
#define MESHCA_CLI_COMMANDS_ENTRY_APPLY_COMMAND_H_

#include <CLI/App.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cli/session.h"
#include "meshca/admin/v1/admin.pb.h"

namespace meshca::cli {

struct ApplyOptions {
  std::vector<std::string> files;
  bool prune = false;
  bool dry_run = false;
};

void BindApply(CLI::App& app, ApplyOptions& options);
absl::Status ApplyEntryFiles(Session& session, ApplyOptions& options);

// The warning that an entry's selectors name a program and no user; "" where they name one.
std::string WarningOfProgramAlone(const admin::v1::Entry& entry);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_COMMANDS_ENTRY_APPLY_COMMAND_H_
