// The KeyStore that keeps private keys in the database, encrypted.
#ifndef MESHCA_CA_AUTHORITY_SEALED_KEY_STORE_H_
#define MESHCA_CA_AUTHORITY_SEALED_KEY_STORE_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/authority/key_encryption.h"
#include "ca/x509/key_store.h"

namespace meshca {

// StoredKey::reference of every key of a SealedKeyStore.
inline constexpr absl::string_view kSealedKey = "sealed";

// A key is in this process's memory while it is used, and in its row as KeyEncryption::Seal's output. `owner` is the
// associated data of the encryption, so bytes that were copied into another row cannot be opened. Thread-safe.
class SealedKeyStore final : public KeyStore {
 public:
  // `encryption` outlives the store and every key that it made.
  explicit SealedKeyStore(const KeyEncryption& encryption) : encryption_(encryption) {}

  absl::StatusOr<std::unique_ptr<NewKey>> Generate(KeyType type) override;
  absl::StatusOr<std::unique_ptr<NewKey>> Import(const SecretBytes& pkcs8) override;
  absl::StatusOr<std::shared_ptr<const SigningKey>> Open(const StoredKey& stored, absl::string_view owner) override;
  // Does nothing and returns Ok: the key existed only as sealed bytes, which were deleted with their row.
  absl::Status Destroy(const StoredKey& stored) override;

 private:
  const KeyEncryption& encryption_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_SEALED_KEY_STORE_H_
