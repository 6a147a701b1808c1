#include "ca/authority/key_encryption.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "ca/base/bare_text.h"
#include "ca/base/file.h"
#include "ca/base/openssl_ptr.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

using EvpKdfPtr = OpenSslPtr<EVP_KDF, EVP_KDF_free>;
using EvpKdfCtxPtr = OpenSslPtr<EVP_KDF_CTX, EVP_KDF_CTX_free>;

constexpr size_t kKeyBytes = 32;
constexpr size_t kNonceBytes = 12;
constexpr size_t kTagBytes = 16;
// First byte of every sealed text, so that a later format can be told from this one.
constexpr char kSealVersion = 1;

unsigned char* Bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

// HKDF-SHA-256 (RFC 5869). No salt: the input is uniformly random already; `purpose` keeps the outputs apart.
absl::StatusOr<SecretBytes> Derive(absl::string_view key, absl::string_view purpose) {
  EvpKdfPtr kdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr));
  EvpKdfCtxPtr context(kdf == nullptr ? nullptr : EVP_KDF_CTX_new(kdf.get()));
  if (context == nullptr) return OpenSslError("EVP_KDF_fetch(HKDF)");
  char digest[] = "SHA256";
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, const_cast<char*>(key.data()), key.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, const_cast<char*>(purpose.data()), purpose.size()),
      OSSL_PARAM_construct_end(),
  };
  std::string derived(kKeyBytes, '\0');
  if (EVP_KDF_derive(context.get(), Bytes(derived), derived.size(), params) != 1) return OpenSslError("HKDF");
  return SecretBytes(std::move(derived));
}

// Keeps the key out of swap. Best effort: RLIMIT_MEMLOCK may forbid it. Never unlocked, because neighbours on the page
// may be keys too; a page or two for the life of the process.
void LockPages(const SecretBytes& key) { (void)mlock(key.reveal().data(), key.size()); }

// What GCM authenticates beside the plaintext: the format, then the caller's words.
std::string Associated(absl::string_view associated) {
  return absl::StrCat(absl::string_view(&kSealVersion, 1), associated);
}

absl::Status CannotOpen() {
  return WithReason(
      absl::DataLossError("sealed key does not open: it was changed, or this is not the key-encryption key it was "
                          "sealed with (restore the key file that belongs to this database)"),
      "SEALED_KEY_BROKEN");
}

}  // namespace

KeyEncryption::KeyEncryption(SecretBytes seal_key, SecretBytes mac_key)
    : seal_key_(std::move(seal_key)), mac_key_(std::move(mac_key)) {
  LockPages(seal_key_);
  LockPages(mac_key_);
}

absl::StatusOr<KeyEncryption> KeyEncryption::FromKey(SecretBytes key) {
  if (key.size() != kKeyBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("key-encryption key: ", key.size(), " bytes, and exactly ", kKeyBytes, " are needed"));
  }
  MESHCA_ASSIGN_OR_RETURN(SecretBytes seal_key, Derive(key.reveal(), "meshca seal v1"));
  MESHCA_ASSIGN_OR_RETURN(SecretBytes mac_key, Derive(key.reveal(), "meshca row mac v1"));
  return KeyEncryption(std::move(seal_key), std::move(mac_key));
}

namespace {

// Enough to tell what somebody put there instead of the key.
constexpr size_t kKeyFileBytesMax = 4096;

// What is wrong with a key file of another length: most often it holds the key as text.
std::string WrongLength(absl::string_view key) {
  std::string text = absl::StrCat("holds ", key.size(), " bytes, and exactly ", kKeyBytes, " are needed");
  const absl::Status bare = CheckBareText(absl::StripAsciiWhitespace(key));
  const bool is_text = std::all_of(key.begin(), key.end(), [](char c) { return absl::ascii_isprint(c) || c == '\n'; });
  if (is_text || !bare.ok()) {
    absl::StrAppend(&text, "; the file is read as raw bytes, and this is text: decode it (base64 -d, xxd -r -p)");
  }
  if (!bare.ok()) absl::StrAppend(&text, "; ", bare.message());
  return text;
}

}  // namespace

absl::StatusOr<SecretBytes> KeyEncryption::MakeKey() {
  std::string fresh(kKeyBytes, '\0');
  if (RAND_priv_bytes(Bytes(fresh), static_cast<int>(fresh.size())) != 1) return OpenSslError("RAND_priv_bytes");
  return SecretBytes(std::move(fresh));
}

absl::StatusOr<KeyEncryption> KeyEncryption::FromFile(const std::string& path, bool create) {
  auto bytes = ReadFile(path, kKeyFileBytesMax, FileSecrecy::kSecret);
  if (create && absl::IsNotFound(bytes.status())) {
    MESHCA_ASSIGN_OR_RETURN(const SecretBytes key, MakeKey());
    absl::Status made = CreatePrivateFile(path, key.reveal());
    if (!made.ok() && !absl::IsAlreadyExists(made)) return Annotate(made, "key-encryption key");
    bytes = ReadFile(path, kKeyFileBytesMax, FileSecrecy::kSecret);
  }
  if (!bytes.ok()) return Annotate(bytes.status(), "key-encryption key");
  SecretBytes key(*std::move(bytes));
  if (key.size() != kKeyBytes) {
    return absl::InvalidArgumentError(absl::StrCat("key-encryption key: ", path, ": ", WrongLength(key.reveal())));
  }
  return FromKey(std::move(key));
}

absl::StatusOr<std::string> KeyEncryption::Seal(absl::string_view plaintext, absl::string_view associated) const {
  std::string sealed(1 + kNonceBytes + plaintext.size() + kTagBytes, '\0');
  sealed[0] = kSealVersion;
  unsigned char* nonce = Bytes(sealed) + 1;
  unsigned char* text = nonce + kNonceBytes;
  unsigned char* tag = text + plaintext.size();
  // A random nonce is safe here: keys are sealed a few times a month, far from the 2^32 that would matter.
  if (RAND_bytes(nonce, kNonceBytes) != 1) return OpenSslError("RAND_bytes");
  EvpCipherCtxPtr context(EVP_CIPHER_CTX_new());
  const std::string aad = Associated(associated);
  int size = 0;
  if (context == nullptr ||
      EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, OpenSslBytes(seal_key_.reveal()), nonce) != 1 ||
      EVP_EncryptUpdate(context.get(), nullptr, &size, OpenSslBytes(aad), static_cast<int>(aad.size())) != 1 ||
      EVP_EncryptUpdate(context.get(), text, &size, OpenSslBytes(plaintext), static_cast<int>(plaintext.size())) != 1 ||
      EVP_EncryptFinal_ex(context.get(), text + size, &size) != 1 ||
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, kTagBytes, tag) != 1) {
    return OpenSslError("AES-256-GCM seal");
  }
  return sealed;
}

absl::StatusOr<SecretBytes> KeyEncryption::Open(absl::string_view sealed, absl::string_view associated) const {
  if (sealed.size() < 1 + kNonceBytes + kTagBytes || sealed[0] != kSealVersion) return CannotOpen();
  absl::string_view nonce = sealed.substr(1, kNonceBytes);
  absl::string_view text = sealed.substr(1 + kNonceBytes, sealed.size() - 1 - kNonceBytes - kTagBytes);
  absl::string_view tag = sealed.substr(sealed.size() - kTagBytes);
  EvpCipherCtxPtr context(EVP_CIPHER_CTX_new());
  const std::string aad = Associated(associated);
  std::string plaintext(text.size(), '\0');
  int size = 0;
  if (context == nullptr ||
      EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, OpenSslBytes(seal_key_.reveal()),
                         OpenSslBytes(nonce)) != 1 ||
      EVP_DecryptUpdate(context.get(), nullptr, &size, OpenSslBytes(aad), static_cast<int>(aad.size())) != 1 ||
      EVP_DecryptUpdate(context.get(), Bytes(plaintext), &size, OpenSslBytes(text), static_cast<int>(text.size())) !=
          1 ||
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, kTagBytes, const_cast<char*>(tag.data())) != 1) {
    Wipe(plaintext);
    return OpenSslError("AES-256-GCM open");
  }
  if (EVP_DecryptFinal_ex(context.get(), Bytes(plaintext) + size, &size) != 1) {
    Wipe(plaintext);
    OpenSslError("AES-256-GCM open").IgnoreError();  // Empties the queue; a wrong tag leaves nothing to tell.
    return CannotOpen();
  }
  return SecretBytes(std::move(plaintext));
}

std::string KeyEncryption::RowMac(absl::string_view table, absl::string_view row) const {
  // The table's length first: no pair of table and row is another pair's bytes.
  std::string message = absl::StrCat(table.size(), ":", table, row);
  std::string mac(kKeyBytes, '\0');
  unsigned int size = 0;
  HMAC(EVP_sha256(), mac_key_.reveal().data(), static_cast<int>(mac_key_.size()), OpenSslBytes(message), message.size(),
       Bytes(mac), &size);
  return mac;
}

}  // namespace meshca
