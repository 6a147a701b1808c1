// A gRPC client for tests, on nghttp2: it does what it is told, rule or not, and keeps all it was answered.
#ifndef MESHCA_TEST_CA_RPC_H2_CLIENT_H_
#define MESHCA_TEST_CA_RPC_H2_CLIENT_H_

#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/base/openssl_ptr.h"
#include "ca/base/unique_fd.h"

namespace meshca::rpc {

using SslClientPtr = OpenSslPtr<SSL, SSL_free>;
using SslContextPtr = OpenSslPtr<SSL_CTX, SSL_CTX_free>;
using Headers = std::vector<std::pair<std::string, std::string>>;

// What a stream was answered.
struct Reply {
  Headers headers;   // the first block; with Trailers-Only, the only one
  Headers trailers;  // the second
  std::string data;
  bool closed = false;
  uint32_t error_code = 0;
  int goaways = 0;  // that had come on its connection when it closed

  // From the trailers, else from the headers; "" when absent.
  std::string Find(absl::string_view name) const;
  // grpc-status; -1 when there is none.
  int status() const;
  // The messages in `data`, prefixes gone.
  std::vector<std::string> messages() const;
};

// How long a test waits for what must come. Far more than it takes on the slowest machine, for only a failure waits so
// long.
inline constexpr absl::Duration kPatience = absl::Minutes(1);

// A non-blocking connected socket to "127.0.0.1:PORT" or "unix:/path"; CHECKs that it connects. For TCP,
// `receive_buffer_bytes` other than 0 bounds what the kernel takes for a client that does not read, from the start: a
// window that shrinks later makes it throw away what was sent into the wider one, and the acknowledgements in that too.
UniqueFd ConnectTo(const std::string& address, int receive_buffer_bytes = 0);

class H2Client {
 public:
  // Connects; with `tls`, does the handshake (`session` is offered for resumption). A failed handshake leaves
  // connected() false and says why in error().
  explicit H2Client(const std::string& address, SSL_CTX* tls = nullptr, SSL_SESSION* session = nullptr,
                    bool manual_window = false)
      : H2Client(ConnectTo(address), tls, session, manual_window) {}
  // The same on a socket from ConnectTo().
  explicit H2Client(UniqueFd connected, SSL_CTX* tls = nullptr, SSL_SESSION* session = nullptr,
                    bool manual_window = false);
  ~H2Client();

  bool connected() const { return connected_; }
  const std::string& error() const { return error_; }
  SSL* ssl() { return ssl_.get(); }
  nghttp2_session* session() { return session_; }
  int fd() const { return fd_.get(); }

  // Opens a call; `extra` headers come after gRPC's own and replace those of the same name ("" leaves one out).
  int32_t Open(absl::string_view path, const Headers& extra = {}, bool end_stream = false);
  // One message behind its prefix.
  void SendMessage(int32_t stream, absl::string_view message, bool end_stream = false);
  // Bytes as they are.
  void SendRaw(int32_t stream, absl::string_view bytes, bool end_stream = false);
  void Reset(int32_t stream, uint32_t error_code = NGHTTP2_CANCEL);
  // Open, one message, half-close.
  int32_t Start(absl::string_view path, absl::string_view message, const Headers& extra = {});
  // Start, and wait for the end.
  const Reply& Call(absl::string_view path, absl::string_view message, const Headers& extra = {});

  Reply& reply(int32_t stream) { return replies_[stream]; }
  // What was asked for since the last time leaves as one piece: the server does not find half of it at one time and
  // half at another. Moves bytes until `done()`, the connection's end, or `timeout` has passed; returns done().
  bool RunUntil(const std::function<bool()>& done, absl::Duration timeout = kPatience);
  bool WaitClosed(int32_t stream) {
    return RunUntil([this, stream] { return replies_[stream].closed; });
  }
  bool WaitMessages(int32_t stream, size_t count) {
    return RunUntil([this, stream, count] { return replies_[stream].messages().size() >= count; });
  }
  bool WaitEnd(absl::Duration timeout = kPatience) {
    return RunUntil([this] { return ended_; }, timeout);
  }
  // Whether the server closed the connection.
  bool ended() const { return ended_; }
  // The last GOAWAY: how many came, its error code and debug data.
  int goaways() const { return goaways_; }
  uint32_t goaway_error() const { return goaway_error_; }
  const std::string& goaway_text() const { return goaway_text_; }
  int pings() const { return pings_; }

  // From nghttp2.
  struct Callbacks;

 private:
  struct Outgoing {
    std::string bytes;
    bool end = false;
  };
  bool Handshake(SSL_CTX* tls, SSL_SESSION* session);
  bool Write();
  bool Read();
  void Wait(int milliseconds);

  UniqueFd fd_;
  SslClientPtr ssl_;
  nghttp2_session* session_ = nullptr;
  bool connected_ = false;
  bool ended_ = false;
  std::string error_;
  std::string pending_;
  std::map<int32_t, Reply> replies_;
  std::map<int32_t, Outgoing> outgoing_;
  int goaways_ = 0;
  uint32_t goaway_error_ = 0;
  std::string goaway_text_;
  int pings_ = 0;
};

}  // namespace meshca::rpc

#endif  // MESHCA_TEST_CA_RPC_H2_CLIENT_H_
