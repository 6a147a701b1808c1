#include "cli/client/root_probe.h"

#include <openssl/ssl.h>
#include <poll.h>

#include <csignal>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "ca/base/openssl_ptr.h"
#include "ca/base/status.h"
#include "ca/base/typed_address.h"
#include "ca/base/unique_fd.h"
#include "ca/x509/encoding.h"
#include "cli/client/address.h"
#include "cli/client/tcp.h"

namespace meshca::cli {
namespace {

using SslCtxPtr = OpenSslPtr<SSL_CTX, SSL_CTX_free>;
using SslPtr = OpenSslPtr<SSL, SSL_free>;

// OpenSSL writes by write(2): a server that takes the connection and ends it would end the command too, without a word.
class WithoutSigpipe {
 public:
  WithoutSigpipe() {
    struct sigaction ignore = {};
    ignore.sa_handler = SIG_IGN;
    ::sigaction(SIGPIPE, &ignore, &before_);
  }
  WithoutSigpipe(const WithoutSigpipe&) = delete;
  WithoutSigpipe& operator=(const WithoutSigpipe&) = delete;
  ~WithoutSigpipe() { ::sigaction(SIGPIPE, &before_, nullptr); }

 private:
  struct sigaction before_ = {};
};

// Drives the handshake of a non-blocking socket.
absl::Status Handshake(SSL* ssl, int fd, const std::string& address, absl::Time until) {
  for (;;) {
    const int done = SSL_connect(ssl);
    if (done == 1) return absl::OkStatus();
    const int error = SSL_get_error(ssl, done);
    pollfd wait = {fd, static_cast<short>(error == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN), 0};
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
      return absl::InvalidArgumentError(absl::StrCat(
          address, " does not speak TLS as a meshca server does: ", OpenSslError("TLS handshake").message()));
    }
    const int left = static_cast<int>(absl::ToInt64Milliseconds(until - absl::Now()));
    if (left <= 0 || ::poll(&wait, 1, left) != 1) {
      return absl::UnavailableError(absl::StrCat(address, ": the TLS handshake took too long"));
    }
  }
}

absl::StatusOr<std::vector<Certificate>> ShownChain(SSL* ssl) {
  std::vector<Certificate> chain;
  const STACK_OF(X509)* shown = SSL_get_peer_cert_chain(ssl);
  for (int i = 0; i < sk_X509_num(shown); ++i) {
    unsigned char* bytes = nullptr;
    const int size = i2d_X509(sk_X509_value(shown, i), &bytes);
    if (size < 0) return OpenSslError("i2d_X509");
    Der der(std::string(reinterpret_cast<char*>(bytes), static_cast<size_t>(size)));
    OPENSSL_free(bytes);
    absl::StatusOr<Certificate> certificate = Certificate::Parse(der);
    if (!certificate.ok()) {
      return Annotate(certificate.status(), absl::StrCat("certificate ", i + 1, " of the server"));
    }
    chain.push_back(*std::move(certificate));
  }
  return chain;
}

}  // namespace

absl::StatusOr<std::string> ParseFingerprint(absl::string_view text) {
  absl::string_view hex = text;
  if (absl::StartsWithIgnoreCase(hex, "sha256:")) hex.remove_prefix(7);
  absl::StatusOr<std::string> bytes = HexDecode(absl::StrReplaceAll(hex, {{":", ""}}));
  if (!bytes.ok() || bytes->size() != 32) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text,
                                                   "\" is no root fingerprint: 64 hex digits, as `meshca root show` "
                                                   "prints them"));
  }
  return bytes;
}

absl::StatusOr<std::vector<Certificate>> FetchServerChain(const std::string& address, absl::Duration timeout) {
  const absl::Time until = absl::Now() + timeout;
  const WithoutSigpipe without_sigpipe;
  MESHCA_ASSIGN_OR_RETURN(const UniqueFd fd, ConnectTcp(address, until));
  const SslCtxPtr context(SSL_CTX_new(TLS_client_method()));
  if (context == nullptr) return OpenSslError("SSL_CTX_new");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  // Nothing but the chain is taken from this connection.
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  const unsigned char h2[] = {2, 'h', '2'};
  const SslPtr ssl(SSL_new(context.get()));
  if (ssl == nullptr || SSL_set_alpn_protos(ssl.get(), h2, sizeof(h2)) != 0 || SSL_set_fd(ssl.get(), fd.get()) != 1) {
    return OpenSslError("SSL_new");
  }
  if (!IsIpAddress(HostOf(address))) SSL_set_tlsext_host_name(ssl.get(), HostOf(address).c_str());
  MESHCA_RETURN_IF_ERROR(Handshake(ssl.get(), fd.get(), address, until));
  return ShownChain(ssl.get());
}

absl::StatusOr<Certificate> FindRoot(const std::vector<Certificate>& chain, absl::string_view spki_sha256) {
  std::vector<std::string> roots;
  for (const Certificate& certificate : chain) {
    if (!certificate.is_ca() || !certificate.IsSelfSigned()) continue;
    if (certificate.public_key().sha256() == spki_sha256) return certificate;
    roots.push_back(certificate.spki_sha256_hex());
  }
  return WithReason(absl::UnauthenticatedError(
                        absl::StrCat("the server is not the one meant: its root's fingerprint is ",
                                     roots.empty() ? "not shown" : absl::StrJoin(roots, ", "), ", not ",
                                     HexLower(spki_sha256), "; compare with `meshca root show` on the CA's host")),
                    "ROOT_FINGERPRINT");
}

}  // namespace meshca::cli
