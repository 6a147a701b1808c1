// Our end of a connection to one gRPC server, for processes that live as long as the server does and for commands
// alike. No type of gRPC's shows here: its headers take five seconds to compile in each file that includes them.
#ifndef MESHCA_CA_RPC_CLIENT_CLIENT_CHANNEL_H_
#define MESHCA_CA_RPC_CLIENT_CLIENT_CHANNEL_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/base/secret.h"
#include "ca/rpc/client/client_stream.h"

namespace meshca::rpc {

// Whether a server is believed that shows `chain_pem` (one PEM text, leaf first). The handshake has proved nothing but
// that the server holds the leaf's key: chain, dates and names are to be judged here. Not Ok: no connection is made,
// and the calls that wanted it end Unavailable with these words. Runs on threads of gRPC's, perhaps on several at once,
// and must not block; what it captures is thread-safe and lives as long as the channel.
using ServerVerdict = std::function<absl::Status(absl::string_view chain_pem)>;

// How a TLS server is reached and believed: by `roots_pem` and `server_name`, or by `verdict` alone.
struct TlsServer {
  std::string address;      // "ca.example:15012", "127.0.0.1:15012", "[::1]:15012"
  std::string roots_pem;    // what the server's chain must end in; empty with a `verdict` and never without
  std::string server_name;  // the name its certificate must have; "": the host of `address`. Not with a `verdict`
  ServerVerdict verdict;
  // The client certificate (chain, PEM) and its key; both or neither.
  std::string certificate_pem;
  SecretBytes key_pem;
};

struct ClientChannelOptions {
  // A connection that could not be made is tried again, while calls want it, after `retry_min`; the wait grows 1.6-fold
  // each time up to `retry_max`, and each wait is longer or shorter by up to a fifth by chance. gRPC takes less than
  // 100 ms for 100 ms.
  absl::Duration retry_min = absl::Seconds(1);
  absl::Duration retry_max = absl::Seconds(30);
  // One try, from the name's resolution to the end of the handshake.
  absl::Duration connect_timeout = absl::Seconds(20);
  // While calls are open, a ping after so long without a byte from the server, which has 20 s to answer before the
  // connection counts as broken. Infinite: none, and a peer that vanished without a word is noticed by deadlines alone.
  absl::Duration keepalive = absl::InfiniteDuration();
  // The largest message that is taken; a larger one ends its call with ResourceExhausted.
  size_t message_bytes_max = 64 * 1024 * 1024;
};

struct ClientCallOptions {
  absl::Duration timeout = absl::Seconds(30);
  // A bearer token for `authorization`; "" for none.
  absl::string_view bearer_token = {};
  // Further metadata, names in lower case.
  std::vector<std::pair<std::string, std::string>> metadata = {};
  // Where there is no connection: true waits for one until the deadline, false ends the call with Unavailable as soon
  // as a try has failed, which is at once while the next try is being waited for.
  bool wait_for_connection = false;
};

struct ClientStreamOptions {
  // Of messages that wait for a server which does not read. One message is taken however large where none waits.
  size_t queue_bytes_max = 1024 * 1024;
};

// Runs once, on the channel's thread.
using UnaryDone = absl::AnyInvocable<void(absl::StatusOr<std::string> response) &&>;

// Any thread. Makes a connection when a call needs one, and again after it broke; a call whose connection breaks ends,
// and whether to repeat it is its caller's to say. All that calls tell runs on one thread of the channel's, one after
// the other.
//
// Methods are "/package.Service/Method", messages are serialised. Statuses are the server's, with its reason
// (ReasonOf); where the transport failed, Unavailable names the address.
class ClientChannel {
 public:
  // The server that listens on this Unix socket.
  static std::unique_ptr<ClientChannel> ToUnixSocket(const std::string& path, const ClientChannelOptions& options = {});
  static std::unique_ptr<ClientChannel> ToTlsServer(TlsServer server, const ClientChannelOptions& options = {});

  // Shutdown, if that was not called.
  virtual ~ClientChannel() = default;

  // One request, one response. Internal where the server ends the call well and without a response.
  virtual void CallUnary(const std::string& method, absl::string_view request, const ClientCallOptions& options,
                         UnaryDone done) = 0;

  virtual std::shared_ptr<ClientStream> OpenStream(const std::string& method, const ClientCallOptions& options,
                                                   std::unique_ptr<ClientStreamHandler> handler,
                                                   const ClientStreamOptions& stream_options = {}) = 0;

  // Cancels every call, waits until each has been told so, and ends the thread. Not on the channel's own thread. A call
  // that is begun afterwards is told Cancelled at once, on its caller's thread. The second time it does nothing.
  virtual void Shutdown() = 0;
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_CLIENT_CLIENT_CHANNEL_H_
