// What a rotation asks of whoever holds keys for subscribers: successors under the new root. sds/ implements it.
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
    uint64_t left = 0;  // keys that subscribers hold here and `stale` picks, newly scheduled ones included
  };
  virtual ~KeyReissuer() = default;

  // Every key that a subscriber holds and whose certificate was signed by an authority that `stale` picks (by
  // SigningAuthority::id) gets a successor: at most `per_second` of them a second, those that end first in front, none
  // later than it would have been renewed anyway. Keys scheduled by an earlier call keep their place, so it may be
  // called again and again.
  virtual Progress Reissue(absl::FunctionRef<bool(absl::string_view authority_id)> stale, double per_second) = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_KEY_REISSUER_H_
