// What a run of simulated agents found, phase by phase.
#ifndef MESHCA_TEST_BENCH_AGENTS_REPORT_H_
#define MESHCA_TEST_BENCH_AGENTS_REPORT_H_

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "test/bench/agents_load.h"
#include "test/bench/process_meter.h"

namespace meshca::bench {

// One phase of a run.
struct AgentsPhase {
  absl::Duration wall;
  std::optional<absl::Duration> server_cpu;
  absl::Duration load_cpu;
  std::optional<absl::Duration> arithmetic;  // P-256 verify + sign, mean of before and after; where it was asked for
  AgentsCounts counts;
};

struct AgentsReport {
  size_t agents = 0;
  uint32_t consumers = 0;
  size_t warm_up_agents = 0;  // that were attached before `before` was looked at
  uint64_t held = 0;          // certificates of workloads, all agents together
  std::optional<AgentsPhase> join, connect, attach, idle;
  std::optional<ProcessMemory> before, connected, attached;  // the server at rest
  std::vector<AgentsPhase> sign;
  std::optional<AgentsPhase> change;
  std::optional<absl::Duration> asleep_until;  // from the change's start until the sleepers were woken
  std::vector<AgentsPhase> restarts;
};

nlohmann::json ToJson(const AgentsReport& report);
void PrintForPeople(const AgentsReport& report, std::ostream& out);

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_AGENTS_REPORT_H_
