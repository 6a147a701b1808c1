// The private key of the active issuing authority, opened (decrypted and in memory).
#ifndef MESHCA_CA_AUTHORITY_ACTIVE_KEY_H_
#define MESHCA_CA_AUTHORITY_ACTIVE_KEY_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "ca/authority/authority_ledger.h"
#include "ca/base/secret.h"
#include "ca/x509/key_store.h"
#include "ca/x509/signing_key.h"

namespace meshca {

// Keeps the key in memory for as long as its authority is active, so that the authority goes on signing after the
// folder that it was plugged in from was emptied. One thread at a time.
class ActiveKey {
 public:
  // `ledger` and `keys` outlive this object.
  ActiveKey(const AuthorityLedger& ledger, KeyStore& keys) : ledger_(ledger), keys_(keys) {}

  // Opens the key of the issuing authority that is active in the ledger, unless it is open already. Ok also where none
  // is active. Errors: OpenKey's; key() is then null.
  absl::Status Open();
  // Takes `pkcs8` as the key of authority `id`. It was validated with the set that it came in; the files in the folder
  // may be others by now. Internal: OpenSSL cannot read it.
  absl::Status Take(const SecretBytes& pkcs8, std::string id);

  // Null until the first Open or Take that succeeded.
  const std::shared_ptr<const SigningKey>& key() const { return key_; }
  // The id of the authority that key() belongs to.
  const std::string& authority_id() const { return authority_id_; }

 private:
  const AuthorityLedger& ledger_;
  KeyStore& keys_;
  std::shared_ptr<const SigningKey> key_;
  std::string authority_id_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_ACTIVE_KEY_H_
