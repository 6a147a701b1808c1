// The bytes of a connection: a socket, or TLS over it.
#ifndef MESHCA_CA_RPC_CHANNEL_H_
#define MESHCA_CA_RPC_CHANNEL_H_

#include <cstddef>
#include <span>

#include "absl/strings/string_view.h"
#include "ca/base/unique_fd.h"
#include "ca/rpc/tls_handshake.h"

namespace meshca::rpc {

// Non-blocking. One thread.
class Channel {
 public:
  enum class Io { kDone, kAgain, kClosed };

  explicit Channel(UniqueFd fd) : fd_(std::move(fd)) {}
  ~Channel();

  // From here on bytes go through TLS.
  void StartTls(SslPtr ssl) { ssl_ = std::move(ssl); }

  // kDone: `bytes` > 0 were read. kClosed: end of stream or an error.
  Io Read(std::span<char> buffer, size_t& bytes);
  // Writes what goes, `written` bytes; kAgain when that is less than all.
  Io Write(absl::string_view data, size_t& written);
  // Whether bytes wait inside TLS, of which epoll knows nothing.
  bool HasPending() const { return ssl_ && SSL_has_pending(ssl_.get()) == 1; }
  // Says goodbye: close_notify, then FIN. Reading goes on.
  void ShutdownWrite();

  int fd() const { return fd_.get(); }
  bool tls() const { return ssl_ != nullptr; }

 private:
  UniqueFd fd_;
  SslPtr ssl_;
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_CHANNEL_H_
