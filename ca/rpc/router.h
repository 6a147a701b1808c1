// Which method leads to which handler: one Router per listener or shared by several.
#ifndef MESHCA_CA_RPC_ROUTER_H_
#define MESHCA_CA_RPC_ROUTER_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "ca/rpc/call.h"
#include "ca/rpc/stream.h"

namespace meshca::rpc {

// Runs on a loop's thread, on several at once; must not block.
using UnaryHandler = absl::AnyInvocable<void(std::shared_ptr<Call>) const>;

// Runs on a loop's thread when the request headers have arrived. Null refuses the stream: with the status given to
// `stream.Finish` before returning, else Internal. `stream` outlives the handler.
using StreamFactory = absl::AnyInvocable<std::unique_ptr<StreamHandler>(Stream& stream) const>;

struct UnaryOptions {
  // A larger request is ResourceExhausted before it is read whole.
  size_t request_bytes_max = 256 * 1024;
};

struct StreamOptions {
  // Each message from the client; larger is ResourceExhausted.
  size_t message_bytes_max = 256 * 1024;
  // Messages waiting for a client that does not read. One message is accepted however large when none waits.
  size_t queue_messages_max = 16;
  size_t queue_bytes_max = 1024 * 1024;
};

// Filled before a listener gets it, immutable from then on; thread-safe then.
class Router {
 public:
  struct Method {
    std::string path;    // "/package.Service/Method"
    size_t index = 0;    // position in methods(), for counters
    UnaryHandler unary;  // exactly one of these two is set
    StreamFactory stream;
    size_t message_bytes_max = 0;
    size_t queue_messages_max = 0;
    size_t queue_bytes_max = 0;
  };

  // `path` is "/package.Service/Method" and new: both are CHECKed.
  void AddUnary(absl::string_view path, UnaryHandler handler, UnaryOptions options = {});
  void AddStream(absl::string_view path, StreamFactory factory, StreamOptions options = {});

  // Null when there is no such method.
  const Method* Find(absl::string_view path) const;
  // Whether any method of "package.Service" is here: tells an unknown method from an unknown service.
  bool HasService(absl::string_view service) const;
  // "package.Service", sorted: what reflection lists.
  std::vector<std::string> services() const;
  const std::vector<std::unique_ptr<Method>>& methods() const { return methods_; }

 private:
  Method& Add(absl::string_view path);

  std::vector<std::unique_ptr<Method>> methods_;
  absl::flat_hash_map<absl::string_view, const Method*> by_path_;  // keys live in methods_
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_ROUTER_H_
