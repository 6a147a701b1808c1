#include "ca/authority/sealed_key_store.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

class KeyToSeal final : public NewKey {
 public:
  KeyToSeal(std::unique_ptr<SoftwareKey> key, const KeyEncryption& encryption)
      : key_(std::move(key)), encryption_(encryption) {}

  const SigningKey& key() const override { return *key_; }
  absl::StatusOr<StoredKey> ToStored(absl::string_view owner) const override {
    StoredKey stored;
    MESHCA_ASSIGN_OR_RETURN(stored.sealed, encryption_.Seal(key_->ToPkcs8Der().reveal(), owner));
    stored.reference = std::string(kSealedKey);
    return stored;
  }

 private:
  const std::unique_ptr<SoftwareKey> key_;
  const KeyEncryption& encryption_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<NewKey>> SealedKeyStore::Generate(KeyType type) {
  MESHCA_ASSIGN_OR_RETURN(std::unique_ptr<SoftwareKey> key, SoftwareKey::Generate(type));
  return std::make_unique<KeyToSeal>(std::move(key), encryption_);
}

absl::StatusOr<std::unique_ptr<NewKey>> SealedKeyStore::Import(const SecretBytes& pkcs8) {
  MESHCA_ASSIGN_OR_RETURN(std::unique_ptr<SoftwareKey> key, SoftwareKey::FromPkcs8Der(pkcs8.reveal()));
  return std::make_unique<KeyToSeal>(std::move(key), encryption_);
}

absl::StatusOr<std::shared_ptr<const SigningKey>> SealedKeyStore::Open(const StoredKey& stored,
                                                                       absl::string_view owner) {
  if (stored.reference != kSealedKey) return absl::FailedPreconditionError("meshca does not hold its private key");
  MESHCA_ASSIGN_OR_RETURN(const SecretBytes pkcs8, encryption_.Open(stored.sealed, owner));
  MESHCA_ASSIGN_OR_RETURN(std::unique_ptr<SoftwareKey> key, SoftwareKey::FromPkcs8Der(pkcs8.reveal()));
  return std::shared_ptr<const SigningKey>(std::move(key));
}

absl::Status SealedKeyStore::Destroy(const StoredKey& stored) { return absl::OkStatus(); }

}  // namespace meshca
