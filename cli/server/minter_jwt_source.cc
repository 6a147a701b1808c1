#include "cli/server/minter_jwt_source.h"

#include <utility>

#include "ca/base/status.h"

namespace meshca::cli {

void MinterJwtSource::Mint(sds::JwtSvidRequest request, Done done) {
  if (!request.caller.MayHold(request.id)) {
    return std::move(done)(
        WithReason(absl::PermissionDeniedError("the caller may not have this identity"), "SPIFFE_ID_NOT_ALLOWED"));
  }
  absl::StatusOr<MintedJwt> minted =
      minter_.Mint(request.id, request.audiences, request.caller.JwtTtlMax(request.id), clock_.LikelyNow());
  if (!minted.ok()) return std::move(done)(minted.status());
  std::move(done)(sds::MintedJwtSvid{std::move(minted->token), minted->expires_at});
}

}  // namespace meshca::cli
