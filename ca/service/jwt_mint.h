// What the agent service asks for a JWT-SVID.
#ifndef MESHCA_CA_SERVICE_JWT_MINT_H_
#define MESHCA_CA_SERVICE_JWT_MINT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/spiffe/spiffe_id.h"

namespace meshca {

// A JWT-SVID. Who has the token has the identity until it ends: it is never logged.
struct AgentJwt {
  std::string token;  // compact JWS
  absl::Time expires_at;
  std::string key_id;
};

// Thread-safe; never blocks. Who may have the identity was judged before.
class JwtMint {
 public:
  virtual ~JwtMint() = default;

  // `ttl_max` zero: the default. InvalidArgument (audiences), Unavailable (no key signs now), Internal.
  virtual absl::StatusOr<AgentJwt> Mint(const SpiffeId& id, const std::vector<std::string>& audiences,
                                        absl::Duration ttl_max, absl::Time now) = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_SERVICE_JWT_MINT_H_
