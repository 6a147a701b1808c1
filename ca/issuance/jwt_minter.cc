#include "ca/issuance/jwt_minter.h"

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/jwt/jwt_svid.h"

namespace meshca {
namespace {

// Only whole seconds stand in a token, and what is rounded must not become nothing.
constexpr absl::Duration kLifetimeMin = absl::Seconds(1);

absl::Status CheckRequest(const AuthoritySnapshot& snapshot, const SpiffeId& id,
                          const std::vector<std::string>& audiences, absl::Duration ttl_max) {
  if (!id.MemberOf(snapshot.bundle->trust_domain)) {
    return absl::InvalidArgumentError(
        absl::StrCat("JWT-SVID: ", id.uri(), " is not of the trust domain ", snapshot.bundle->trust_domain.name()));
  }
  if (!id.has_path()) {
    return absl::InvalidArgumentError(absl::StrCat("JWT-SVID: a workload's SPIFFE ID has a path: ", id.uri()));
  }
  if (ttl_max != absl::ZeroDuration() && ttl_max < kLifetimeMin) {
    return WithReason(
        absl::InvalidArgumentError(absl::StrCat("JWT-SVID: a lifetime of ", absl::FormatDuration(ttl_max),
                                                " is too short: the least is ", absl::FormatDuration(kLifetimeMin))),
        "JWT_LIFETIME_INVALID");
  }
  return CheckJwtAudiences(audiences);
}

}  // namespace

absl::StatusOr<MintedJwt> JwtMinter::MintNow(const SpiffeId& id, const std::vector<std::string>& audiences,
                                             absl::Duration ttl_max, absl::Time now) const {
  const std::shared_ptr<const AuthoritySnapshot> snapshot = authorities_.Current();
  if (snapshot == nullptr || snapshot->bundle == nullptr) return absl::UnavailableError("JWT-SVID: the CA is starting");
  MESHCA_RETURN_IF_ERROR(CheckRequest(*snapshot, id, audiences, ttl_max));
  if (snapshot->jwt_signer == nullptr) {
    return WithReason(
        absl::UnavailableError(absl::StrCat("JWT-SVID: no key signs now: ", snapshot->why_no_jwt,
                                            "; `meshca check` says what to do, and a client tries again")),
        "JWT_KEY_MISSING");
  }
  const absl::Duration lifetime =
      ttl_max == absl::ZeroDuration() ? kJwtSvidLifetimeMax : std::min(ttl_max, kJwtSvidLifetimeMax);
  const absl::Time issued_at = absl::FromUnixSeconds(absl::ToUnixSeconds(now));
  const absl::Time expires_at = absl::FromUnixSeconds(absl::ToUnixSeconds(issued_at + lifetime));
  MESHCA_ASSIGN_OR_RETURN(std::string token, MintJwtSvid({id, audiences, issued_at, expires_at},
                                                         *snapshot->jwt_signer->key, snapshot->jwt_signer->key_id));
  return MintedJwt{std::move(token), expires_at, snapshot->jwt_signer->key_id};
}

absl::StatusOr<MintedJwt> JwtMinter::Mint(const SpiffeId& id, const std::vector<std::string>& audiences,
                                          absl::Duration ttl_max, absl::Time now) {
  absl::StatusOr<MintedJwt> minted = MintNow(id, audiences, ttl_max, now);
  if (minted.ok()) {
    ++minted_;
  } else if (absl::IsInvalidArgument(minted.status())) {
    ++refused_;
  } else {
    ++failed_;
  }
  return minted;
}

JwtMinter::Stats JwtMinter::stats() const { return {minted_, refused_, failed_}; }

}  // namespace meshca
