#include "cli/agent_process/told_jwt_source.h"

#include <utility>

namespace meshca::cli {

void ToldJwtSource::Mint(sds::JwtSvidRequest request, Done done) {
  agent::JwtWish wish;
  wish.entry_id = request.caller.OriginOf(request.id).reference;
  wish.id = std::move(request.id);
  wish.audiences = std::move(request.audiences);
  jwts_.Mint(std::move(wish), [done = std::move(done)](absl::StatusOr<agent::HeldJwt> held) mutable {
    if (!held.ok()) return std::move(done)(held.status());
    std::move(done)(sds::MintedJwtSvid{std::move(held->token), held->expires_at});
  });
}

}  // namespace meshca::cli
