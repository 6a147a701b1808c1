#include "ca/authn/http_get.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/authn/fetch_url.h"
#include "ca/authn/http_response.h"
#include "ca/base/clock.h"
#include "ca/base/openssl_ptr.h"
#include "ca/base/status.h"
#include "ca/base/tcp_connect.h"
#include "ca/base/unique_fd.h"

namespace meshca {
namespace {

using SslCtxPtr = OpenSslPtr<SSL_CTX, SSL_CTX_free>;
using SslPtr = OpenSslPtr<SSL, SSL_free>;

// kube-apiserver serves its keys as application/jwk-set+json alone and answers 406 to who does not ask for that; most
// others serve application/json. What an answer calls itself is not looked at: its bytes are judged.
constexpr char kAccept[] = "application/jwk-set+json, application/json";

absl::Status Late() { return absl::DeadlineExceededError("late"); }

bool IsIpAddress(const std::string& host) {
  unsigned char bytes[sizeof(in6_addr)];
  return inet_pton(AF_INET, host.c_str(), bytes) == 1 || inet_pton(AF_INET6, host.c_str(), bytes) == 1;
}

// One connection to a server, and one end of time for all that is done with it.
class Wire {
 public:
  explicit Wire(absl::Duration until) : until_(until) {}

  absl::Status Open(const FetchUrl& url, const std::string& ca_file) {
    absl::StatusOr<UniqueFd> fd = TcpConnect(url.host, absl::StrCat(url.port), until_);
    if (!fd.ok()) return SystemClock().SinceBoot() >= until_ ? Late() : fd.status();
    fd_ = *std::move(fd);
    return url.https ? Handshake(url.host, ca_file) : absl::OkStatus();
  }

  absl::Status Send(absl::string_view bytes) {
    while (!bytes.empty()) {
      MESHCA_ASSIGN_OR_RETURN(const size_t sent, Move([&] { return SendSome(bytes); }, "send"));
      bytes.remove_prefix(sent);
    }
    return absl::OkStatus();
  }

  // What has arrived next; 0: the server ended the connection in order.
  absl::StatusOr<size_t> Receive(std::array<char, 16 * 1024>& into) {
    return Move([&] { return ReceiveSome(into); }, "receive");
  }

 private:
  // The outcome of one attempt: a number of bytes, or what has to be waited for, or a failure.
  struct Outcome {
    ssize_t bytes = -1;
    short wait = 0;
    absl::Status failure;
  };

  template <typename Attempt>
  absl::StatusOr<size_t> Move(Attempt attempt, absl::string_view what) {
    for (;;) {
      ERR_clear_error();  // SSL_get_error looks at what lies there
      Outcome outcome = attempt();
      if (outcome.bytes >= 0) return static_cast<size_t>(outcome.bytes);
      if (outcome.wait == 0) return Annotate(outcome.failure, what);
      if (!WaitForSocket(fd_.get(), outcome.wait, until_)) return Late();
    }
  }

  Outcome SendSome(absl::string_view bytes) {
    if (ssl_ == nullptr) return OfErrno(::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), POLLOUT);
    return OfSsl(SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())));
  }
  Outcome ReceiveSome(std::array<char, 16 * 1024>& into) {
    // A server that sends without a pause must not outrun the end of time.
    if (SystemClock().SinceBoot() >= until_) return {-1, 0, Late()};
    if (ssl_ == nullptr) return OfErrno(::recv(fd_.get(), into.data(), into.size(), 0), POLLIN);
    return OfSsl(SSL_read(ssl_.get(), into.data(), static_cast<int>(into.size())));
  }

  static Outcome OfErrno(ssize_t bytes, short events) {
    if (bytes >= 0) return {bytes, 0, {}};
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return {-1, events, {}};
    return {-1, 0, ErrnoStatus(errno, "connection")};
  }
  Outcome OfSsl(int result) {
    if (result > 0) return {result, 0, {}};
    const int error = SSL_get_error(ssl_.get(), result);
    if (error == SSL_ERROR_ZERO_RETURN) return {0, 0, {}};
    if (error == SSL_ERROR_WANT_READ) return {-1, POLLIN, {}};
    if (error == SSL_ERROR_WANT_WRITE) return {-1, POLLOUT, {}};
    // An end without close_notify, by which somebody in between could cut an answer short, is a failure too.
    return {-1, 0, TlsFailure()};
  }
  absl::Status TlsFailure() {
    absl::Status error = OpenSslError("TLS");
    const long verdict = SSL_get_verify_result(ssl_.get());
    if (verdict == X509_V_OK) return error;
    return absl::UnavailableError(
        absl::StrCat("the server's certificate is not believed: ", X509_verify_cert_error_string(verdict)));
  }

  absl::Status Handshake(const std::string& host, const std::string& ca_file) {
    context_.reset(SSL_CTX_new(TLS_client_method()));
    if (context_ == nullptr) return OpenSslError("SSL_CTX_new");
    SSL_CTX_set_min_proto_version(context_.get(), TLS1_2_VERSION);
    SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
    const int trusted = ca_file.empty() ? SSL_CTX_set_default_verify_paths(context_.get())
                                        : SSL_CTX_load_verify_file(context_.get(), ca_file.c_str());
    if (trusted != 1) return Annotate(OpenSslError("certificates to believe"), ca_file);
    ssl_.reset(SSL_new(context_.get()));
    if (ssl_ == nullptr || SSL_set_fd(ssl_.get(), fd_.get()) != 1) return OpenSslError("SSL_new");
    const bool named = IsIpAddress(host) ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_.get()), host.c_str()) == 1
                                         : SSL_set1_host(ssl_.get(), host.c_str()) == 1 &&
                                               SSL_set_tlsext_host_name(ssl_.get(), host.c_str()) == 1;
    if (!named) return OpenSslError("name of the server");
    return Move([this] { return OfSsl(SSL_connect(ssl_.get())); }, "TLS handshake").status();
  }

  const absl::Duration until_;  // since boot
  UniqueFd fd_;
  SslCtxPtr context_;
  SslPtr ssl_;  // null: plain
};

std::string RequestFor(const FetchUrl& url) {
  const bool ipv6 = url.host.find(':') != std::string::npos;
  const bool usual_port = url.port == (url.https ? 443 : 80);
  return absl::StrCat("GET ", url.target, " HTTP/1.1\r\nHost: ", ipv6 ? "[" : "", url.host, ipv6 ? "]" : "",
                      usual_port ? "" : absl::StrCat(":", url.port), "\r\nAccept: ", kAccept,
                      "\r\nAccept-Encoding: identity\r\nUser-Agent: meshca\r\nConnection: close\r\n\r\n");
}

absl::Status Fetch(const FetchUrl& url, const std::string& ca_file, absl::Duration until, HttpResponse& response) {
  Wire wire(until);
  MESHCA_RETURN_IF_ERROR(wire.Open(url, ca_file));
  MESHCA_RETURN_IF_ERROR(wire.Send(RequestFor(url)));
  const auto bytes = std::make_unique<std::array<char, 16 * 1024>>();
  while (!response.done()) {
    MESHCA_ASSIGN_OR_RETURN(const size_t size, wire.Receive(*bytes));
    if (size == 0) return response.End();
    MESHCA_RETURN_IF_ERROR(response.Take(absl::string_view(bytes->data(), size)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> HttpGet(const std::string& url, const HttpGetOptions& options) {
  MESHCA_ASSIGN_OR_RETURN(const FetchUrl parts, FetchUrl::Parse(url));
  auto failed = [&url](absl::string_view why) { return absl::UnavailableError(absl::StrCat("GET ", url, ": ", why)); };
  HttpResponse response(options.bytes_max);
  const absl::Status fetched = Fetch(parts, options.ca_file, SystemClock().SinceBoot() + options.timeout, response);
  if (absl::IsDeadlineExceeded(fetched)) {
    return failed(absl::StrCat("no whole answer within ", absl::FormatDuration(options.timeout)));
  }
  if (!fetched.ok()) return failed(fetched.message());
  if (response.status() != 200) return failed(absl::StrCat("HTTP status ", response.status()));
  return response.body();
}

}  // namespace meshca
