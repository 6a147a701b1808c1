// meshca sds get|watch
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "ca/base/secret.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"
#include "cli/client/secret_view.h"
#include "cli/commands/commands.h"
#include "cli/commands/subcommand.h"
#include "cli/commands/workload_socket.h"
#include "cli/terminal/message_text.h"
#include "cli/terminal/output.h"
#include "envoy/service/discovery/v3/discovery.pb.h"

namespace meshca::cli {
namespace {

using ::envoy::service::discovery::v3::DiscoveryRequest;
using ::envoy::service::discovery::v3::DiscoveryResponse;

constexpr char kService[] = "/envoy.service.secret.v3.SecretDiscoveryService/";
constexpr char kTypeUrl[] = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

struct SdsOptions {
  std::string name;
  std::string socket;
};

void BindSds(CLI::App& app, SdsOptions& options) {
  app.add_option("NAME", options.name,
                 "default, ROOTCA, ALL, a SPIFFE ID, or a trust domain's ID (spiffe://cluster.local)")
      ->required();
  app.add_option("--socket", options.socket,
                 "SDS socket (default: of the server on this host, the admin socket where you may use it, else the API "
                 "socket)")
      ->type_name("PATH");
}

std::string TimeOrNothing(absl::Time time) { return time == absl::InfinitePast() ? "" : Rfc3339Text(time); }

// The keys stay the same for every kind of secret.
std::string SecretJson(const SecretView& view, const std::string& version) {
  std::vector<std::string> roots;
  for (const SecretView::Roots& one : view.roots) {
    std::vector<std::string> fingerprints;
    for (const std::string& fingerprint : one.fingerprints) fingerprints.push_back(JsonString(fingerprint));
    roots.push_back(absl::StrCat("{\"trust_domain\":", JsonString(one.trust_domain), ",\"fingerprints\":[",
                                 absl::StrJoin(fingerprints, ","), "],\"pem\":", JsonString(one.pem), "}"));
  }
  return absl::StrCat(
      "{\"name\":", JsonString(view.name), ",\"version\":", JsonString(version), ",\"kind\":", JsonString(view.kind),
      ",\"spiffe_id\":", JsonString(view.spiffe_id), ",\"serial\":", JsonString(view.serial),
      ",\"not_after\":", view.not_after == absl::InfinitePast() ? "null" : JsonString(TimeOrNothing(view.not_after)),
      ",\"chain_pem\":", JsonString(view.chain_pem), ",\"roots\":[", absl::StrJoin(roots, ","), "]}");
}

void PrintSdsText(const SecretView& view, const std::string& version) {
  Out("%s  %s  version %s", TimeOrNothing(absl::Now()), view.name, version);
  if (view.kind == "certificate") {
    Out("  %s  serial %s  until %s%s", view.spiffe_id, view.serial, TimeOrNothing(view.not_after),
        view.has_private_key ? "  (private key not shown)" : "");
  }
  for (const SecretView::Roots& roots : view.roots) {
    if (!roots.trust_domain.empty()) Out("  %s:", roots.trust_domain);
    for (const std::string& fingerprint : roots.fingerprints) Out("  root %s", fingerprint);
  }
  Out("\n");
}

// Prints every secret of `response`, which holds no private key afterwards.
absl::Status PrintSecrets(const Session& session, DiscoveryResponse& response) {
  for (auto& resource : *response.mutable_resources()) {
    absl::StatusOr<SecretView> view = ReadSecretView(resource.value());
    Wipe(*resource.mutable_value());
    MESHCA_RETURN_IF_ERROR(view.status());
    // JSON is YAML too.
    if (session.format == OutputFormat::kTable) {
      PrintSdsText(*view, response.version_info());
    } else {
      Out("%s\n", SecretJson(*view, response.version_info()));
    }
  }
  Flush(stdout);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<RpcClient>> ConnectForSds(const Session& session, const SdsOptions& options) {
  std::string socket = options.socket;
  if (socket.empty()) {
    MESHCA_ASSIGN_OR_RETURN(socket, WorkloadSocket(session));
  } else {
    MESHCA_RETURN_IF_ERROR(CheckSocket(socket, "--socket"));
  }
  return RpcClient::Unix(socket);
}

DiscoveryRequest Subscribe(const std::string& name) {
  char host[256] = "";
  ::gethostname(host, sizeof(host) - 1);
  DiscoveryRequest request;
  request.mutable_node()->set_id(absl::StrCat("meshca-sds@", host));
  request.set_type_url(kTypeUrl);
  request.add_resource_names(name);
  return request;
}

absl::Status Get(Session& session, SdsOptions& options) {
  MESHCA_ASSIGN_OR_RETURN(const std::unique_ptr<RpcClient> client, ConnectForSds(session, options));
  DiscoveryResponse response;
  MESHCA_RETURN_IF_ERROR(client->Unary(absl::StrCat(kService, "FetchSecrets"), Subscribe(options.name), response));
  if (response.resources().empty()) return absl::NotFoundError(absl::StrCat("no secret \"", options.name, "\""));
  return PrintSecrets(session, response);
}

absl::Status Watch(Session& session, SdsOptions& options) {
  MESHCA_ASSIGN_OR_RETURN(const std::unique_ptr<RpcClient> client, ConnectForSds(session, options));
  const DiscoveryRequest first = Subscribe(options.name);
  DiscoveryRequest acknowledgement = first;
  acknowledgement.clear_node();
  DiscoveryResponse response;
  absl::Status shown;
  absl::Status ended = client->BidiStream(absl::StrCat(kService, "StreamSecrets"), first, response, acknowledgement,
                                          [&] {
                                            shown = PrintSecrets(session, response);
                                            if (!shown.ok() || OutputBroken()) return RpcClient::Next::kEnd;
                                            acknowledgement.set_version_info(response.version_info());
                                            acknowledgement.set_response_nonce(response.nonce());
                                            return RpcClient::Next::kReply;
                                          },
                                          {.timeout = absl::InfiniteDuration()});
  MESHCA_RETURN_IF_ERROR(shown);
  return ended;
}

}  // namespace

void AddSds(CLI::App& root, Session& session) {
  CLI::App* noun = AddNoun(root, "sds", "What a proxy of this user would receive; private keys are never shown");
  AddVerb<SdsOptions>(*noun, session, "get", "One secret, as it is now", BindSds, Get);
  AddVerb<SdsOptions>(*noun, session, "watch", "One secret, each time it changes, until Ctrl-C", BindSds, Watch);
}

}  // namespace meshca::cli
