// How a rotation of the root puts the keys of SDS subscribers under the new one.
#ifndef MESHCA_CLI_SERVER_KEY_RING_REISSUER_H_
#define MESHCA_CLI_SERVER_KEY_RING_REISSUER_H_

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "ca/authority/key_reissuer.h"
#include "sds/key_ring.h"

namespace meshca::cli {

// Hands each call on: ca/authority and sds/ do not know of each other. Thread-safe.
class KeyRingReissuer final : public KeyReissuer {
 public:
  // `keys` outlives it.
  explicit KeyRingReissuer(sds::KeyRing& keys) : keys_(keys) {}

  Progress Reissue(absl::FunctionRef<bool(absl::string_view authority_id)> stale, double per_second) override {
    return {keys_.Reissue(stale, per_second)};
  }

 private:
  sds::KeyRing& keys_;
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_SERVER_KEY_RING_REISSUER_H_
