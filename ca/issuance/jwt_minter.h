// Mints JWT-SVIDs with the key that signs now.
#ifndef MESHCA_CA_ISSUANCE_JWT_MINTER_H_
#define MESHCA_CA_ISSUANCE_JWT_MINTER_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/issuance/jwt_mint.h"
#include "ca/spiffe/spiffe_id.h"

namespace meshca {

// Whether the caller may have the identity was judged before. Tokens are counted and not recorded one by one: they are
// many, live for five minutes, and what takes them back is taking their key out of trust. Thread-safe; never blocks,
// and costs one P-256 signature.
class JwtMinter final : public JwtMint {
 public:
  // `authorities` outlives the minter.
  explicit JwtMinter(const AuthoritySnapshots& authorities) : authorities_(authorities) {}

  // A token for `id`, good for `audiences`, from `now` for kJwtSvidLifetimeMax, or for `ttl_max` if that is shorter
  // (zero: it is not). Dates are whole seconds; the end is rounded down.
  //
  // InvalidArgument: `id` is of another trust domain or has no path, a `ttl_max` below one second
  // (JWT_LIFETIME_INVALID), or what CheckJwtAudiences refuses. Unavailable (JWT_KEY_MISSING): no key signs now; the
  // message says why. Internal: OpenSSL.
  absl::StatusOr<MintedJwt> Mint(const SpiffeId& id, const std::vector<std::string>& audiences, absl::Duration ttl_max,
                                 absl::Time now) override;

  struct Stats {
    uint64_t minted = 0;
    uint64_t refused = 0;  // InvalidArgument
    uint64_t failed = 0;   // no key signed
  };
  Stats stats() const;

 private:
  absl::StatusOr<MintedJwt> MintNow(const SpiffeId& id, const std::vector<std::string>& audiences,
                                    absl::Duration ttl_max, absl::Time now) const;

  const AuthoritySnapshots& authorities_;
  std::atomic<uint64_t> minted_ = 0;
  std::atomic<uint64_t> refused_ = 0;
  std::atomic<uint64_t> failed_ = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_ISSUANCE_JWT_MINTER_H_
