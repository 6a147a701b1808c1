#include "ca/rpc/session_cache.h"

#include <utility>

namespace meshca::rpc {

void SessionCache::Put(absl::string_view id, SslSessionPtr session, ChainDer chain) {
  if (sessions_max_ == 0) return;
  std::list<Node> dropped;  // Freed outside the lock: freeing a session walks its certificates.
  {
    MutexLock lock(mutex_);
    if (auto old = by_id_.find(id); old != by_id_.end()) {
      auto node = old->second;
      by_id_.erase(old);
      dropped.splice(dropped.end(), by_use_, node);
    }
    by_use_.push_front({std::string(id), std::move(session), std::move(chain)});
    by_id_.emplace(by_use_.front().id, by_use_.begin());
    if (by_use_.size() > sessions_max_) {
      by_id_.erase(by_use_.back().id);
      dropped.splice(dropped.end(), by_use_, std::prev(by_use_.end()));
    }
  }
}

std::optional<SessionCache::Entry> SessionCache::Find(absl::string_view id) {
  MutexLock lock(mutex_);
  auto found = by_id_.find(id);
  if (found == by_id_.end()) return std::nullopt;
  by_use_.splice(by_use_.begin(), by_use_, found->second);
  const Node& node = by_use_.front();
  SSL_SESSION_up_ref(node.session.get());
  return Entry{SslSessionPtr(node.session.get()), node.chain};
}

void SessionCache::Remove(absl::string_view id) {
  std::list<Node> dropped;
  {
    MutexLock lock(mutex_);
    auto found = by_id_.find(id);
    if (found == by_id_.end()) return;
    auto node = found->second;
    by_id_.erase(found);
    dropped.splice(dropped.end(), by_use_, node);
  }
}

void SessionCache::Clear() {
  std::list<Node> dropped;
  {
    MutexLock lock(mutex_);
    by_id_.clear();
    dropped.swap(by_use_);
  }
}

size_t SessionCache::size() const {
  MutexLock lock(mutex_);
  return by_use_.size();
}

}  // namespace meshca::rpc
