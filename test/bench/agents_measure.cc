// The phases of a run of simulated agents; see agents_command.h.
#include <ctime>
#include <memory>
#include <optional>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ca/base/status.h"
#include "test/bench/agents_command.h"
#include "test/bench/arithmetic.h"
#include "test/bench/shell_command.h"

namespace meshca::bench {
namespace {

// At rest: less than this much CPU time in such an interval; what thousands of heartbeats take is counted as rest.
constexpr absl::Duration kRestInterval = absl::Milliseconds(100);
constexpr absl::Duration kRestCpu = absl::Milliseconds(2);
constexpr absl::Duration kRestWait = absl::Seconds(10);
constexpr absl::Duration kAskAgain = absl::Milliseconds(200);  // the command that says whether sleepers may wake up
constexpr absl::Duration kYardstick = absl::Milliseconds(200);
constexpr size_t kKeysAhead = 20'000;  // for a change whose size nobody knows before

absl::Duration OwnCpuTime() {
  timespec time = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return absl::DurationFromTimespec(time);
}

class Run {
 public:
  Run(const AgentsOptions& options, const std::function<void(absl::string_view)>& progress, AgentsReport& report)
      : options_(options), progress_(progress), report_(report) {}

  absl::Status Measure() {
    if (options_.server_pid != 0) {
      MESHCA_ASSIGN_OR_RETURN(meter_, ProcessMeter::Of(options_.server_pid));
    }
    MESHCA_ASSIGN_OR_RETURN(load_, AgentsLoad::Create(options_.load));
    report_.agents = load_->agents();
    report_.consumers = options_.load.consumers;
    MESHCA_RETURN_IF_ERROR(Settle());
    if (options_.idle > absl::ZeroDuration()) MESHCA_RETURN_IF_ERROR(Idle());
    for (int i = 0; i < options_.sign_rounds; ++i) MESHCA_RETURN_IF_ERROR(Sign());
    if (!options_.trigger.empty()) MESHCA_RETURN_IF_ERROR(Change());
    for (int i = 0; i < options_.restarts; ++i) MESHCA_RETURN_IF_ERROR(Restart());
    return absl::OkStatus();
  }

 private:
  // From nothing to agents that are attached and hold their certificates.
  absl::Status Settle() {
    MESHCA_ASSIGN_OR_RETURN(report_.join, Phase("join", [&](absl::Time deadline) { return load_->Join(deadline); }));
    if (options_.warm_up > 0) {
      MESHCA_RETURN_IF_ERROR(Prepare(options_.warm_up));
      MESHCA_ASSIGN_OR_RETURN(report_.warm_up_agents, load_->WarmUp(options_.warm_up, absl::Now() + options_.wait));
    }
    MESHCA_RETURN_IF_ERROR(Rest(report_.before));
    MESHCA_ASSIGN_OR_RETURN(report_.connect,
                            Phase("connect", [&](absl::Time deadline) { return load_->Connect(deadline); }));
    MESHCA_RETURN_IF_ERROR(Rest(report_.connected));
    MESHCA_ASSIGN_OR_RETURN(report_.attach,
                            Phase("attach", [&](absl::Time deadline) { return load_->Attach(deadline); }));
    MESHCA_RETURN_IF_ERROR(Rest(report_.attached));
    report_.held = load_->held();
    return absl::OkStatus();
  }

  absl::StatusOr<std::optional<absl::Duration>> ServerCpu() const {
    if (!meter_) return std::optional<absl::Duration>();
    MESHCA_ASSIGN_OR_RETURN(const absl::Duration used, meter_->CpuTime());
    return std::optional<absl::Duration>(used);
  }

  absl::StatusOr<AgentsPhase> Phase(absl::string_view name, absl::FunctionRef<absl::Status(absl::Time deadline)> run) {
    progress_(name);
    AgentsPhase phase;
    load_->TakeCounts();
    MESHCA_ASSIGN_OR_RETURN(const std::optional<absl::Duration> before, ServerCpu());
    const absl::Duration own_before = OwnCpuTime();
    const absl::Time begun = absl::Now();
    MESHCA_RETURN_IF_ERROR(Annotate(run(begun + options_.wait), name));
    phase.wall = absl::Now() - begun;
    phase.load_cpu = OwnCpuTime() - own_before;
    MESHCA_ASSIGN_OR_RETURN(const std::optional<absl::Duration> after, ServerCpu());
    if (before && after) phase.server_cpu = *after - *before;
    phase.counts = load_->TakeCounts();
    return phase;
  }

  absl::Status Serve(absl::Duration time) {
    return load_->ServeUntil([] { return false; }, absl::Now() + time).status();
  }

  // Makes keys and requests without letting the agents fall silent meanwhile.
  absl::Status Prepare(size_t count) {
    constexpr size_t kSlice = 200;
    for (size_t ready = kSlice; ready < count; ready += kSlice) {
      load_->MakeRequests(ready);
      MESHCA_RETURN_IF_ERROR(Serve(absl::Milliseconds(1)));
    }
    load_->MakeRequests(count);
    return absl::OkStatus();
  }

  // Serves on until the server has nothing left to do for what it was asked.
  absl::Status Rest(std::optional<ProcessMemory>& memory) {
    if (!meter_) return Serve(kRestInterval);
    const absl::Time deadline = absl::Now() + kRestWait;
    absl::Duration used = absl::InfiniteDuration();
    while (used > kRestCpu && absl::Now() < deadline) {
      MESHCA_ASSIGN_OR_RETURN(const absl::Duration before, meter_->CpuTime());
      MESHCA_RETURN_IF_ERROR(Serve(kRestInterval));
      MESHCA_ASSIGN_OR_RETURN(const absl::Duration after, meter_->CpuTime());
      used = after - before;
    }
    MESHCA_ASSIGN_OR_RETURN(memory, meter_->Memory());
    return absl::OkStatus();
  }

  absl::Status Idle() {
    MESHCA_ASSIGN_OR_RETURN(report_.idle, Phase("idle", [&](absl::Time) { return Serve(options_.idle); }));
    return absl::OkStatus();
  }

  absl::Status Sign() {
    MESHCA_RETURN_IF_ERROR(Prepare(options_.sign_calls * options_.sign_batch));
    const absl::Duration before = P256VerifyAndSign(kYardstick);
    MESHCA_ASSIGN_OR_RETURN(AgentsPhase phase, Phase("sign", [&](absl::Time deadline) {
                              return load_->SignBatches(options_.sign_calls, options_.sign_batch,
                                                        options_.sign_in_flight, deadline);
                            }));
    phase.arithmetic = (before + P256VerifyAndSign(kYardstick)) / 2;
    report_.sign.push_back(std::move(phase));
    return absl::OkStatus();
  }

  absl::Status Change() {
    MESHCA_RETURN_IF_ERROR(Prepare(std::min<size_t>(kKeysAhead, load_->held())));
    load_->FallAsleep(options_.asleep);
    MESHCA_ASSIGN_OR_RETURN(report_.change, Phase("change", [&](absl::Time deadline) { return Follow(deadline); }));
    return absl::OkStatus();
  }

  absl::Status Follow(absl::Time deadline) {
    const absl::Time begun = absl::Now();
    MESHCA_ASSIGN_OR_RETURN(const std::unique_ptr<ShellCommand> command, ShellCommand::Start(options_.trigger));
    if (options_.asleep > 0) {
      MESHCA_RETURN_IF_ERROR(WaitForSleepersToBeNamed(deadline));
      if (command->HasEnded()) {
        return absl::FailedPreconditionError(absl::StrCat("`", options_.trigger, "` did not wait for the sleepers"));
      }
      report_.asleep_until = absl::Now() - begun;
      load_->WakeUp();
    }
    MESHCA_ASSIGN_OR_RETURN(const bool ended,
                            load_->ServeUntil([&] { return command->HasEnded(); }, deadline, command->fd()));
    if (!ended) return absl::DeadlineExceededError(absl::StrCat("`", options_.trigger, "` did not end"));
    return command->Reap();
  }

  absl::Status WaitForSleepersToBeNamed(absl::Time deadline) {
    absl::Status last = absl::DeadlineExceededError("nobody was named");
    while (absl::Now() < deadline) {
      MESHCA_ASSIGN_OR_RETURN(const std::unique_ptr<ShellCommand> command, ShellCommand::Start(options_.asleep_until));
      MESHCA_ASSIGN_OR_RETURN(const bool ended,
                              load_->ServeUntil([&] { return command->HasEnded(); }, deadline, command->fd()));
      if (!ended) break;
      last = command->Reap();
      if (last.ok()) return last;
      MESHCA_RETURN_IF_ERROR(Serve(kAskAgain));
    }
    return last;
  }

  absl::Status Restart() {
    MESHCA_RETURN_IF_ERROR(Prepare(load_->held()));
    MESHCA_ASSIGN_OR_RETURN(AgentsPhase phase,
                            Phase("restart", [&](absl::Time deadline) { return load_->Restart(deadline); }));
    report_.restarts.push_back(std::move(phase));
    std::optional<ProcessMemory> ignored;
    return Rest(ignored);
  }

  const AgentsOptions& options_;
  const std::function<void(absl::string_view)>& progress_;
  AgentsReport& report_;
  std::optional<ProcessMeter> meter_;
  std::unique_ptr<AgentsLoad> load_;
};

}  // namespace

AgentsOutcome MeasureAgents(const AgentsOptions& options, const std::function<void(absl::string_view)>& progress) {
  AgentsOutcome outcome;
  outcome.failure = Run(options, progress, outcome.report).Measure();
  return outcome;
}

}  // namespace meshca::bench
