// What the CA knows of client certificates, as the edge asks it: by the authorities of the moment and the inventory.
#ifndef MESHCA_CA_SERVICE_CERTIFICATE_STANDING_H_
#define MESHCA_CA_SERVICE_CERTIFICATE_STANDING_H_

#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/authn/client_certificate.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/base/mutex.h"
#include "ca/edge/peer_standing.h"
#include "ca/edge/svid_verifier.h"
#include "ca/issuance/issuance_store.h"

namespace meshca {

// A verifier that follows the bundle of `authorities`, from what they hold now. It is held by their listener too, and
// so lives as long as they do.
std::shared_ptr<SvidVerifier> FollowBundle(AuthoritySnapshots& authorities);

// The authorities on the verified path (ClientCertificateAuthenticator, which asks PathStanding), then the inventory
// (IssuanceStore::JudgePresented). It worsens when the authorities change so that trust is taken away (TakesTrustAway),
// and when the time without records ends.
class CertificateStanding final : public PeerStanding {
 public:
  // Everything outlives it.
  CertificateStanding(AuthoritySnapshots& authorities, const ClientCertificateAuthenticator& authenticator,
                      IssuanceStore& issuances)
      : authorities_(authorities), authenticator_(authenticator), issuances_(issuances) {}

  absl::Status Judge(const VerifiedPeer& peer, absl::Time now) override;
  // Once, before the authorities change for the last time.
  void Watch(Listener listener) override;

 private:
  void OnAuthorities(const std::shared_ptr<const AuthoritySnapshot>& snapshot);

  AuthoritySnapshots& authorities_;
  const ClientCertificateAuthenticator& authenticator_;
  IssuanceStore& issuances_;
  // Held while the listener is told, so that changes reach it in their order.
  Mutex mutex_;
  Listener listener_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const AuthoritySnapshot> seen_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca

#endif  // MESHCA_CA_SERVICE_CERTIFICATE_STANDING_H_
