// Whether a certificate's issuer is still believed, judged at every call: a connection may outlive a taint.
#ifndef MESHCA_CA_SERVICE_AUTHORITY_STANDING_H_
#define MESHCA_CA_SERVICE_AUTHORITY_STANDING_H_

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/authn/client_certificate.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/x509/certificate.h"

namespace meshca {

// Thread-safe; computes only.
class AuthorityStanding final : public IssuerStanding {
 public:
  // `authorities` outlives it.
  explicit AuthorityStanding(const AuthoritySnapshots& authorities) : authorities_(authorities) {}

  absl::StatusOr<Verdict> CheckIssuer(const Certificate& leaf, absl::Time now) const override;

 private:
  const AuthoritySnapshots& authorities_;
};

}  // namespace meshca

#endif  // MESHCA_CA_SERVICE_AUTHORITY_STANDING_H_
