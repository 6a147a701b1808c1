// meshca root export
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "ca/base/file.h"
#include "ca/base/secret.h"
#include "ca/base/secret_folder.h"
#include "ca/base/status.h"
#include "ca/x509/key_request.h"
#include "ca/x509/signing_key.h"
#include "cli/commands/durations.h"
#include "cli/commands/root_adoption_command.h"
#include "cli/commands/secret_option.h"
#include "cli/rotation/rotation_follow.h"
#include "cli/terminal/output.h"
#include "cli/terminal/people_time.h"
#include "cli/terminal/table.h"
#include "meshca/admin/v1/admin.pb.h"

namespace meshca::cli {
namespace {

namespace v1 = ::meshca::admin::v1;

constexpr char kExportedCertificate[] = "ca-cert.pem";
constexpr char kExportedKeyFile[] = "ca-key.pem";
constexpr char kExportedChain[] = "cert-chain.pem";
constexpr char kExportedRoots[] = "root-cert.pem";

struct ExportOptions {
  std::string folder;
  std::string secret;
  std::string lifetime;
  std::string key_type = "ec-p256";
};

void BindExport(CLI::App& app, ExportOptions& options) {
  CLI::Option* const out = app.add_option("--out", options.folder,
                                          "Folder for ca-cert.pem, ca-key.pem, cert-chain.pem and root-cert.pem, mode "
                                          "0600, as istio's cacerts has them; none of them may be there yet")
                               ->type_name("DIR");
  app.add_option("--as-secret", options.secret,
                 "Instead of --out: the same as a Secret of this name on standard output, for kubectl apply -f -")
      ->type_name("NAMESPACE/SECRET")
      ->excludes(out);
  app.add_option("--lifetime", options.lifetime,
                 "How long it may sign: 90d (default: as long as meshca's own issuing authorities). Nothing renews it")
      ->type_name("DURATION");
  app.add_option("--key-type", options.key_type, "ec-p256, ec-p384, ed25519, rsa-2048, rsa-3072 or rsa-4096")
      ->type_name("TYPE");
  app.footer(
      "Its key is made here and known to nobody else, and the root's key stays where it is. What it signs is unknown "
      "to "
      "meshca, so the root is not retired before it ends, unless by `meshca root retire --force`:\n"
      "  kubectl -n meshca-system exec meshca-0 -- meshca root export --as-secret istio-system/cacerts |\n"
      "    kubectl apply -f -");
}

// What istiod reads, by the names of the files.
struct IstioFiles {
  SecretBytes key;
  std::string certificate;
  std::string chain;
  std::string roots;
};

// Before anything is asked of the server: what cannot be written must not be made.
absl::Status PrepareFolder(const std::string& folder) {
  MESHCA_RETURN_IF_ERROR(PrepareSecretFolder(folder, {}));
  for (const char* name : {kExportedCertificate, kExportedKeyFile, kExportedChain, kExportedRoots}) {
    const std::string path = absl::StrCat(folder, "/", name);
    // A link that leads nowhere is in the way, too.
    struct stat there;
    if (::lstat(path.c_str(), &there) != 0) continue;
    return absl::AlreadyExistsError(absl::StrCat(path, ": is there already: name an empty folder"));
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::ExportAuthorityResponse> AskForAuthority(Session& session, const ExportOptions& options,
                                                            const SoftwareKey& key) {
  v1::ExportAuthorityRequest request;
  MESHCA_ASSIGN_OR_RETURN(const Der csr, MakeKeyRequest(key));
  request.set_csr(csr.bytes());
  if (!options.lifetime.empty()) {
    MESHCA_RETURN_IF_ERROR(ReadDuration("--lifetime", options.lifetime, *request.mutable_lifetime()));
  }
  MESHCA_RETURN_IF_ERROR(session.Admin().status());
  v1::ExportAuthorityResponse response;
  const absl::Status asked = session.CallAdmin("ExportAuthority", request, response);
  if (asked.ok()) return response;
  if (!IsPassing(asked)) return asked;
  return Annotate(asked,
                  "whether it was made is not known, and its key is gone: where `meshca root show` lists it as "
                  "exported, it signs nothing, and ends by itself");
}

absl::Status WriteFiles(const std::string& folder, const IstioFiles& files) {
  const auto write = [&folder](const char* name, absl::string_view bytes) {
    return CreatePrivateFile(absl::StrCat(folder, "/", name), bytes);
  };
  MESHCA_RETURN_IF_ERROR(write(kExportedCertificate, files.certificate));
  MESHCA_RETURN_IF_ERROR(write(kExportedChain, files.chain));
  MESHCA_RETURN_IF_ERROR(write(kExportedRoots, files.roots));
  return SyncFolder(folder);
}

void PrintSecret(const SecretName& name, const IstioFiles& files) {
  const std::array<std::pair<const char*, absl::string_view>, 4> members = {{{kExportedCertificate, files.certificate},
                                                                             {kExportedKeyFile, files.key.reveal()},
                                                                             {kExportedChain, files.chain},
                                                                             {kExportedRoots, files.roots}}};
  std::string data;
  for (const auto& [file, bytes] : members) {
    absl::StrAppend(&data, data.empty() ? "" : ",", "\"", file, "\":\"", absl::Base64Escape(bytes), "\"");
  }
  PutRaw(stdout, absl::StrCat(R"({"apiVersion":"v1","kind":"Secret","type":"Opaque","metadata":{"namespace":")",
                              name.namespace_name, R"(","name":")", name.name, R"("},"data":{)", data, "}}\n"));
  Wipe(data);
}

void TellWhatFollows(const v1::Authority& authority) {
  Err("meshca: exported issuing authority %s under root %s, good until %s UTC; nothing renews it, and that root is not "
      "retired before it ends, unless by force\n",
      ShortenHex(authority.id()), ShortenHex(authority.root_id()), ShowTime(authority, "not_after"));
}

absl::Status ExportToFolder(Session& session, const ExportOptions& options, const SoftwareKey& key) {
  MESHCA_RETURN_IF_ERROR(PrepareFolder(options.folder));
  // The key first: an authority whose key was lost to a full disk would hold its root up for nothing.
  const std::string key_file = absl::StrCat(options.folder, "/", kExportedKeyFile);
  MESHCA_RETURN_IF_ERROR(CreatePrivateFile(key_file, key.ToPkcs8Pem().reveal()));
  const absl::StatusOr<v1::ExportAuthorityResponse> made = AskForAuthority(session, options, key);
  if (!made.ok()) {
    ::unlink(key_file.c_str());
    return made.status();
  }
  const v1::Authority& authority = made->authority();
  TellWhatFollows(authority);
  // cert-chain.pem is what istiod puts behind its leaves; a root does not belong there.
  const absl::Status written = WriteFiles(
      options.folder, {SecretBytes(), authority.certificate_pem(), authority.certificate_pem(), made->roots_pem()});
  if (!written.ok()) {
    return absl::Status(written.code(),
                        absl::StrCat(written.message(), "; it is made all the same: its key is in ", key_file,
                                     ", its certificate in `meshca root show -o json`, and the roots in "
                                     "`meshca bundle show --format pem`"));
  }
  session.Print(authority, [&] { Out("%s\n", authority.id()); });
  return absl::OkStatus();
}

absl::Status ExportAsSecret(Session& session, const ExportOptions& options, const SoftwareKey& key) {
  MESHCA_ASSIGN_OR_RETURN(const SecretName name, SecretName::Parse("--as-secret", options.secret));
  if (::isatty(STDOUT_FILENO) == 1) return UsageError("--as-secret: a private key is no text for a terminal: a pipe");
  KeepOutputPrivate();
  MESHCA_ASSIGN_OR_RETURN(const v1::ExportAuthorityResponse made, AskForAuthority(session, options, key));
  TellWhatFollows(made.authority());
  const std::string& certificate = made.authority().certificate_pem();
  PrintSecret(name, {key.ToPkcs8Pem(), certificate, certificate, made.roots_pem()});
  return absl::OkStatus();
}

absl::Status RunExport(Session& session, ExportOptions& options) {
  if (options.folder.empty() && options.secret.empty()) {
    return UsageError("root export: --out DIR, or --as-secret NAMESPACE/SECRET");
  }
  const absl::StatusOr<KeyType> type = ParseKeyType(options.key_type);
  if (!type.ok()) return UsageError(absl::StrCat("--key-type: ", type.status().message()));
  MESHCA_ASSIGN_OR_RETURN(const std::unique_ptr<SoftwareKey> key, SoftwareKey::Generate(*type));
  return options.secret.empty() ? ExportToFolder(session, options, *key) : ExportAsSecret(session, options, *key);
}

}  // namespace

void AddRootExport(CLI::App& noun, Session& session) {
  AddVerb<ExportOptions>(noun, session, "export", "Hand out an issuing authority under the present root, for istiod",
                         BindExport, RunExport);
}

}  // namespace meshca::cli
