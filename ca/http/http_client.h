// The one HTTP client: documents, and answers that do not end.
#ifndef MESHCA_CA_HTTP_HTTP_CLIENT_H_
#define MESHCA_CA_HTTP_HTTP_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/http/client_tls.h"
#include "ca/http/http_message.h"
#include "ca/http/url.h"

namespace meshca::http {

struct ClientOptions {
  ClientTls tls;  // for https
  // Connections without a call, kept for the next one.
  size_t idle_per_origin_max = 4;
  size_t idle_max = 32;
  absl::Duration idle_timeout = absl::Seconds(60);
  size_t calls_max = 256;  // at once
};

struct ClientRequest {
  std::string method = "GET";
  Url url;
  // Beside Host, Content-Length, User-Agent and Accept-Encoding, which the client sets.
  Headers headers;
  std::string body;
};

struct CallOptions {
  absl::Duration timeout = absl::Seconds(10);                 // for the whole call: nothing of it is sent later
  absl::Duration connect_timeout = absl::InfiniteDuration();  // name, connection and handshake
  absl::Duration silence_timeout = absl::InfiniteDuration();  // from the request to the answer, and within that
  size_t body_bytes_max = 256 * 1024;                         // of the whole answer
  bool body_of_200_only = false;                              // another answer is over with its head
};

// What becomes of a streamed answer, on the client's thread, which everything else of the client waits for.
struct StreamHandler {
  // Status and headers, once, before the first piece.
  absl::AnyInvocable<void(const Response& head)> on_head;
  // The next piece of the body, as it came over the wire: it may end anywhere. An error ends the call with it.
  absl::AnyInvocable<absl::Status(absl::string_view piece)> on_piece;
  // The last call, exactly once. Ok: the whole answer has come.
  absl::AnyInvocable<void(absl::Status) &&> on_end;
};

// Thread-safe. One thread drives all connections. A connection is kept for the next call to its origin; a call that
// finds it dead is made again on a new one, where that can do no harm (GET, HEAD, PUT, DELETE, and no byte of an answer
// had come). No redirect is followed, no proxy used. TLS: 1.2 or later, name and chain of the server verified.
//
// Every call ends once, with the answer or with
//   InvalidArgument    a header that would end its line, or an answer that is no HTTP or too long
//   DeadlineExceeded   says which time ran out
//   Cancelled          by Cancel
//   ResourceExhausted  `calls_max` are under way
//   Unavailable, Internal  name, connection, TLS, shutdown; what happened, without the URL
class Client {
 public:
  using CallId = uint64_t;
  using Done = absl::AnyInvocable<void(absl::StatusOr<Response>) &&>;

  // Starts the thread. Unavailable: no descriptor is left for it.
  static absl::StatusOr<std::unique_ptr<Client>> Create(ClientOptions options = {});
  ~Client();  // Stop

  // Blocks. Not on the client's thread, so in none of its callbacks.
  absl::StatusOr<Response> Fetch(ClientRequest request, const CallOptions& options);
  // `done` runs on the client's thread.
  CallId Send(ClientRequest request, const CallOptions& options, Done done);
  // CallOptions::body_bytes_max does not apply: nothing is kept.
  CallId Stream(ClientRequest request, const CallOptions& options, StreamHandler handler);

  // Ends the call, unless it has ended already: its last callback may come before or after this returns.
  void Cancel(CallId call);

  // Ends every call, Unavailable, and the thread: when this returns, no callback runs any more. Idempotent. Not on the
  // client's thread.
  void Stop();

 private:
  class Impl;
  explicit Client(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace meshca::http

#endif  // MESHCA_CA_HTTP_HTTP_CLIENT_H_
