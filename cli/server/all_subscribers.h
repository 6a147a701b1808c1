// What the admin service asks of everybody who holds what this CA signed: SDS and the agents of nodes.
#ifndef MESHCA_CLI_SERVER_ALL_SUBSCRIBERS_H_
#define MESHCA_CLI_SERVER_ALL_SUBSCRIBERS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ca/service/admin_context.h"
#include "ca/service/agent_service.h"

namespace meshca::cli {

// Asks both. Thread-safe.
class AllSubscribers final : public LiveSubscribers {
 public:
  // Both outlive it.
  AllSubscribers(LiveSubscribers& sds, AgentService& agents) : sds_(sds), agents_(agents) {}

  absl::StatusOr<std::vector<SubscriberRecord>> List() override;
  std::vector<std::string> Renew(const Wanted& wanted) override;
  absl::StatusOr<Evicted> Evict(const std::function<bool(const SubscriberRecord&)>& chosen) override;
  uint64_t DropRevoked() override;

 private:
  LiveSubscribers& sds_;
  AgentService& agents_;
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_SERVER_ALL_SUBSCRIBERS_H_
