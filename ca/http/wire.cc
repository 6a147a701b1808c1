#include "ca/http/wire.h"

#include <netdb.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <optional>
#include <utility>
#include <vector>

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include "absl/strings/str_cat.h"
#include "ca/base/openssl_ptr.h"
#include "ca/base/status.h"
#include "ca/http/tls_settings.h"

namespace meshca::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using AsioError = boost::system::error_code;

// Out of descriptors: asking for a connection again at once would only spin.
constexpr absl::Duration kAcceptPause = absl::Milliseconds(100);

// Why a name has no address, in the resolver's own words.
absl::Status ResolveFailure(const AsioError& error) {
  if (error == asio::error::host_not_found) return absl::UnavailableError(::gai_strerror(EAI_NONAME));
  if (error == asio::error::host_not_found_try_again) return absl::UnavailableError(::gai_strerror(EAI_AGAIN));
  if (error == asio::error::no_recovery) return absl::UnavailableError(::gai_strerror(EAI_FAIL));
  return absl::UnavailableError(error.message());
}

std::string TextOf(const tcp::endpoint& endpoint) {
  const std::string host = endpoint.address().to_string();
  return absl::StrCat(endpoint.address().is_v6() ? "[" : "", host, endpoint.address().is_v6() ? "]:" : ":",
                      endpoint.port());
}

}  // namespace

struct Wire::Core : std::enable_shared_from_this<Core> {
  using Tls = asio::ssl::stream<tcp::socket&>;

  Core(EventLoop& loop, size_t receive_bytes) : socket(loop.context()), buffer(receive_bytes) {}

  // A handler for Asio: what it is given it hands on, unless the wire was closed meanwhile. It keeps the wire's sockets
  // alive for as long as Asio may touch them.
  template <typename Callback, typename Outcome>
  auto Unless(Callback callback, Outcome outcome_of) {
    return [self = shared_from_this(), callback = std::move(callback), outcome_of](const AsioError& error,
                                                                                   size_t size = 0) mutable {
      if (!self->closed) std::move(callback)(outcome_of(*self, error, size));
    };
  }

  absl::Status Failure(const AsioError& error, absl::string_view what) const {
    if (!error) return absl::OkStatus();
    if (error.category() == asio::error::get_ssl_category()) return Annotate(TlsFailure(error), what);
    if (error == asio::ssl::error::stream_truncated) {
      return absl::InternalError(absl::StrCat(what, ": TLS: the connection ended without a close_notify"));
    }
    return Annotate(ErrnoStatus(error.value(), "connection"), what);
  }
  absl::Status TlsFailure(const AsioError& error) const {
    const long verdict = is_client ? SSL_get_verify_result(ssl) : X509_V_OK;
    if (verdict != X509_V_OK) {
      return absl::UnavailableError(
          absl::StrCat("the server's certificate is not believed: ", X509_verify_cert_error_string(verdict)));
    }
    char text[256];
    ERR_error_string_n(static_cast<unsigned long>(error.value()), text, sizeof text);
    return absl::InternalError(absl::StrCat("TLS: ", text));
  }

  void ConnectTo(const std::vector<tcp::endpoint>& endpoints, std::unique_ptr<ClientTls> tls, std::string host,
                 Done done) {
    targets = endpoints;
    asio::async_connect(
        socket, targets,
        [self = shared_from_this(), tls = std::move(tls), host = std::move(host), done = std::move(done)](
            const AsioError& error, const tcp::endpoint&) mutable {
          if (self->closed) return;
          if (error) {
            return std::move(done)(absl::UnavailableError(ErrnoStatus(error.value(), "connect").message()));
          }
          self->socket.set_option(tcp::no_delay(true), self->ignored);
          if (tls == nullptr) return std::move(done)(absl::OkStatus());
          const absl::Status begun = self->BeginClientTls(*tls, host);
          if (!begun.ok()) return std::move(done)(begun);
          self->ShakeHands(asio::ssl::stream_base::client, std::move(done));
        });
  }
  absl::Status BeginClientTls(const ClientTls& shown, const std::string& host) {
    // Read anew for each connection: a file that was renewed counts from the next one on.
    MESHCA_ASSIGN_OR_RETURN(const SslCtxPtr context, MakeClientContext(shown));
    ssl = SSL_new(context.get());
    if (ssl == nullptr) return OpenSslError("SSL_new");
    is_client = true;
    tls.emplace(socket, ssl);  // takes it
    return ExpectServer(ssl, shown.server_name.empty() ? host : shown.server_name);
  }
  void ShakeHands(asio::ssl::stream_base::handshake_type type, Done done) {
    tls->async_handshake(type, Unless(std::move(done), [](Core& core, const AsioError& error, size_t) {
                           return core.Failure(error, "TLS handshake");
                         }));
  }
  // Reads away what comes until the peer ends.
  void Drain(Done done) {
    socket.async_read_some(asio::buffer(buffer),
                           [self = shared_from_this(), done = std::move(done)](const AsioError& error, size_t) mutable {
                             if (self->closed) return;
                             if (error) return std::move(done)(absl::OkStatus());
                             self->Drain(std::move(done));
                           });
  }
  void Close() {
    if (closed) return;
    closed = true;
    if (resolver.has_value()) resolver->cancel();
    socket.close(ignored);
  }

  tcp::socket socket;
  std::optional<tcp::resolver> resolver;
  std::vector<tcp::endpoint> targets;
  SSL* ssl = nullptr;  // of `tls`
  std::optional<Tls> tls;
  std::vector<char> buffer;
  bool is_client = false;
  bool closed = false;
  AsioError ignored;
};

Wire::Wire(EventLoop& loop, size_t receive_bytes) : core_(std::make_shared<Core>(loop, receive_bytes)) {}
Wire::~Wire() { core_->Close(); }
void Wire::Close() { core_->Close(); }

void Wire::Reset() {
  core_->socket.set_option(asio::socket_base::linger(true, 0), core_->ignored);
  core_->Close();
}

void Wire::Connect(const std::string& host, int port, const ClientTls* tls, Done done) {
  auto kept = tls == nullptr ? nullptr : std::make_unique<ClientTls>(*tls);
  AsioError error;
  const asio::ip::address address = asio::ip::make_address(host, error);
  if (!error) {
    return core_->ConnectTo({tcp::endpoint(address, static_cast<uint16_t>(port))}, std::move(kept), host,
                            std::move(done));
  }
  core_->resolver.emplace(core_->socket.get_executor());
  core_->resolver->async_resolve(
      host, absl::StrCat(port), tcp::resolver::numeric_service,
      [core = core_, kept = std::move(kept), host = std::string(host), done = std::move(done)](
          const AsioError& failure, const tcp::resolver::results_type& found) mutable {
        if (core->closed) return;
        if (failure) return std::move(done)(ResolveFailure(failure));
        core->ConnectTo(std::vector<tcp::endpoint>(found.begin(), found.end()), std::move(kept), std::move(host),
                        std::move(done));
      });
}

void Wire::Handshake(const ServerTls& tls, Done done) {
  core_->ssl = SSL_new(tls.context());
  if (core_->ssl == nullptr) {
    return asio::post(core_->socket.get_executor(),
                      [core = core_, error = OpenSslError("SSL_new"), done = std::move(done)]() mutable {
                        if (!core->closed) std::move(done)(std::move(error));
                      });
  }
  core_->tls.emplace(core_->socket, core_->ssl);
  core_->ShakeHands(asio::ssl::stream_base::server, std::move(done));
}

void Wire::Receive(Received received) {
  auto handler = core_->Unless(
      std::move(received), [](Core& core, const AsioError& error, size_t size) -> absl::StatusOr<absl::string_view> {
        if (error == asio::error::eof) return absl::string_view();
        if (error) return core.Failure(error, "receive");
        return absl::string_view(core.buffer.data(), size);
      });
  if (core_->tls.has_value()) {
    core_->tls->async_read_some(asio::buffer(core_->buffer), std::move(handler));
  } else {
    core_->socket.async_read_some(asio::buffer(core_->buffer), std::move(handler));
  }
}

void Wire::Send(SharedText head, SharedText body, Done done) {
  const std::array<asio::const_buffer, 2> bytes = {head == nullptr ? asio::const_buffer() : asio::buffer(*head),
                                                   body == nullptr ? asio::const_buffer() : asio::buffer(*body)};
  auto handler = core_->Unless(
      std::move(done), [head = std::move(head), body = std::move(body)](Core& core, const AsioError& error, size_t) {
        return core.Failure(error, "send");
      });
  if (core_->tls.has_value()) {
    asio::async_write(*core_->tls, bytes, std::move(handler));
  } else {
    asio::async_write(core_->socket, bytes, std::move(handler));
  }
}

void Wire::EndInOrder(Done done) {
  if (core_->tls.has_value()) {
    core_->tls->async_shutdown([core = core_, done = std::move(done)](const AsioError&) mutable {
      if (!core->closed) std::move(done)(absl::OkStatus());
    });
    return;
  }
  core_->socket.shutdown(tcp::socket::shutdown_send, core_->ignored);
  core_->Drain(std::move(done));
}

struct Acceptor::Core : std::enable_shared_from_this<Core> {
  Core(EventLoop& loop, size_t receive_bytes)
      : loop(loop), receive_bytes(receive_bytes), acceptor(loop.context()), pause(loop) {}

  void AcceptNext() {
    auto wire = std::make_unique<Wire>(loop, receive_bytes);
    tcp::socket& socket = wire->core_->socket;
    acceptor.async_accept(socket, peer,
                          [self = shared_from_this(), wire = std::move(wire)](const AsioError& error) mutable {
                            if (self->closed) return;
                            if (error == asio::error::no_descriptors || error.value() == ENFILE ||
                                error.value() == ENOMEM || error.value() == ENOBUFS) {
                              return self->pause.Set(kAcceptPause, [self] {
                                if (!self->closed) self->AcceptNext();
                              });
                            }
                            const std::string who = TextOf(self->peer);
                            // Before the new connection is looked at: so requests are read in the order in which they
                            // came.
                            self->AcceptNext();
                            if (error) return;
                            wire->core_->socket.set_option(tcp::no_delay(true), self->ignored);
                            self->accepted(std::move(wire), who);
                          });
  }

  EventLoop& loop;
  const size_t receive_bytes;
  tcp::acceptor acceptor;
  tcp::endpoint peer;
  Accepted accepted;
  Timer pause;
  bool closed = false;
  AsioError ignored;
};

Acceptor::Acceptor(EventLoop& loop, UniqueFd listener, size_t receive_bytes)
    : core_(std::make_shared<Core>(loop, receive_bytes)) {
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&bound), &size);
  core_->acceptor.assign(bound.ss_family == AF_INET6 ? tcp::v6() : tcp::v4(), listener.Release(), core_->ignored);
}
Acceptor::~Acceptor() = default;

void Acceptor::Begin(Accepted accepted) {
  core_->accepted = std::move(accepted);
  core_->AcceptNext();
}

void Acceptor::Close() {
  core_->closed = true;
  core_->pause.Cancel();
  core_->acceptor.close(core_->ignored);
}

}  // namespace meshca::http
