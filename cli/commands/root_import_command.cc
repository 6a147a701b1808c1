// meshca root import
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "ca/authority/plugged_in_ca.h"
#include "ca/base/printable.h"
#include "ca/base/status.h"
#include "ca/kubernetes/api_server.h"
#include "ca/kubernetes/secret_data.h"
#include "cli/commands/authority_table.h"
#include "cli/commands/root_adoption_command.h"
#include "cli/commands/secret_option.h"
#include "cli/config/kubeconfig.h"
#include "cli/terminal/output.h"
#include "cli/terminal/people_time.h"
#include "cli/terminal/table.h"
#include "meshca/admin/v1/admin.pb.h"

namespace meshca::cli {
namespace {

namespace v1 = ::meshca::admin::v1;

constexpr absl::Duration kApiServerTimeout = absl::Seconds(30);

struct ImportRootOptions {
  std::string folder;
  std::string secret;
  std::string kubeconfig;
  bool force = false;
  bool renew_unrecorded = false;
};

void BindImportRoot(CLI::App& app, ImportRootOptions& options) {
  CLI::Option* const folder = app.add_option(
      "DIR", options.folder,
      "Folder on the server's host with ca-cert.pem, ca-key.pem, cert-chain.pem, root-cert.pem (istio's cacerts) or "
      "tls.crt, tls.key, ca.crt (cert-manager's)");
  CLI::Option* const secret =
      app.add_option("--from-kubernetes", options.secret,
                     "Instead of DIR: a Secret that holds the same files, istio-system/istio-ca-secret or "
                     "istio-system/cacerts. It is read by this command, and stays as it is")
          ->type_name("NAMESPACE/SECRET");
  app.add_option("--kubeconfig", options.kubeconfig,
                 "Whose rights the Secret is read by; absent: the service account of the pod that this command runs in")
      ->type_name("FILE")
      ->needs(secret);
  app.add_flag("--force", options.force,
               "Sign with a new root at once, even if certificates live under the present one: their holders may "
               "break, and the present root stays trusted. Without it a rotation to the new root begins");
  app.add_flag("--renew-unrecorded", options.renew_unrecorded,
               "For one longest certificate lifetime, certificates that this authority signed elsewhere (istiod did) "
               "may renew here, though there is no record of them. Its root is not left meanwhile, unless by force");
  folder->excludes(secret);
}

absl::StatusOr<kubernetes::ApiServerOptions> ApiServerFor(const std::string& kubeconfig) {
  if (!kubeconfig.empty()) return config::ReadKubeconfig(kubeconfig);
  absl::StatusOr<kubernetes::ApiServerOptions> in_cluster =
      kubernetes::InClusterOptions([](const char* name) -> const char* { return std::getenv(name); });
  if (in_cluster.ok()) return in_cluster;
  return UsageError(absl::StrCat("--from-kubernetes without --kubeconfig FILE: ", in_cluster.status().message()));
}

absl::StatusOr<kubernetes::SecretData> ReadSecret(const SecretName& name, const std::string& kubeconfig) {
  MESHCA_ASSIGN_OR_RETURN(kubernetes::ApiServerOptions options, ApiServerFor(kubeconfig));
  MESHCA_ASSIGN_OR_RETURN(const std::unique_ptr<kubernetes::ApiServer> server,
                          kubernetes::ApiServer::Create(std::move(options)));
  kubernetes::ApiCall call = kubernetes::CallToGet(kubernetes::Secrets(), name.namespace_name, name.name);
  call.granted_for = name.name;  // nobody is given all Secrets of a namespace for one of them
  absl::StatusOr<std::string> answer = server->Call(call, kubernetes::kObjectBytesMax, kApiServerTimeout);
  MESHCA_RETURN_IF_ERROR(answer.status());
  const SecretBytes json(*std::move(answer));
  absl::StatusOr<kubernetes::SecretData> data = kubernetes::ReadSecretData(json.reveal());
  if (!data.ok()) return Annotate(data.status(), absl::StrCat("secret ", name.Text()));
  return data;
}

// The files of a CA among what the Secret holds; nothing else of it is sent anywhere.
absl::Status FillFromSecret(const ImportRootOptions& options, v1::ImportRootRequest& request) {
  MESHCA_ASSIGN_OR_RETURN(const SecretName name, SecretName::Parse("--from-kubernetes", options.secret));
  MESHCA_ASSIGN_OR_RETURN(const kubernetes::SecretData data, ReadSecret(name, options.kubeconfig));
  request.set_origin(absl::StrCat("secret ", name.Text()));
  for (const std::string& file_name : SetFileNames()) {
    const auto found = data.find(file_name);
    if (found == data.end()) continue;
    v1::ImportedFile& file = *request.add_files();
    file.set_name(file_name);
    file.set_content(std::string(found->second.reveal()));
  }
  if (!request.files().empty()) return absl::OkStatus();
  std::vector<std::string> keys;
  for (const auto& [key, bytes] : data) keys.push_back(Printable(key));
  return absl::InvalidArgumentError(absl::StrCat(
      "secret ", name.Text(), " holds no CA: expected ", absl::StrJoin(SetFileNames(), ", "),
      " of istio's or cert-manager's layout, and it has ", keys.empty() ? "nothing" : absl::StrJoin(keys, ", ")));
}

absl::Status FillFromFolder(const ImportRootOptions& options, v1::ImportRootRequest& request) {
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::canonical(options.folder, error);
  if (error) return ErrnoStatus(error.value(), options.folder);
  request.set_folder(folder.string());
  return absl::OkStatus();
}

// An import may be the beginning of something: printed on stderr, because the table shows only what is.
absl::Status PrintWhatFollows(Session& session, const ImportRootOptions& options) {
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

absl::Status ImportRoot(Session& session, ImportRootOptions& options) {
  v1::ImportRootRequest request;
  if (options.secret.empty()) {
    if (options.folder.empty()) return UsageError("root import: DIR, or --from-kubernetes NAMESPACE/SECRET");
    MESHCA_RETURN_IF_ERROR(FillFromFolder(options, request));
  } else {
    MESHCA_RETURN_IF_ERROR(FillFromSecret(options, request));
  }
  request.set_force(options.force);
  request.set_renew_unrecorded(options.renew_unrecorded);
  v1::ListAuthoritiesResponse response;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("ImportRoot", request, response));
  PrintAuthorities(session, response);
  return PrintWhatFollows(session, options);
}

}  // namespace

void AddRootImport(CLI::App& noun, Session& session) {
  AddVerb<ImportRootOptions>(noun, session, "import", "Sign with a CA made elsewhere from now on", BindImportRoot,
                             ImportRoot);
}

}  // namespace meshca::cli
