// meshca health
#include <cstdio>
#include <string>

#include "ca/base/status.h"
#include "cli/commands/commands.h"
#include "cli/commands/subcommand.h"
#include "cli/terminal/output.h"
#include "grpc/health/v1/health.pb.h"

namespace meshca::cli {
namespace {

struct HealthOptions {
  std::string service;
};

void BindHealth(CLI::App& app, HealthOptions& options) {
  app.add_option("--service", options.service, "A gRPC service by its full name (default: the server as a whole)")
      ->type_name("NAME");
}

absl::Status RunHealth(Session& session, HealthOptions& options) {
  MESHCA_ASSIGN_OR_RETURN(RpcClient* const admin, session.Admin());
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(options.service);
  grpc::health::v1::HealthCheckResponse response;
  MESHCA_RETURN_IF_ERROR(
      admin->Unary("/grpc.health.v1.Health/Check", request, response, {.timeout = absl::Seconds(5)}));
  session.Print(response,
                [&] { Out("%s\n", grpc::health::v1::HealthCheckResponse::ServingStatus_Name(response.status())); });
  // For probes: the exit code alone says it.
  if (response.status() != grpc::health::v1::HealthCheckResponse::SERVING) session.exit_code = kExitFailed;
  return absl::OkStatus();
}

}  // namespace

void AddHealth(CLI::App& root, Session& session) {
  AddVerb<HealthOptions>(root, session, "health",
                         "Exit 0 when the server, or with --agent the agent, says that it serves", BindHealth,
                         RunHealth);
}

}  // namespace meshca::cli
