// What the certificates of workloads look like: lifetimes, keys, names.
#ifndef MESHCA_CA_ISSUANCE_CERTIFICATE_PROFILE_H_
#define MESHCA_CA_ISSUANCE_CERTIFICATE_PROFILE_H_

#include <cstddef>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/x509/public_key.h"

namespace meshca {

// Checked when loaded: Validate() is Ok for every profile an Issuer gets. A value.
struct CertificateProfile {
  // No leaf lives longer, whatever is configured.
  static constexpr absl::Duration kLifetimeLimit = absl::Hours(24 * 825);

  absl::Duration lifetime_default = absl::Hours(24);
  absl::Duration lifetime_max = absl::Hours(24 * 7);
  // Shorter ones are refused: a certificate must outlive the round trip that fetches it. At least 1 s.
  absl::Duration lifetime_min = absl::Seconds(1);
  // notBefore is this long before now, for verifiers whose clock is behind. Not part of the lifetime.
  absl::Duration backdate = absl::Minutes(2);
  std::vector<KeyType> key_types = {KeyType::kEcP256,  KeyType::kEcP384,  KeyType::kEd25519,
                                    KeyType::kRsa2048, KeyType::kRsa3072, KeyType::kRsa4096};
  // DNS names a certificate may carry; which ones, the caller's rights say.
  size_t dns_names_max = 64;

  // InvalidArgument names the field and what it must be.
  absl::Status Validate() const;

  bool AllowsKey(KeyType type) const;

  // The lifetime of a certificate asked for with `requested` (zero: the default) by a caller with a maximum of its own
  // (zero: none). InvalidArgument (reason LIFETIME): negative, below the minimum or above the maximum; the default is
  // cut down to the caller's maximum, a wish is not.
  absl::StatusOr<absl::Duration> LifetimeFor(absl::Duration requested, absl::Duration caller_max) const;
};

}  // namespace meshca

#endif  // MESHCA_CA_ISSUANCE_CERTIFICATE_PROFILE_H_
