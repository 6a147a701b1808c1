// A lean gRPC client on nghttp2 and OpenSSL that keeps a fixed number of unary calls in flight on a few TLS
// connections, from one thread. Lean, because the load shares a small machine with the server it measures.
#ifndef MESHCA_TEST_BENCH_GRPC_LOAD_H_
#define MESHCA_TEST_BENCH_GRPC_LOAD_H_

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace meshca::bench {

struct LoadOptions {
  std::string host;
  int port = 0;
  std::string root_file;      // PEM; the server's chain must end there
  std::string method;         // "/package.Service/Method"
  std::string authorization;  // metadata of every call
  int connections = 8;
  int in_flight = 32;  // over all connections
};

struct LoadResult {
  std::vector<std::string> responses;     // in the order of the requests, without the gRPC frame
  std::vector<absl::Duration> latencies;  // of each call, in the order they ended
  absl::Duration wall;
};

// Lives on one thread. Connections stay open from one Run() to the next.
class GrpcLoad {
 public:
  // Connects and shakes hands. Errors: Unavailable, with OpenSSL's or the system's words.
  static absl::StatusOr<std::unique_ptr<GrpcLoad>> Connect(const LoadOptions& options);

  virtual ~GrpcLoad() = default;

  // Sends every request once; returns when the last answer is in. Errors: the first call's that failed, by its
  // grpc-status and grpc-message; Unavailable when a connection ends.
  virtual absl::StatusOr<LoadResult> Run(std::span<const std::string> requests) = 0;
};

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_GRPC_LOAD_H_
