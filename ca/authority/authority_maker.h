// Makes new authorities: a key in the key store, and a certificate for it; and keys of JWT-SVIDs.
#ifndef MESHCA_CA_AUTHORITY_AUTHORITY_MAKER_H_
#define MESHCA_CA_AUTHORITY_AUTHORITY_MAKER_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/authority_options.h"
#include "ca/authority/authority_store.h"
#include "ca/authority/jwt_authority_rows.h"
#include "ca/authority/rotation_change.h"
#include "ca/base/entropy.h"
#include "ca/x509/certificate.h"
#include "ca/x509/key_store.h"
#include "ca/x509/public_key.h"

namespace meshca {

// Nothing made here is stored: a row takes effect with the AuthorityChange that carries it. Generating a key may take
// long, so it is separate from making the certificate. A caller that commits with retries (AuthorityLedger::Change)
// generates the key before them and makes the row, which depends on what is stored, in each try. Thread-safe.
// Errors of all: Internal (OpenSSL or the key store); FailedPrecondition and DataLoss if a root's key does not open.
class AuthorityMaker {
 public:
  // `options`, `keys` and `entropy` outlive the maker.
  AuthorityMaker(const AuthorityOptions& options, KeyStore& keys, EntropySource& entropy)
      : options_(options), keys_(keys), entropy_(entropy) {}

  // A new key of the configured type, for a root or an issuing authority.
  absl::StatusOr<std::unique_ptr<NewKey>> GenerateKey() const { return keys_.Generate(options_.key_type); }

  // The self-signed certificate of a new root with `key`.
  absl::StatusOr<Certificate> MakeRootCertificate(const NewKey& key, absl::Time now) const;

  // A new root with `key` in state prepared, cross-certified by the active root of `state` if that is possible
  // (CrossCertify).
  absl::StatusOr<NewRoot> MakeNewRoot(const NewKey& key, const AuthoritiesAndBundle& state, absl::Time now) const;

  // Lets the active root of `state` sign a cross-certificate: a CA certificate for the new root's key. Appends it to
  // the chain of the new root and of the issuing authority under it, so that holders of the active root alone can
  // verify what the new one signs. Ok without doing anything where that cannot be: meshca does not hold the active
  // root's key, its certificate has ended, or its pathLenConstraint leaves no room.
  absl::Status CrossCertify(const AuthoritiesAndBundle& state, absl::Time now, NewRoot& root) const;

  // The certificate of an issuing authority with `key` under `root`, until `lifetime` from `now`, and no longer than
  // `root`. The key of `root` is opened to sign it, and wiped before this returns. FailedPrecondition also: `root` has
  // ended, or leaves no room for an authority.
  absl::StatusOr<Certificate> CertifyIssuing(const PublicKey& key, const StoredAuthority& root, absl::Time now,
                                             absl::Duration lifetime) const;

  // A new issuing authority with `key` under `root`, in state active since `now`; its chain is as that of the authority
  // which it follows in `state` (UpstreamOfSuccessor).
  absl::StatusOr<StoredAuthority> MakeIssuing(const NewKey& key, const AuthoritiesAndBundle& state,
                                              const StoredAuthority& root, absl::Time now) const;

  // A new key of JWT-SVIDs, in state prepared.
  absl::StatusOr<StoredJwtAuthority> MakeJwtKey(absl::Time now) const { return MakeJwtAuthority(keys_, now); }

  KeyStore& keys() const { return keys_; }

 private:
  const AuthorityOptions& options_;
  KeyStore& keys_;
  EntropySource& entropy_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_AUTHORITY_MAKER_H_
