// The one HTTP server: requests in, answers out.
#ifndef MESHCA_CA_HTTP_HTTP_SERVER_H_
#define MESHCA_CA_HTTP_HTTP_SERVER_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/http/http_message.h"
#include "ca/http/tls_identity.h"

namespace meshca::http {

struct Answer {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::shared_ptr<const std::string> body;  // null: none; one for all who get it
  // Beside Content-Type, Content-Length, Connection and those that keep a browser from storing, guessing and running.
  Headers headers;

  static Answer Of(int status, std::string content_type, std::string body);
  // "404 Not Found", as text.
  static Answer Refusal(int status);
};

// How a handler answers one request: once, from any thread, at once or later. Let go without an answer, the client is
// told 500. May outlive the server, and then does nothing.
class Responder {
 public:
  using Respond = absl::AnyInvocable<void(Answer) &&>;
  Responder(Respond respond, std::weak_ptr<void> asker) : respond_(std::move(respond)), asker_(std::move(asker)) {}
  Responder(Responder&&) = default;
  Responder& operator=(Responder&&) = default;
  ~Responder();

  void operator()(Answer answer) &&;
  // Thread-safe. The connection has ended: nobody would read the answer.
  bool is_abandoned() const { return asker_.expired(); }

 private:
  Respond respond_;  // null: answered
  std::weak_ptr<void> asker_;
};

// What is served. Both calls come on the server's thread, which serves every connection: they wait for nothing.
class Handler {
 public:
  virtual ~Handler() = default;

  // The head of a request is there, `request.body` is not. An answer is sent without reading the body, and where there
  // is one ends the connection. Nullopt: OnRequest follows.
  virtual std::optional<Answer> OnHead(const Request& request) { return std::nullopt; }
  virtual void OnRequest(Request request, Responder respond) = 0;
};

struct ServerOptions {
  // One more ends the one that has been idle longest. Those whose answer is being made or sent go on, unless they hold
  // more than half of the places: then the oldest of them ends.
  size_t connections_max = 128;
  size_t head_bytes_max = 8 * 1024;
  size_t body_bytes_max = 0;                          // 0: no body is read, and a request with one is the last
  absl::Duration request_timeout = absl::Seconds(5);  // from accept, or a request's first byte, to its last byte
  absl::Duration answer_timeout = absl::Seconds(10);  // for the answer to be made, and for the client to take it
  absl::Duration idle_timeout = absl::Seconds(75);    // from an answer to the next request's first byte
  TlsIdentityProvider identity;                       // null: plain HTTP
};

// Thread-safe. Bounded whatever clients do: one thread, `connections_max` connections of one head and one body each,
// and a time for each step that no trickle of bytes prolongs. A flood of idle connections ends its own: an honest
// client is done before it is the oldest. HTTP/1.0 and 1.1, keep-alive, one request of a connection at a time.
class Server {
 public:
  // Binds and serves. `handler` outlives the server. Errors: BindTcp's, Unavailable (no descriptor is left), Internal.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const std::string& address, Handler& handler,
                                                       ServerOptions options = {});
  ~Server();  // Stop at once

  // "127.0.0.1:15014": with the real port.
  const std::string& address() const;

  // Takes no more connections and requests, lets those under way have their answers for up to `grace`, and ends the
  // rest. When this returns, the handler is called no more. Idempotent. Not on the server's thread.
  void Stop(absl::Duration grace);

 private:
  class Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace meshca::http

#endif  // MESHCA_CA_HTTP_HTTP_SERVER_H_
