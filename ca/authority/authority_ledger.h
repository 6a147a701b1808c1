// The authorities of one trust domain as the store holds them, and the one way in which they change.
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

// Holds a copy of what is stored, as it was last read. Every change names the revision of that copy: when another
// server has changed the store since, the store answers Aborted, and the change is judged again on what it holds now.
// One thread at a time.
class AuthorityLedger {
 public:
  // How often a change is judged again after another server's came first. Each loss means that the other one got on.
  static constexpr int kAttemptsMax = 5;

  // `store` and `keys` outlive the ledger. It is empty until Reload.
  AuthorityLedger(TrustDomain trust_domain, AuthorityStore& store, KeyStore& keys);

  const TrustDomain& trust_domain() const { return trust_domain_; }
  AuthorityStore& store() const { return store_; }

  // As last read.
  const AuthoritiesAndBundle& state() const { return state_; }
  // The authorities of state(), parsed, without their private keys.
  const std::vector<SigningAuthority>& authorities() const { return authorities_; }

  // Reads the store anew where its revision is another one. The errors of the store; DataLoss: a row that cannot be
  // parsed. After an error the copy is what it was.
  absl::Status Reload();

  // Commits a change that was judged on state(), destroys the private keys that it takes away, and reads back what the
  // store made of it. Aborted: another server's change came first; Reload, and judge again.
  absl::Status Commit(const AuthorityChange& change);

  // Reads the store, commits what `make` says of it, and does both again when another server's change came first: up to
  // kAttemptsMax times in all. `make` is therefore pure: it makes no keys. The errors of `make`, and the store's.
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
