// Callers with a client certificate of this CA: they renew the SPIFFE ID they hold.
#ifndef MESHCA_CA_AUTHN_CLIENT_CERTIFICATE_H_
#define MESHCA_CA_AUTHN_CLIENT_CERTIFICATE_H_

#include <memory>
#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authn/authenticator.h"
#include "ca/base/mutex.h"
#include "ca/identity/trusted_origins.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/x509/chain_verifier.h"
#include "ca/x509/path_standing.h"

namespace meshca {

// The handshake has verified chain and possession of the key (ChainVerifier); what time may have changed since is
// judged again at every call. The caller may hold the certificate's ID and its DNS names. That this CA issued the
// certificate is not shown by its signature, because whoever stole an authority's key makes certificates: the inventory
// must hold it (CallerIdentity::presented, always set), and whoever serves the caller asks it.
//
// Unauthenticated: CERTIFICATE_EXPIRED, CERTIFICATE_NOT_YET_VALID, and PathStanding's. PermissionDenied:
// CERTIFICATE_NO_SPIFFE_ID, CERTIFICATE_TRUST_DOMAIN (another trust domain's).
class ClientCertificateAuthenticator final : public Authenticator {
 public:
  // `standing` outlives the authenticator.
  ClientCertificateAuthenticator(TrustDomain trust_domain, const PathStanding& standing);

  absl::string_view name() const override { return "client-certificate"; }
  absl::string_view accepts() const override { return "a client certificate of this CA, for its own ID"; }
  bool Recognises(const Credentials& credentials) const override { return credentials.client_certificate != nullptr; }
  void Authenticate(Credentials credentials, absl::Time now, Done done) override;

  // The judgement itself; computes only.
  absl::StatusOr<CallerIdentity> Judge(const VerifiedPeer& peer, absl::Time now) const;

  // What can give a right from now on (CallerIdentity::trusted_origins). Before the first call nobody is judged by
  // that.
  void SetTrustedOrigins(TrustedOrigins origins);

 private:
  std::shared_ptr<const TrustedOrigins> trusted_origins() const;

  const TrustDomain trust_domain_;
  const PathStanding& standing_;
  mutable Mutex mutex_;
  std::shared_ptr<const TrustedOrigins> trusted_origins_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_CLIENT_CERTIFICATE_H_
