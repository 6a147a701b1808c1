// meshca workload x509|jwt|bundles
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "ca/base/secret.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"
#include "ca/jwt/jwt.h"
#include "cli/client/workload_view.h"
#include "cli/commands/commands.h"
#include "cli/commands/subcommand.h"
#include "cli/terminal/output.h"
#include "spiffe/workload/workload.pb.h"

namespace meshca::cli {
namespace {

constexpr char kEndpointVariable[] = "SPIFFE_ENDPOINT_SOCKET";

struct WorkloadOptions {
  std::string socket;
  bool watch = false;
};

struct WorkloadJwtOptions {
  std::string socket;
  std::vector<std::string> audiences;
  std::string id;
};

void BindEndpoint(CLI::App& app, std::string& socket) {
  app.add_option("--socket", socket,
                 "Socket of the Workload API (default: with --agent, --api-socket or --state-dir the API socket that "
                 "these name; "
                 "else SPIFFE_ENDPOINT_SOCKET; else the API socket of this host's server)")
      ->type_name("PATH");
}

void BindWorkload(CLI::App& app, WorkloadOptions& options) {
  app.add_flag("--watch", options.watch, "Again each time that it changes, until Ctrl-C");
  BindEndpoint(app, options.socket);
}

void BindWorkloadJwt(CLI::App& app, WorkloadJwtOptions& options) {
  app.add_option("--audience", options.audiences,
                 "Whom the token is for, such as spiffe://cluster.local/db; repeatable")
      ->type_name("NAME")
      ->required();
  app.add_option("--id", options.id, "The identity that the token is to prove (default: each that this process has)")
      ->type_name("SPIFFE_ID");
  BindEndpoint(app, options.socket);
}

// `unix:///run/x.sock` and `unix:/run/x.sock` are URIs of one path (RFC 3986), a plain path is itself.
absl::StatusOr<std::string> PathOfEndpoint(absl::string_view text, absl::string_view from) {
  if (absl::StartsWith(text, "tcp:")) {
    return absl::InvalidArgumentError(absl::StrCat(from, ": ", text, ": only Unix sockets are spoken to"));
  }
  if (absl::ConsumePrefix(&text, "unix:") && absl::StartsWith(text, "//")) text.remove_prefix(2);
  if (!absl::StartsWith(text, "/")) {
    return absl::InvalidArgumentError(
        absl::StrCat(from, ": expects the path of a Unix socket, such as unix:///run/meshca/api.sock"));
  }
  return std::string(text);
}

absl::StatusOr<std::string> EndpointSocket(const Session& session, const std::string& given) {
  if (!given.empty()) {
    // As it was typed: a relative path is a path too.
    const std::string path(absl::StripPrefix(absl::StripPrefix(given, "unix:"), "//"));
    MESHCA_RETURN_IF_ERROR(CheckSocket(path, "--socket"));
    return path;
  }
  const char* const variable = std::getenv(kEndpointVariable);
  const bool told = session.agent || !session.api_socket.empty() || !session.state_dir.empty();
  if (told || variable == nullptr || *variable == '\0') return session.ApiSocket();
  MESHCA_ASSIGN_OR_RETURN(std::string path, PathOfEndpoint(variable, kEndpointVariable));
  MESHCA_RETURN_IF_ERROR(CheckSocket(path, kEndpointVariable));
  return path;
}

absl::StatusOr<std::unique_ptr<RpcClient>> ConnectToWorkloadApi(const Session& session, const std::string& socket) {
  MESHCA_ASSIGN_OR_RETURN(const std::string path, EndpointSocket(session, socket));
  return RpcClient::Unix(path);
}

std::string WorkloadMethod(absl::string_view method) { return absl::StrCat("/SpiffeWorkloadAPI/", method); }

CallOptions WorkloadCall(bool forever = false) {
  CallOptions options;
  options.metadata = {{"workload.spiffe.io", "true"}};
  if (forever) options.timeout = absl::InfiniteDuration();
  return options;
}

// Runs `show` on the first message of a stream, or, where `watch`, on each.
absl::Status Follow(RpcClient& client, absl::string_view method, const google::protobuf::Message& request,
                    google::protobuf::Message& response, bool watch, absl::FunctionRef<absl::Status()> show) {
  absl::Status shown = absl::InternalError("the server ended the stream without a message");
  absl::Status ended = client.ServerStream(
      WorkloadMethod(method), request, response,
      [&] {
        shown = show();
        Flush(stdout);
        return watch && shown.ok() && !OutputBroken();
      },
      WorkloadCall(watch));
  if (!ended.ok()) return ended;
  return shown;
}

std::string JsonList(const std::vector<std::string>& items) {
  return absl::StrCat(
      "[",
      absl::StrJoin(items, ",",
                    [](std::string* out, const std::string& item) { absl::StrAppend(out, JsonString(item)); }),
      "]");
}

std::string BundlesJson(const std::vector<WorkloadBundleView>& bundles) {
  std::vector<std::string> texts;
  texts.reserve(bundles.size());
  for (const WorkloadBundleView& one : bundles) {
    texts.push_back(absl::StrCat("{\"trust_domain\":", JsonString(one.trust_domain),
                                 ",\"fingerprints\":", JsonList(one.fingerprints), ",\"pem\":", JsonString(one.pem),
                                 ",\"jwt_key_ids\":", JsonList(one.jwt_key_ids),
                                 ",\"jwks\":", one.jwks.empty() ? "null" : JsonString(one.jwks), "}"));
  }
  return absl::StrCat("[", absl::StrJoin(texts, ","), "]");
}

void PrintBundlesText(const std::vector<WorkloadBundleView>& bundles) {
  for (const WorkloadBundleView& one : bundles) {
    Out("  %s\n", one.trust_domain);
    for (const std::string& fingerprint : one.fingerprints) Out("    root     %s\n", fingerprint);
    for (const std::string& key : one.jwt_key_ids) Out("    JWT key  %s\n", key);
    if (!one.jwks.empty() && one.jwt_key_ids.empty()) Out("    no JWT key\n");
  }
}

void PrintX509(const Session& session, const WorkloadX509View& view) {
  if (session.format != OutputFormat::kTable) {  // JSON is YAML too
    std::vector<std::string> svids;
    for (const WorkloadSvidView& svid : view.svids) {
      svids.push_back(absl::StrCat("{\"spiffe_id\":", JsonString(svid.spiffe_id), ",\"hint\":", JsonString(svid.hint),
                                   ",\"serial\":", JsonString(svid.serial),
                                   ",\"not_after\":", JsonString(Rfc3339Text(svid.not_after)),
                                   ",\"chain_pem\":", JsonString(svid.chain_pem), "}"));
    }
    return Out("%s\n", absl::StrCat("{\"svids\":[", absl::StrJoin(svids, ","),
                                    "],\"bundles\":", BundlesJson(view.bundles), "}"));
  }
  Out("%s  %d %s\n", Rfc3339Text(absl::Now()), view.svids.size(), view.svids.size() == 1 ? "identity" : "identities");
  for (const WorkloadSvidView& svid : view.svids) {
    Out("  %s  serial %s  until %s%s%s\n", svid.spiffe_id, svid.serial, Rfc3339Text(svid.not_after),
        svid.hint.empty() ? "" : absl::StrCat("  hint ", svid.hint),
        svid.has_private_key ? "  (private key not shown)" : "");
  }
  PrintBundlesText(view.bundles);
}

absl::Status ShowX509(Session& session, WorkloadOptions& options) {
  MESHCA_ASSIGN_OR_RETURN(const std::unique_ptr<RpcClient> client, ConnectToWorkloadApi(session, options.socket));
  X509SVIDResponse response;
  return Follow(*client, "FetchX509SVID", X509SVIDRequest(), response, options.watch, [&]() -> absl::Status {
    MESHCA_ASSIGN_OR_RETURN(const WorkloadX509View view, ReadWorkloadX509(response));
    PrintX509(session, view);
    return absl::OkStatus();
  });
}

// Every change of what is trusted comes on the stream of X.509 bundles, a change of the JWT keys alone too.
absl::Status ShowBundles(Session& session, WorkloadOptions& options) {
  MESHCA_ASSIGN_OR_RETURN(const std::unique_ptr<RpcClient> client, ConnectToWorkloadApi(session, options.socket));
  X509BundlesResponse response;
  return Follow(*client, "FetchX509Bundles", X509BundlesRequest(), response, options.watch, [&]() -> absl::Status {
    MESHCA_ASSIGN_OR_RETURN(std::vector<WorkloadBundleView> bundles, ReadWorkloadBundles(response));
    JWTBundlesResponse keys;
    MESHCA_RETURN_IF_ERROR(
        Follow(*client, "FetchJWTBundles", JWTBundlesRequest(), keys, /*watch=*/false, [&]() -> absl::Status {
          for (const auto& [trust_domain, jwks] : keys.bundles()) {
            MESHCA_RETURN_IF_ERROR(AddJwtKeys(trust_domain, jwks, bundles));
          }
          return absl::OkStatus();
        }));
    if (session.format == OutputFormat::kTable) {
      Out("%s  %d trust %s\n", Rfc3339Text(absl::Now()), bundles.size(), bundles.size() == 1 ? "domain" : "domains");
      PrintBundlesText(bundles);
    } else {
      Out("%s\n", absl::StrCat("{\"bundles\":", BundlesJson(bundles), "}"));
    }
    return absl::OkStatus();
  });
}

std::string ExpiryOf(const std::string& token) {
  const absl::StatusOr<Jwt> jwt = Jwt::Parse(token);
  return jwt.ok() && jwt->expires() != absl::InfinitePast() ? Rfc3339Text(jwt->expires()) : "?";
}

// The tokens alone are on stdout, one a line, for a pipe; whose they are is said where a person reads.
void PrintTokens(const Session& session, const JWTSVIDResponse& response) {
  for (const JWTSVID& svid : response.svids()) {
    if (session.format == OutputFormat::kTable) {
      if (::isatty(STDOUT_FILENO)) {
        Err("%s  until %s%s\n", svid.spiffe_id(), ExpiryOf(svid.svid()),
            svid.hint().empty() ? "" : absl::StrCat("  hint ", svid.hint()));
      }
      Out("%s\n", svid.svid());
      continue;
    }
    Out("%s\n", absl::StrCat("{\"spiffe_id\":", JsonString(svid.spiffe_id()), ",\"hint\":", JsonString(svid.hint()),
                             ",\"expires_at\":", JsonString(ExpiryOf(svid.svid())),
                             ",\"token\":", JsonString(svid.svid()), "}"));
  }
}

absl::Status ShowJwt(Session& session, WorkloadJwtOptions& options) {
  MESHCA_ASSIGN_OR_RETURN(const std::unique_ptr<RpcClient> client, ConnectToWorkloadApi(session, options.socket));
  JWTSVIDRequest request;
  for (const std::string& audience : options.audiences) request.add_audience(audience);
  request.set_spiffe_id(options.id);
  KeepOutputPrivate();
  JWTSVIDResponse response;
  MESHCA_RETURN_IF_ERROR(client->Unary(WorkloadMethod("FetchJWTSVID"), request, response, WorkloadCall()));
  PrintTokens(session, response);
  for (JWTSVID& svid : *response.mutable_svids()) Wipe(*svid.mutable_svid());
  return absl::OkStatus();
}

}  // namespace

void AddWorkload(CLI::App& root, Session& session) {
  CLI::App* noun = AddNoun(root, "workload",
                           "What a process of this user gets by the SPIFFE Workload API; private keys are not shown");
  AddVerb<WorkloadOptions>(*noun, session, "x509", "Its X.509-SVIDs, and the roots to verify its peers by",
                           BindWorkload, ShowX509);
  AddVerb<WorkloadJwtOptions>(*noun, session, "jwt", "JWT-SVIDs for an audience: one token a line", BindWorkloadJwt,
                              ShowJwt);
  AddVerb<WorkloadOptions>(*noun, session, "bundles", "The roots and JWT keys of every trust domain", BindWorkload,
                           ShowBundles);
}

}  // namespace meshca::cli
