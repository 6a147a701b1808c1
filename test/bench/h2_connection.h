// One TLS connection of the load: connecting, shaking hands, then an nghttp2 client session, never blocking.
#ifndef MESHCA_TEST_BENCH_H2_CONNECTION_H_
#define MESHCA_TEST_BENCH_H2_CONNECTION_H_

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "test/bench/tls_target.h"

namespace meshca::bench {

// How one call ended.
struct CallResult {
  size_t id = 0;         // as given to Call()
  std::string body;      // gRPC frame and message
  int http_status = 0;   // 0: the answer had none
  int grpc_status = -1;  // -1: the answer had none
  std::string grpc_message;
  uint32_t h2_error = 0;  // of RST_STREAM; 0: none
};

class H2Events {
 public:
  virtual ~H2Events() = default;
  // Runs inside OnReady(); may Call() again, must not destroy the connection.
  virtual void OnResult(CallResult result) = 0;
};

// Owned by one thread. Not movable: nghttp2 keeps its address.
class H2Connection {
 public:
  // `events` outlives the connection.
  H2Connection(TlsSocket socket, H2Events& events);
  ~H2Connection();
  H2Connection(const H2Connection&) = delete;
  H2Connection& operator=(const H2Connection&) = delete;

  int fd() const { return socket_.fd.get(); }
  // The handshake is over; with a session resumed or in full.
  bool open() const { return state_ == State::kOpen; }
  bool resumed() const { return SSL_session_reused(socket_.ssl.get()) == 1; }
  // False once the server said goodbye (GOAWAY): what is under way ends here, new calls go elsewhere.
  bool accepts_calls() const { return nghttp2_session_check_request_allowed(session_.get()) != 0; }

  // Opens a stream. `body` and `headers` outlive the call. Sent at the next Flush() once the connection is open.
  void Call(size_t id, std::span<const nghttp2_nv> headers, absl::string_view body);
  // Resets the call's stream; no result follows.
  void Cancel(size_t id);
  // Calls without a result yet.
  std::vector<size_t> Outstanding() const;

  // Does all that the socket allows. Errors end the connection; each carries a reason for a table of errors:
  // CONNECTION_REFUSED, CONNECT_FAILED, TLS_HANDSHAKE_FAILED, CONNECTION_LOST, HTTP2_ERROR.
  absl::Status OnReady();
  // Writes what nghttp2 has, as far as the socket takes it; OnReady() writes the rest.
  absl::Status Flush();

 private:
  enum class State { kConnecting, kShaking, kOpen };
  struct Stream {
    CallResult result;
    absl::string_view unsent_body;
  };
  struct SessionDelete {
    void operator()(nghttp2_session* session) const { nghttp2_session_del(session); }
  };
  friend struct H2Callbacks;

  absl::Status FinishConnect();
  absl::Status ShakeHands();
  absl::Status Read();

  TlsSocket socket_;
  H2Events& events_;
  State state_ = State::kConnecting;
  std::unique_ptr<nghttp2_session, SessionDelete> session_;
  std::map<int32_t, Stream> streams_;
  std::string unsent_;
};

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_H2_CONNECTION_H_
