// JWT-SVIDs over the SPIFFE Workload API, as fast as answers come: FetchJWTSVID on one connection.
#ifndef MESHCA_TEST_BENCH_JWT_LOAD_H_
#define MESHCA_TEST_BENCH_JWT_LOAD_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/base/unique_fd.h"
#include "test/bench/dial.h"
#include "test/bench/latency_histogram.h"
#include "test/bench/stream_connection.h"

namespace meshca::bench {

struct JwtLoadOptions {
  DialOptions server;
  std::string audience = "bench";
  bool new_each = false;  // an audience of its own for each call: no token is handed out a second time
  int in_flight = 1;
};

struct JwtLoadResult {
  uint64_t tokens = 0;
  absl::Duration wall;
  LatencyHistogram latency;
};

// One thread. A call that fails ends the run.
class JwtLoad final : private StreamEvents {
 public:
  // Errors: Dialler's.
  static absl::StatusOr<std::unique_ptr<JwtLoad>> Create(JwtLoadOptions options);
  ~JwtLoad() override;

  // `calls` of them. Errors: the first call's that failed; DataLoss (an answer without a token); DeadlineExceeded.
  absl::StatusOr<JwtLoadResult> Run(uint64_t calls, absl::Time deadline);

 private:
  explicit JwtLoad(JwtLoadOptions options) : options_(std::move(options)) {}
  void Call();

  void OnMessage(uint32_t number, absl::string_view message, std::string& answer) override;
  void OnAnswered(uint32_t) override {}
  void OnEnd(uint32_t number, const absl::Status& status) override;

  const JwtLoadOptions options_;
  std::string authority_;
  std::vector<nghttp2_nv> headers_;
  std::unique_ptr<StreamConnection> connection_;
  std::map<uint32_t, absl::Time> begun_;
  uint32_t last_ = 0;
  uint64_t left_ = 0;
  JwtLoadResult result_;
  absl::Status failure_;
};

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_JWT_LOAD_H_
