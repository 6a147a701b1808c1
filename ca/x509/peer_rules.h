// The rules that the certificates of a peer's chain are judged by, one at a time. For ca/x509 alone.
#ifndef MESHCA_CA_X509_PEER_RULES_H_
#define MESHCA_CA_X509_PEER_RULES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/spiffe/spiffe_id.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/x509/certificate.h"
#include "ca/x509/chain_verifier.h"

namespace meshca {

// The refusal of a peer: Unauthenticated, with one of ChainVerifier's reasons.
absl::Status PeerRefused(absl::string_view reason, absl::string_view what);

// "authority \"CN=meshca issuing 3f9a...\"". Slow: for a refusal.
std::string AuthorityName(const CertificateFields& authority);

// X509-SVID §4, §5.2: what makes a certificate a workload's. Its SPIFFE ID.
absl::StatusOr<SpiffeId> CheckPeerLeaf(const CertificateFields& leaf, const TrustDomain& domain, absl::Time now,
                                       PeerRole role);

// RFC 5280 §6.1.4 for a certificate that signs another, without pathLenConstraint, which depends on the path.
absl::Status CheckPeerAuthority(const CertificateFields& authority, absl::Time now, PeerRole role);

}  // namespace meshca

#endif  // MESHCA_CA_X509_PEER_RULES_H_
