// One TLS connection of the load: an nghttp2 client session over a non-blocking OpenSSL socket.
#ifndef MESHCA_TEST_BENCH_H2_CONNECTION_H_
#define MESHCA_TEST_BENCH_H2_CONNECTION_H_

#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/base/openssl_ptr.h"
#include "ca/base/unique_fd.h"

namespace meshca::bench {

struct CallResult {
  size_t id = 0;         // as given to Call()
  std::string body;      // gRPC frame and message
  int grpc_status = -1;  // -1: the answer had none
  std::string grpc_message;
  absl::Duration latency;
};

// Owned by one thread. Not movable: nghttp2 keeps its address.
class H2Connection {
 public:
  using OnResult = absl::AnyInvocable<void(CallResult)>;

  // Takes a connected socket and a finished handshake; both are non-blocking from here on. `on_result` runs inside
  // OnReadable(), and may Call() again.
  H2Connection(UniqueFd socket, OpenSslPtr<SSL, SSL_free> ssl, OnResult on_result);
  ~H2Connection();
  H2Connection(const H2Connection&) = delete;
  H2Connection& operator=(const H2Connection&) = delete;

  int fd() const { return socket_.get(); }
  bool wants_write() const { return !unsent_.empty(); }

  // Opens a stream. `body` and `headers` outlive the call. Sent at the next Flush().
  void Call(size_t id, std::span<const nghttp2_nv> headers, absl::string_view body);

  // Reads what is there and answers it. Errors: Unavailable (the peer ended the connection, or broke HTTP/2).
  absl::Status OnReadable();
  // Writes what nghttp2 has, as far as the socket takes it.
  absl::Status Flush();

 private:
  struct Stream {
    CallResult result;
    absl::string_view unsent_body;
    absl::Time start;
  };

  static nghttp2_session_callbacks* Callbacks();
  static ssize_t ReadBody(nghttp2_session* session, int32_t id, uint8_t* buffer, size_t length, uint32_t* flags,
                          nghttp2_data_source* source, void* self);

  UniqueFd socket_;
  OpenSslPtr<SSL, SSL_free> ssl_;
  OnResult on_result_;
  nghttp2_session* session_ = nullptr;
  std::map<int32_t, Stream> streams_;
  std::string unsent_;
};

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_H2_CONNECTION_H_
