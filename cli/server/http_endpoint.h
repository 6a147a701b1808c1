// The server's plain HTTP side: probes, metrics, a status page.
#ifndef MESHCA_CLI_SERVER_HTTP_ENDPOINT_H_
#define MESHCA_CLI_SERVER_HTTP_ENDPOINT_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace meshca::cli {

struct HttpAnswer {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

struct HttpRoute {
  std::string path;  // "/livez"
  std::function<HttpAnswer()> answer;
  // False: runs on the thread that serves every connection, so it must not wait for anything. True: runs on a thread of
  // its own, once for all who wait, so that neither a slow database nor many scrapers keep a probe from its answer.
  bool may_block = false;
};

struct HttpLimits {
  // One more ends the oldest, of those whose answer is not being made if there is one. The gRPC listeners leave so many
  // descriptors (rpc::GlobalLimits::descriptors_kept), so no flood of theirs keeps a probe out.
  size_t connections_max = 128;
  size_t head_bytes_max = 8 * 1024;
  absl::Duration request_timeout = absl::Seconds(5);      // from accept to the last byte of the request's head
  absl::Duration answer_timeout = absl::Seconds(10);      // from there to the last byte the client took
  absl::Duration blocking_gap = absl::Milliseconds(100);  // between the beginnings of two runs of one blocking route
};

// Serves GET and HEAD, one request a connection. Bounded whatever clients do: two threads, `connections_max`
// connections of `head_bytes_max` bytes each, one body a route however many read it, and a time for each step that no
// trickle of bytes prolongs. (cpp-httplib gives each connection a thread, and its timeouts begin anew with each byte.)
// A flood of idle connections ends its own: an honest client is done before it is the oldest.
class HttpEndpoint {
 public:
  // Binds and serves. Routes run until the endpoint ends. Errors: BindTcp's, Internal.
  static absl::StatusOr<std::unique_ptr<HttpEndpoint>> Start(const std::string& address, std::vector<HttpRoute> routes,
                                                             HttpLimits limits = {});
  // Closes everything at once and waits for a blocking route under way.
  ~HttpEndpoint();

  // "127.0.0.1:15014": with the real port.
  const std::string& address() const;

 private:
  class Impl;
  explicit HttpEndpoint(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_SERVER_HTTP_ENDPOINT_H_
