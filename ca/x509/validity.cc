#include "ca/x509/validity.h"

#include "absl/strings/str_cat.h"
#include "absl/time/civil_time.h"
#include "ca/base/utc_text.h"

namespace meshca {
namespace {

absl::Time WholeSeconds(absl::Time time) { return absl::FromUnixSeconds(absl::ToUnixSeconds(time)); }

}  // namespace

absl::StatusOr<Validity> Validity::Make(absl::Time not_before, absl::Time not_after) {
  static const absl::Time first = absl::FromCivil(absl::CivilSecond(1950, 1, 1), absl::UTCTimeZone());
  static const absl::Time end = absl::FromCivil(absl::CivilSecond(10000, 1, 1), absl::UTCTimeZone());
  if (not_before < first || not_after >= end) {
    return absl::InvalidArgumentError("validity: X.509 writes the years 1950 to 9999 only");
  }
  const Validity validity{WholeSeconds(not_before), WholeSeconds(not_after)};
  if (validity.not_before >= validity.not_after) {
    return absl::InvalidArgumentError(absl::StrCat("validity: notBefore ", OffsetText(validity.not_before),
                                                   " is not before notAfter ", OffsetText(validity.not_after)));
  }
  return validity;
}

}  // namespace meshca
