// meshca request
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ca/base/bare_text.h"
#include "ca/base/file.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"
#include "cli/client/address.h"
#include "cli/client/credential_files.h"
#include "cli/client/csr_builder.h"
#include "cli/client/issued_answer.h"
#include "cli/client/secret_file.h"
#include "cli/client/server_trust.h"
#include "cli/commands/commands.h"
#include "cli/commands/durations.h"
#include "cli/commands/subcommand.h"
#include "cli/commands/workload_socket.h"
#include "cli/terminal/message_text.h"
#include "cli/terminal/output.h"
#include "istio/v1/auth/ca.pb.h"

namespace meshca::cli {
namespace {

constexpr char kMethod[] = "/istio.v1.auth.IstioCertificateService/CreateCertificate";
constexpr size_t kFileBytesMax = 1024 * 1024;

struct RequestOptions {
  std::string spiffe_id;
  std::string server;
  ServerTrust trust;
  std::string token;
  std::string token_file;
  std::string jwt_file;
  std::string key_file;
  std::string ttl;
  std::string key_type = "ec-p256";
  std::vector<std::string> dns_names;
  std::string out_dir = ".";
};

void BindRequest(CLI::App& app, RequestOptions& options) {
  app.add_option("SPIFFE_ID", options.spiffe_id, "The identity wanted: spiffe://cluster.local/ns/default/sa/web")
      ->required();
  app.add_option("--out-dir", options.out_dir, "Folder for key.pem, cert-chain.pem, root-cert.pem (default: here)")
      ->type_name("DIR");
  const std::string server =
      "The CA (without --server: the one on this host, by its admin socket where you may use it, else its API socket)";
  app.add_option("--server", options.server, "Address of its CSR service")->type_name("HOST:PORT")->group(server);
  app.add_option("--ca-cert", options.trust.ca_cert_file, "PEM file with its root")->type_name("FILE")->group(server);
  app.add_option("--ca-fingerprint", options.trust.ca_fingerprint, "Its root's fingerprint, from `meshca root show`")
      ->type_name("HEX")
      ->group(server);
  const std::string who = "Who asks";
  CLI::Option* token_file =
      app.add_option("--token-file", options.token_file,
                     "File or pipe with the join token, which carries the root's fingerprint; - is standard input")
          ->type_name("FILE")
          ->group(who);
  CLI::Option* token = app.add_option("--token", options.token,
                                      "The join token itself: any local user sees it in the process list meanwhile")
                           ->type_name("TOKEN")
                           ->group(who);
  CLI::Option* jwt = app.add_option("--jwt-file", options.jwt_file,
                                    "File or pipe with a JSON Web Token the server accepts; - is standard input")
                         ->type_name("FILE")
                         ->group(who);
  CLI::Option* cert = app.add_option("--cert", options.trust.certificate_file,
                                     "Certificate chain to renew; root-cert.pem beside it says which CA to trust")
                          ->type_name("FILE")
                          ->group(who);
  CLI::Option* key = app.add_option("--key", options.key_file, "Private key of --cert")->type_name("FILE")->group(who);
  cert->needs(key);
  key->needs(cert);
  token->excludes(token_file)->excludes(jwt)->excludes(cert);
  token_file->excludes(jwt)->excludes(cert);
  jwt->excludes(cert);
  const std::string what = "The certificate";
  app.add_option("--ttl", options.ttl, "Lifetime: 1h, 30d (default: the server's)")->type_name("DURATION")->group(what);
  app.add_option("--key-type", options.key_type, "ec-p256, ec-p384, ed25519, rsa-2048, rsa-3072 or rsa-4096")
      ->type_name("TYPE")
      ->group(what);
  app.add_option("--dns", options.dns_names, "DNS name for the certificate too; may be repeated")
      ->type_name("NAME")
      ->allow_extra_args(false)
      ->group(what);
}

template <typename T>
absl::StatusOr<T> AsUsage(absl::StatusOr<T> value, absl::string_view option) {
  if (value.ok()) return value;
  return UsageError(absl::StrCat(option, ": ", value.status().message()));
}

// The bearer token, from wherever it comes.
absl::StatusOr<SecretBytes> Bearer(RequestOptions& options) {
  const std::string& file = options.token_file.empty() ? options.jwt_file : options.token_file;
  if (!file.empty()) return ReadSecretFile(file);
  if (!options.token.empty()) {
    if (const absl::Status bare = CheckBareText(options.token); !bare.ok()) {
      return UsageError(absl::StrCat("--token: ", bare.message()));
    }
    Err("warning: --token shows the token in the process list, where any local user can read it and redeem it "
        "first; give it by --token-file FILE, or by a pipe: --token-file -\n");
  }
  return SecretBytes(std::move(options.token));
}

struct Connection {
  std::unique_ptr<RpcClient> client;
  std::string trusted_roots;  // "" on the socket: its path says who it is
};

absl::StatusOr<Connection> ConnectForRequest(const Session& session, const RequestOptions& options,
                                             absl::string_view bearer) {
  Connection connection;
  if (options.server.empty()) {
    if (!options.trust.certificate_file.empty()) return UsageError("--cert renews over TLS: give --server HOST:PORT");
    MESHCA_ASSIGN_OR_RETURN(const std::string socket, WorkloadSocket(session));
    connection.client = RpcClient::Unix(socket);
    return connection;
  }
  MESHCA_ASSIGN_OR_RETURN(const std::string address, AsUsage(ParseAddress(options.server), "--server"));
  ServerTrust trust = options.trust;
  if (options.jwt_file.empty()) trust.token = bearer;
  MESHCA_ASSIGN_OR_RETURN(connection.trusted_roots, RootsFor(trust, address));
  TlsTarget target;
  target.address = address;
  target.roots_pem = connection.trusted_roots;
  if (!options.trust.certificate_file.empty()) {
    MESHCA_ASSIGN_OR_RETURN(target.certificate_pem,
                            ReadFile(options.trust.certificate_file, kFileBytesMax, FileSecrecy::kPublic));
    MESHCA_ASSIGN_OR_RETURN(std::string key, ReadFile(options.key_file, kFileBytesMax, FileSecrecy::kSecret));
    target.key_pem = SecretBytes(std::move(key));
  }
  connection.client = RpcClient::Tls(std::move(target));
  return connection;
}

void PrintResult(const Session& session, const RequestOptions& options, const SpiffeId& id, const Certificate& leaf) {
  const std::string until = Rfc3339Text(leaf.validity().not_after);
  const auto path = [&](const char* name) { return (std::filesystem::path(options.out_dir) / name).string(); };
  if (session.format == OutputFormat::kTable) {
    Out("%s  serial %s  until %s\n%s\n%s\n%s\n", id.uri(), leaf.serial_hex(), until, path(kKeyFile), path(kChainFile),
        path(kRootFile));
    return;
  }
  const std::vector<std::pair<const char*, std::string>> fields = {
      {"spiffe_id", id.uri()},      {"serial", leaf.serial_hex()},    {"not_after", until},
      {"key_file", path(kKeyFile)}, {"chain_file", path(kChainFile)}, {"root_file", path(kRootFile)}};
  std::string json;
  for (const auto& [name, value] : fields) {
    if (session.format == OutputFormat::kYaml) {
      Out("%s: %s\n", name, JsonString(value));
    } else {
      absl::StrAppend(&json, json.empty() ? "{" : ",", JsonString(name), ":", JsonString(value));
    }
  }
  if (!json.empty()) Out("%s}\n", json);
}

absl::Status RunRequest(Session& session, RequestOptions& options) {
  MESHCA_ASSIGN_OR_RETURN(const SpiffeId id, AsUsage(SpiffeId::Parse(options.spiffe_id), "SPIFFE_ID"));
  MESHCA_ASSIGN_OR_RETURN(const KeyType key_type, AsUsage(ParseKeyType(options.key_type), "--key-type"));
  istio::v1::auth::IstioCertificateRequest request;
  if (!options.ttl.empty()) {
    MESHCA_ASSIGN_OR_RETURN(const absl::Duration ttl, ReadDuration("--ttl", options.ttl));
    if (ttl < absl::Seconds(1)) return UsageError("--ttl: at least 1s");
    request.set_validity_duration(absl::ToInt64Seconds(ttl));
  }
  MESHCA_ASSIGN_OR_RETURN(const SecretBytes bearer, Bearer(options));
  MESHCA_ASSIGN_OR_RETURN(const Connection connection, ConnectForRequest(session, options, bearer.reveal()));

  // The key is made here and never leaves but into key.pem.
  MESHCA_ASSIGN_OR_RETURN(const std::unique_ptr<SoftwareKey> key, SoftwareKey::Generate(key_type));
  MESHCA_ASSIGN_OR_RETURN(Pem csr, AsUsage(BuildCsr(*key, id, options.dns_names), "--dns"));
  request.set_csr(std::move(csr).Release());
  istio::v1::auth::IstioCertificateResponse response;
  MESHCA_RETURN_IF_ERROR(
      session.Told(connection.client->Unary(kMethod, request, response, {.bearer_token = bearer.reveal()})));
  MESHCA_ASSIGN_OR_RETURN(const IssuedAnswer answer,
                          CheckAnswer({response.cert_chain().begin(), response.cert_chain().end()}, key->public_key(),
                                      id, connection.trusted_roots, absl::Now()));
  CredentialFiles files;
  files.key_pem = key->ToPkcs8Pem();
  files.chain_pem = answer.chain_pem;
  files.roots_pem = answer.roots_pem;
  MESHCA_RETURN_IF_ERROR(ReplaceCredentialFiles(options.out_dir, files));
  PrintResult(session, options, id, answer.leaf);
  return absl::OkStatus();
}

}  // namespace

void AddRequest(CLI::App& root, Session& session) {
  AddVerb<RequestOptions>(root, session, "request", "Make a key here and get a certificate for it", BindRequest,
                          RunRequest);
}

}  // namespace meshca::cli
