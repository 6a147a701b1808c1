#include "cli/agent_process/agent_orders.h"

#include <algorithm>

#include "ca/base/log.h"

namespace meshca::cli {

void AgentOrders::StopServing(const agent::ChosenKeys& keys, const std::string& reason) {
  parts_.revocations->Add(keys.serials);
  parts_.jwts->StopServing(keys.spiffe_ids, reason);
  const uint64_t dropped = parts_.sds->DropRevoked();
  LogWarning("the CA took certificates of this node back", {{"certificates", std::to_string(keys.serials.size())},
                                                            {"keys_dropped", std::to_string(dropped)},
                                                            {"why", reason}});
}

void AgentOrders::RenewNow(const agent::ChosenKeys& keys) {
  parts_.sds->Renew(
      [&](const SpiffeId& id, absl::string_view serial) { return keys.Contains(id.uri(), std::string(serial)); });
  const agent::OwnIdentityPtr own = parts_.identity->Current();
  if (own != nullptr && keys.Contains(own->id.uri(), own->serial)) parts_.own_renewal->RenewSoon();
}

void AgentOrders::PermitReissue(const std::vector<std::string>& authority_ids, uint32_t certificates,
                                absl::Duration within) {
  if (certificates == 0) return;
  const absl::Duration time = std::max(within, absl::Milliseconds(1));
  parts_.sds->keys().Reissue(
      [&](absl::string_view authority_id) {
        return std::find(authority_ids.begin(), authority_ids.end(), authority_id) != authority_ids.end();
      },
      certificates / absl::ToDoubleSeconds(time), certificates);
}

}  // namespace meshca::cli
