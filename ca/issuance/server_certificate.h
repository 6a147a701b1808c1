// The CA's own TLS certificate: made by itself, recorded like any other, renewed in place.
#ifndef MESHCA_CA_ISSUANCE_SERVER_CERTIFICATE_H_
#define MESHCA_CA_ISSUANCE_SERVER_CERTIFICATE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/authority_options.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/base/entropy.h"
#include "ca/base/mutex.h"
#include "ca/issuance/issuance_store.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/x509/authority_builder.h"
#include "ca/x509/signing_key.h"

namespace meshca {

// What real clients call the CA: localhost, this host's name, istiod.istio-system.svc (istio's clients ask for it by
// default), 127.0.0.1, ::1, and what the configuration adds (`extra`: DNS names and IP addresses, mixed).
ServerCertificateNames DefaultServerNames(const std::vector<std::string>& extra);

struct ServerCertificateOptions {
  TrustDomain trust_domain;
  ServerCertificateNames names;
  absl::Duration lifetime = absl::Hours(24);
  absl::Duration backdate = absl::Minutes(2);
};

// One certificate with its key, for a TLS listener.
struct ServerIdentity {
  // Leaf, what leads to the root, and the root itself, so that a client that holds a fingerprint can verify.
  std::vector<Certificate> chain;
  std::shared_ptr<const SoftwareKey> key;

  std::vector<std::string> ChainDer() const;
};

// Renews at half of the time it has left when it is made, with a new key each time, and at once when the root that
// signs has changed (where clients of the old one cannot follow: when that is retired) or the authority that signed it
// is retired. Tick runs on one thread (the server's maintenance
// thread) and blocks on the store; the rest is for any thread.
class ServerCertificate {
 public:
  // Puts the identity to use (rpc::TlsContext::Swap). Runs inside Tick, after the record is durable.
  using Install = std::function<absl::Status(const ServerIdentity&)>;

  // All references outlive it.
  ServerCertificate(ServerCertificateOptions options, const AuthoritySnapshots& authorities, IssuanceStore& store,
                    EntropySource& entropy, Install install);

  // Does what is due at `now`; returns when to call again at the latest. Call it too after each change of authorities.
  absl::Time Tick(absl::Time now);

  // Other names from the next Tick on, which renews at once (a reload of the configuration).
  void SetNames(ServerCertificateNames names);

  // InfinitePast before the first.
  absl::Time ExpiresAt() const;
  // Why the last renewal failed; Ok when it did not. The certificate before it goes on.
  // Errors: Unavailable (no authority, database away), InvalidArgument (a name), and Install's.
  absl::Status LastError() const;

 private:
  absl::Status Renew(const AuthoritySnapshot& snapshot, absl::Time now);
  absl::Status RenewWithRetries(absl::Time now);
  bool IsDue(const AuthoritySnapshot& snapshot, absl::Time now) const;
  bool MustStay(const AuthoritySnapshot& snapshot) const;

  const ServerCertificateOptions options_;
  const AuthoritySnapshots& authorities_;
  IssuanceStore& store_;
  EntropySource& entropy_;
  const Install install_;

  // Tick's thread alone.
  Certificate leaf_;
  absl::Time renew_at_;
  std::string authority_id_;
  std::string root_id_;
  bool crossed_ = false;  // its chain leads to the root before, too

  mutable Mutex mutex_;
  ServerCertificateNames names_ ABSL_GUARDED_BY(mutex_);
  uint64_t names_wanted_ ABSL_GUARDED_BY(mutex_) = 0;  // how often SetNames was called
  uint64_t names_made_ ABSL_GUARDED_BY(mutex_) = 0;    // what that was when the certificate in use was made
  absl::Time expires_at_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
};

// The certificates of this kind that are alive at `now`: what AuthorityManager::Import need not mind. Blocks.
absl::StatusOr<OwnLeaves> CountLiveServerCertificates(IssuanceStore& store, const TrustDomain& domain, absl::Time now);

}  // namespace meshca

#endif  // MESHCA_CA_ISSUANCE_SERVER_CERTIFICATE_H_
