#include "ca/authn/refused_tokens.h"

namespace meshca {

bool RefusedTokens::Contains(absl::string_view token_digest, const std::shared_ptr<const Jwks>& keys) const {
  MutexLock lock(mutex_);
  const auto found = keys_.find(token_digest);
  return found != keys_.end() && keys != nullptr && found->second.lock() == keys;
}

void RefusedTokens::Put(absl::string_view token_digest, const std::shared_ptr<const Jwks>& keys) {
  MutexLock lock(mutex_);
  const auto [at, is_new] = keys_.insert_or_assign(std::string(token_digest), keys);
  if (!is_new) return;
  order_.push_back(at->first);
  if (order_.size() <= entries_max_) return;
  keys_.erase(order_.front());
  order_.pop_front();
}

size_t RefusedTokens::size() const {
  MutexLock lock(mutex_);
  return order_.size();
}

}  // namespace meshca
