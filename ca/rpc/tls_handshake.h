// One server-side TLS handshake, from ClientHello to the client's verified identity.
#ifndef MESHCA_CA_RPC_TLS_HANDSHAKE_H_
#define MESHCA_CA_RPC_TLS_HANDSHAKE_H_

#include <openssl/ssl.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "ca/base/clock.h"
#include "ca/base/openssl_ptr.h"
#include "ca/rpc/client_mistakes.h"
#include "ca/rpc/session_cache.h"
#include "ca/rpc/tls_context.h"

namespace meshca::rpc {

using SslPtr = OpenSslPtr<SSL, SSL_free>;
using SslCtxPtr = OpenSslPtr<SSL_CTX, SSL_CTX_free>;

// One state of a TlsContext, immutable; handshakes in progress keep theirs.
struct TlsState {
  SslCtxPtr ctx;
  ClientCertificates client_certificates = ClientCertificates::kNone;
  std::shared_ptr<ClientVerifier> verifier;
  std::shared_ptr<SessionCache> sessions;
};

// The state `context` has now.
std::shared_ptr<const TlsState> CurrentState(TlsContext& context);

class TlsHandshake;
// The handshake `ssl` is in; null when it is over. For OpenSSL's callbacks.
TlsHandshake* FindHandshake(const SSL* ssl);

// Lives on a loop until the handshake is over; OpenSSL's callbacks find it through the SSL.
class TlsHandshake {
 public:
  enum class Step { kDone, kWantRead, kWantWrite, kFailed };

  // `fd` is borrowed and non-blocking. `clock` outlives the handshake. Errors: Internal.
  static absl::StatusOr<std::unique_ptr<TlsHandshake>> Begin(std::shared_ptr<const TlsState> state, int fd,
                                                             Clock& clock);
  ~TlsHandshake();

  // As far as the bytes so far allow. kFailed: the alert is on its way; error() says why.
  Step Continue();
  const std::string& error() const { return error_; }
  // After kFailed: what the client did wrong, where its operator can mend it.
  const std::optional<ClientMistake>& mistake() const { return mistake_; }

  // After kDone: the connection, and who is at the other end.
  SslPtr TakeSsl();
  const ChainDer& chain() const { return chain_; }  // never null
  const std::shared_ptr<const void>& identity() const { return identity_; }
  // The verifier's name for who showed the certificate; "" where it has none, and without a certificate.
  std::string counted_as() const {
    return chain_->empty() || !state_->verifier ? std::string() : state_->verifier->CountedAs(identity_.get());
  }
  std::string version() const { return SSL_get_version(ssl_.get()); }
  bool resumed() const { return SSL_session_reused(ssl_.get()) == 1; }

  // OpenSSL's callbacks.
  int VerifyChain(X509_STORE_CTX* store);
  void RefuseLongChain();
  SSL_SESSION* FindSession(absl::string_view id);
  bool KeepSession(SSL_SESSION* session);
  void RefuseProtocol(ClientMistake mistake) {
    mistake_ = mistake;
    error_ = "no application protocol in common";
  }

 private:
  TlsHandshake(std::shared_ptr<const TlsState> state, Clock& clock) : state_(std::move(state)), clock_(clock) {}

  const std::shared_ptr<const TlsState> state_;
  Clock& clock_;
  SslPtr ssl_;
  std::string error_;
  std::optional<ClientMistake> mistake_;
  ChainDer chain_ = std::make_shared<const std::vector<std::string>>();
  std::shared_ptr<const void> identity_;
  // Of the session offered for resumption; becomes ours when OpenSSL takes it, which it does after proof of its key.
  ChainDer offered_chain_;
  std::shared_ptr<const void> offered_identity_;
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_TLS_HANDSHAKE_H_
