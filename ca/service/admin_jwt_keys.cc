// Keys of JWT-SVIDs: what the operator sees of them and orders, and tokens minted for him.
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/secret.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"
#include "ca/jwt/jwt_key.h"
#include "ca/jwt/jwt_svid.h"
#include "ca/service/admin_methods.h"
#include "ca/service/proto_time.h"

namespace meshca::admin_methods {
namespace {

absl::Status CheckHasJwtKeys(const AdminContext& context) {
  if (context.jwt_keys != nullptr) return absl::OkStatus();
  return WithReason(absl::UnimplementedError("this server has no keys of JWT-SVIDs"), "JWT_UNSUPPORTED");
}

absl::StatusOr<v1::JwtKey> Message(const JwtAuthority& key) {
  v1::JwtKey message;
  message.set_key_id(key.key.key_id);
  message.set_state(std::string(AuthorityStateName(key.state)));
  message.set_tainted(key.tainted);
  message.set_published_sequence(key.published_version);
  SetTime(key.created_at, [&] { return message.mutable_created_at(); });
  SetTime(key.activated_at, [&] { return message.mutable_activated_at(); });
  SetTime(key.replaced_at, [&] { return message.mutable_replaced_at(); });
  SetTime(key.retired_at, [&] { return message.mutable_retired_at(); });
  MESHCA_ASSIGN_OR_RETURN(*message.mutable_jwk(), JwtSvidJwk(key.key));
  return message;
}

absl::StatusOr<v1::JwtKeys> Report(const AdminContext& context, bool include_retired) {
  const JwtKeysReport report = context.jwt_keys->Report();
  v1::JwtKeys message;
  message.set_trust_domain(context.facts.trust_domain.name());
  for (const JwtAuthority& key : report.keys) {
    if (key.state == AuthorityState::kRetired && !include_retired) continue;
    MESHCA_ASSIGN_OR_RETURN(*message.add_keys(), Message(key));
  }
  message.set_signing_key_id(report.signing_key_id);
  message.set_why_not_signing(report.why_not_signing);
  message.set_waiting_for(report.waiting_for);
  message.set_subscribers(report.evidence.subscribers);
  message.set_subscribers_behind(report.evidence.subscribers_behind);
  for (const Laggard& laggard : report.evidence.laggards) *message.add_laggards() = LaggardMessage(laggard);
  message.set_error(report.error);
  message.set_frozen(report.frozen);
  SetTime(report.next_rotation, [&] { return message.mutable_next_rotation(); });
  SetTime(context.clock.Now(), [&] { return message.mutable_now(); });
  if (context.jwt_minter != nullptr) message.set_minted(context.jwt_minter->stats().minted);
  return message;
}

// What an operator may have minted: every identity but those of meshca itself, as with certificates.
absl::StatusOr<SpiffeId> ReadIdentity(const AdminContext& context, const std::string& text) {
  MESHCA_ASSIGN_OR_RETURN(SpiffeId id, SpiffeId::Parse(text));
  if (id.IsReserved()) {
    return WithReason(absl::PermissionDeniedError(absl::StrCat(
                          id.uri(), " is meshca's own: nobody gets a token of it; choose a path outside /meshca")),
                      "SPIFFE_ID_NOT_ALLOWED");
  }
  return id;
}

absl::StatusOr<absl::Duration> ReadTtl(const v1::MintJwtRequest& request) {
  if (!request.has_ttl()) return kJwtSvidLifetimeMax;
  const absl::Duration ttl = ToDuration(request.ttl());
  // A lifetime that is too long is refused and not clipped: whoever asked counts on it. Below that the minter judges.
  if (ttl > absl::ZeroDuration() && ttl <= kJwtSvidLifetimeMax) return ttl;
  return WithReason(
      absl::InvalidArgumentError(absl::StrCat("a JWT-SVID lives from 1s to ", absl::FormatDuration(kJwtSvidLifetimeMax),
                                              ", not ", absl::FormatDuration(ttl))),
      "JWT_LIFETIME_INVALID");
}

}  // namespace

absl::StatusOr<v1::JwtKeys> ListJwtKeys(const AdminContext& context, const std::string& actor,
                                        const v1::ListJwtKeysRequest& request) {
  MESHCA_RETURN_IF_ERROR(CheckHasJwtKeys(context));
  return Report(context, request.include_retired());
}

absl::StatusOr<v1::JwtKeys> RotateJwtKeys(const AdminContext& context, const std::string& actor,
                                          const v1::RotateJwtKeysRequest& request) {
  MESHCA_RETURN_IF_ERROR(CheckHasJwtKeys(context));
  MESHCA_RETURN_IF_ERROR(context.jwt_keys->Rotate(actor));
  return Report(context, /*include_retired=*/false);
}

absl::StatusOr<v1::JwtKeys> TaintJwtKey(const AdminContext& context, const std::string& actor,
                                        const v1::TaintJwtKeyRequest& request) {
  MESHCA_RETURN_IF_ERROR(CheckHasJwtKeys(context));
  MESHCA_RETURN_IF_ERROR(context.jwt_keys->Taint(request.key_id(), actor));
  return Report(context, /*include_retired=*/true);
}

absl::StatusOr<v1::MintJwtResponse> MintJwt(const AdminContext& context, const std::string& actor,
                                            const v1::MintJwtRequest& request) {
  MESHCA_RETURN_IF_ERROR(CheckHasJwtKeys(context));
  if (context.jwt_minter == nullptr) return absl::UnimplementedError("this server mints no JWT-SVIDs");
  MESHCA_ASSIGN_OR_RETURN(const SpiffeId id, ReadIdentity(context, request.spiffe_id()));
  MESHCA_ASSIGN_OR_RETURN(const absl::Duration ttl, ReadTtl(request));
  const std::vector<std::string> audiences(request.audiences().begin(), request.audiences().end());
  const absl::Time now = context.clock.LikelyNow();
  MESHCA_ASSIGN_OR_RETURN(MintedJwt minted, context.jwt_minter->Mint(id, audiences, ttl, now));
  // An operator names any identity, so what he takes is written down before he has it, unlike a workload's own.
  AuditEntry audit;
  audit.time = now;
  audit.actor = actor;
  audit.action = "jwt.mint";
  audit.target = id.uri();
  audit.detail = absl::StrCat("for ", absl::StrJoin(audiences, ", "), " until ", OffsetText(minted.expires_at),
                              ", by key ", minted.key_id);
  if (const absl::Status recorded = context.maintenance.RecordAudit(audit); !recorded.ok()) {
    Wipe(minted.token);
    return Annotate(recorded, "no token is given, because the audit log cannot be written");
  }
  v1::MintJwtResponse response;
  response.set_token(std::move(minted.token));
  response.set_key_id(minted.key_id);
  SetTime(minted.expires_at, [&] { return response.mutable_expires_at(); });
  return response;
}

}  // namespace meshca::admin_methods
