// The private key that signs JWT-SVIDs, opened (decrypted and in memory).
#ifndef MESHCA_CA_AUTHORITY_ACTIVE_JWT_KEY_H_
#define MESHCA_CA_AUTHORITY_ACTIVE_JWT_KEY_H_

#include <memory>

#include "absl/status/status.h"
#include "ca/authority/authority_ledger.h"
#include "ca/authority/jwt_authority.h"
#include "ca/x509/key_store.h"

namespace meshca {

// Keeps the key in memory for as long as it is the active one. One thread at a time.
class ActiveJwtKey {
 public:
  // `ledger` and `keys` outlive this object.
  ActiveJwtKey(const AuthorityLedger& ledger, KeyStore& keys) : ledger_(ledger), keys_(keys) {}

  // Opens the key that is active in the ledger, unless it is open already. Ok also where none is active; signer() is
  // then null. Errors: OpenJwtKey's; signer() is then null too.
  absl::Status Open();

  const std::shared_ptr<const JwtSigner>& signer() const { return signer_; }

 private:
  const AuthorityLedger& ledger_;
  KeyStore& keys_;
  std::shared_ptr<const JwtSigner> signer_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_ACTIVE_JWT_KEY_H_
