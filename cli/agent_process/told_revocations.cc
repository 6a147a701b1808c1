#include "cli/agent_process/told_revocations.h"

namespace meshca::cli {

void ToldRevocations::Add(const std::vector<std::string>& serials) {
  MutexLock lock(mutex_);
  for (const std::string& serial : serials) {
    if (!serials_.insert(serial).second) continue;
    in_order_.push_back(serial);
    if (in_order_.size() <= kRememberedMax) continue;
    serials_.erase(in_order_.front());
    in_order_.pop_front();
  }
}

absl::StatusOr<bool> ToldRevocations::IsRevoked(absl::string_view serial) {
  MutexLock lock(mutex_);
  return serials_.contains(serial);
}

}  // namespace meshca::cli
