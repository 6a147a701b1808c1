#include "ca/rpc/client_chain.h"

#include <cstring>

#include "ca/rpc/tls_handshake.h"

namespace meshca::rpc {
namespace {

constexpr size_t kHeaderBytes = 4;  // type and length of a handshake message
constexpr size_t kLengthBytes = 3;

// Takes a vector with a length of `length_bytes` in front off `in`. False: it is cut short.
bool TakeVector(absl::string_view& in, size_t length_bytes, absl::string_view& vector) {
  if (in.size() < length_bytes) return false;
  size_t size = 0;
  for (size_t i = 0; i < length_bytes; ++i) size = size << 8 | static_cast<unsigned char>(in[i]);
  if (in.size() - length_bytes < size) return false;
  vector = in.substr(length_bytes, size);
  in.remove_prefix(length_bytes + size);
  return true;
}

// The body of a Certificate message from its certificate_list on; empty for any other message.
absl::string_view CertificateList(absl::string_view message, bool tls13) {
  if (message.size() < kHeaderBytes || message[0] != SSL3_MT_CERTIFICATE) return {};
  message.remove_prefix(kHeaderBytes);
  absl::string_view request_context;
  if (tls13 && !TakeVector(message, 1, request_context)) return {};
  return message;
}

// OpenSSL calls this with every handshake message when it has arrived and before it is processed, and gives no way to
// refuse one. But the bytes are those that will be processed: a list that claims to be longer than its message is
// refused by OpenSSL with decode_error before it looks inside. Were the bytes a copy some day, a chain that is too long
// would still be refused by TlsHandshake::VerifyChain, only at a higher price; a test would fail.
void OnMessage(int is_written, int /*version*/, int content_type, const void* bytes, size_t size, SSL* ssl, void*) {
  if (is_written != 0 || content_type != SSL3_RT_HANDSHAKE) return;
  const absl::string_view message(static_cast<const char*>(bytes), size);
  const bool tls13 = SSL_version(ssl) == TLS1_3_VERSION;
  if (CertificatesIn(message, tls13) <= kClientChainMax) return;
  const absl::string_view list = CertificateList(message, tls13);
  std::memset(const_cast<char*>(list.data()), 0xFF, kLengthBytes);
  if (TlsHandshake* handshake = FindHandshake(ssl); handshake != nullptr) handshake->RefuseLongChain();
}

}  // namespace

int CertificatesIn(absl::string_view handshake_message, bool tls13) {
  absl::string_view message = CertificateList(handshake_message, tls13);
  absl::string_view list, certificate, extensions;
  if (!TakeVector(message, kLengthBytes, list)) return 0;
  int count = 0;
  while (TakeVector(list, kLengthBytes, certificate)) {
    ++count;
    if (tls13 && !TakeVector(list, 2, extensions)) break;
  }
  return count;
}

void LimitClientChains(SSL_CTX* ctx) { SSL_CTX_set_msg_callback(ctx, OnMessage); }

}  // namespace meshca::rpc
