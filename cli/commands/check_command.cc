// meshca check: the doctor. Facts this host can see first, then those the server finds out for us.
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"
#include "ca/base/version.h"
#include "ca/http/http_client.h"
#include "ca/x509/chain_verifier.h"
#include "cli/client/address.h"
#include "cli/client/root_probe.h"
#include "cli/commands/commands.h"
#include "cli/commands/subcommand.h"
#include "cli/config/resolve_agent.h"
#include "cli/process/socket_reach.h"
#include "cli/terminal/output.h"
#include "cli/terminal/people_time.h"
#include "grpc/health/v1/health.pb.h"
#include "meshca/admin/v1/admin.pb.h"

namespace meshca::cli {
namespace {

namespace v1 = ::meshca::admin::v1;

constexpr absl::Duration kTimeout = absl::Seconds(5);
// What serves only while the server can issue; see MeshcaServer::OnReadiness.
constexpr char kCsrService[] = "istio.v1.auth.IstioCertificateService";

void AddCheckLine(v1::CheckResponse& response, const std::string& name, const absl::Status& status,
                  const std::string& detail, const std::string& mend) {
  v1::Fact& fact = *response.add_facts();
  fact.set_name(name);
  fact.set_state(status.ok() ? "ok" : "failed");
  fact.set_detail(status.ok() ? detail : std::string(status.message()));
  if (!status.ok()) fact.set_mend(mend);
}

void AddWarning(v1::CheckResponse& response, const std::string& name, const std::string& detail,
                const std::string& mend) {
  v1::Fact& fact = *response.add_facts();
  fact.set_name(name);
  fact.set_state("warning");
  fact.set_detail(detail);
  fact.set_mend(mend);
}

// A listener on every address is asked on this host's own.
std::string Reachable(const std::string& address) {
  const std::string host = HostOf(address);
  if (host.empty() || host == "0.0.0.0") return absl::StrCat("127.0.0.1:", PortOf(address));
  if (host == "::") return absl::StrCat("[::1]:", PortOf(address));
  return address;
}

// The chain that strangers see: complete, valid now, and ending in the root that signs.
absl::Status CheckServerCertificate(const std::string& address, const v1::ServerStatus& status, std::string& detail) {
  MESHCA_ASSIGN_OR_RETURN(const std::vector<Certificate> chain, FetchServerChain(Reachable(address), kTimeout));
  if (chain.empty()) return absl::UnavailableError(absl::StrCat(address, ": shows no certificate"));
  MESHCA_ASSIGN_OR_RETURN(const std::string fingerprint, ParseFingerprint(status.root().id()));
  MESHCA_RETURN_IF_ERROR(FindRoot(chain, fingerprint).status());
  const Validity& validity = chain.front().validity();
  if (!validity.Contains(absl::Now())) {
    return absl::UnavailableError(
        absl::StrCat(address, ": the server certificate ended ", UtcText(validity.not_after)));
  }
  for (size_t i = 0; i + 1 < chain.size(); ++i) MESHCA_RETURN_IF_ERROR(chain[i].VerifiesUnder(chain[i + 1]));
  detail = absl::StrCat(address, ", certificate until ", UtcText(validity.not_after));
  return absl::OkStatus();
}

absl::StatusOr<grpc::health::v1::HealthCheckResponse> AskHealth(const std::string& socket, absl::string_view service) {
  MESHCA_RETURN_IF_ERROR(CheckSocket(socket, "--api-socket"));
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(std::string(service));
  grpc::health::v1::HealthCheckResponse response;
  MESHCA_RETURN_IF_ERROR(
      RpcClient::Unix(socket)->Unary("/grpc.health.v1.Health/Check", request, response, {.timeout = kTimeout}));
  return response;
}

// What /readyz would say, for a server that serves no HTTP.
absl::Status CheckReadyByGrpc(const std::string& socket, absl::string_view service) {
  MESHCA_ASSIGN_OR_RETURN(const auto response, AskHealth(socket, service));
  if (response.status() == grpc::health::v1::HealthCheckResponse::SERVING) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("HTTP is off, and the gRPC health of ", service.empty() ? "the whole" : service, " is ",
                   grpc::health::v1::HealthCheckResponse::ServingStatus_Name(response.status())));
}

absl::Status CheckReadyz(const std::string& address) {
  const std::string reachable = Reachable(address);
  http::ClientRequest request;
  MESHCA_ASSIGN_OR_RETURN(request.url, http::Url::Parse(absl::StrCat("http://", reachable, "/readyz")));
  MESHCA_ASSIGN_OR_RETURN(const std::unique_ptr<http::Client> client, http::Client::Create());
  http::CallOptions options;
  options.timeout = kTimeout;
  options.body_of_200_only = true;
  const absl::StatusOr<http::Response> response = client->Fetch(std::move(request), options);
  if (absl::IsUnavailable(response.status())) return Annotate(response.status(), reachable);
  if (!response.ok()) return absl::UnavailableError(absl::StrCat(reachable, ": no answer by HTTP"));
  if (response->status == 200) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("http://", address, "/readyz answers ", response->status));
}

void CheckListeners(const v1::ServerStatus& status, v1::CheckResponse& response) {
  std::string api_socket;
  for (const v1::Listener& listener : status.listeners()) {
    const std::string& address = listener.address();
    if (listener.name() == "grpc") {
      std::string detail;
      const absl::Status seen = CheckServerCertificate(address, status, detail);
      AddCheckLine(response, "CSR service", seen, detail, "read the server's log; restart it if the log says nothing");
    } else if (listener.name() == "api") {
      api_socket = std::string(absl::StripPrefix(address, "unix://"));
      AddCheckLine(response, "API socket", AskHealth(api_socket, "").status(), api_socket,
                   "restart it; nothing else may use its path");
      if (const std::string shut = WhyOthersCannotReach(api_socket); !shut.empty()) {
        AddWarning(response, "API socket's place", absl::StrCat("no other user reaches it: ", shut),
                   "where workloads run as users of their own, start it with --api-socket PATH elsewhere");
      }
    } else if (listener.name() == "http" && address == "off") {
      AddCheckLine(response, "HTTP", CheckReadyByGrpc(api_socket, status.has_agent() ? "" : kCsrService),
                   absl::StrCat("off; probes ask gRPC health, which answers SERVING: meshca health ",
                                status.has_agent() ? "--agent" : absl::StrCat("--service ", kCsrService)),
                   "mend the facts above; it recovers by itself");
    } else if (listener.name() == "http") {
      AddCheckLine(response, "HTTP", CheckReadyz(address), absl::StrCat("http://", address, "/readyz answers 200"),
                   "mend the facts above; it recovers by itself");
    }
  }
}

// `status` is what it answered, if it did.
void CheckServer(Session& session, const absl::Status& asked, const v1::ServerStatus& status,
                 v1::CheckResponse& response) {
  AddCheckLine(response, session.agent ? "agent" : "server", asked,
               absl::StrCat("meshca ", status.version(), ", trust domain ", status.trust_domain()),
               session.agent ? "start it: meshca agent" : "start it: meshca serve");
  if (!asked.ok()) return;
  if (status.version() != kVersion) {
    AddWarning(response, "version", absl::StrCat("it is ", status.version(), ", this command ", kVersion),
               "restart it after an upgrade");
  }
  CheckListeners(status, response);
  v1::CheckResponse server;
  const absl::Status checked = session.CallAdmin("Check", v1::CheckRequest(), server, {.timeout = absl::Minutes(1)});
  if (!checked.ok()) return AddCheckLine(response, "its own check", checked, "", "read its log");
  for (v1::Fact& fact : *server.mutable_facts()) *response.add_facts() = std::move(fact);
}

const char* Colour(const std::string& state) {
  if (!::isatty(STDOUT_FILENO)) return "";
  return state == "ok" ? "\033[32m" : state == "warning" ? "\033[33m" : "\033[31m";
}

// Whether the configuration can be used; `file` is the one that it is read from. An agent that runs (`status`) was told
// its servers, perhaps by flags that are not seen here.
absl::Status CheckConfiguration(const Session& session, const v1::ServerStatus& status, std::string& file) {
  if (session.agent) {
    config::ConfigInput input = session.Input();
    MESHCA_ASSIGN_OR_RETURN(const auto places, config::ResolveAgentPaths(input));
    const auto& servers = status.agent().servers();
    if (places.values.server().empty() && !servers.empty()) input.flags["server"] = {servers.begin(), servers.end()};
    MESHCA_ASSIGN_OR_RETURN(const auto config, config::ResolveAgentConfig(input));
    file = config.config_file;
  } else {
    MESHCA_ASSIGN_OR_RETURN(const auto config, config::ResolveConfig(session.Input()));
    file = config.config_file;
  }
  return absl::OkStatus();
}

struct CheckOptions {
  bool accept_clock = false;
};

void BindCheck(CLI::App& app, CheckOptions& options) {
  app.add_flag("--accept-clock", options.accept_clock,
               "Say that the server's clock is right as it is: what was frozen because of it goes on");
}

absl::Status AcceptClock(Session& session) {
  v1::AcceptClockResponse response;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("AcceptClock", v1::AcceptClockRequest(), response));
  session.Print(response, [&] {
    Out("accepted %s UTC; until now: %s\n", ShowTime(response, "now"),
        response.finding().empty() ? "nothing was wrong" : response.finding());
  });
  return absl::OkStatus();
}

absl::Status RunCheck(Session& session, CheckOptions& options) {
  if (options.accept_clock) return AcceptClock(session);
  v1::CheckResponse response;
  std::string file;
  v1::ServerStatus status;
  const absl::Status asked =
      session.CallAdmin("GetStatus", v1::GetStatusRequest(), status, {.timeout = absl::Seconds(20)});
  const absl::Status configuration = CheckConfiguration(session, status, file);
  AddCheckLine(response, "configuration", configuration, file.empty() ? "defaults and flags" : file,
               absl::StrCat("mend what it names, then: meshca config validate", session.agent ? " --agent" : ""));
  CheckServer(session, asked, status, response);
  size_t failed = 0;
  for (const v1::Fact& fact : response.facts()) failed += fact.state() == "failed" ? 1 : 0;
  session.Print(response, [&] {
    for (const v1::Fact& fact : response.facts()) {
      const char* colour = Colour(fact.state());
      PutRaw(stdout, colour);
      Out("%-8s", fact.state());
      PutRaw(stdout, *colour == '\0' ? "" : "\033[0m");
      Out("%-22s%s\n", fact.name(), fact.detail());
      if (!fact.mend().empty()) Out("%-30s-> %s\n", "", fact.mend());
    }
  });
  if (failed > 0) session.exit_code = kExitFailed;
  return absl::OkStatus();
}

}  // namespace

void AddCheck(CLI::App& root, Session& session) {
  AddVerb<CheckOptions>(
      root, session, "check",
      "Check every fact a healthy server, or with --agent an agent, rests on; says what mends the others", BindCheck,
      RunCheck);
}

}  // namespace meshca::cli
