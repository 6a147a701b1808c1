// Proves, before a plugged-in set signs anything, that somebody will be able to verify what it signs.
#ifndef MESHCA_CA_AUTHORITY_SIGNING_TRIAL_H_
#define MESHCA_CA_AUTHORITY_SIGNING_TRIAL_H_

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/authority/authority_source.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/x509/signing_key.h"

namespace meshca {

// Signs one workload's certificate with `key`, the private key of `set` (where that is the root's, by an issuing
// authority made below it, as the CA will), and lets it be verified against the set's root, as a client's and as a
// server's, by our own ChainVerifier and by OpenSSL. The certificate never leaves this function.
//
// Rules with a sentence of their own are checked before (plugged_in_ca.h). This finds what no rule there names:
// whatever a verifier refuses for whatever reason is refused when the set is loaded, not when the mesh stops.
// InvalidArgument: who refused it, in which role, and why.
absl::Status TrySigning(const AuthoritySet& set, const SigningKey& key, const TrustDomain& domain, absl::Time now);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_SIGNING_TRIAL_H_
