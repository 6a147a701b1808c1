// What a node's agent tells of what its node holds: `Held` of agent.proto as values.
#ifndef MESHCA_CA_AGENTS_AGENT_REPORT_H_
#define MESHCA_CA_AGENTS_AGENT_REPORT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "ca/subscribers/trust_version.h"

namespace meshca {

// A consumer on the node that holds a rotation up.
struct BehindConsumer {
  std::string spiffe_id;  // "": it takes trust alone
  uint32_t pid = 0;
  std::string program;             // the executable's path, or ""
  TrustVersion trust_version = 0;  // that it holds
  absl::Time since;                // since when it is behind
  bool delivered = false;          // written to it, and never acknowledged
  std::string authority_id;  // of the certificate that it holds in place of a newer one, counted in `under`; or ""
  bool operator==(const BehindConsumer&) const = default;
};

// Certificates that the node holds under one authority.
struct HeldUnder {
  std::string authority_id;
  uint64_t certificates = 0;
  bool operator==(const HeldUnder&) const = default;
};

// A value. It is the agent's own word: what of it is believed says AgentLedger.
struct HeldReport {
  static constexpr size_t kBehindMax = 100;
  static constexpr size_t kUnderMax = 16;

  TrustVersion trust_version = 0;      // what the slowest consumer holds
  TrustVersion own_trust_version = 0;  // what the agent was told last: held by every consumer that is not behind
  uint64_t entries_revision = 0;
  uint64_t consumers = 0;
  uint64_t behind = 0;                       // of those
  std::vector<BehindConsumer> behind_first;  // at most kBehindMax of them
  uint64_t certificates = 0;                 // held for workloads
  std::vector<HeldUnder> under;              // who signed them; at most kUnderMax
  bool operator==(const HeldReport&) const = default;
};

}  // namespace meshca

#endif  // MESHCA_CA_AGENTS_AGENT_REPORT_H_
