// What OpenSSL is told for a TLS connection of ours: whom a client believes, what a server shows.
#ifndef MESHCA_CA_HTTP_TLS_SETTINGS_H_
#define MESHCA_CA_HTTP_TLS_SETTINGS_H_

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/base/openssl_ptr.h"
#include "ca/http/client_tls.h"
#include "ca/http/tls_identity.h"

namespace meshca::http {

using SslCtxPtr = OpenSslPtr<SSL_CTX, SSL_CTX_free>;

// A client's: TLS 1.2 or later, the server's certificate verified under `tls.ca`, ALPN http/1.1. Reads the files of
// `tls`: their errors name them. InvalidArgument: what they hold is no PEM of that kind, or the key is not the
// certificate's.
absl::StatusOr<SslCtxPtr> MakeClientContext(const ClientTls& tls);

// Makes the handshake fail unless the certificate is one of `host`, a name or an address without brackets. Internal.
absl::Status ExpectServer(SSL* ssl, const std::string& host);

// A server's: TLS 1.2 or later, no client certificates, no tickets, the certificate that `provider` gives at each
// handshake. `provider` runs on the thread that does the handshake. Internal.
class ServerTls {
 public:
  static absl::StatusOr<std::unique_ptr<ServerTls>> Create(TlsIdentityProvider provider);

  SSL_CTX* context() const { return context_.get(); }

 private:
  explicit ServerTls(TlsIdentityProvider provider) : provider_(std::move(provider)) {}
  static int ShowCertificate(SSL* ssl, void* self);

  const TlsIdentityProvider provider_;
  SslCtxPtr context_;
};

}  // namespace meshca::http

#endif  // MESHCA_CA_HTTP_TLS_SETTINGS_H_
