#include "cli/server/run_server.h"

#include <cstdio>
#include <memory>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "ca/base/log.h"
#include "cli/config/convert.h"
#include "cli/process/service_process.h"
#include "cli/server/meshca_server.h"
#include "cli/terminal/output.h"
#include "google/protobuf/stubs/logging.h"

namespace meshca::cli {
namespace {

int Fail(const absl::Status& status) {
  PutText(stderr, absl::StrCat("meshca serve: ", status.message(), "\n"));
  return 1;
}

void Reload(const config::ConfigInput& input, Server& server) {
  absl::StatusOr<config::ResolvedConfig> next = config::ResolveConfig(input);
  absl::Status status = next.ok() ? server.Reload(*std::move(next)) : next.status();
  if (!status.ok()) LogError("the configuration stays as it was", {{"error", std::string(status.message())}});
}

}  // namespace

int RunServer(const config::ConfigInput& input) {
  // Debian builds Abseil's deadlock detector in; it would double the cost of a connection.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  // It writes a line for each request that is not UTF-8: a client could fill the log.
  google::protobuf::SetLogHandler(nullptr);
  absl::StatusOr<config::ResolvedConfig> config = config::ResolveConfig(input);
  if (!config.ok()) return Fail(config.status());
  if (absl::Status status = HardenProcess(); !status.ok()) return Fail(status);
  PreferThroughput();
  BlockSignals();
  ConfigureLog(config::ToLogFormat(config->values.log().format()), config::ToLogLevel(config->values.log().level()));
  for (const std::string& warning : config->warnings) LogWarning(warning);

  absl::StatusOr<std::unique_ptr<Server>> server = Server::Start(*std::move(config));
  if (!server.ok()) return Fail(server.status());
  PutText(stdout, (*server)->Screen().ToText());
  // The server is up whether or not its first screen can be read.
  if (const absl::Status shown = TakeOutputFailure(); !shown.ok()) {
    LogWarning("the first screen got lost", {{"error", std::string(shown.message())}});
  }
  NotifyReady();
  WaitForStop([&] { Reload(input, **server); });
  LogInfo("stopping");
  (*server)->Stop();
  return 0;
}

}  // namespace meshca::cli
