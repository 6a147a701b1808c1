// Calls that wait, over a connection to one server: what a command makes of ca/rpc/client.
#ifndef MESHCA_CLI_CLIENT_RPC_CLIENT_H_
#define MESHCA_CLI_CLIENT_RPC_CLIENT_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/base/secret.h"
#include "ca/rpc/client/client_channel.h"

namespace google::protobuf {
class Message;
}

namespace meshca::cli {

// How a TLS server is reached and believed.
struct TlsTarget {
  std::string address;    // "ca.example:15012", "127.0.0.1:15012", "[::1]:15012"
  std::string roots_pem;  // what the server's chain must end in
  // The client certificate (chain, PEM) and its key; both or neither.
  std::string certificate_pem;
  SecretBytes key_pem;
};

struct CallOptions {
  absl::Duration timeout = absl::Seconds(30);
  // A bearer token for `authorization`; "" for none.
  absl::string_view bearer_token = {};
  // Further metadata, names in lower case.
  std::vector<std::pair<std::string, std::string>> metadata = {};
};

class WaitingStream;

// One call both ways, part by part. Not thread-safe. Going away before the end cancels it.
class RpcStream {
 public:
  RpcStream(rpc::ClientChannel& channel, const std::string& method, const CallOptions& options);
  ~RpcStream();
  RpcStream(const RpcStream&) = delete;
  RpcStream& operator=(const RpcStream&) = delete;

  // Sends one message. `last`: the server is told that no more follows.
  void Send(const google::protobuf::Message& request, bool last = false);
  // Sends `request` and waits for the next message from there. The status of the call where that has ended instead;
  // Internal where it ended without an error.
  absl::Status Exchange(const google::protobuf::Message& request, google::protobuf::Message& response);
  // The next message; false: the call has ended well. Its status otherwise.
  absl::StatusOr<bool> Next(google::protobuf::Message& response);

 private:
  // Shared with the channel's thread, which may use it after this has gone.
  const std::shared_ptr<WaitingStream> waiting_;
  std::shared_ptr<rpc::ClientStream> stream_;
};

// Methods are "/package.Service/Method". Statuses are the server's, with its reason (ReasonOf); Unavailable where none
// could be reached says at which address.
// Not thread-safe.
class RpcClient {
 public:
  // A server's Unix socket. No connection is made before the first call.
  static std::unique_ptr<RpcClient> Unix(const std::string& path);
  // The name that is checked against the server's certificate is the host of `address`; where that is an IP address,
  // the name every meshca server has (istiod.istio-system.svc), because certificates seldom list addresses.
  static std::unique_ptr<RpcClient> Tls(TlsTarget target);

  explicit RpcClient(std::unique_ptr<rpc::ClientChannel> channel) : channel_(std::move(channel)) {}

  absl::Status Unary(const std::string& method, const google::protobuf::Message& request,
                     google::protobuf::Message& response, const CallOptions& options = {});

  // `response` is parsed into again for each message, then `on_message` is run; false ends the call, Ok.
  absl::Status ServerStream(const std::string& method, const google::protobuf::Message& request,
                            google::protobuf::Message& response, absl::FunctionRef<bool()> on_message,
                            const CallOptions& options = {});

  // Both ways: sends `first`, then for each message runs `on_message`, which may fill `reply` and return kReply.
  enum class Next { kWait, kReply, kEnd };
  absl::Status BidiStream(const std::string& method, const google::protobuf::Message& first,
                          google::protobuf::Message& response, google::protobuf::Message& reply,
                          absl::FunctionRef<Next()> on_message, const CallOptions& options = {});

  // A call whose messages the caller sends as it has them. It must not outlive the client.
  std::unique_ptr<RpcStream> Open(const std::string& method, const CallOptions& options = {});

 private:
  const std::unique_ptr<rpc::ClientChannel> channel_;
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_CLIENT_RPC_CLIENT_H_
