#include "ca/pod_certificates/pod_certificate_terms.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "ca/base/utc_text.h"

namespace meshca {
namespace {

absl::Duration WholeSeconds(absl::Duration duration) { return absl::Floor(duration, absl::Seconds(1)); }

}  // namespace

CertificateProfile PodCertificateProfile(const CertificateProfile& leaf) {
  CertificateProfile profile = leaf;
  profile.backdate = WholeSeconds(std::min(leaf.backdate, kPodBackdateMax));
  profile.lifetime_min = kPodLifeMin - profile.backdate;
  profile.lifetime_default = WholeSeconds(std::max(leaf.lifetime_default, kPodLifeMin)) - profile.backdate;
  profile.lifetime_max = std::max(leaf.lifetime_max, profile.lifetime_default);
  return profile;
}

absl::Duration LongestLifetime(const CertificateProfile& profile, absl::Duration max_expiration) {
  return max_expiration - profile.backdate;
}

absl::Status CheckAuthorityLasts(const AuthoritySnapshot& snapshot, const CertificateProfile& profile, absl::Time now) {
  if (snapshot.issuing == nullptr) {
    return absl::UnavailableError("no issuing authority signs at the moment; see meshca root status");
  }
  const Validity& of_issuing = snapshot.issuing->certificate.validity();
  absl::Time end = of_issuing.not_after;
  for (const Certificate& upstream : snapshot.issuing->upstream) end = std::min(end, upstream.validity().not_after);
  if (end - now < profile.lifetime_min) {
    return absl::UnavailableError(absl::StrCat("the issuing authority ends at ", UtcText(end),
                                               ", and a pod's certificate lives for an hour at least; it is answered "
                                               "once the authority is renewed: see meshca root status"));
  }
  // A leaf begins no sooner than its authority. Where the hour is cut at both ends none is left.
  const absl::Time begin = std::max(now - profile.backdate, of_issuing.not_before);
  const absl::Time leaf_end = std::min(now + profile.lifetime_default, end);
  if (leaf_end - begin < kPodLifeMin) {
    return absl::UnavailableError(absl::StrCat("the issuing authority is valid only since ",
                                               UtcText(of_issuing.not_before), "; it is answered in a few minutes"));
  }
  return absl::OkStatus();
}

bool RootIsBeingLeft(const AuthoritySnapshot& snapshot) {
  return snapshot.rotation.has_value() && !snapshot.rotation->Ended() && snapshot.issuing != nullptr &&
         snapshot.issuing->root_id == snapshot.rotation->old_root_id;
}

absl::Time BeginRefreshAt(const Validity& validity, bool leaves_soon) {
  const absl::Time at = leaves_soon ? validity.not_before : validity.not_before + WholeSeconds(validity.lifetime() / 2);
  return std::clamp(at, validity.not_before + kRefreshFromEither, validity.not_after - kRefreshFromEither);
}

absl::Status CheckPodValidity(const Validity& validity, absl::Duration max_expiration, absl::Time now) {
  const auto broken = [&](absl::string_view rule) {
    return absl::InternalError(absl::StrCat("a certificate from ", UtcText(validity.not_before), " to ",
                                            UtcText(validity.not_after), ": ", rule));
  };
  if (validity.lifetime() < kPodLifeMin) return broken("a pod's certificate lives for an hour at least");
  if (validity.lifetime() > max_expiration) {
    return broken(absl::StrCat("it was to live for ", absl::FormatDuration(max_expiration), " at most"));
  }
  if (absl::AbsDuration(now - validity.not_before) > kNotBeforeNear) {
    return broken("it has to begin within five minutes of now");
  }
  return absl::OkStatus();
}

}  // namespace meshca
