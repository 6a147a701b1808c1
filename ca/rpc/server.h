// The RPC edge: gRPC over HTTP/2 on TCP and Unix sockets, served by a few epoll loops.
#ifndef MESHCA_CA_RPC_SERVER_H_
#define MESHCA_CA_RPC_SERVER_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/base/clock.h"
#include "ca/rpc/limits.h"
#include "ca/rpc/peer.h"
#include "ca/rpc/router.h"
#include "ca/rpc/stats.h"
#include "ca/rpc/tls_context.h"

namespace meshca::rpc {

struct ServerOptions {
  // 0: one per core, at most 16.
  int loops = 0;
  GlobalLimits global = {};
  SourceLimits source = {};
  // Wall time for ClientVerifier::Verify. Outlives the Server.
  Clock* clock = &SystemClock();
};

struct ListenerOptions {
  // "127.0.0.1:15012", "[::1]:0", "localhost:0", ":15012" (all addresses), or "unix:/path", "unix:///path".
  std::string address;
  // Unix sockets: permission bits, and the group that owns the socket ("": the process's own).
  mode_t unix_mode = 0600;
  std::string unix_group;
  // Sets Peer::privileged: the permissions of the socket let in only those whom services may trust with more.
  bool privileged = false;
  // Null: plaintext.
  std::shared_ptr<TlsContext> tls;
  std::shared_ptr<const Router> router;
  ConnectionLimits limits;
};

// Not thread-safe, except stats(), CertifiedPeers() and Cut(). Call order: AddListener (any number), Start, Shutdown.
// Handlers in the routers must live until Shutdown returned; Calls and StreamHandles kept longer do nothing.
class Server {
 public:
  // The process must survive broken pipes (ca/base/process_limits.h). Errors: Internal (no descriptors for the loops).
  static absl::StatusOr<std::unique_ptr<Server>> Create(ServerOptions options);

  // Shuts down with no grace when that has not happened yet.
  virtual ~Server() = default;

  // Binds and listens at once, so that no client is refused between this and Start; serves from Start on. Returns the
  // address with the real port: "127.0.0.1:40123", "unix:/path".
  // A Unix socket that nobody listens on any more is replaced; one in use, and a file that is no socket, is an error.
  // Errors: InvalidArgument (address, group), AlreadyExists (address in use), PermissionDenied, NotFound, Internal.
  virtual absl::StatusOr<std::string> AddListener(ListenerOptions options) = 0;

  virtual void Start() = 0;

  // Graceful: closes the listeners, tells every client with GOAWAY, refuses what begins later, ends streaming calls
  // Unavailable, lets unary calls finish, and cuts what is left after `grace`. Blocks until all loops have ended.
  // Removes its Unix sockets. Not from a loop's thread.
  virtual void Shutdown(absl::Duration grace) = 0;

  // Any thread, from Start to the destructor.
  virtual StatsSnapshot stats() const = 0;

  // Every connection that showed a client certificate and is served now, on all listeners. A connection whose handshake
  // is not over is left out: its calls are still to come, and whoever serves them judges it anew. Any thread but a
  // loop's, because it waits for the loops; nobody before Start and after Shutdown.
  virtual std::vector<std::shared_ptr<const Peer>> CertifiedPeers() = 0;

  // Ends these connections (Peer::connection_id) in their loop's next round: their calls end Unauthenticated with
  // `why`, which GOAWAY carries too, and nothing more is served to them; counted as LimitKind::kWithdrawn. Those that
  // are gone already are passed over. Any thread; does not wait.
  virtual void Cut(std::vector<uint64_t> connection_ids, std::string why) = 0;
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_SERVER_H_
