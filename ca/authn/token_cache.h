// Verdicts on tokens seen a moment ago.
#ifndef MESHCA_CA_AUTHN_TOKEN_CACHE_H_
#define MESHCA_CA_AUTHN_TOKEN_CACHE_H_

#include <algorithm>
#include <cstddef>
#include <list>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/base/mutex.h"

namespace meshca {

// Keyed by JwtDigest::token, so that no token is kept. The `entries_max` used last stay. Thread-safe.
template <typename Verdict>
class TokenCache {
 public:
  static constexpr absl::Duration kLifetime = absl::Minutes(1);

  explicit TokenCache(size_t entries_max = 16'384) : entries_max_(entries_max) {}

  // Nothing: never seen, pushed out, or too old at `now`. A clock that went backwards makes an entry too old as well.
  std::optional<Verdict> Find(absl::string_view token_digest, absl::Time now) {
    MutexLock lock(mutex_);
    const auto it = by_hash_.find(token_digest);
    if (it == by_hash_.end()) return std::nullopt;
    const auto entry = it->second;
    if (now < entry->from || now >= entry->until) {
      by_hash_.erase(it);
      entries_.erase(entry);
      return std::nullopt;
    }
    entries_.splice(entries_.begin(), entries_, entry);
    return entry->verdict;
  }

  // Holds until `token_expires`, and at most `lifetime` from `now`.
  void Put(absl::string_view token_digest, Verdict verdict, absl::Time token_expires, absl::Time now,
           absl::Duration lifetime = kLifetime) {
    const absl::Time until = std::min(token_expires, now + lifetime);
    if (until <= now) return;
    MutexLock lock(mutex_);
    if (const auto it = by_hash_.find(token_digest); it != by_hash_.end()) {
      const auto entry = it->second;
      by_hash_.erase(it);
      entries_.erase(entry);
    } else if (entries_.size() >= entries_max_) {
      by_hash_.erase(entries_.back().token_digest);
      entries_.pop_back();
    }
    entries_.push_front(Entry{std::string(token_digest), std::move(verdict), now, until});
    by_hash_.emplace(entries_.front().token_digest, entries_.begin());
  }

  size_t size() const {
    MutexLock lock(mutex_);
    return entries_.size();
  }

 private:
  struct Entry {
    std::string token_digest;
    Verdict verdict;
    absl::Time from;
    absl::Time until;
  };
  const size_t entries_max_;
  mutable Mutex mutex_;
  std::list<Entry> entries_ ABSL_GUARDED_BY(mutex_);  // used last first
  absl::flat_hash_map<absl::string_view, typename std::list<Entry>::iterator> by_hash_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_TOKEN_CACHE_H_
