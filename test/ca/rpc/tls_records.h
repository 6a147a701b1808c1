// TLS records of any content, sealed by hand with a connection's own keys: what no TLS library sends.
#ifndef MESHCA_TEST_CA_RPC_TLS_RECORDS_H_
#define MESHCA_TEST_CA_RPC_TLS_RECORDS_H_

#include <openssl/ssl.h>

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace meshca::rpc {

// Takes over the sending half of one client connection (AES-128-GCM, TLS 1.2 or 1.3) once OpenSSL has done its
// handshake. The SSL must not write afterwards.
class TlsRecords {
 public:
  static constexpr uint8_t kHandshake = 22;
  static constexpr uint8_t kApplicationData = 23;

  // Before the handshake: restricts `ctx` to the cipher and listens to its key log. Outlives the handshake.
  explicit TlsRecords(SSL_CTX* ctx);
  // After the handshake of `ssl`, before it wrote anything.
  void TakeOver(SSL* ssl);

  // One record of that type.
  std::string Seal(uint8_t content_type, absl::string_view content);
  // TLS 1.3: a KeyUpdate (RFC 8446 §4.6.3) that asks for one in return; what follows is sealed with the next keys.
  std::string KeyUpdate();

 private:
  void UseTrafficSecret(const std::string& secret);
  void UseMasterSecret(const std::string& master, const std::string& seed);

  std::string traffic_secret_;  // the key log's CLIENT_TRAFFIC_SECRET_0: TLS 1.3
  std::string master_secret_;   // and its CLIENT_RANDOM: TLS 1.2
  bool tls13_ = false;
  std::string secret_;
  std::string key_;
  std::string iv_;  // TLS 1.2: its implicit 4 bytes
  uint64_t sequence_ = 0;
};

}  // namespace meshca::rpc

#endif  // MESHCA_TEST_CA_RPC_TLS_RECORDS_H_
