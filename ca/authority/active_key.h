// The opened private key of the issuing authority that is active.
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

// Keeps the key in memory for as long as its authority is the active one, so that it goes on signing when a plugged-in
// folder is emptied. One thread at a time.
class ActiveKey {
 public:
  // Both outlive it.
  ActiveKey(const AuthorityLedger& ledger, KeyStore& keys) : ledger_(ledger), keys_(keys) {}

  // Opens the key of the authority that is active in the ledger, where it is not at hand yet. Ok where none is active.
  // The errors of OpenKey; then no key is at hand.
  absl::Status Open();
  // The key of authority `id`, as it was validated with the set it came in: not whatever stands in the folder by now.
  absl::Status Take(const SecretBytes& pkcs8, std::string id);

  // Null until the first Open.
  const std::shared_ptr<const SigningKey>& key() const { return key_; }
  // Of which authority key() is.
  const std::string& authority_id() const { return authority_id_; }

 private:
  const AuthorityLedger& ledger_;
  KeyStore& keys_;
  std::shared_ptr<const SigningKey> key_;
  std::string authority_id_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_ACTIVE_KEY_H_
