// What operators take back or want renewed, brought to the agents of nodes.
#ifndef MESHCA_CA_SERVICE_AGENT_REVOCATIONS_H_
#define MESHCA_CA_SERVICE_AGENT_REVOCATIONS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/agents/agent_registry.h"
#include "ca/base/judged_clock.h"
#include "ca/base/mutex.h"
#include "ca/base/serial_executor.h"
#include "ca/identity/node_store.h"
#include "ca/issuance/issuance_store.h"

namespace meshca {

// Reads the inventory and tells the registry: agents that hold certificates which were revoked are told to stop serving
// them, and a node that was banned, or has no certificate left, is forgotten and its stream ended. One thread alone
// reads and tells, so that an older reading never follows a newer one; what could not be read stays due.
class AgentRevocations {
 public:
  struct Parts {  // all outlive it
    AgentRegistry* registry = nullptr;
    IssuanceStore* issuances = nullptr;
    NodeStore* nodes = nullptr;
    const JudgedClock* clock = nullptr;
  };

  explicit AgentRevocations(Parts parts) : parts_(parts) {}

  // Any thread: certificates were revoked, or a node banned. Waits until `executor`, one of whose duties is TellIfDue,
  // has told the agents. An error: not all of them yet; TellIfDue tries again.
  absl::Status TellBy(SerialExecutor& executor);

  // One thread at a time. Blocks on the database. An error is logged, and the next call tries again.
  void TellIfDue();
  // Before that thread begins. Blocks on the database.
  absl::Status Tell();

  // Has agents that are attached replace the certificates of theirs that `wanted` names; returns their SPIFFE IDs.
  // Any thread; blocks on the database.
  absl::StatusOr<std::vector<std::string>> Renew(
      const std::function<bool(absl::string_view spiffe_id, absl::string_view serial)>& wanted) const;

 private:
  absl::Status VisitLive(IssuanceFilter filter, absl::FunctionRef<void(const IssuanceRecord&)> visit) const;
  absl::Status ForgetBanned();
  absl::Status ForgetIfNothingIsLeft(const std::string& node);

  const Parts parts_;
  Mutex mutex_;
  bool due_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status last_ ABSL_GUARDED_BY(mutex_);  // of TellIfDue
};

}  // namespace meshca

#endif  // MESHCA_CA_SERVICE_AGENT_REVOCATIONS_H_
