// `meshca-bench agents`: a running CA and thousands of agents of nodes, each with consumers that need certificates.
#ifndef MESHCA_TEST_BENCH_AGENTS_COMMAND_H_
#define MESHCA_TEST_BENCH_AGENTS_COMMAND_H_

#include <sys/types.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "test/bench/agents_load.h"
#include "test/bench/agents_report.h"

namespace meshca::bench {

struct AgentsOptions {
  AgentsLoadOptions load;
  absl::Duration wait = absl::Minutes(2);  // for each phase
  size_t warm_up = 0;                      // certificates that a few agents ask for before memory is looked at
  absl::Duration idle;                     // a window in which nothing changes; zero: none
  int sign_rounds = 0;
  size_t sign_calls = 100, sign_batch = 64, sign_in_flight = 4;
  std::string trigger;       // a change to be followed to its end; empty: none
  size_t asleep = 0;         // consumers that sleep when it begins, one an agent
  std::string asleep_until;  // shell command: they wake up once it exits with 0
  int restarts = 0;
  pid_t server_pid = 0;
};

struct AgentsOutcome {
  AgentsReport report;   // as far as it came
  absl::Status failure;  // Ok: it came to the end
};

// Joins, connects, attaches; then what was asked for, in the order of the options. `progress` hears of each phase.
AgentsOutcome MeasureAgents(const AgentsOptions& options, const std::function<void(absl::string_view)>& progress);

// `exit_code`: 0 measured, 1 could not measure.
CLI::App* AddAgentsCommand(CLI::App& tool, int& exit_code);

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_AGENTS_COMMAND_H_
