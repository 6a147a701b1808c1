#include "ca/rpc/tls_context.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "ca/base/mutex.h"
#include "ca/base/status.h"
#include "ca/rpc/client_chain.h"
#include "ca/rpc/session_cache.h"
#include "ca/rpc/tls_handshake.h"

namespace meshca::rpc {
namespace {

constexpr long kSessionSeconds = 3600;
constexpr size_t kClientChainBytesMax = 64 * 1024;

int SelectAlpn(SSL* ssl, const unsigned char** out, unsigned char* out_bytes, const unsigned char* in,
               unsigned int in_bytes, void*) {
  static const unsigned char kH2[] = {2, 'h', '2'};
  const int result = SSL_select_next_proto(const_cast<unsigned char**>(out), out_bytes, kH2, sizeof kH2, in, in_bytes);
  if (result == OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_OK;
  if (TlsHandshake* handshake = FindHandshake(ssl)) handshake->RefuseProtocol(ClientMistake::kOtherAlpn);
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

// OpenSSL calls SelectAlpn only for clients that send the extension; the others are refused here, at the ClientHello.
int RequireAlpn(SSL* ssl, int* alert, void*) {
  const unsigned char* extension = nullptr;
  size_t bytes = 0;
  if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &extension, &bytes) == 1) {
    return SSL_CLIENT_HELLO_SUCCESS;
  }
  if (TlsHandshake* handshake = FindHandshake(ssl)) handshake->RefuseProtocol(ClientMistake::kNoAlpn);
  *alert = SSL_AD_NO_APPLICATION_PROTOCOL;
  return SSL_CLIENT_HELLO_ERROR;
}

int VerifyClient(X509_STORE_CTX* store, void*) {
  auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  TlsHandshake* handshake = FindHandshake(ssl);
  return handshake == nullptr ? 0 : handshake->VerifyChain(store);
}

SSL_SESSION* GetSession(SSL* ssl, const unsigned char* id, int id_bytes, int* copy) {
  *copy = 0;
  TlsHandshake* handshake = FindHandshake(ssl);
  if (handshake == nullptr) return nullptr;
  return handshake->FindSession({reinterpret_cast<const char*>(id), static_cast<size_t>(id_bytes)});
}

int NewSession(SSL* ssl, SSL_SESSION* session) {
  TlsHandshake* handshake = FindHandshake(ssl);
  return handshake != nullptr && handshake->KeepSession(session) ? 1 : 0;
}

absl::Status Check(const TlsOptions& options) {
  if (options.certificate_chain_der.empty() && options.private_key) {
    return absl::InvalidArgumentError("TLS: no server certificate for the private key");
  }
  if (!options.certificate_chain_der.empty() && !options.private_key) {
    return absl::InvalidArgumentError("TLS: no private key for the server certificate");
  }
  if ((options.client_certificates == ClientCertificates::kNone) != (options.verifier == nullptr)) {
    return absl::InvalidArgumentError("TLS: a client verifier belongs to client certificates, and they to it");
  }
  return absl::OkStatus();
}

absl::Status UseCertificates(SSL_CTX* ctx, const TlsOptions& options) {
  if (options.certificate_chain_der.empty()) return absl::OkStatus();
  for (size_t i = 0; i < options.certificate_chain_der.size(); ++i) {
    const std::string& der = options.certificate_chain_der[i];
    const auto* in = reinterpret_cast<const unsigned char*>(der.data());
    X509Ptr certificate(d2i_X509(nullptr, &in, static_cast<long>(der.size())));
    if (!certificate || in != reinterpret_cast<const unsigned char*>(der.data()) + der.size()) {
      ERR_clear_error();
      return absl::InvalidArgumentError(absl::StrCat("TLS: server certificate ", i + 1, " is not one DER certificate"));
    }
    if (i == 0) {
      if (SSL_CTX_use_certificate(ctx, certificate.get()) != 1) {
        return absl::InvalidArgumentError(OpenSslError("TLS: server certificate").message());
      }
    } else if (SSL_CTX_add0_chain_cert(ctx, certificate.get()) == 1) {
      (void)certificate.release();  // add0 took it.
    } else {
      return OpenSslError("SSL_CTX_add0_chain_cert");
    }
  }
  if (SSL_CTX_use_PrivateKey(ctx, options.private_key.get()) != 1 || SSL_CTX_check_private_key(ctx) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError("TLS: the private key does not belong to the first server certificate");
  }
  return absl::OkStatus();
}

// The protocol: TLS 1.2 with forward secrecy and AEAD alone, or 1.3; sessions on the server; no renegotiation.
absl::Status UseProtocol(SSL_CTX* ctx, const TlsOptions& options) {
  // Whatever the host's openssl.cnf says: 112 bits for every key, curve and signature.
  SSL_CTX_set_security_level(ctx, 2);
  const int minimum = options.minimum_version == TlsVersion::kTls13 ? TLS1_3_VERSION : TLS1_2_VERSION;
  if (SSL_CTX_set_min_proto_version(ctx, minimum) != 1 ||
      SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1 ||
      SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384") != 1) {
    return OpenSslError("TLS settings");
  }
  // RELEASE_BUFFERS: an idle connection gives back 34 KB. read_ahead: one read() a record in place of two.
  SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(ctx, 1);
  // Otherwise one SSL_read goes on for as long as a client sends KeyUpdates, and nobody else on the loop is served.
  SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
  SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_COMPRESSION |
                               SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_TICKET | SSL_OP_CLEANSE_PLAINTEXT);
  SSL_CTX_set_num_tickets(ctx, 1);  // Under NO_TICKET a TLS 1.3 "ticket" is the name of a session kept here.
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_set_timeout(ctx, kSessionSeconds);
  static const unsigned char kContext[] = "meshca";
  SSL_CTX_set_session_id_context(ctx, kContext, sizeof kContext - 1);
  SSL_CTX_sess_set_get_cb(ctx, GetSession);
  SSL_CTX_sess_set_new_cb(ctx, NewSession);
  SSL_CTX_set_alpn_select_cb(ctx, SelectAlpn, nullptr);
  SSL_CTX_set_client_hello_cb(ctx, RequireAlpn, nullptr);
  if (options.client_certificates != ClientCertificates::kNone) {
    int mode = SSL_VERIFY_PEER;
    if (options.client_certificates == ClientCertificates::kRequired) mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(ctx, mode, nullptr);
    SSL_CTX_set_cert_verify_callback(ctx, VerifyClient, nullptr);
    SSL_CTX_set_max_cert_list(ctx, kClientChainBytesMax);
    LimitClientChains(ctx);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const TlsState>> MakeState(TlsOptions options, std::shared_ptr<SessionCache> sessions) {
  MESHCA_RETURN_IF_ERROR(Check(options));
  auto state = std::make_shared<TlsState>();
  state->ctx.reset(SSL_CTX_new(TLS_server_method()));
  if (!state->ctx) return OpenSslError("SSL_CTX_new");
  MESHCA_RETURN_IF_ERROR(UseProtocol(state->ctx.get(), options));
  MESHCA_RETURN_IF_ERROR(UseCertificates(state->ctx.get(), options));
  state->client_certificates = options.client_certificates;
  state->verifier = std::move(options.verifier);
  state->sessions = std::move(sessions);
  return std::shared_ptr<const TlsState>(std::move(state));
}

}  // namespace

class SwappableTlsContext final : public TlsContext {
 public:
  SwappableTlsContext(std::shared_ptr<const TlsState> state, std::shared_ptr<SessionCache> sessions)
      : sessions_(std::move(sessions)), state_(std::move(state)) {}

  absl::Status Swap(TlsOptions options) override {
    MESHCA_ASSIGN_OR_RETURN(auto state, MakeState(std::move(options), sessions_));
    MutexLock lock(mutex_);
    state_.swap(state);  // The old one ends after the lock, or with its last handshake.
    return absl::OkStatus();
  }

  void DropSessions() override { sessions_->Clear(); }

  std::shared_ptr<const TlsState> state() const {
    MutexLock lock(mutex_);
    return state_;
  }

 private:
  const std::shared_ptr<SessionCache> sessions_;
  mutable Mutex mutex_;
  std::shared_ptr<const TlsState> state_ ABSL_GUARDED_BY(mutex_);
};

absl::StatusOr<std::shared_ptr<TlsContext>> TlsContext::Create(TlsOptions options, size_t sessions_max) {
  auto sessions = std::make_shared<SessionCache>(sessions_max);
  MESHCA_ASSIGN_OR_RETURN(auto state, MakeState(std::move(options), sessions));
  return std::shared_ptr<TlsContext>(std::make_shared<SwappableTlsContext>(std::move(state), std::move(sessions)));
}

std::shared_ptr<const TlsState> CurrentState(TlsContext& context) {
  return static_cast<SwappableTlsContext&>(context).state();
}

absl::StatusOr<std::vector<std::string>> CertificatesFromPem(absl::string_view pem) {
  BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (!bio) return OpenSslError("BIO_new_mem_buf");
  std::vector<std::string> chain;
  for (;;) {
    X509Ptr certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (!certificate) break;
    std::string der(static_cast<size_t>(i2d_X509(certificate.get(), nullptr)), '\0');
    auto* out = reinterpret_cast<unsigned char*>(der.data());
    i2d_X509(certificate.get(), &out);
    chain.push_back(std::move(der));
  }
  const unsigned long error = ERR_peek_last_error();
  ERR_clear_error();
  const bool at_end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  if (!at_end) return absl::InvalidArgumentError(absl::StrCat("PEM certificate ", chain.size() + 1, " is broken"));
  if (chain.empty()) return absl::InvalidArgumentError("no PEM block CERTIFICATE");
  return chain;
}

}  // namespace meshca::rpc
