// A key store for tests: keeps keys as the server does, and counts what is asked of it.
#ifndef MESHCA_TEST_FAKES_FAKE_KEY_STORE_H_
#define MESHCA_TEST_FAKES_FAKE_KEY_STORE_H_

#include <memory>
#include <string>
#include <vector>

#include "ca/authority/key_encryption.h"
#include "ca/authority/sealed_key_store.h"
#include "ca/x509/key_store.h"

namespace meshca {

// One thread. Two stores made with the same letter open each other's keys.
class FakeKeyStore final : public KeyStore {
 public:
  explicit FakeKeyStore(char letter = 'k')
      : encryption_(KeyEncryption::FromKey(SecretBytes(std::string(32, letter))).value()) {}

  absl::StatusOr<std::unique_ptr<NewKey>> Generate(KeyType type) override {
    ++generated;
    return sealed_.Generate(type);
  }
  absl::StatusOr<std::unique_ptr<NewKey>> Import(const SecretBytes& pkcs8) override { return sealed_.Import(pkcs8); }
  absl::StatusOr<std::shared_ptr<const SigningKey>> Open(const StoredKey& stored, absl::string_view owner) override {
    return sealed_.Open(stored, owner);
  }
  absl::Status Destroy(const StoredKey& stored) override {
    destroyed.push_back(stored);
    return destroy_error;
  }

  // As if the key file were another one.
  void UseLetter(char letter) { encryption_ = KeyEncryption::FromKey(SecretBytes(std::string(32, letter))).value(); }

  int generated = 0;
  std::vector<StoredKey> destroyed;
  absl::Status destroy_error;

 private:
  KeyEncryption encryption_;
  SealedKeyStore sealed_{encryption_};
};

}  // namespace meshca

#endif  // MESHCA_TEST_FAKES_FAKE_KEY_STORE_H_
