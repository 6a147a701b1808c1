// What the API server demands of a pod's certificate, and the terms by which it gets one. Pure functions.
#ifndef MESHCA_CA_POD_CERTIFICATES_POD_CERTIFICATE_TERMS_H_
#define MESHCA_CA_POD_CERTIFICATES_POD_CERTIFICATE_TERMS_H_

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/issuance/certificate_profile.h"
#include "ca/x509/validity.h"

namespace meshca {

// The API server's rules. It measures a life from notBefore to notAfter, backdating included.
inline constexpr absl::Duration kPodLifeMin = absl::Hours(1);
inline constexpr absl::Duration kNotBeforeNear = absl::Minutes(5);       // how far from its own clock notBefore may be
inline constexpr absl::Duration kRefreshFromEither = absl::Minutes(10);  // beginRefreshAt from notBefore and notAfter

// Backdated by no more than this, so that a minute is left for the answer and for clocks that differ.
inline constexpr absl::Duration kPodBackdateMax = absl::Minutes(4);

// The profile of pods' certificates, from that of all others. Backdated by at most kPodBackdateMax; lives from
// notBefore on as long as others do from now on, and an hour at least. Whole seconds, so that no life is cut short by
// rounding.
CertificateProfile PodCertificateProfile(const CertificateProfile& leaf);

// The longest lifetime, as `profile` counts it (from now on), of a certificate that may live `max_expiration` in all.
absl::Duration LongestLifetime(const CertificateProfile& profile, absl::Duration max_expiration);

// Could a certificate signed now live for an hour? Unavailable where it could not: nothing signs at the moment; what
// signs ends too soon, or has only just begun to be valid. All of these pass by themselves.
absl::Status CheckAuthorityLasts(const AuthoritySnapshot& snapshot, const CertificateProfile& profile, absl::Time now);

// When the kubelet asks for the next one, up to five minutes later: at half of the life. While a rotation of the root
// runs, leaves under the root that it leaves are replaced as early as the API server lets them be, since nothing else
// can make a kubelet ask.
absl::Time BeginRefreshAt(const Validity& validity, bool leaves_soon);
// Does what signs lead to a root that a rotation is about to leave?
bool RootIsBeingLeft(const AuthoritySnapshot& snapshot);

// Will the API server take this as the answer to a request of `max_expiration`? Internal names the rule that it breaks.
absl::Status CheckPodValidity(const Validity& validity, absl::Duration max_expiration, absl::Time now);

}  // namespace meshca

#endif  // MESHCA_CA_POD_CERTIFICATES_POD_CERTIFICATE_TERMS_H_
