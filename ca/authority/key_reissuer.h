// The interface by which a rotation has subscribers' keys replaced under the new root. The server implements it with
// sds::KeyRing, which holds these keys.
#ifndef MESHCA_CA_AUTHORITY_KEY_REISSUER_H_
#define MESHCA_CA_AUTHORITY_KEY_REISSUER_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"

namespace meshca {

// Thread-safe; never blocks.
class KeyReissuer {
 public:
  struct Progress {
    uint64_t left = 0;  // keys that subscribers hold and that are still stale, those scheduled now included
  };
  virtual ~KeyReissuer() = default;

  // Schedules the replacement of every key that a subscriber holds and whose certificate was signed by an authority for
  // which `stale` is true (the argument is SigningAuthority::id): at most `per_second` keys a second, certificates that
  // end first in front, none later than it would have been renewed anyway. Keys scheduled by an earlier call keep their
  // time, so this may be called again and again.
  virtual Progress Reissue(absl::FunctionRef<bool(absl::string_view authority_id)> stale, double per_second) = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_KEY_REISSUER_H_
