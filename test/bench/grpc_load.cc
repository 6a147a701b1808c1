#include "test/bench/grpc_load.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ca/base/check.h"
#include "ca/base/openssl_ptr.h"
#include "ca/base/status.h"
#include "ca/base/unique_fd.h"
#include "test/bench/h2_connection.h"

namespace meshca::bench {
namespace {

using SslContextPtr = OpenSslPtr<SSL_CTX, SSL_CTX_free>;
using SslPtr = OpenSslPtr<SSL, SSL_free>;

constexpr size_t kFrameHeader = 5;  // gRPC: one byte of flags, four of length

absl::StatusOr<UniqueFd> ConnectSocket(const LoadOptions& options) {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) return ErrnoStatus(errno, "socket");
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(options.port);
  if (inet_pton(AF_INET, options.host.c_str(), &address.sin_addr) != 1) {
    return absl::InvalidArgumentError(absl::StrCat(options.host, " is not an IPv4 address"));
  }
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return ErrnoStatus(errno, absl::StrCat("connect ", options.host, ":", options.port));
  }
  const int on = 1;
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return fd;
}

absl::StatusOr<SslContextPtr> MakeContext(const LoadOptions& options) {
  SslContextPtr context(SSL_CTX_new(TLS_client_method()));
  static constexpr std::array<unsigned char, 3> kH2 = {2, 'h', '2'};
  SSL_CTX_set_alpn_protos(context.get(), kH2.data(), kH2.size());
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if (SSL_CTX_load_verify_locations(context.get(), options.root_file.c_str(), nullptr) != 1) {
    return OpenSslError(absl::StrCat("SSL_CTX_load_verify_locations ", options.root_file));
  }
  return context;
}

nghttp2_nv Header(absl::string_view name, absl::string_view value) {
  const auto bytes = [](absl::string_view text) {
    return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));  // nghttp2's C interface; it only reads
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

std::string Framed(absl::string_view message) {
  std::string framed(kFrameHeader, '\0');
  const uint32_t size = htonl(static_cast<uint32_t>(message.size()));
  framed.replace(1, sizeof(size), reinterpret_cast<const char*>(&size), sizeof(size));
  framed.append(message.data(), message.size());
  return framed;
}

class Load final : public GrpcLoad {
 public:
  explicit Load(const LoadOptions& options)
      : options_(options),
        authority_(absl::StrCat(options.host, ":", options.port)),
        headers_({Header(":method", "POST"), Header(":scheme", "https"), Header(":path", options_.method),
                  Header(":authority", authority_), Header("te", "trailers"),
                  Header("content-type", "application/grpc"), Header("authorization", options_.authorization)}),
        epoll_(epoll_create1(EPOLL_CLOEXEC)) {}

  absl::Status ConnectAll() {
    MESHCA_ASSIGN_OR_RETURN(SslContextPtr context, MakeContext(options_));
    for (int i = 0; i < options_.connections; ++i) {
      MESHCA_ASSIGN_OR_RETURN(UniqueFd socket, ConnectSocket(options_));
      SslPtr ssl(SSL_new(context.get()));
      SSL_set_fd(ssl.get(), socket.get());
      if (SSL_connect(ssl.get()) != 1) return OpenSslError("SSL_connect");
      fcntl(socket.get(), F_SETFL, fcntl(socket.get(), F_GETFL) | O_NONBLOCK);
      epoll_event event = {};
      event.events = EPOLLIN;
      event.data.u32 = i;
      MESHCA_CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, socket.get(), &event) == 0);
      connections_.push_back(std::make_unique<H2Connection>(
          std::move(socket), std::move(ssl), [this, i](CallResult result) { Finish(i, std::move(result)); }));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<LoadResult> Run(std::span<const std::string> requests) override {
    framed_.clear();
    for (const std::string& request : requests) framed_.push_back(Framed(request));
    result_ = LoadResult{};
    result_.responses.resize(requests.size());
    result_.latencies.reserve(requests.size());
    next_ = 0;
    failure_ = absl::OkStatus();
    const absl::Time start = absl::Now();
    for (int i = 0; i < options_.in_flight; ++i) StartNext(i % options_.connections);
    for (int i = 0; i < options_.connections; ++i) MESHCA_RETURN_IF_ERROR(FlushAndArm(i));
    while (result_.latencies.size() < requests.size() && failure_.ok()) MESHCA_RETURN_IF_ERROR(Turn());
    if (!failure_.ok()) return failure_;
    result_.wall = absl::Now() - start;
    return std::move(result_);
  }

 private:
  void StartNext(int connection) {
    if (next_ == framed_.size()) return;
    connections_[connection]->Call(next_, headers_, framed_[next_]);
    ++next_;
  }

  void Finish(int connection, CallResult result) {
    if (result.grpc_status != 0 || result.body.size() < kFrameHeader) {
      failure_ = absl::Status(static_cast<absl::StatusCode>(result.grpc_status < 0 ? 2 : result.grpc_status),
                              absl::StrCat("grpc-status ", result.grpc_status, ": ", result.grpc_message));
    } else {
      result_.responses[result.id] = result.body.substr(kFrameHeader);
    }
    result_.latencies.push_back(result.latency);
    StartNext(connection);
  }

  // Writes what is ready; epoll reports room for the rest.
  absl::Status FlushAndArm(uint32_t connection) {
    H2Connection& h2 = *connections_[connection];
    const bool waited = h2.wants_write();
    MESHCA_RETURN_IF_ERROR(h2.Flush());
    if (h2.wants_write() == waited) return absl::OkStatus();
    epoll_event event = {};
    event.events = h2.wants_write() ? EPOLLIN | EPOLLOUT : EPOLLIN;
    event.data.u32 = connection;
    MESHCA_CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, h2.fd(), &event) == 0);
    return absl::OkStatus();
  }

  // Waits for the sockets once and serves them.
  absl::Status Turn() {
    std::array<epoll_event, 64> events;
    const int count = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 10'000);
    if (count < 0 && errno != EINTR) return ErrnoStatus(errno, "epoll_wait");
    if (count == 0) return absl::DeadlineExceededError("no answer for 10 s");
    for (int i = 0; i < count; ++i) {
      const uint32_t connection = events[i].data.u32;
      MESHCA_RETURN_IF_ERROR(connections_[connection]->OnReadable());
      MESHCA_RETURN_IF_ERROR(FlushAndArm(connection));
    }
    return absl::OkStatus();
  }

  const LoadOptions options_;
  const std::string authority_;
  const std::vector<nghttp2_nv> headers_;
  UniqueFd epoll_;
  std::vector<std::unique_ptr<H2Connection>> connections_;
  std::vector<std::string> framed_;
  size_t next_ = 0;
  LoadResult result_;
  absl::Status failure_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcLoad>> GrpcLoad::Connect(const LoadOptions& options) {
  auto load = std::make_unique<Load>(options);
  MESHCA_RETURN_IF_ERROR(load->ConnectAll());
  return load;
}

}  // namespace meshca::bench
