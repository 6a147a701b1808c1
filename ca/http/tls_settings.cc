#include "ca/http/tls_settings.h"

#include <openssl/x509_vfy.h>

#include <utility>

#include "ca/base/status.h"
#include "ca/base/typed_address.h"

namespace meshca::http {
namespace {

// The one protocol that is spoken here, as ALPN writes it (RFC 7301 §3.1).
constexpr unsigned char kAlpn[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

// A client that offers HTTP/2 too gets HTTP/1.1; one that offers nothing else hears that at once.
int SelectAlpn(SSL*, const unsigned char** selected, unsigned char* selected_size, const unsigned char* offered,
               unsigned int offered_size, void*) {
  unsigned char* out = nullptr;
  if (SSL_select_next_proto(&out, selected_size, kAlpn, sizeof kAlpn, offered, offered_size) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *selected = out;
  return SSL_TLSEXT_ERR_OK;
}

absl::StatusOr<X509Ptr> ParseDer(absl::string_view der) {
  const unsigned char* at = OpenSslBytes(der);
  X509Ptr certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (certificate == nullptr || at != OpenSslBytes(der) + der.size()) {
    return absl::InvalidArgumentError(OpenSslError("a certificate of the server's own").message());
  }
  return certificate;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const TlsIdentity>> TlsIdentity::Create(std::span<const std::string> chain_der,
                                                                       EvpPkeyPtr key) {
  if (chain_der.empty() || key == nullptr) {
    return absl::InvalidArgumentError("a server needs a certificate and its key to speak TLS");
  }
  auto identity = std::make_shared<TlsIdentity>();
  MESHCA_ASSIGN_OR_RETURN(identity->leaf, ParseDer(chain_der.front()));
  for (const std::string& der : chain_der.subspan(1)) {
    MESHCA_ASSIGN_OR_RETURN(X509Ptr certificate, ParseDer(der));
    identity->above.push_back(std::move(certificate));
  }
  if (X509_check_private_key(identity->leaf.get(), key.get()) != 1) {
    return absl::InvalidArgumentError(OpenSslError("the server's key is not that of its certificate").message());
  }
  identity->key = std::move(key);
  return identity;
}

absl::StatusOr<SslCtxPtr> MakeClientContext(const std::string& ca_file) {
  SslCtxPtr context(SSL_CTX_new(TLS_client_method()));
  if (context == nullptr) return OpenSslError("SSL_CTX_new");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  const int trusted = ca_file.empty() ? SSL_CTX_set_default_verify_paths(context.get())
                                      : SSL_CTX_load_verify_file(context.get(), ca_file.c_str());
  if (trusted != 1) return Annotate(OpenSslError("certificates to believe"), ca_file);
  if (SSL_CTX_set_alpn_protos(context.get(), kAlpn, sizeof kAlpn) != 0) return OpenSslError("SSL_CTX_set_alpn_protos");
  return context;
}

absl::Status ExpectServer(SSL* ssl, const std::string& host) {
  const bool named = IsIpAddress(host)
                         ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str()) == 1
                         : SSL_set1_host(ssl, host.c_str()) == 1 && SSL_set_tlsext_host_name(ssl, host.c_str()) == 1;
  return named ? absl::OkStatus() : OpenSslError("name of the server");
}

absl::StatusOr<std::unique_ptr<ServerTls>> ServerTls::Create(TlsIdentityProvider provider) {
  std::unique_ptr<ServerTls> tls(new ServerTls(std::move(provider)));
  tls->context_.reset(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* context = tls->context_.get();
  if (context == nullptr) return OpenSslError("SSL_CTX_new");
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  // A session kept from yesterday would be taken up again under a certificate that is withdrawn today.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_cert_cb(context, &ServerTls::ShowCertificate, tls.get());
  SSL_CTX_set_alpn_select_cb(context, &SelectAlpn, nullptr);
  return tls;
}

int ServerTls::ShowCertificate(SSL* ssl, void* self) {
  const std::shared_ptr<const TlsIdentity> identity = static_cast<ServerTls*>(self)->provider_();
  if (identity == nullptr) return 0;
  if (SSL_use_certificate(ssl, identity->leaf.get()) != 1 || SSL_use_PrivateKey(ssl, identity->key.get()) != 1) {
    return 0;
  }
  for (const X509Ptr& certificate : identity->above) {
    if (SSL_add1_chain_cert(ssl, certificate.get()) != 1) return 0;
  }
  return 1;
}

}  // namespace meshca::http
