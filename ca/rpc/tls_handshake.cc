#include "ca/rpc/tls_handshake.h"

#include <openssl/err.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/base/check.h"
#include "ca/base/status.h"
#include "ca/rpc/client_chain.h"

namespace meshca::rpc {
namespace {

int HandshakeIndex() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

// The verification error whose TLS alert (RFC 8446 §6.2) says best what is wrong.
int VerifyErrorOf(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  if (reason == "CERTIFICATE_EXPIRED") return X509_V_ERR_CERT_HAS_EXPIRED;
  if (reason == "CERTIFICATE_REVOKED") return X509_V_ERR_CERT_REVOKED;
  if (reason == "UNKNOWN_AUTHORITY") return X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY;
  return X509_V_ERR_CERT_REJECTED;
}

// What OpenSSL's error says of the client, for the errors that somebody can do something about.
std::optional<ClientMistake> MistakeOf(unsigned long code) {
  if (ERR_GET_LIB(code) != ERR_LIB_SSL) return std::nullopt;
  switch (ERR_GET_REASON(code)) {
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST: return ClientMistake::kHttpOnTls;
    case SSL_R_WRONG_VERSION_NUMBER: return ClientMistake::kNoTls;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SUITABLE_KEY_SHARE: return ClientMistake::kOldTls;
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN: return ClientMistake::kDistrustsServer;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: return ClientMistake::kNoClientCertificate;
    default: return std::nullopt;
  }
}

ChainDer EncodeChain(const STACK_OF(X509) * certificates) {
  auto chain = std::make_shared<std::vector<std::string>>();
  const int count = sk_X509_num(certificates);
  if (count > kClientChainMax) return nullptr;
  for (int i = 0; i < count; ++i) {
    X509* certificate = sk_X509_value(certificates, i);
    const int size = i2d_X509(certificate, nullptr);
    if (size <= 0) return nullptr;
    std::string der(static_cast<size_t>(size), '\0');
    auto* out = reinterpret_cast<unsigned char*>(der.data());
    i2d_X509(certificate, &out);
    chain->push_back(std::move(der));
  }
  return chain;
}

}  // namespace

TlsHandshake* FindHandshake(const SSL* ssl) {
  return static_cast<TlsHandshake*>(SSL_get_ex_data(ssl, HandshakeIndex()));
}

absl::StatusOr<std::unique_ptr<TlsHandshake>> TlsHandshake::Begin(std::shared_ptr<const TlsState> state, int fd,
                                                                  Clock& clock) {
  std::unique_ptr<TlsHandshake> handshake(new TlsHandshake(std::move(state), clock));
  handshake->ssl_.reset(SSL_new(handshake->state_->ctx.get()));
  SSL* ssl = handshake->ssl_.get();
  if (ssl == nullptr || SSL_set_fd(ssl, fd) != 1 || SSL_set_ex_data(ssl, HandshakeIndex(), handshake.get()) != 1) {
    return OpenSslError("SSL_new");
  }
  SSL_set_accept_state(ssl);
  return handshake;
}

TlsHandshake::~TlsHandshake() {
  if (ssl_) SSL_set_ex_data(ssl_.get(), HandshakeIndex(), nullptr);
}

TlsHandshake::Step TlsHandshake::Continue() {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  if (result != 1) {
    switch (SSL_get_error(ssl_.get(), result)) {
      case SSL_ERROR_WANT_READ: return Step::kWantRead;
      case SSL_ERROR_WANT_WRITE: return Step::kWantWrite;
      default: break;
    }
    const unsigned long code = ERR_peek_error();
    if (!mistake_) mistake_ = MistakeOf(code);
    if (error_.empty()) {
      error_ = code == 0 ? "the client closed the connection" : ERR_reason_error_string(code);
    }
    ERR_clear_error();
    return Step::kFailed;
  }
  if (resumed() && offered_chain_) {
    chain_ = std::move(offered_chain_);
    identity_ = std::move(offered_identity_);
  }
  // What OpenSSL guarantees by SSL_VERIFY_FAIL_IF_NO_PEER_CERT and FindSession; failing closed costs nothing.
  if (state_->client_certificates == ClientCertificates::kRequired && chain_->empty()) {
    error_ = "no client certificate";
    mistake_ = ClientMistake::kNoClientCertificate;
    return Step::kFailed;
  }
  return Step::kDone;
}

SslPtr TlsHandshake::TakeSsl() {
  SSL_set_ex_data(ssl_.get(), HandshakeIndex(), nullptr);
  return std::move(ssl_);
}

int TlsHandshake::VerifyChain(X509_STORE_CTX* store) {
  ChainDer chain = EncodeChain(X509_STORE_CTX_get0_untrusted(store));
  absl::Status status;
  if (!chain || chain->empty()) {
    status = absl::InvalidArgumentError("the chain cannot be encoded");
  } else {
    auto identity = state_->verifier->Verify(*chain, clock_.Now());
    if (identity.ok()) {
      chain_ = std::move(chain);
      identity_ = *std::move(identity);
      X509_STORE_CTX_set_error(store, X509_V_OK);
      return 1;
    }
    status = std::move(identity).status();
  }
  error_ = absl::StrCat("client certificate: ", status.message());
  mistake_ = ClientMistake::kBadClientCertificate;
  X509_STORE_CTX_set_error(store, VerifyErrorOf(status));
  return 0;
}

void TlsHandshake::RefuseLongChain() {
  error_ = absl::StrCat("client certificate: the client's chain has more than ", kClientChainMax, " certificates");
}

SSL_SESSION* TlsHandshake::FindSession(absl::string_view id) {
  offered_chain_.reset();
  offered_identity_.reset();
  auto entry = state_->sessions->Find(id);
  if (!entry) return nullptr;
  if (entry->chain->empty()) {
    if (state_->client_certificates == ClientCertificates::kRequired) return nullptr;
  } else {
    // No resumption on yesterday's verdict. Null makes OpenSSL go on with a full handshake, in which the client's
    // certificate is judged in the open and refused with an alert.
    if (!state_->verifier) return nullptr;
    auto identity = state_->verifier->Verify(*entry->chain, clock_.Now());
    if (!identity.ok()) {
      state_->sessions->Remove(id);
      return nullptr;
    }
    offered_identity_ = *std::move(identity);
  }
  offered_chain_ = std::move(entry->chain);
  return entry->session.release();  // OpenSSL takes this reference (tls_context.cc: *copy = 0).
}

bool TlsHandshake::KeepSession(SSL_SESSION* session) {
  unsigned int id_bytes = 0;
  const unsigned char* id = SSL_SESSION_get_id(session, &id_bytes);
  if (id_bytes == 0) return false;
  // Only a handshake that did resume passes the old chain on: anybody can offer the session id of another client, and
  // without the session's key ends up in a full handshake of his own.
  const ChainDer& chain = resumed() && offered_chain_ ? offered_chain_ : chain_;
  state_->sessions->Put({reinterpret_cast<const char*>(id), id_bytes}, SslSessionPtr(session), chain);
  return true;
}

}  // namespace meshca::rpc
