#include "sds/secret_name.h"

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/authn/overflow_ids.h"
#include "ca/authn/unix_peer.h"
#include "ca/base/status.h"

namespace meshca::sds {
namespace {

absl::Status Denied(absl::string_view name, absl::string_view why, absl::string_view reason) {
  return WithReason(absl::PermissionDeniedError(absl::StrCat("secret ", QuoteName(name), ": ", why)), reason);
}

absl::StatusOr<ResolvedName> Default(const SdsCaller& caller, const TrustDomain& own, const EntryAdvice& advice) {
  if (const SpiffeId* id = caller.DefaultId(); id != nullptr) {
    if (!caller.MayReceiveKeyOf(*id)) {
      return Denied(kDefaultName, absl::StrCat("this connection may not carry the key of ", id->uri()),
                    "SPIFFE_ID_NOT_ALLOWED");
    }
    return ResolvedName{std::string(kDefaultName), SecretKind::kIdentity, *id};
  }
  if (caller.peer->unix_credentials.has_value()) {
    return Annotate(EntryMissing(own, advice, caller.peer->unix_credentials->uid), "secret \"default\"");
  }
  return Denied(kDefaultName, "the caller has no identity of its own", "ENTRY_MISSING");
}

absl::StatusOr<ResolvedName> Identity(absl::string_view name, SpiffeId id, const SdsCaller& caller,
                                      const TrustDomain& own, const EntryAdvice& advice) {
  if (!id.MemberOf(own)) {
    return Denied(name, absl::StrCat("this CA signs for ", own.Id(), " only"), "SPIFFE_ID_NOT_ALLOWED");
  }
  if (!caller.MayReceiveKeyOf(id)) {
    const auto& peer = caller.peer->unix_credentials;
    const bool entry_helps =
        peer.has_value() && !id.IsReserved() && OverflowIds::OfKernel().UidFault(peer->uid).empty();
    return Denied(
        name,
        absl::StrCat("the caller (", caller.identity.subject, ") may not hold this identity", entry_helps ? "; " : "",
                     entry_helps ? advice.Say("let it", id.uri(), UidSelector(peer->uid)) : ""),
        "SPIFFE_ID_NOT_ALLOWED");
  }
  return ResolvedName{std::string(name), SecretKind::kIdentity, std::move(id)};
}

}  // namespace

std::string QuoteName(absl::string_view name) {
  constexpr size_t kShown = 100;
  return absl::StrCat("\"", absl::CHexEscape(name.substr(0, kShown)), name.size() > kShown ? "...\"" : "\"");
}

absl::StatusOr<ResolvedName> ResolveName(absl::string_view name, const SdsCaller& caller, const TrustDomain& own,
                                         const EntryAdvice& advice) {
  if (name == kDefaultName) return Default(caller, own, advice);
  if (name == kRootCaName) return ResolvedName{std::string(name), SecretKind::kBundle, {}};
  if (name == kAllName) return ResolvedName{std::string(name), SecretKind::kAllBundles, {}};
  if (!absl::StartsWithIgnoreCase(name, "spiffe://")) {
    return Denied(name, "there is no such secret; there are default, ROOTCA, ALL, SPIFFE IDs and spiffe://TRUST-DOMAIN",
                  "SECRET_UNKNOWN");
  }
  absl::StatusOr<SpiffeId> id = SpiffeId::Parse(name);
  if (!id.ok()) return Denied(name, id.status().message(), "SECRET_UNKNOWN");
  if (id->has_path()) return Identity(name, *std::move(id), caller, own, advice);
  if (!id->MemberOf(own)) {
    return Denied(name, absl::StrCat("no bundle of this trust domain is known here; ", own.Id(), " is"),
                  "TRUST_DOMAIN_UNKNOWN");
  }
  return ResolvedName{std::string(name), SecretKind::kBundle, {}};
}

absl::Status NameFirstId(const absl::Status& refusal, const std::vector<std::string>& names, const TrustDomain& own) {
  for (const std::string& name : names) {
    const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(name);
    if (id.ok() && id->has_path() && id->MemberOf(own)) return NameWantedId(refusal, own, *id);
  }
  return refusal;
}

}  // namespace meshca::sds
