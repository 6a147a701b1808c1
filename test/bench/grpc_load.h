// A lean gRPC client on nghttp2 and OpenSSL that makes unary calls by the thousand, from one thread: as a closed loop
// (a fixed number in flight) or an open one (at fixed times). Lean, because it often shares a machine with the server.
#ifndef MESHCA_TEST_BENCH_GRPC_LOAD_H_
#define MESHCA_TEST_BENCH_GRPC_LOAD_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "test/bench/latency_histogram.h"
#include "test/bench/request_source.h"
#include "test/bench/tls_target.h"

namespace meshca::bench {

struct LoadOptions {
  std::string method;                // "/package.Service/Method"
  std::string authorization;         // metadata of every call; empty: none
  int connections = 8;               // calls go to the one that has waited longest
  int in_flight = 32;                // closed loop: calls open at any time, over all connections
  std::optional<double> rate;        // open loop: calls that leave in a second
  int open_max = 4096;               // open loop: no more than these are open; what is due then does not leave
  bool new_connection_each = false;  // every call brings its own connection, and a handshake
  absl::Duration answer_within = absl::Seconds(10);
  size_t keep_one_in = 0;  // of the calls' answers, in order of the requests; 0: none
};

struct LoadResult {
  uint64_t sent = 0;
  uint64_t ok = 0;
  uint64_t not_sent = 0;                              // open loop: due while as many as may be were open
  uint64_t not_made = 0;                              // open loop: due before the request was made; the load's fault
  std::map<std::string, uint64_t> errors;             // "RESOURCE_EXHAUSTED", or a lost connection's: "CONNECTION_LOST"
  std::map<std::string, std::string> error_messages;  // the first of each
  LatencyHistogram latency;  // of Ok answers; from when the call should have left, connection and handshake included
  LatencyHistogram error_latency;
  absl::Duration wall;                               // from the first call to the last answer
  uint64_t connections = 0;                          // that shook hands
  uint64_t resumed = 0;                              // of these, with a session resumed
  std::vector<std::pair<size_t, std::string>> kept;  // request's index, answer without the gRPC frame
};

// Lives on one thread. Connections stay open from one Run() to the next; a lost one is made anew when it is needed.
class GrpcLoad {
 public:
  // Connects all, unless each call does. `target` outlives the load. Errors: the first connection's that failed.
  static absl::StatusOr<std::unique_ptr<GrpcLoad>> Connect(TlsTarget& target, const LoadOptions& options);

  virtual ~GrpcLoad() = default;

  // Sends `requests`, each once, until `limit` has passed or all are sent; returns when all that left have ended. What
  // goes wrong with calls is counted, not returned. A closed loop takes requests that are ready alone. Errors: the
  // system's (epoll). Keeps in memory what is open, not what is over.
  virtual absl::StatusOr<LoadResult> Run(RequestSource& requests, absl::Duration limit) = 0;
};

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_GRPC_LOAD_H_
