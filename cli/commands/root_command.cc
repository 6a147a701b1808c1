// meshca root show|import; the verbs of rotation are in root_rotation_command.cc
#include <cstdio>
#include <filesystem>
#include <string>
#include <system_error>

#include "ca/base/status.h"
#include "cli/commands/authority_table.h"
#include "cli/commands/commands.h"
#include "cli/commands/root_rotation_command.h"
#include "cli/commands/subcommand.h"
#include "cli/terminal/output.h"
#include "cli/terminal/people_time.h"
#include "cli/terminal/table.h"
#include "meshca/admin/v1/admin.pb.h"

namespace meshca::cli {
namespace {

namespace v1 = ::meshca::admin::v1;

struct ShowOptions {
  std::string format = "text";
  bool all = false;
};

struct ImportOptions {
  std::string folder;
  bool force = false;
  bool renew_unrecorded = false;
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

void BindImport(CLI::App& app, ImportOptions& options) {
  app.add_option("DIR", options.folder,
                 "Folder with ca-cert.pem, ca-key.pem, cert-chain.pem, root-cert.pem (istio's cacerts) or tls.crt, "
                 "tls.key, ca.crt (cert-manager's)")
      ->required();
  app.add_flag("--force", options.force,
               "Sign with a new root at once, even if certificates live under the present one: their holders may "
               "break. Without it a rotation to the new root begins");
  app.add_flag("--renew-unrecorded", options.renew_unrecorded,
               "For one longest certificate lifetime, certificates that this authority signed elsewhere (istiod did) "
               "may renew here, though there is no record of them");
}

// An import may be the beginning of something: printed on stderr, because the table shows only what is.
absl::Status PrintWhatFollows(Session& session, const ImportOptions& options) {
  v1::RotationStatus rotation;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("GetRotation", v1::GetRotationRequest(), rotation));
  if (rotation.running()) {
    Err("meshca: rotation %llu runs, to the root %s, which signs when everybody trusts it; `meshca root status "
        "--watch` shows how far it is\n",
        static_cast<unsigned long long>(rotation.number()), ShortenHex(rotation.new_root_id()));
  }
  if (!options.renew_unrecorded) return absl::OkStatus();
  v1::ServerStatus status;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("GetStatus", v1::GetStatusRequest(), status));
  Err("meshca: certificates that it signed elsewhere may renew here until %s UTC\n",
      ShowTime(status.unrecorded_renewal(), "until"));
  return absl::OkStatus();
}

absl::Status Import(Session& session, ImportOptions& options) {
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::canonical(options.folder, error);
  if (error) return ErrnoStatus(error.value(), options.folder);
  v1::ImportRootRequest request;
  request.set_folder(folder.string());
  request.set_force(options.force);
  request.set_renew_unrecorded(options.renew_unrecorded);
  v1::ListAuthoritiesResponse response;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("ImportRoot", request, response));
  PrintAuthorities(session, response);
  return PrintWhatFollows(session, options);
}

}  // namespace

void AddRoot(CLI::App& root, Session& session) {
  CLI::App* noun = AddNoun(root, "root", "The authorities that sign");
  AddVerb<ShowOptions>(*noun, session, "show", "Authorities, their fingerprints and states", BindShowRoot, ShowRoot);
  AddRootRotation(*noun, session);
  AddVerb<ImportOptions>(*noun, session, "import", "Sign with a CA made elsewhere from now on", BindImport, Import);
}

}  // namespace meshca::cli
