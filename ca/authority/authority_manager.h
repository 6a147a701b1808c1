// Makes, keeps, renews and publishes the authorities of one trust domain.
#ifndef MESHCA_CA_AUTHORITY_AUTHORITY_MANAGER_H_
#define MESHCA_CA_AUTHORITY_AUTHORITY_MANAGER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/authority/authority_store.h"
#include "ca/authority/key_encryption.h"
#include "ca/base/clock.h"
#include "ca/base/entropy.h"
#include "ca/base/mutex.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/x509/public_key.h"

namespace meshca {

struct AuthorityOptions {
  TrustDomain trust_domain;
  KeyType key_type = KeyType::kEcP256;
  absl::Duration root_lifetime = absl::Hours(24 * 3650);
  absl::Duration issuing_lifetime = absl::Hours(24 * 30);
  absl::Duration leaf_lifetime_max = absl::Hours(24 * 7);  // the profile's; issuing_lifetime is at least twice this
  // Plugged-in CA: a folder in istio's cacerts layout or cert-manager's (see plugged_in_ca.h); "" for self-signed.
  std::string plugged_in_folder;
};

// Holds the state machine of the authorities: every change is one AuthorityStore transaction, written before it is
// published; a crash between the two is mended at the next start, which reads the store. Thread-safe; Tick and the
// commands run one at a time.
class AuthorityManager final : public AuthoritySnapshots {
 public:
  // All references outlive the manager. Start() comes before anything else.
  // Errors: InvalidArgument (lifetimes that cannot hold, naming both).
  static absl::StatusOr<std::unique_ptr<AuthorityManager>> Create(AuthorityOptions options, AuthorityStore& store,
                                                                  const KeyEncryption& keys, const Clock& clock,
                                                                  EntropySource& entropy);

  // Loads the store; on a fresh one makes root and issuing authority (or adopts the plugged-in set) first. Publishes
  // the first snapshot. FailedPrecondition: the store belongs to another trust domain (names both).
  absl::Status Start();

  std::shared_ptr<const AuthoritySnapshot> Current() const override;
  void AddListener(Listener listener) override;

  // Does what is due at `now` (RotationPlan): renews the issuing authority, takes a changed plugged-in set. Returns
  // when to call again at the latest. Called by the server's maintenance thread.
  absl::Time Tick(absl::Time now);

  // Adopts the set in `folder` as the active authority (`meshca root import`). The error names file and fault.
  // FailedPrecondition: a new root while certificates live under the present one, unless `force`.
  absl::Status Import(const std::string& folder, const std::string& actor, bool force);

  // A leaf certificate for the CA's own TLS endpoint, signed by the active issuing authority; the chain ends with the
  // root, so a client that holds a fingerprint can verify. Recorded by the caller like any issuance.
  // See server_certificate.h for the holder that renews it in place.

  // The last error of Tick or a broken plugged-in set, "" when well: shown by status, check and a metric.
  std::string LastError() const;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_AUTHORITY_MANAGER_H_
