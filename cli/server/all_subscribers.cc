#include "cli/server/all_subscribers.h"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>

#include "ca/base/log.h"
#include "ca/base/status.h"

namespace meshca::cli {
namespace {

bool ComesBefore(const SubscriberRecord& a, const SubscriberRecord& b) {
  return std::tie(a.spiffe_id, a.instance) < std::tie(b.spiffe_id, b.instance);
}

}  // namespace

absl::StatusOr<std::vector<SubscriberRecord>> AllSubscribers::List() {
  MESHCA_ASSIGN_OR_RETURN(std::vector<SubscriberRecord> records, sds_.List());
  std::vector<SubscriberRecord> agents = agents_.registry().List();
  std::move(agents.begin(), agents.end(), std::back_inserter(records));
  if (published_ != nullptr) {
    std::vector<SubscriberRecord> published = published_->List();
    std::move(published.begin(), published.end(), std::back_inserter(records));
  }
  std::sort(records.begin(), records.end(), ComesBefore);
  return records;
}

std::vector<std::string> AllSubscribers::Renew(const Wanted& wanted) {
  std::vector<std::string> renewed = sds_.Renew(wanted);
  const absl::StatusOr<std::vector<std::string>> by_agents = agents_.Renew(wanted);
  if (!by_agents.ok()) {
    LogWarning("agents of nodes could not be told to renew: the database did not say what they hold",
               {{"error", std::string(by_agents.status().message())}});
    return renewed;
  }
  renewed.insert(renewed.end(), by_agents->begin(), by_agents->end());
  return renewed;
}

absl::StatusOr<LiveSubscribers::Evicted> AllSubscribers::Evict(
    const std::function<bool(const SubscriberRecord&)>& chosen) {
  MESHCA_ASSIGN_OR_RETURN(Evicted evicted, sds_.Evict(chosen));
  MESHCA_ASSIGN_OR_RETURN(AgentRegistry::Evicted agents, agents_.registry().Evict(chosen));
  std::move(agents.records.begin(), agents.records.end(), std::back_inserter(evicted.records));
  std::sort(evicted.records.begin(), evicted.records.end(), ComesBefore);
  evicted.ended += agents.ended;
  return evicted;
}

uint64_t AllSubscribers::DropRevoked() {
  // Where that fails it is logged, and tried again until it succeeds.
  agents_.RevokedChanged().IgnoreError();
  return sds_.DropRevoked();
}

}  // namespace meshca::cli
