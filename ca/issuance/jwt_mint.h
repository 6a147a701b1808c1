// Who mints JWT-SVIDs, for the services that hand them out.
#ifndef MESHCA_CA_ISSUANCE_JWT_MINT_H_
#define MESHCA_CA_ISSUANCE_JWT_MINT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/spiffe/spiffe_id.h"

namespace meshca {

// A JWT-SVID. Who has the token has the identity until it ends: it is never logged.
struct MintedJwt {
  std::string token;  // compact JWS
  absl::Time expires_at;
  std::string key_id;  // of the key that signed it
};

// Implemented by JwtMinter. Thread-safe; never blocks. Who may have the identity was judged before.
class JwtMint {
 public:
  virtual ~JwtMint() = default;

  // `ttl_max` zero: the default. See JwtMinter::Mint for the errors.
  virtual absl::StatusOr<MintedJwt> Mint(const SpiffeId& id, const std::vector<std::string>& audiences,
                                         absl::Duration ttl_max, absl::Time now) = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_ISSUANCE_JWT_MINT_H_
