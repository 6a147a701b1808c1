// Callers with a client certificate of this CA: they renew the SPIFFE ID they hold.
#ifndef MESHCA_CA_AUTHN_CLIENT_CERTIFICATE_H_
#define MESHCA_CA_AUTHN_CLIENT_CERTIFICATE_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authn/authenticator.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/x509/certificate.h"

namespace meshca {

// What is known of a certificate's issuer now, as against at the handshake: a connection may outlive a rotation.
// Thread-safe; computes only.
class IssuerStanding {
 public:
  virtual ~IssuerStanding() = default;
  enum class Verdict {
    kTrusted,
    // Its key, or its root's, may be stolen: a leaf is believed where the inventory knows it, and no further.
    kTainted,
  };
  // Unauthenticated (reason CERTIFICATE_ISSUER_UNKNOWN): the leaf's issuer is not believed any more.
  virtual absl::StatusOr<Verdict> CheckIssuer(const Certificate& leaf, absl::Time now) const = 0;
};

// The handshake has verified chain and possession of the key (ChainVerifier); what time may have changed since is
// judged again at every call. The caller may hold the certificate's ID and its DNS names. One whose authority is
// tainted gets a new certificate only if the one it shows is in the inventory (CallerIdentity::presented): a
// thief of the authority's key can make certificates, but not records.
//
// Unauthenticated: CERTIFICATE_EXPIRED, CERTIFICATE_NOT_YET_VALID, and IssuerStanding's. PermissionDenied:
// CERTIFICATE_NO_SPIFFE_ID, CERTIFICATE_TRUST_DOMAIN (another trust domain's).
class ClientCertificateAuthenticator final : public Authenticator {
 public:
  // `standing` outlives the authenticator; null: issuers are not looked at again.
  ClientCertificateAuthenticator(TrustDomain trust_domain, const IssuerStanding* standing);

  absl::string_view name() const override { return "client-certificate"; }
  absl::string_view accepts() const override { return "a client certificate of this CA, for its own ID"; }
  bool Recognises(const Credentials& credentials) const override { return credentials.client_certificate.has_value(); }
  void Authenticate(Credentials credentials, absl::Time now, Done done) override;

  // The judgement itself; pure.
  absl::StatusOr<CallerIdentity> Judge(const Certificate& leaf, absl::Time now) const;

 private:
  const TrustDomain trust_domain_;
  const IssuerStanding* const standing_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_CLIENT_CERTIFICATE_H_
