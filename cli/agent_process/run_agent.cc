#include "cli/agent_process/run_agent.h"

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <thread>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "ca/base/log.h"
#include "ca/base/status.h"
#include "cli/agent_process/meshca_agent.h"
#include "cli/config/convert.h"
#include "cli/config/resolve_agent.h"
#include "cli/process/service_process.h"
#include "cli/terminal/output.h"
#include "google/protobuf/stubs/logging.h"

namespace meshca::cli {
namespace {

int Fail(const absl::Status& status) {
  PutText(stderr, absl::StrCat("meshca agent: ", status.message(), "\n"));
  return 1;
}

// Joining may take as long as the CA is away, and a signal ends it: so it runs beside the thread that waits for
// signals.
absl::Status JoinAndServe(Agent& agent) {
  MESHCA_RETURN_IF_ERROR(agent.Join());
  MESHCA_RETURN_IF_ERROR(agent.Serve());
  PutText(stdout, agent.Screen().ToText());
  if (const absl::Status shown = TakeOutputFailure(); !shown.ok()) {
    LogWarning("the first screen got lost", {{"error", std::string(shown.message())}});
  }
  NotifyReady();
  return absl::OkStatus();
}

void Reload(const config::ConfigInput& input, Agent& agent) {
  const absl::StatusOr<config::ResolvedAgentConfig> next = config::ResolveAgentConfig(input);
  if (next.ok()) return agent.Reload(*next);
  LogError("the configuration stays as it was", {{"error", std::string(next.status().message())}});
}

}  // namespace

int RunAgent(const config::ConfigInput& input) {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);  // see RunServer
  google::protobuf::SetLogHandler(nullptr);
  absl::StatusOr<config::ResolvedAgentConfig> config = config::ResolveAgentConfig(input);
  if (!config.ok()) return Fail(config.status());
  if (config->values.server().empty()) {
    return Fail(absl::InvalidArgumentError("no CA is named; say which: --server HOST:PORT (or `server` in the file)"));
  }
  if (absl::Status status = HardenProcess(); !status.ok()) return Fail(status);
  BlockSignals();
  ConfigureLog(config::ToLogFormat(config->values.log().format()), config::ToLogLevel(config->values.log().level()));
  for (const std::string& warning : config->warnings) LogWarning(warning);

  absl::StatusOr<std::unique_ptr<Agent>> agent = Agent::Open(*std::move(config));
  if (!agent.ok()) return Fail(agent.status());
  absl::Status started;
  std::thread starting([&] {
    started = JoinAndServe(**agent);
    if (!started.ok() && !absl::IsCancelled(started)) kill(getpid(), SIGTERM);
  });
  WaitForStop([&] { Reload(input, **agent); });
  LogInfo("stopping");
  (*agent)->CancelJoin();
  starting.join();
  (*agent)->Stop();
  if (started.ok() || absl::IsCancelled(started)) return 0;
  return Fail(started);
}

}  // namespace meshca::cli
