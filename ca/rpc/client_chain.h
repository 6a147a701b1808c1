// How many certificates a client may show, enforced before any of them is read.
#ifndef MESHCA_CA_RPC_CLIENT_CHAIN_H_
#define MESHCA_CA_RPC_CLIENT_CHAIN_H_

#include <openssl/ssl.h>

#include "absl/strings/string_view.h"

namespace meshca::rpc {

// A leaf and a few intermediates.
inline constexpr int kClientChainMax = 8;

// How many certificates a handshake message lists, if it is a Certificate message (RFC 8446 §4.4.2, RFC 5246 §7.4.2);
// else 0. Stops counting at what it cannot read, as OpenSSL stops reading there.
int CertificatesIn(absl::string_view handshake_message, bool tls13);

// Makes the handshakes of `ctx` fail at a Certificate message with more than kClientChainMax certificates before
// OpenSSL decodes them, which takes about 0.1 ms for each: 64 KiB hold 400. TlsHandshake::error says why.
void LimitClientChains(SSL_CTX* ctx);

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_CLIENT_CHAIN_H_
