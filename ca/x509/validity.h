// From when until when a certificate holds (RFC 5280 §4.1.2.5).
#ifndef MESHCA_CA_X509_VALIDITY_H_
#define MESHCA_CA_X509_VALIDITY_H_

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace meshca {

// UTC, whole seconds, both ends included, not_before < not_after (but for a default-constructed one), both within
// the years 1950-9999 that X.509 can write.
struct Validity {
  absl::Time not_before;
  absl::Time not_after;

  // Both cut down to whole seconds. InvalidArgument: out of order, or outside the years that X.509 can write.
  static absl::StatusOr<Validity> Make(absl::Time not_before, absl::Time not_after);

  bool Contains(absl::Time now) const { return now >= not_before && now < not_after + absl::Seconds(1); }
  absl::Duration lifetime() const { return not_after - not_before; }
  friend bool operator==(const Validity&, const Validity&) = default;
};

}  // namespace meshca

#endif  // MESHCA_CA_X509_VALIDITY_H_
