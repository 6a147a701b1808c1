#include "ca/authn/jwt_cache.h"

#include <algorithm>
#include <utility>

namespace meshca {

std::optional<CallerIdentity> JwtCache::Find(absl::string_view token_sha256, absl::Time now) {
  MutexLock lock(mutex_);
  const auto it = by_hash_.find(token_sha256);
  if (it == by_hash_.end()) return std::nullopt;
  const auto entry = it->second;
  if (now < entry->from || now >= entry->until) {
    by_hash_.erase(it);
    entries_.erase(entry);
    return std::nullopt;
  }
  entries_.splice(entries_.begin(), entries_, entry);
  return entry->identity;
}

void JwtCache::Put(absl::string_view token_sha256, CallerIdentity identity, absl::Time token_expires, absl::Time now) {
  const absl::Time until = std::min(token_expires, now + kLifetime);
  if (until <= now) return;
  MutexLock lock(mutex_);
  if (const auto it = by_hash_.find(token_sha256); it != by_hash_.end()) {
    const auto entry = it->second;
    by_hash_.erase(it);
    entries_.erase(entry);
  } else if (entries_.size() >= entries_max_) {
    by_hash_.erase(entries_.back().token_sha256);
    entries_.pop_back();
  }
  entries_.push_front(Entry{std::string(token_sha256), std::move(identity), now, until});
  by_hash_.emplace(entries_.front().token_sha256, entries_.begin());
}

size_t JwtCache::size() const {
  MutexLock lock(mutex_);
  return entries_.size();
}

}  // namespace meshca
