// Verdicts on tokens seen a moment ago.
#ifndef MESHCA_CA_AUTHN_JWT_CACHE_H_
#define MESHCA_CA_AUTHN_JWT_CACHE_H_

#include <cstddef>
#include <list>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/base/mutex.h"
#include "ca/identity/caller_identity.h"

namespace meshca {

// Keyed by the token's SHA-256, so that no token is kept. The `entries_max` used last stay. Thread-safe.
class JwtCache {
 public:
  static constexpr absl::Duration kLifetime = absl::Minutes(1);

  explicit JwtCache(size_t entries_max = 16'384) : entries_max_(entries_max) {}

  // Nothing: never seen, pushed out, or too old at `now`. A clock that went backwards makes an entry too old as well.
  std::optional<CallerIdentity> Find(absl::string_view token_sha256, absl::Time now);
  // Holds until `token_expires`, and at most kLifetime from `now`.
  void Put(absl::string_view token_sha256, CallerIdentity identity, absl::Time token_expires, absl::Time now);

  size_t size() const;

 private:
  struct Entry {
    std::string token_sha256;
    CallerIdentity identity;
    absl::Time from;
    absl::Time until;
  };
  const size_t entries_max_;
  mutable Mutex mutex_;
  std::list<Entry> entries_ ABSL_GUARDED_BY(mutex_);  // used last first
  absl::flat_hash_map<absl::string_view, std::list<Entry>::iterator> by_hash_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_JWT_CACHE_H_
