#include "ca/rpc/channel.h"

#include <openssl/err.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace meshca::rpc {
void Channel::StartTls(SslPtr ssl) {
  ssl_ = std::move(ssl);
  SSL_set_msg_callback(ssl_.get(), OnTlsMessage);
  SSL_set_msg_callback_arg(ssl_.get(), this);
}

void Channel::OnTlsMessage(int written, int, int content_type, const void* bytes, size_t size, SSL* ssl,
                           void* channel) {
  if (written != 0 || size == 0) return;
  // In TLS 1.3 every record's header says that it carries data; what it does carry follows as the inner type.
  if (content_type != SSL3_RT_HEADER && content_type != SSL3_RT_INNER_CONTENT_TYPE) return;
  if (*static_cast<const uint8_t*>(bytes) == SSL3_RT_APPLICATION_DATA) return;
  // One SSL_read goes on for as long as such records come, so that nobody else on the loop is served. OpenSSL stops at
  // 32 empty ones; for the others, saying that the client said goodbye is the only way to make it return.
  if (++static_cast<Channel*>(channel)->control_records_ > kControlRecordsAtOnce) {
    SSL_set_shutdown(ssl, SSL_get_shutdown(ssl) | SSL_RECEIVED_SHUTDOWN);
  }
}

Channel::~Channel() {
  // An SSL freed without goodbye makes its session unusable for resumption, and most clients leave without one.
  if (ssl_) SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

Channel::Io Channel::Read(std::span<char> buffer, size_t& bytes) {
  bytes = 0;
  if (ssl_) {
    ERR_clear_error();
    const int result = SSL_read(ssl_.get(), buffer.data(), static_cast<int>(buffer.size()));
    if (result > 0) {
      bytes = static_cast<size_t>(result);
      return Io::kDone;
    }
    const int error = SSL_get_error(ssl_.get(), result);
    if (error == SSL_ERROR_WANT_WRITE) return Io::kWaitsForRoom;
    return error == SSL_ERROR_WANT_READ ? Io::kWaitsForInput : Io::kClosed;
  }
  const ssize_t result = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
  if (result > 0) {
    bytes = static_cast<size_t>(result);
    return Io::kDone;
  }
  return result < 0 && (errno == EAGAIN || errno == EINTR) ? Io::kWaitsForInput : Io::kClosed;
}

Channel::Io Channel::Write(absl::string_view data, size_t& written) {
  written = 0;
  while (written < data.size()) {
    if (ssl_) {
      ERR_clear_error();
      const int chunk = static_cast<int>(std::min<size_t>(data.size() - written, 1 << 20));
      const int result = SSL_write(ssl_.get(), data.data() + written, chunk);
      if (result <= 0) {
        const int error = SSL_get_error(ssl_.get(), result);
        if (error == SSL_ERROR_WANT_READ) return Io::kWaitsForInput;
        return error == SSL_ERROR_WANT_WRITE ? Io::kWaitsForRoom : Io::kClosed;
      }
      written += static_cast<size_t>(result);
    } else {
      const ssize_t result = ::send(fd_.get(), data.data() + written, data.size() - written, MSG_NOSIGNAL);
      if (result < 0) {
        if (errno == EINTR) continue;
        return errno == EAGAIN ? Io::kWaitsForRoom : Io::kClosed;
      }
      written += static_cast<size_t>(result);
    }
  }
  return Io::kDone;
}

void Channel::ShutdownWrite() {
  if (ssl_) {
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
    ERR_clear_error();
  }
  ::shutdown(fd_.get(), SHUT_WR);
}

}  // namespace meshca::rpc
