#include "test/ca/rpc/tls_records.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_split.h"
#include "ca/base/check.h"
#include "ca/base/openssl_ptr.h"

namespace meshca::rpc {
namespace {

using CipherPtr = OpenSslPtr<EVP_CIPHER_CTX, EVP_CIPHER_CTX_free>;

constexpr size_t kKeyBytes = 16;
constexpr size_t kNonceBytes = 12;
constexpr size_t kTagBytes = 16;

int RecordsIndex() {
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

unsigned char* Bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }
const unsigned char* Bytes(const std::string& text) { return reinterpret_cast<const unsigned char*>(text.data()); }

std::string Hmac(const std::string& key, const std::string& text) {
  std::string digest(32, '\0');
  MESHCA_CHECK(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), Bytes(text), text.size(), Bytes(digest),
                    nullptr) != nullptr);
  return digest;
}

std::string BigEndian(uint64_t value, size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = size; i-- > 0; value >>= 8) bytes[i] = static_cast<char>(value);
  return bytes;
}

// HKDF-Expand-Label of RFC 8446 §7.1, for at most one block of SHA-256.
std::string ExpandLabel(const std::string& secret, const std::string& label, size_t size) {
  const std::string name = "tls13 " + label;
  const std::string info = BigEndian(size, 2) + BigEndian(name.size(), 1) + name + std::string(1, '\0');
  return Hmac(secret, info + '\x01').substr(0, size);
}

std::string AesGcm(const std::string& key, const std::string& nonce, const std::string& additional,
                   const std::string& plain) {
  CipherPtr cipher(EVP_CIPHER_CTX_new());
  std::string sealed(plain.size() + kTagBytes, '\0');
  int size = 0;
  MESHCA_CHECK(EVP_EncryptInit_ex(cipher.get(), EVP_aes_128_gcm(), nullptr, Bytes(key), Bytes(nonce)) == 1);
  MESHCA_CHECK(
      EVP_EncryptUpdate(cipher.get(), nullptr, &size, Bytes(additional), static_cast<int>(additional.size())) == 1);
  MESHCA_CHECK(EVP_EncryptUpdate(cipher.get(), Bytes(sealed), &size, Bytes(plain), static_cast<int>(plain.size())) ==
               1);
  MESHCA_CHECK(EVP_EncryptFinal_ex(cipher.get(), Bytes(sealed) + size, &size) == 1);
  MESHCA_CHECK(EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes, Bytes(sealed) + plain.size()) == 1);
  return sealed;
}

}  // namespace

TlsRecords::TlsRecords(SSL_CTX* ctx) {
  MESHCA_CHECK(SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") == 1);
  MESHCA_CHECK(SSL_CTX_set_cipher_list(ctx, "ECDHE-ECDSA-AES128-GCM-SHA256") == 1);
  SSL_CTX_set_ex_data(ctx, RecordsIndex(), this);
  SSL_CTX_set_keylog_callback(ctx, [](const SSL* ssl, const char* line) {
    auto* records = static_cast<TlsRecords*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), RecordsIndex()));
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    if (words[0] == "CLIENT_TRAFFIC_SECRET_0") records->traffic_secret_ = absl::HexStringToBytes(words[2]);
    if (words[0] == "CLIENT_RANDOM") records->master_secret_ = absl::HexStringToBytes(words[2]);
  });
}

void TlsRecords::TakeOver(SSL* ssl) {
  tls13_ = SSL_version(ssl) == TLS1_3_VERSION;
  if (tls13_) return UseTrafficSecret(traffic_secret_);
  std::string client(SSL3_RANDOM_SIZE, '\0');
  std::string server(SSL3_RANDOM_SIZE, '\0');
  SSL_get_client_random(ssl, Bytes(client), client.size());
  SSL_get_server_random(ssl, Bytes(server), server.size());
  UseMasterSecret(master_secret_, "key expansion" + server + client);
}

void TlsRecords::UseTrafficSecret(const std::string& secret) {
  secret_ = secret;
  key_ = ExpandLabel(secret, "key", kKeyBytes);
  iv_ = ExpandLabel(secret, "iv", kNonceBytes);
  sequence_ = 0;
}

void TlsRecords::UseMasterSecret(const std::string& master, const std::string& seed) {
  const std::string first = Hmac(master, seed);  // P_hash of RFC 5246 §5
  const std::string block = Hmac(master, first + seed) + Hmac(master, Hmac(master, first) + seed);
  key_ = block.substr(0, kKeyBytes);
  iv_ = block.substr(2 * kKeyBytes, 4);
  sequence_ = 1;  // Finished had 0.
}

std::string TlsRecords::Seal(uint8_t content_type, absl::string_view content) {
  const std::string sequence = BigEndian(sequence_++, 8);
  const char type = static_cast<char>(content_type);
  std::string plain(content);
  if (!tls13_) {
    const std::string additional = sequence + type + "\x03\x03" + BigEndian(plain.size(), 2);
    const std::string sealed = sequence + AesGcm(key_, iv_ + sequence, additional, plain);
    return type + std::string("\x03\x03") + BigEndian(sealed.size(), 2) + sealed;
  }
  plain += type;
  std::string nonce = iv_;
  for (size_t i = 0; i < sequence.size(); ++i) nonce[kNonceBytes - sequence.size() + i] ^= sequence[i];
  const std::string header = std::string("\x17\x03\x03") + BigEndian(plain.size() + kTagBytes, 2);
  return header + AesGcm(key_, nonce, header, plain);
}

std::string TlsRecords::KeyUpdate() {
  const std::string record = Seal(kHandshake, absl::string_view("\x18\0\0\x01\x01", 5));
  UseTrafficSecret(ExpandLabel(secret_, "traffic upd", 32));
  return record;
}

}  // namespace meshca::rpc
