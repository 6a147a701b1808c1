// A copy of the stored authorities of one trust domain, and the only way in which they are changed.
#ifndef MESHCA_CA_AUTHORITY_AUTHORITY_LEDGER_H_
#define MESHCA_CA_AUTHORITY_AUTHORITY_LEDGER_H_

#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/authority/authority_store.h"
#include "ca/authority/signing_authority.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/x509/key_store.h"

namespace meshca {

// Holds what was last read from the store. Every change names the revision of that copy. When another server has
// changed the store since, the store answers Aborted, and the change has to be computed again from the new state. One
// thread at a time.
class AuthorityLedger {
 public:
  // How often Change tries in all. Each try that fails means that another server's change succeeded.
  static constexpr int kAttemptsMax = 5;

  // `store` and `keys` outlive the ledger. It is empty until Reload.
  AuthorityLedger(TrustDomain trust_domain, AuthorityStore& store, KeyStore& keys);

  const TrustDomain& trust_domain() const { return trust_domain_; }
  AuthorityStore& store() const { return store_; }

  // What was last read from the store.
  const AuthoritiesAndBundle& state() const { return state_; }
  // The authorities of state(), parsed, without their private keys.
  const std::vector<SigningAuthority>& authorities() const { return authorities_; }

  // Reads the store again, and takes what it holds if the revision is another one. Errors: the store's; DataLoss: a row
  // cannot be parsed. After an error the copy is unchanged.
  absl::Status Reload();

  // Commits a change that was computed from state(), destroys the private keys that it removes, and reads back the new
  // state. Aborted: another server's change came first; call Reload and compute the change again. Other errors: the
  // store's.
  absl::Status Commit(const AuthorityChange& change);

  // Reads the store and commits what `make` computes from it; does both again when another server's change came first,
  // at most kAttemptsMax times in all. `make` may therefore run several times: it must be pure and generate no keys.
  // Errors: those of `make` and of the store.
  using MakeChange = absl::FunctionRef<absl::StatusOr<AuthorityChange>(const AuthoritiesAndBundle& state)>;
  absl::Status Change(MakeChange make);

 private:
  const TrustDomain trust_domain_;
  AuthorityStore& store_;
  KeyStore& keys_;
  AuthoritiesAndBundle state_;
  std::vector<SigningAuthority> authorities_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_AUTHORITY_LEDGER_H_
