// What the admin service asks of everybody who holds what this CA signed or trusts: SDS, the agents of nodes, and the
// objects of a cluster.
#ifndef MESHCA_CLI_SERVER_ALL_SUBSCRIBERS_H_
#define MESHCA_CLI_SERVER_ALL_SUBSCRIBERS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ca/service/admin_context.h"
#include "ca/service/agent_service.h"
#include "ca/subscribers/evidence_source.h"

namespace meshca::cli {

// Asks all of them. Thread-safe.
class AllSubscribers final : public LiveSubscribers {
 public:
  // All outlive it. `published`: the objects that the roots stand in; null: there are none.
  AllSubscribers(LiveSubscribers& sds, AgentService& agents, const EvidenceSource* published)
      : sds_(sds), agents_(agents), published_(published) {}

  absl::StatusOr<std::vector<SubscriberRecord>> List() override;
  std::vector<std::string> Renew(const Wanted& wanted) override;
  absl::StatusOr<Evicted> Evict(const std::function<bool(const SubscriberRecord&)>& chosen) override;
  uint64_t DropRevoked() override;

 private:
  LiveSubscribers& sds_;
  AgentService& agents_;
  const EvidenceSource* const published_;
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_SERVER_ALL_SUBSCRIBERS_H_
