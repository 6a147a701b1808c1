#include "ca/request_signing/due_requests.h"

namespace meshca {

void DueRequests::Put(const RequestAsker& asker, const std::string& uid, absl::Duration due, bool costly) {
  parties_.Put({uid, due}, costly, asker.party, asker.namespace_name, asker.account);
}

void DueRequests::Remove(const RequestAsker& asker, const std::string& uid, absl::Duration due) {
  parties_.Remove({uid, due}, asker.party, asker.namespace_name, asker.account);
}

std::optional<std::string> DueRequests::Take(absl::Duration now) {
  if (Next() > now) return std::nullopt;
  return parties_.Take(now);
}

std::optional<std::string> DueRequests::GivesWayTo(const RequestAsker& asker) const {
  return parties_.GivesWay(asker.party, asker.namespace_name, asker.account);
}

}  // namespace meshca
