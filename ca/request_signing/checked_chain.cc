#include "ca/request_signing/checked_chain.h"

#include <vector>

#include "ca/base/status.h"
#include "ca/x509/chain_verifier.h"

namespace meshca {

absl::StatusOr<Validity> CheckedValidityOf(const IssuedCertificate& issued, absl::Time now) {
  MESHCA_ASSIGN_OR_RETURN(const Certificate leaf, issued.chain.ParseLeaf());
  std::vector<absl::string_view> chain = {issued.chain.leaf().bytes()};
  for (const Certificate& issuer : issued.chain.issuers()) chain.push_back(issuer.der().bytes());
  const TrustBundle& bundle = *issued.authorities->bundle;
  MESHCA_RETURN_IF_ERROR(
      ChainVerifier(bundle.trust_domain, bundle.roots).Verify(chain, now, PeerRole::kServer).status());
  return leaf.validity();
}

}  // namespace meshca
