// meshca root show; the others are in root_rotation_command.cc, root_import_command.cc and root_export_command.cc
#include <cstdio>
#include <string>

#include "ca/base/status.h"
#include "cli/commands/authority_table.h"
#include "cli/commands/commands.h"
#include "cli/commands/root_adoption_command.h"
#include "cli/commands/root_rotation_command.h"
#include "cli/commands/subcommand.h"
#include "cli/terminal/output.h"
#include "meshca/admin/v1/admin.pb.h"

namespace meshca::cli {
namespace {

namespace v1 = ::meshca::admin::v1;

struct ShowOptions {
  std::string format = "text";
  bool all = false;
};

void BindShowRoot(CLI::App& app, ShowOptions& options) {
  app.add_option("--format", options.format, "text, or pem: the trusted roots as a CA file")
      ->check(CLI::IsMember({"text", "pem"}))
      ->type_name("FORMAT");
  app.add_flag("--all", options.all, "Retired authorities too");
}

absl::Status ShowRoot(Session& session, ShowOptions& options) {
  if (options.format == "pem") {
    v1::Bundle bundle;
    MESHCA_RETURN_IF_ERROR(session.CallAdmin("GetBundle", v1::GetBundleRequest(), bundle));
    PutText(stdout, bundle.roots_pem());
    return absl::OkStatus();
  }
  v1::ListAuthoritiesRequest request;
  request.set_include_retired(options.all);
  v1::ListAuthoritiesResponse response;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("ListAuthorities", request, response));
  PrintAuthorities(session, response);
  return absl::OkStatus();
}

}  // namespace

void AddRoot(CLI::App& root, Session& session) {
  CLI::App* noun = AddNoun(root, "root", "The authorities that sign");
  AddVerb<ShowOptions>(*noun, session, "show", "Authorities, their fingerprints and states", BindShowRoot, ShowRoot);
  AddRootRotation(*noun, session);
  AddRootImport(*noun, session);
  AddRootExport(*noun, session);
}

}  // namespace meshca::cli
