// Where the private keys of authorities are made and kept: sealed in the database now, behind PKCS#11 later.
#ifndef MESHCA_CA_X509_KEY_STORE_H_
#define MESHCA_CA_X509_KEY_STORE_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/base/secret.h"
#include "ca/x509/public_key.h"
#include "ca/x509/signing_key.h"

namespace meshca {

// What the row of an authority holds of its private key. It is no secret by itself: it needs the KeyStore to be of use.
struct StoredKey {
  std::string reference;  // how it is kept ("sealed"), or where; "": the key is not held
  std::string sealed;     // the key itself, encrypted, where `reference` is "sealed"; else ""

  friend bool operator==(const StoredKey&, const StoredKey&) = default;
};

// A private key that is at hand and that no row refers to yet. It signs at once, because a root signs itself before
// there is a row for it.
class NewKey {
 public:
  virtual ~NewKey() = default;

  // Lives as long as this handle.
  virtual const SigningKey& key() const = 0;
  const PublicKey& public_key() const { return key().public_key(); }

  // What the row of `owner` is to hold. `owner` names the authority, its role and its certificate, so it is known only
  // once that certificate was made; the key opens for the same owner alone. May be asked for several owners: when a
  // transaction is judged again, the certificate may be another one.
  virtual absl::StatusOr<StoredKey> ToStored(absl::string_view owner) const = 0;
};

// Thread-safe. Calls may take long (RSA, a device): a key is generated before the transaction that needs it, and once,
// however often that transaction is judged again.
class KeyStore {
 public:
  virtual ~KeyStore() = default;

  // InvalidArgument: a type that is not made here. Internal: OpenSSL or the device.
  virtual absl::StatusOr<std::unique_ptr<NewKey>> Generate(KeyType type) = 0;

  // A key that was made elsewhere and is to be kept here: `pkcs8` is an unencrypted PrivateKeyInfo. InvalidArgument: it
  // is none, or the store takes no keys from outside.
  virtual absl::StatusOr<std::unique_ptr<NewKey>> Import(const SecretBytes& pkcs8) = 0;

  // The key behind `stored`, for the owner that it was stored for. DataLoss: it does not open. FailedPrecondition:
  // it is not held here.
  virtual absl::StatusOr<std::shared_ptr<const SigningKey>> Open(const StoredKey& stored, absl::string_view owner) = 0;

  // `stored` is gone from its row, durably: nothing will sign with that key again. Called after the commit, so a crash
  // in between leaves the key behind; a store on a device has to find those that no row refers to. Destroying a key
  // twice is no error.
  virtual absl::Status Destroy(const StoredKey& stored) = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_X509_KEY_STORE_H_
