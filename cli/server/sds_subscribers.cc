#include "cli/server/sds_subscribers.h"

#include <utility>

#include "ca/base/status.h"

namespace meshca::cli {

absl::StatusOr<std::vector<SubscriberRecord>> SdsSubscribers::List() { return service_.subscribers().List(); }

std::vector<std::string> SdsSubscribers::Renew(const Wanted& wanted) {
  const auto wants = [&wanted](const SpiffeId& id, absl::string_view serial) { return wanted(id.uri(), serial); };
  std::vector<std::string> renewed;
  for (const SpiffeId& id : service_.Renew(wants)) renewed.push_back(id.uri());
  return renewed;
}

absl::StatusOr<LiveSubscribers::Evicted> SdsSubscribers::Evict(
    const std::function<bool(const SubscriberRecord&)>& chosen) {
  MESHCA_ASSIGN_OR_RETURN(SubscriberRegistry::Evicted evicted, service_.Evict(chosen));
  return Evicted{std::move(evicted.records), evicted.ended};
}

uint64_t SdsSubscribers::DropRevoked() { return service_.DropRevoked(); }

}  // namespace meshca::cli
