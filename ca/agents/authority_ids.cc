#include "ca/agents/authority_ids.h"

#include <algorithm>

namespace meshca {

AuthorityIds::Id AuthorityIds::Of(absl::string_view id) {
  if (const auto found = ids_.find(id); found != ids_.end()) return found->second;
  if (ids_.size() >= sweep_at_) {
    absl::erase_if(ids_, [](const auto& one) { return one.second.use_count() == 1; });
    sweep_at_ = std::max(kSweepMin, 2 * ids_.size());
  }
  auto made = std::make_shared<const std::string>(id);
  ids_.emplace(*made, made);
  return made;
}

}  // namespace meshca
