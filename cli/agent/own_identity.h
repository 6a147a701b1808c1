// The agent's own key and certificate: what it shows its CA.
#ifndef MESHCA_CLI_AGENT_OWN_IDENTITY_H_
#define MESHCA_CLI_AGENT_OWN_IDENTITY_H_

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/base/mutex.h"
#include "ca/base/secret.h"
#include "ca/spiffe/spiffe_id.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/x509/certificate_chain.h"
#include "ca/x509/signing_key.h"
#include "ca/x509/validity.h"

namespace meshca::agent {

// `spiffe://TRUST_DOMAIN/meshca/agent/NODE`. InvalidArgument: `node` cannot stand in a path.
absl::StatusOr<SpiffeId> AgentId(const TrustDomain& trust_domain, absl::string_view node);
// The node of such an ID. InvalidArgument: it is no agent's.
absl::StatusOr<std::string> NodeOf(const SpiffeId& id);

// Immutable once made; the certificate is the key's and for `id`. Whether it is still valid, and under which root, is
// for others to judge.
struct OwnIdentity {
  SpiffeId id;
  std::string node;
  std::shared_ptr<const SoftwareKey> key;
  CertificateChain chain;  // leaf first, root left out
  Validity validity;       // of the leaf
  std::string serial;      // of the leaf, in hex
};
using OwnIdentityPtr = std::shared_ptr<const OwnIdentity>;

// InvalidArgument: the leaf is for another key, or is no agent's.
absl::StatusOr<OwnIdentityPtr> MakeOwnIdentity(std::shared_ptr<const SoftwareKey> key, CertificateChain chain);

// The key (PKCS#8) and behind it the chain, as one PEM text: one file holds both, so that neither is ever beside
// another's. ReadOwnIdentity: InvalidArgument says what is wrong with such a text.
SecretBytes OwnIdentityPem(const OwnIdentity& identity);
absl::StatusOr<OwnIdentityPtr> ReadOwnIdentity(absl::string_view pem);

// Which identity is the agent's now. Thread-safe.
class OwnIdentityHolder {
 public:
  // Null before the first Set: the agent has never joined.
  OwnIdentityPtr Current() const {
    MutexLock lock(mutex_);
    return current_;
  }
  void Set(OwnIdentityPtr identity) {
    MutexLock lock(mutex_);
    current_.swap(identity);
  }

 private:
  mutable Mutex mutex_;
  OwnIdentityPtr current_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca::agent

#endif  // MESHCA_CLI_AGENT_OWN_IDENTITY_H_
