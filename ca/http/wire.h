// The bytes of one TCP connection, in the clear or over TLS: Asio, behind a header that does not show it.
#ifndef MESHCA_CA_HTTP_WIRE_H_
#define MESHCA_CA_HTTP_WIRE_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/base/unique_fd.h"
#include "ca/http/client_tls.h"
#include "ca/http/event_loop.h"

namespace meshca::http {

class ServerTls;
using SharedText = std::shared_ptr<const std::string>;

// For its loop's thread alone. A callback runs once, on that thread and never inside the call that was given it; after
// Close none runs. One Receive and one Send may be under way at once. Errors say what happened, the host left out:
// Unavailable (name, connect, an untrusted certificate), Internal.
class Wire {
 public:
  using Done = absl::AnyInvocable<void(absl::Status) &&>;
  using Received = absl::AnyInvocable<void(absl::StatusOr<absl::string_view>) &&>;

  // `loop` outlives the wire. Not connected yet.
  Wire(EventLoop& loop, size_t receive_bytes);
  ~Wire();  // closes

  // A client: finds the host (a name, or an address without brackets), connects to the first of its addresses that
  // takes it, and does the handshake where `tls` is given.
  void Connect(const std::string& host, int port, const ClientTls* tls, Done done);
  // A server: does the handshake of an accepted connection. `tls` outlives the wire.
  void Handshake(const ServerTls& tls, Done done);

  // What has arrived next, good until the next call. "": the peer has ended the connection in order; over TLS that
  // takes its close_notify, since by a bare end somebody in between could cut an answer short.
  void Receive(Received received);
  // All of `head`, then all of `body`; either may be null.
  void Send(SharedText head, SharedText body, Done done);
  // Ends our side in order, then waits for the end of the peer's and passes over what still comes from there.
  void EndInOrder(Done done);

  void Close();
  // Close, and what the peer has not taken yet is forgotten; the kernel would go on offering it for minutes.
  void Reset();

 private:
  friend class Acceptor;
  struct Core;
  const std::shared_ptr<Core> core_;
};

// Takes the connections of a listening socket.
class Acceptor {
 public:
  // The wire is connected, its handshake not done. `peer`: "127.0.0.1:40123".
  using Accepted = std::function<void(std::unique_ptr<Wire> wire, std::string peer)>;

  // Any thread; `loop` outlives it, and Close comes first. `listener` listens and is non-blocking.
  Acceptor(EventLoop& loop, UniqueFd listener, size_t receive_bytes);
  ~Acceptor();

  // Loop thread. Runs `accepted` for each connection until Close.
  void Begin(Accepted accepted);
  void Close();

 private:
  struct Core;
  const std::shared_ptr<Core> core_;
};

}  // namespace meshca::http

#endif  // MESHCA_CA_HTTP_WIRE_H_
