// Keys that are kept in the database, encrypted.
#ifndef MESHCA_CA_AUTHORITY_SEALED_KEY_STORE_H_
#define MESHCA_CA_AUTHORITY_SEALED_KEY_STORE_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/authority/key_encryption.h"
#include "ca/x509/key_store.h"

namespace meshca {

// StoredKey::reference of every key that SealedKeyStore keeps.
inline constexpr absl::string_view kSealedKey = "sealed";

// Keys live in this process's memory while they are used, and in their row as KeyEncryption::Seal's output. The owner
// is the associated data of the encryption: bytes that were copied into another row open nowhere.
class SealedKeyStore final : public KeyStore {
 public:
  // `encryption` outlives the store and every key that it made.
  explicit SealedKeyStore(const KeyEncryption& encryption) : encryption_(encryption) {}

  absl::StatusOr<std::unique_ptr<NewKey>> Generate(KeyType type) override;
  absl::StatusOr<std::unique_ptr<NewKey>> Import(const SecretBytes& pkcs8) override;
  absl::StatusOr<std::shared_ptr<const SigningKey>> Open(const StoredKey& stored, absl::string_view owner) override;
  // Ok: the sealed bytes were all there was, and they went with their row.
  absl::Status Destroy(const StoredKey& stored) override;

 private:
  const KeyEncryption& encryption_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_SEALED_KEY_STORE_H_
