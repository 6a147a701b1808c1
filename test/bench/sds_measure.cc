// The phases of an SDS run; see sds_command.h.
#include <ctime>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ca/base/status.h"
#include "test/bench/process_meter.h"
#include "test/bench/sds_command.h"
#include "test/bench/shell_command.h"

namespace meshca::bench {
namespace {

// At rest: less than this much CPU time in such an interval.
constexpr absl::Duration kRestInterval = absl::Milliseconds(50);
constexpr absl::Duration kRestCpu = absl::Microseconds(500);
constexpr absl::Duration kRestWait = absl::Seconds(10);

absl::Duration OwnCpuTime() {
  timespec time = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return absl::DurationFromTimespec(time);
}

class Run {
 public:
  Run(const SdsOptions& options, const std::function<void(absl::string_view)>& progress, SdsReport& report)
      : options_(options), progress_(progress), report_(report) {}

  absl::Status Measure() {
    if (options_.server_pid != 0) {
      MESHCA_ASSIGN_OR_RETURN(meter_, ProcessMeter::Of(options_.server_pid));
      MESHCA_ASSIGN_OR_RETURN(report_.before, meter_->Memory());
    }
    MESHCA_RETURN_IF_ERROR(Open());
    MESHCA_ASSIGN_OR_RETURN(const std::optional<absl::Duration> cpu_before, ServerCpu());
    for (int i = 0; i < options_.changes; ++i) MESHCA_RETURN_IF_ERROR(Change(i));
    if (options_.hold > absl::ZeroDuration()) {
      progress_(absl::StrCat("holding the streams for ", absl::FormatDuration(options_.hold)));
      MESHCA_RETURN_IF_ERROR(load_->ServeUntil([] { return false; }, absl::Now() + options_.hold).status());
    }
    MESHCA_ASSIGN_OR_RETURN(const std::optional<absl::Duration> cpu_after, ServerCpu());
    if (cpu_before && cpu_after) report_.overall_cpu = *cpu_after - *cpu_before;
    if (load_->ends().empty()) return absl::OkStatus();
    return Annotate(load_->first_end(),
                    absl::StrCat(options_.load.streams - load_->live(), " streams ended; the first"));
  }

  void Finish() {
    if (load_ == nullptr) return;
    report_.responses = load_->responses();
    report_.checked_whole = load_->checked_whole();
    report_.ends = load_->ends();
  }

 private:
  absl::Status Open() {
    MESHCA_ASSIGN_OR_RETURN(load_, SdsLoad::Create(options_.load));
    progress_(absl::StrCat("opening ", options_.load.streams, " streams"));
    const absl::Time begun = absl::Now();
    MESHCA_RETURN_IF_ERROR(load_->Open(begun + options_.wait));
    report_.ready = absl::Now() - begun;
    report_.connections = load_->connections();
    MESHCA_RETURN_IF_ERROR(Rest());
    if (!meter_) return absl::OkStatus();
    MESHCA_ASSIGN_OR_RETURN(report_.after, meter_->Memory());
    return absl::OkStatus();
  }

  absl::StatusOr<std::optional<absl::Duration>> ServerCpu() const {
    if (!meter_) return std::optional<absl::Duration>();
    MESHCA_ASSIGN_OR_RETURN(const absl::Duration used, meter_->CpuTime());
    return std::optional<absl::Duration>(used);
  }

  // Serves on until the server has nothing left to do for what it was asked: rows to write, connections to set up.
  absl::Status Rest() {
    if (!meter_) return load_->ServeUntil([] { return false; }, absl::Now() + kRestInterval).status();
    const absl::Time deadline = absl::Now() + kRestWait;
    absl::Duration used = absl::InfiniteDuration();
    while (used > kRestCpu && absl::Now() < deadline) {
      MESHCA_ASSIGN_OR_RETURN(const absl::Duration before, meter_->CpuTime());
      MESHCA_RETURN_IF_ERROR(load_->ServeUntil([] { return false; }, absl::Now() + kRestInterval).status());
      MESHCA_ASSIGN_OR_RETURN(const absl::Duration after, meter_->CpuTime());
      used = after - before;
    }
    return absl::OkStatus();
  }

  absl::Status Change(int number) {
    const absl::Time begun = absl::Now();
    const absl::Duration own_before = OwnCpuTime();
    MESHCA_ASSIGN_OR_RETURN(const std::optional<absl::Duration> cpu_before, ServerCpu());
    std::optional<absl::Duration> cpu_first;
    load_->BeginChange([&] {
      if (meter_) cpu_first = meter_->CpuTime().value_or(absl::ZeroDuration());
    });
    MESHCA_RETURN_IF_ERROR(Trigger(number));
    const absl::Duration own_used = OwnCpuTime() - own_before;
    MESHCA_ASSIGN_OR_RETURN(const SeenChange seen, load_->TakeChange());

    ChangeReport change;
    MESHCA_ASSIGN_OR_RETURN(const std::optional<absl::Time> published, PublishedAt());
    MESHCA_RETURN_IF_ERROR(Rest());
    MESHCA_ASSIGN_OR_RETURN(const std::optional<absl::Duration> cpu_after, ServerCpu());
    const absl::Time last = seen.acknowledged.back();
    change.streams = static_cast<int>(seen.acknowledged.size());
    change.spread = last - seen.first_received;
    if (published) change.published = last - *published;
    if (!options_.triggers.empty()) change.trigger = last - begun;
    for (const absl::Time at : seen.acknowledged) {
      change.latencies.push_back(at - published.value_or(seen.first_received));
    }
    if (cpu_before && cpu_after) change.server_cpu = *cpu_after - *cpu_before;
    if (cpu_first && cpu_after) change.fan_out_cpu = *cpu_after - *cpu_first;
    change.client_cpu = own_used;
    change.bytes = seen.bytes;
    report_.changes.push_back(std::move(change));
    return absl::OkStatus();
  }

  // Brings the change about, or waits for somebody to, and until every stream acknowledged it.
  absl::Status Trigger(int number) {
    const absl::Time deadline = absl::Now() + options_.wait;
    if (options_.triggers.empty()) {
      progress_(absl::StrCat("ready; waiting for change ", number + 1, " of ", options_.changes));
      return load_->ServeUntil([&] { return load_->ChangeEnded(); }, deadline).status();
    }
    const std::string& line = options_.triggers[number % options_.triggers.size()];
    MESHCA_ASSIGN_OR_RETURN(const std::unique_ptr<ShellCommand> command, ShellCommand::Start(line));
    // It is waited for, so that the next change does not run into it.
    MESHCA_ASSIGN_OR_RETURN(const bool ended,
                            load_->ServeUntil([&] { return command->HasEnded(); }, deadline, command->fd()));
    if (!ended) return absl::DeadlineExceededError(absl::StrCat("the command `", line, "` did not end"));
    MESHCA_RETURN_IF_ERROR(command->Reap());
    return load_->ServeUntil([&] { return load_->ChangeEnded(); }, deadline).status();
  }

  absl::StatusOr<std::optional<absl::Time>> PublishedAt() const {
    if (options_.published_at_command.empty()) return std::optional<absl::Time>();
    MESHCA_ASSIGN_OR_RETURN(const std::string text, LastLineOf(options_.published_at_command));
    MESHCA_ASSIGN_OR_RETURN(const absl::Time time, ParsePublishedAt(text));
    return std::optional<absl::Time>(time);
  }

  const SdsOptions& options_;
  const std::function<void(absl::string_view)>& progress_;
  SdsReport& report_;
  std::optional<ProcessMeter> meter_;
  std::unique_ptr<SdsLoad> load_;
};

}  // namespace

SdsOutcome MeasureSds(const SdsOptions& options, const std::function<void(absl::string_view)>& progress) {
  SdsOutcome outcome;
  outcome.report.address = options.load.server.address;
  outcome.report.protocol = options.load.discovery;
  outcome.report.streams = options.load.streams;
  outcome.report.resources = options.load.resources;
  Run run(options, progress, outcome.report);
  outcome.failure = run.Measure();
  run.Finish();
  return outcome;
}

absl::StatusOr<absl::Time> ParsePublishedAt(absl::string_view text) {
  double seconds = 0;
  if (absl::SimpleAtod(text, &seconds)) return absl::UnixEpoch() + absl::Seconds(seconds);
  absl::Time time;
  std::string error;
  if (absl::ParseTime(absl::RFC3339_full, text, &time, &error)) return time;
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is no time: seconds since 1970, or RFC 3339, are expected (", error, ")"));
}

}  // namespace meshca::bench
