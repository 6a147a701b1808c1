// The agent at one moment, for `meshca status --agent`, `check --agent`, probes and metrics.
#ifndef MESHCA_CLI_AGENT_PROCESS_AGENT_VIEW_H_
#define MESHCA_CLI_AGENT_PROCESS_AGENT_VIEW_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/base/checked_fact.h"
#include "ca/subscribers/trust_version.h"
#include "cli/agent/ca_connection_status.h"
#include "cli/agent_process/key_keeper.h"
#include "meshca/admin/v1/admin.pb.h"

namespace meshca::cli {

struct AgentView {
  std::string version;
  std::string node;
  std::string trust_domain;
  std::string state_dir;
  absl::Time started_at;
  absl::Time now;
  bool clock_believed = true;
  absl::Duration clock_ahead;  // of the CA's; 0 where that is not known
  std::vector<std::string> servers;
  agent::CaConnectionStatus connection;
  absl::Time certificate_begins;
  absl::Time certificate_ends;  // of the agent's own certificate
  absl::Status renewal;         // why it could not be renewed, or saved, last; Ok: it was
  absl::Status rejoining;       // Membership::LastError
  TrustVersion trust_version = 0;
  uint32_t roots = 0;  // of its own trust domain
  uint64_t entries_revision = 0;
  uint64_t entries = 0;
  uint64_t certificates = 0;  // held for workloads
  uint64_t keys_waiting = 0;  // that wait for a certificate
  KeptKeysView kept;
  uint64_t consumers = 0;
  uint64_t consumers_behind = 0;
  std::vector<std::pair<std::string, std::string>> listeners;  // name, address

  bool certificate_ended() const { return certificate_ends <= now; }
};

// Whether it serves what it has: it does with its CA away, and until its own certificate has ended. Unavailable says
// what is missing.
absl::Status Ready(const AgentView& view);

// What `meshca check --agent` says of it.
std::vector<CheckedFact> CheckAgent(const AgentView& view);

// The answer to `meshca status --agent`.
admin::v1::ServerStatus StatusMessage(const AgentView& view);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_AGENT_PROCESS_AGENT_VIEW_H_
