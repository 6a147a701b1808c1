// Carries out what the CA orders: on the keys that this node's workloads hold, and on the agent's own certificate.
#ifndef MESHCA_CLI_AGENT_PROCESS_AGENT_ORDERS_H_
#define MESHCA_CLI_AGENT_PROCESS_AGENT_ORDERS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cli/agent/ca_orders.h"
#include "cli/agent/minted_jwts.h"
#include "cli/agent/own_identity.h"
#include "cli/agent/own_renewal.h"
#include "cli/agent_process/told_revocations.h"
#include "sds/sds_service.h"

namespace meshca::cli {

// See agent::CaOrders for what each order means, and for its thread.
class AgentOrders final : public agent::CaOrders {
 public:
  struct Parts {  // all outlive the orders
    sds::SdsService* sds = nullptr;
    ToldRevocations* revocations = nullptr;
    agent::MintedJwts* jwts = nullptr;
    agent::OwnRenewal* own_renewal = nullptr;
    const agent::OwnIdentityHolder* identity = nullptr;
  };

  // Before the connection to the CA begins.
  void Connect(Parts parts) { parts_ = parts; }

  void StopServing(const agent::ChosenKeys& keys, const std::string& reason) override;
  void RenewNow(const agent::ChosenKeys& keys) override;
  void PermitReissue(const std::vector<std::string>& authority_ids, uint32_t certificates,
                     absl::Duration within) override;

 private:
  Parts parts_;
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_AGENT_PROCESS_AGENT_ORDERS_H_
