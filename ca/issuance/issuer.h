// Makes X.509-SVIDs.
#ifndef MESHCA_CA_ISSUANCE_ISSUER_H_
#define MESHCA_CA_ISSUANCE_ISSUER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/signing_authority.h"
#include "ca/base/entropy.h"
#include "ca/issuance/certificate_profile.h"
#include "ca/issuance/issuance_request.h"
#include "ca/issuance/issuance_store.h"
#include "ca/x509/certificate_chain.h"

namespace meshca {

// A chain that must not leave before its record is durable.
struct SignedLeaf {
  CertificateChain chain;
  std::shared_ptr<const IssuanceRecord> record;
};

// Makes one X.509-SVID from one judged request. Pure apart from the serial number: no I/O, no lock, no clock. Safe to
// call from many threads at once.
class Issuer {
 public:
  // `profile` is valid (Validate). `entropy` outlives the Issuer.
  Issuer(CertificateProfile profile, EntropySource& entropy);

  // Signs with `authority`; the chain is leaf first, root left out. Leaf:
  //   serialNumber      16 bytes, 10 of them random          RFC 5280 §4.1.2.2
  //   notBefore         now - profile.backdate               RFC 5280 §4.1.2.5
  //   notAfter          now + lifetime, never past the authority's own, whole seconds
  //   subjectAltName    one URI, the SPIFFE ID; DNS names    X509-SVID §2
  //   basicConstraints  cA false                             X509-SVID §4.1
  //   keyUsage          digitalSignature; critical           X509-SVID §4.3
  //   extKeyUsage       serverAuth, clientAuth               X509-SVID §4.4
  //
  // Errors: InvalidArgument (key type outside the profile: KEY_TYPE; lifetime: LIFETIME), Unavailable (authority
  // without a key, not active or not valid at `now`), Internal (OpenSSL, or a lint finding).
  absl::StatusOr<SignedLeaf> Issue(const IssuanceRequest& request, const SigningAuthority& authority,
                                   absl::Time now) const;

  const CertificateProfile& profile() const { return profile_; }

 private:
  const CertificateProfile profile_;
  EntropySource& entropy_;
};

}  // namespace meshca

#endif  // MESHCA_CA_ISSUANCE_ISSUER_H_
