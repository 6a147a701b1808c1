#include "ca/issuance/certificate_profile.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

constexpr absl::Duration kBackdateLimit = absl::Hours(24);

absl::Status Bad(absl::string_view field, absl::string_view rule) {
  return absl::InvalidArgumentError(absl::StrCat("certificate profile: ", field, " ", rule));
}

absl::Status BadLifetime(absl::string_view what) {
  return WithReason(absl::InvalidArgumentError(absl::StrCat("lifetime: ", what)), "LIFETIME");
}

}  // namespace

absl::Status CertificateProfile::Validate() const {
  if (lifetime_min < absl::Seconds(1)) return Bad("lifetime_min", "must be at least 1s");
  if (lifetime_max < lifetime_min) return Bad("lifetime_max", "must not be below lifetime_min");
  if (lifetime_max > kLifetimeLimit) return Bad("lifetime_max", "must be at most 825 days");
  if (lifetime_default < lifetime_min || lifetime_default > lifetime_max) {
    return Bad("lifetime_default", absl::StrCat("must be between ", absl::FormatDuration(lifetime_min), " and ",
                                                absl::FormatDuration(lifetime_max)));
  }
  if (backdate < absl::ZeroDuration() || backdate > kBackdateLimit)
    return Bad("backdate", "must be between 0s and 24h");
  if (key_types.empty()) return Bad("key_types", "must name at least one key type");
  return absl::OkStatus();
}

bool CertificateProfile::AllowsKey(KeyType type) const {
  return std::find(key_types.begin(), key_types.end(), type) != key_types.end();
}

absl::StatusOr<absl::Duration> CertificateProfile::LifetimeFor(absl::Duration requested,
                                                               absl::Duration caller_max) const {
  const absl::Duration longest = caller_max > absl::ZeroDuration() ? std::min(caller_max, lifetime_max) : lifetime_max;
  if (requested == absl::ZeroDuration()) return std::min(lifetime_default, longest);
  if (requested < absl::ZeroDuration()) {
    return BadLifetime(absl::StrCat(absl::FormatDuration(requested), " is negative; leave it out for the default"));
  }
  if (requested < lifetime_min) {
    return BadLifetime(
        absl::StrCat(absl::FormatDuration(requested), " is below the minimum of ", absl::FormatDuration(lifetime_min)));
  }
  // Refused, not clipped: a client that plans its renewals by what it asked for would come too late.
  if (requested > longest) {
    return BadLifetime(
        absl::StrCat(absl::FormatDuration(requested), " is above the maximum of ", absl::FormatDuration(longest)));
  }
  return requested;
}

}  // namespace meshca
