#include "ca/http/tls_settings.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
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

// A bundle of every public CA has a quarter of that.
constexpr size_t kPemBytesMax = 1 << 20;

std::string NameOf(const PemSource& source, const char* in_memory) {
  return source.file.empty() ? in_memory : source.file;
}

absl::StatusOr<std::vector<X509Ptr>> ReadCertificates(const PemSource& source) {
  MESHCA_ASSIGN_OR_RETURN(const SecretBytes pem, source.Read(FileSecrecy::kPublic));
  const BioPtr bio(BIO_new_mem_buf(pem.reveal().data(), static_cast<int>(pem.size())));
  if (bio == nullptr) return OpenSslError("BIO_new_mem_buf");
  std::vector<X509Ptr> certificates;
  while (X509* const certificate = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    certificates.emplace_back(certificate);
  }
  ERR_clear_error();
  if (certificates.empty()) return absl::InvalidArgumentError("holds no certificate in PEM");
  return certificates;
}

absl::Status Believe(SSL_CTX* context, const PemSource& ca) {
  MESHCA_ASSIGN_OR_RETURN(const std::vector<X509Ptr> roots, ReadCertificates(ca));
  for (const X509Ptr& root : roots) {
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), root.get()) != 1) return OpenSslError("a certificate");
  }
  return absl::OkStatus();
}

absl::StatusOr<EvpPkeyPtr> ReadKey(const PemSource& source) {
  MESHCA_ASSIGN_OR_RETURN(const SecretBytes pem, source.Read(FileSecrecy::kSecret));
  const BioPtr bio(BIO_new_mem_buf(pem.reveal().data(), static_cast<int>(pem.size())));
  if (bio == nullptr) return OpenSslError("BIO_new_mem_buf");
  // A passphrase would be asked for at the terminal.
  const auto no_passphrase = [](char*, int, int, void*) { return -1; };
  EvpPkeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
  ERR_clear_error();
  if (key == nullptr) return absl::InvalidArgumentError("holds no private key in PEM, or one behind a passphrase");
  return key;
}

absl::Status Show(SSL_CTX* context, const ClientTls& tls) {
  const std::string name = NameOf(tls.certificate, "the client's certificate");
  const std::string key_name = NameOf(tls.key, "the client's key");
  const absl::StatusOr<std::vector<X509Ptr>> chain = ReadCertificates(tls.certificate);
  if (!chain.ok()) return Annotate(chain.status(), name);
  const absl::StatusOr<EvpPkeyPtr> key = ReadKey(tls.key);
  if (!key.ok()) return Annotate(key.status(), key_name);
  if (SSL_CTX_use_certificate(context, chain->front().get()) != 1) return Annotate(OpenSslError("a certificate"), name);
  for (size_t i = 1; i < chain->size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context, (*chain)[i].get()) != 1) return Annotate(OpenSslError("a certificate"), name);
  }
  if (SSL_CTX_use_PrivateKey(context, key->get()) == 1) return absl::OkStatus();
  ERR_clear_error();
  return absl::InvalidArgumentError(absl::StrCat(key_name, " is not the key of ", name));
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

absl::StatusOr<SecretBytes> PemSource::Read(FileSecrecy secrecy) const {
  if (bytes != nullptr) return bytes->Clone();
  MESHCA_ASSIGN_OR_RETURN(std::string text, ReadFile(file, kPemBytesMax, secrecy));
  return SecretBytes(std::move(text));
}

absl::StatusOr<SslCtxPtr> MakeClientContext(const ClientTls& tls) {
  SslCtxPtr context(SSL_CTX_new(TLS_client_method()));
  if (context == nullptr) return OpenSslError("SSL_CTX_new");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  if (tls.ca.empty()) {
    if (SSL_CTX_set_default_verify_paths(context.get()) != 1) return OpenSslError("the system's certificates");
  } else {
    MESHCA_RETURN_IF_ERROR(Annotate(Believe(context.get(), tls.ca), NameOf(tls.ca, "the CA's certificates")));
  }
  if (!tls.certificate.empty()) MESHCA_RETURN_IF_ERROR(Show(context.get(), tls));
  if (SSL_CTX_set_alpn_protos(context.get(), kAlpn, sizeof kAlpn) != 0) return OpenSslError("SSL_CTX_set_alpn_protos");
  return context;
}

absl::Status CheckClientTls(const ClientTls& tls) { return MakeClientContext(tls).status(); }

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
