// Shares the rate at which a rotation replaces certificates among the agents that hold stale ones.
#ifndef MESHCA_CA_AGENTS_PERMIT_SHARE_H_
#define MESHCA_CA_AGENTS_PERMIT_SHARE_H_

#include <cstdint>
#include <deque>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "ca/agents/agent_ledger.h"

namespace meshca {

// Hands out permits so that no more than the budget's certificates are granted in any second, the first one included,
// whoever asks; an agent spreads what it was granted over kWithin. Agents take turns. What an agent was granted and has
// not reported as done is not granted again until it has had ample time. A value with one owner: no lock, no clock.
class PermitShare {
 public:
  // Every permit is for this long.
  static constexpr absl::Duration kWithin = absl::Seconds(1);
  // How long after a permit has ended the agent's report is waited for, before what is still stale is granted anew.
  static constexpr absl::Duration kReportWait = absl::Seconds(10);

  struct Want {
    AgentStreamId stream = AgentStreamId::kNone;
    uint64_t certificates = 0;  // stale ones, as reported last
  };
  struct Grant {
    AgentStreamId stream = AgentStreamId::kNone;
    uint64_t certificates = 0;
  };

  // What is granted now: called again and again while anybody is in want. `wants` are all who are.
  std::vector<Grant> Share(std::vector<Want> wants, double per_second, absl::Duration since_boot);

 private:
  struct Given {
    uint64_t certificates = 0;  // granted and not reported as done
    uint64_t wanted = 0;        // as reported when `certificates` was counted last
    absl::Duration until;       // then it counts no more
  };
  void Settle(const std::vector<Want>& wants, absl::Duration since_boot);

  // What may be granted now: beside the pace, the budget of a second less what was granted within the last one.
  void Refill(double per_second, absl::Duration since_boot);

  double left_ = 0;  // certificates that may be granted now
  struct Past {
    absl::Duration at;
    uint64_t certificates = 0;
  };
  std::deque<Past> past_;  // grants of the last kWithin
  absl::Duration filled_at_ = -absl::InfiniteDuration();
  AgentStreamId last_ = AgentStreamId::kNone;  // whose turn it was last
  absl::flat_hash_map<AgentStreamId, Given> given_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AGENTS_PERMIT_SHARE_H_
