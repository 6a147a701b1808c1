// The bytes of a connection: a socket, or TLS over it.
#ifndef MESHCA_CA_RPC_CHANNEL_H_
#define MESHCA_CA_RPC_CHANNEL_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "absl/strings/string_view.h"
#include "ca/base/unique_fd.h"
#include "ca/rpc/tls_handshake.h"

namespace meshca::rpc {

// Non-blocking. One thread.
class Channel {
 public:
  // What a call did, or what the socket has to give first. Reading TLS may have to write before it goes on (a KeyUpdate
  // wants an answer, RFC 8446 §4.6.3), and writing may have to read (half a handshake message has come).
  enum class Io { kDone, kWaitsForInput, kWaitsForRoom, kClosed };

  // More TLS records without data than this in one Read, and it returns kClosed.
  static constexpr uint32_t kControlRecordsAtOnce = 32;

  explicit Channel(UniqueFd fd) : fd_(std::move(fd)) {}
  ~Channel();

  // From here on bytes go through TLS.
  void StartTls(SslPtr ssl);

  // kDone: `bytes` > 0 were read. kClosed: end of stream or an error. Reads from the socket a bounded number of times,
  // whatever the client sends.
  Io Read(std::span<char> buffer, size_t& bytes);
  // Writes what goes, `written` bytes, which is all of it only with kDone.
  Io Write(absl::string_view data, size_t& written);
  // TLS records without data (KeyUpdates, attempts to renegotiate, alerts) that came since the last time this was
  // asked.
  uint32_t TakeControlRecords() { return std::exchange(control_records_, 0); }
  // Whether bytes wait inside TLS, of which epoll knows nothing. They may be half a record: after kWaitsForInput they
  // are.
  bool HasPending() const { return ssl_ && SSL_has_pending(ssl_.get()) == 1; }
  // Says goodbye: close_notify, then FIN. Reading goes on.
  void ShutdownWrite();

  int fd() const { return fd_.get(); }
  bool tls() const { return ssl_ != nullptr; }

 private:
  // OpenSSL tells of each record.
  static void OnTlsMessage(int written, int version, int content_type, const void* bytes, size_t size, SSL* ssl,
                           void* channel);

  UniqueFd fd_;
  SslPtr ssl_;
  uint32_t control_records_ = 0;
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_CHANNEL_H_
