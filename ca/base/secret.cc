#include "ca/base/secret.h"

#include <utility>

#include <openssl/crypto.h>

namespace meshca {

void Wipe(std::string& text) {
  // All of the capacity: a moved-from short string keeps its bytes in place behind a length of zero.
  text.resize(text.capacity());
  OPENSSL_cleanse(text.data(), text.size());
  text.clear();
}

bool ConstantTimeEquals(absl::string_view a, absl::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

SecretBytes::SecretBytes(std::string&& bytes) : bytes_(std::move(bytes)) { Wipe(bytes); }

SecretBytes SecretBytes::CopyOf(absl::string_view bytes) { return SecretBytes(std::string(bytes)); }

SecretBytes::SecretBytes(SecretBytes&& other) noexcept : bytes_(std::move(other.bytes_)) { Wipe(other.bytes_); }

SecretBytes& SecretBytes::operator=(SecretBytes&& other) noexcept {
  if (this != &other) {
    Wipe(bytes_);
    bytes_ = std::move(other.bytes_);
    Wipe(other.bytes_);
  }
  return *this;
}

SecretBytes::~SecretBytes() { Wipe(bytes_); }

}  // namespace meshca
