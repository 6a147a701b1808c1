// Proves, before a plugged-in set signs anything, that clients will be able to verify what it signs.
#ifndef MESHCA_CA_AUTHORITY_SIGNING_TRIAL_H_
#define MESHCA_CA_AUTHORITY_SIGNING_TRIAL_H_

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/authority/authority_source.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/x509/signing_key.h"

namespace meshca {

// Signs a workload certificate for a trial and has it verified against the set's root, as a client's and as a server's
// certificate, by our own ChainVerifier and by OpenSSL. `key` is the private key of `set`; if it is the root's, the
// trial makes an issuing authority below the root first, as the CA will. The certificate never leaves this function.
//
// The rules of plugged_in_ca.h are checked before this. The trial finds whatever else a verifier would refuse, so that
// it shows when the set is loaded and not when connections fail.
// InvalidArgument: which verifier refused it, in which role, and why.
absl::Status TrySigning(const AuthoritySet& set, const SigningKey& key, const TrustDomain& domain, absl::Time now);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_SIGNING_TRIAL_H_
