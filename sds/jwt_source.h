// Mints JWT-SVIDs. `meshca serve` signs them with its own key; an agent asks its CA.
#ifndef MESHCA_SDS_JWT_SOURCE_H_
#define MESHCA_SDS_JWT_SOURCE_H_

#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/identity/caller_identity.h"
#include "ca/spiffe/spiffe_id.h"

namespace meshca::sds {

// A request for one token.
struct JwtSvidRequest {
  SpiffeId id;
  CallerIdentity caller;               // who asks, and may hold `id`; JwtTtlMax(id) bounds the token's life
  std::vector<std::string> audiences;  // CheckJwtAudiences has passed them
};

struct MintedJwtSvid {
  std::string token;  // compact JWS; a bearer token, so nothing logs it
  absl::Time expires_at;
};

// Thread-safe.
class JwtSource {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<MintedJwtSvid>) &&>;
  virtual ~JwtSource() = default;

  // Asks for a token and returns; never blocks. `done` runs once, on any thread, perhaps before this returns, and must
  // not block. Errors: Unavailable (no key signs now: ask again), PermissionDenied (not for this caller).
  virtual void Mint(JwtSvidRequest request, Done done) = 0;
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_JWT_SOURCE_H_
