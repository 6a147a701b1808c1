// Tokens whose signature was found to be bad.
#ifndef MESHCA_CA_AUTHN_REFUSED_TOKENS_H_
#define MESHCA_CA_AUTHN_REFUSED_TOKENS_H_

#include <cstddef>
#include <deque>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "ca/base/mutex.h"
#include "ca/jwt/jwks.h"

namespace meshca {

// A client that was refused asks again with the same token: its signature need not be checked twice. A bad signature
// stays bad as long as the keys are the same, so what is remembered goes with the very key set it was found under.
// Keyed by JwtDigest::token; the `entries_max` refused last stay. A memory of its own, so that nobody pushes good
// verdicts out of TokenCache by sending bad tokens. Thread-safe.
class RefusedTokens {
 public:
  explicit RefusedTokens(size_t entries_max = 4096) : entries_max_(entries_max) {}

  // Was the token refused under `keys`?
  bool Contains(absl::string_view token_digest, const std::shared_ptr<const Jwks>& keys) const;
  void Put(absl::string_view token_digest, const std::shared_ptr<const Jwks>& keys);

  size_t size() const;

 private:
  const size_t entries_max_;
  mutable Mutex mutex_;
  // Weak: a set that was replaced ends, and none that takes its address is taken for it.
  absl::flat_hash_map<std::string, std::weak_ptr<const Jwks>> keys_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::string> order_ ABSL_GUARDED_BY(mutex_);  // the hashes in keys_, oldest first
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_REFUSED_TOKENS_H_
