#include "test/bench/tls_target.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca::bench {
namespace {

constexpr std::array<unsigned char, 3> kAlpnH2 = {2, 'h', '2'};
constexpr int kConnectMs = 5000;
constexpr size_t kSessionsMax = 64;

using AddressesPtr = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

// A connect() that has begun, or how it failed.
absl::StatusOr<UniqueFd> BeginConnect(const sockaddr* address, socklen_t size) {
  UniqueFd fd(socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "socket");
  const int on = 1;
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (connect(fd.get(), address, size) != 0 && errno != EINPROGRESS) return ErrnoStatus(errno, "connect");
  return fd;
}

absl::Status Connected(const UniqueFd& fd) {
  pollfd wait = {fd.get(), POLLOUT, 0};
  if (poll(&wait, 1, kConnectMs) == 0) return absl::UnavailableError("no answer within 5 s");
  int error = 0;
  socklen_t size = sizeof(error);
  getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  return error == 0 ? absl::OkStatus() : absl::UnavailableError(std::strerror(error));
}

bool IsIp(const std::string& text) {
  std::array<unsigned char, 16> bytes;
  return inet_pton(AF_INET, text.c_str(), bytes.data()) == 1 || inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TlsTarget>> TlsTarget::Create(TlsTargetOptions options) {
  std::unique_ptr<TlsTarget> target(new TlsTarget(std::move(options)));
  MESHCA_RETURN_IF_ERROR(target->SplitAddress());
  MESHCA_RETURN_IF_ERROR(target->PrepareTls());
  MESHCA_RETURN_IF_ERROR(target->FindServer());
  return target;
}

absl::Status TlsTarget::SplitAddress() {
  const size_t colon = options_.address.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == options_.address.size()) {
    return absl::InvalidArgumentError(absl::StrCat("address \"", options_.address, "\" is not HOST:PORT"));
  }
  host_ = options_.address.substr(0, colon);
  port_ = options_.address.substr(colon + 1);
  if (host_.size() > 2 && host_.front() == '[' && host_.back() == ']') host_ = host_.substr(1, host_.size() - 2);
  name_ = options_.server_name.empty() ? host_ : options_.server_name;
  name_is_ip_ = IsIp(name_);
  return absl::OkStatus();
}

absl::Status TlsTarget::PrepareTls() {
  context_.reset(SSL_CTX_new(TLS_client_method()));
  if (context_ == nullptr) return OpenSslError("SSL_CTX_new");
  SSL_CTX* const context = context_.get();
  SSL_CTX_set_alpn_protos(context, kAlpnH2.data(), kAlpnH2.size());
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(context, 1);  // one read() a record instead of two
  SSL_CTX_set_app_data(context, this);
  if (options_.resume_sessions) {
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, &TakeSession);
  } else {
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  }
  MESHCA_RETURN_IF_ERROR(PrepareVerification());
  if (options_.certificate_file.empty()) return absl::OkStatus();
  if (SSL_CTX_use_certificate_chain_file(context, options_.certificate_file.c_str()) != 1) {
    return OpenSslError(absl::StrCat("no PEM certificate in ", options_.certificate_file));
  }
  if (SSL_CTX_use_PrivateKey_file(context, options_.key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    return OpenSslError(
        absl::StrCat("no PEM key in ", options_.key_file, ", or not that of ", options_.certificate_file));
  }
  return absl::OkStatus();
}

absl::Status TlsTarget::PrepareVerification() {
  SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_cert_verify_callback(context_.get(), &Verify, this);
  X509_VERIFY_PARAM* const wanted = SSL_CTX_get0_param(context_.get());
  const int set = name_is_ip_ ? X509_VERIFY_PARAM_set1_ip_asc(wanted, name_.c_str())
                              : X509_VERIFY_PARAM_set1_host(wanted, name_.data(), name_.size());
  if (set != 1) return OpenSslError(absl::StrCat("server name ", name_));
  if (SSL_CTX_load_verify_locations(context_.get(), options_.root_file.c_str(), nullptr) != 1) {
    return OpenSslError(absl::StrCat("no PEM certificate in ", options_.root_file));
  }
  return absl::OkStatus();
}

void TlsTarget::AddRoot(X509* root) { X509_STORE_add_cert(SSL_CTX_get_cert_store(context_.get()), root); }

absl::Status TlsTarget::FindServer() {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host_.c_str(), port_.c_str(), &hints, &found); error != 0) {
    return absl::UnavailableError(absl::StrCat("address \"", options_.address, "\": ", gai_strerror(error)));
  }
  const AddressesPtr addresses(found, &freeaddrinfo);
  absl::Status why;
  for (const addrinfo* one = addresses.get(); one != nullptr; one = one->ai_next) {
    const auto fd = BeginConnect(one->ai_addr, one->ai_addrlen);
    why = fd.ok() ? Connected(*fd) : fd.status();
    if (!why.ok()) continue;
    std::memcpy(&server_, one->ai_addr, one->ai_addrlen);
    server_size_ = one->ai_addrlen;
    return absl::OkStatus();
  }
  return absl::UnavailableError(absl::StrCat("cannot connect to ", options_.address, ": ", why.message(),
                                             ": is the CA running, and is this where its CSR service listens?"));
}

absl::StatusOr<TlsSocket> TlsTarget::StartConnection() {
  auto fd = BeginConnect(reinterpret_cast<const sockaddr*>(&server_), server_size_);
  if (!fd.ok()) return WithReason(fd.status(), "CONNECT_FAILED");
  TlsSocket connection{*std::move(fd), SslPtr(SSL_new(context_.get()))};
  SSL* const ssl = connection.ssl.get();
  if (ssl == nullptr || SSL_set_fd(ssl, connection.fd.get()) != 1) return OpenSslError("SSL_set_fd");
  if (!name_is_ip_ && SSL_set_tlsext_host_name(ssl, name_.c_str()) != 1) return OpenSslError("server name");
  SSL_set_connect_state(ssl);
  if (!sessions_.empty()) {
    SSL_set_session(ssl, sessions_.back().get());
    sessions_.pop_back();
  }
  return connection;
}

int TlsTarget::Verify(X509_STORE_CTX* context, void* self) {
  auto& target = *static_cast<TlsTarget*>(self);
  X509* const certificate = X509_STORE_CTX_get0_cert(context);
  // The chain of the same certificate was verified before; the handshake still proves that the server holds its key.
  // Thousands of handshakes a second would else be limited by this client.
  if (target.verified_ != nullptr && X509_cmp(certificate, target.verified_.get()) == 0) {
    X509_STORE_CTX_set_error(context, X509_V_OK);
    return 1;
  }
  const int verified = X509_verify_cert(context);
  if (verified == 1) {
    X509_up_ref(certificate);
    target.verified_.reset(certificate);
  }
  return verified;
}

int TlsTarget::TakeSession(SSL* ssl, SSL_SESSION* session) {
  auto& sessions = static_cast<TlsTarget*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)))->sessions_;
  if (sessions.size() >= kSessionsMax) return 0;
  sessions.emplace_back(session);
  return 1;
}

}  // namespace meshca::bench
