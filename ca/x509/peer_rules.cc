#include "ca/x509/peer_rules.h"

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"
#include "ca/x509/certificate_reader.h"

namespace meshca {
namespace {

absl::Status CheckTime(const Validity& validity, absl::string_view who, absl::Time now) {
  if (validity.Contains(now)) return absl::OkStatus();
  if (now < validity.not_before) {
    return PeerRefused("PEER_NOT_YET_VALID", absl::StrCat(who, " is not valid before ", OffsetText(validity.not_before),
                                                          "; here it is ", OffsetText(now)));
  }
  return PeerRefused("PEER_EXPIRED", absl::StrCat(who, " expired at ", OffsetText(validity.not_after), "; here it is ",
                                                  OffsetText(now)));
}

bool HasRole(const CertificateFields& fields, PeerRole role) {
  return !fields.has_extended_key_usage || (role == PeerRole::kClient ? fields.client_auth : fields.server_auth);
}

absl::string_view RoleName(PeerRole role) { return role == PeerRole::kClient ? "clientAuth" : "serverAuth"; }

}  // namespace

absl::Status PeerRefused(absl::string_view reason, absl::string_view what) {
  return WithReason(absl::UnauthenticatedError(absl::StrCat("peer certificate: ", what)), reason);
}

std::string AuthorityName(const CertificateFields& authority) {
  return absl::StrCat("authority \"", NameText(authority.subject_der), "\"");
}

absl::StatusOr<SpiffeId> CheckPeerLeaf(const CertificateFields& leaf, const TrustDomain& domain, absl::Time now,
                                       PeerRole role) {
  const auto no_svid = [](absl::string_view what) { return PeerRefused("PEER_NOT_SVID", what); };
  if (leaf.is_ca) return no_svid("is an authority's, not a workload's");
  if (!leaf.unknown_critical.empty()) {
    return no_svid(absl::StrCat("has the unknown critical extension ", leaf.unknown_critical));
  }
  if (leaf.has_name_constraints) return no_svid("has nameConstraints, which a leaf must not have");
  if (!leaf.key_usage.has_value() || (*leaf.key_usage & kDigitalSignature) == 0) {
    return no_svid("keyUsage lacks digitalSignature");
  }
  if ((*leaf.key_usage & (kKeyCertSign | kCrlSign)) != 0) return no_svid("keyUsage has keyCertSign or cRLSign");
  if (!HasRole(leaf, role)) return no_svid(absl::StrCat("extendedKeyUsage lacks ", RoleName(role)));
  absl::StatusOr<SpiffeId> id = OneSpiffeId(leaf);
  if (!id.ok()) return no_svid(id.status().message());
  if (!id->has_path()) return no_svid(absl::StrCat("its SPIFFE ID has no path: ", id->uri()));
  if (!id->MemberOf(domain)) {
    return PeerRefused("PEER_TRUST_DOMAIN",
                       absl::StrCat("is of trust domain ", id->trust_domain_name(), ", not ", domain.name()));
  }
  MESHCA_RETURN_IF_ERROR(CheckTime(leaf.validity, "it", now));
  return id;
}

absl::Status CheckPeerAuthority(const CertificateFields& authority, absl::Time now, PeerRole role) {
  // The name is put into words only for a refusal: that costs as much as the rest of these checks together.
  const auto untrusted = [&authority](absl::string_view what) {
    return PeerRefused("PEER_UNTRUSTED", absl::StrCat(AuthorityName(authority), what));
  };
  if (!authority.has_basic_constraints || !authority.is_ca) return untrusted(" is no certificate authority");
  if (authority.key_usage.has_value() && (*authority.key_usage & kKeyCertSign) == 0) {
    return untrusted(" lacks keyCertSign");
  }
  if (!authority.unknown_critical.empty()) {
    return untrusted(absl::StrCat(" has the unknown critical extension ", authority.unknown_critical));
  }
  // To skip a constraint would widen trust; nobody here needs one, so it is refused rather than half understood.
  if (authority.has_name_constraints) return untrusted(" has nameConstraints, which are not supported");
  if (!HasRole(authority, role)) return untrusted(absl::StrCat(" may not issue for ", RoleName(role)));
  if (authority.validity.Contains(now)) return absl::OkStatus();
  return CheckTime(authority.validity, AuthorityName(authority), now);
}

}  // namespace meshca
