// `key_update_flood HOST PORT`: a TLS 1.3 client that sends KeyUpdate messages, each asking for one in return (RFC 8446
// §4.6.3), and reads nothing of what comes. Prints how many it sent once the connection has ended.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "ca/base/unique_fd.h"
#include "ca/rpc/tls_handshake.h"

namespace meshca {
namespace {

constexpr int kReceiveBytes = 4096;
constexpr int kPatienceMs = 10'000;

UniqueFd Connect(const char* host, uint16_t port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &kReceiveBytes, sizeof kReceiveBytes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (::inet_pton(AF_INET, host, &address.sin_addr) != 1 ||
      ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return UniqueFd();
  }
  return fd;
}

// What SSL_do_handshake left over, once the socket takes more; false when the connection has ended.
bool Finish(SSL* ssl, int fd) {
  for (;;) {
    const int result = SSL_do_handshake(ssl);
    if (result == 1) return true;
    if (SSL_get_error(ssl, result) != SSL_ERROR_WANT_WRITE) return false;
    pollfd writable{fd, POLLOUT, 0};
    if (::poll(&writable, 1, kPatienceMs) != 1 || (writable.revents & POLLERR) != 0) return false;
  }
}

uint64_t Flood(const char* host, uint16_t port) {
  const UniqueFd fd = Connect(host, port);
  const rpc::SslCtxPtr context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
  const rpc::SslPtr ssl(SSL_new(context.get()));
  constexpr unsigned char kAlpn[] = {2, 'h', '2'};
  SSL_set_alpn_protos(ssl.get(), kAlpn, sizeof kAlpn);
  uint64_t sent = 0;
  if (!fd.valid() || SSL_set_fd(ssl.get(), fd.get()) != 1 || SSL_connect(ssl.get()) != 1) return sent;
  constexpr char kPreface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
  SSL_write(ssl.get(), kPreface, sizeof kPreface);  // The array's own end is the last byte of an empty SETTINGS frame.
  while (SSL_key_update(ssl.get(), SSL_KEY_UPDATE_REQUESTED) == 1 && Finish(ssl.get(), fd.get())) ++sent;
  return sent;
}

}  // namespace
}  // namespace meshca

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  std::signal(SIGPIPE, SIG_IGN);
  std::printf("%llu\n",
              static_cast<unsigned long long>(meshca::Flood(argv[1], static_cast<uint16_t>(std::atoi(argv[2])))));
  return 0;
}
