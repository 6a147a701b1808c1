// Runs a load of certificate requests: rounds of requests made beforehand (long ones of an open loop: as they go), each
// between two looks at the server's process and the yardstick.
#ifndef MESHCA_TEST_BENCH_CSR_MEASURE_H_
#define MESHCA_TEST_BENCH_CSR_MEASURE_H_

#include <cstddef>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "test/bench/csr_factory.h"
#include "test/bench/csr_report.h"
#include "test/bench/grpc_load.h"
#include "test/bench/tls_target.h"

namespace meshca::bench {

// So many requests are made before a round's clock starts: a minute's work of two cores, and 200 MB. An open loop with
// more makes them as it goes and keeps kRequestsAhead ready, in 10 MB.
inline constexpr size_t kMadeBeforeMax = 150'000;
inline constexpr size_t kRequestsAhead = 20'000;

struct CsrOptions {
  TlsTargetOptions target;
  LoadOptions load;
  std::string token_file;  // empty: none
  std::string spiffe_id;
  KeyType key_type = KeyType::kEcP256;
  std::string key_type_name = "ec-p256";
  std::optional<size_t> requests;               // a round; else as many as fit into `duration`
  absl::Duration duration = absl::Seconds(10);  // of a round
  int rounds = 1;
  size_t warm_up = 500;  // requests before the first round, not counted
  int server_pid = 0;    // 0: its CPU time and memory are not known
  bool yardstick = false;
  std::optional<size_t> ahead;  // of an open loop, however short: makes its requests as it goes, so many ahead
};

// `progress` gets a line about what deserves a word. Errors: Create's and Connect's of the parts; DataLoss (an answer
// verified whole was wrong); Unavailable (the warm-up brought no certificate; says the first error's words); NotFound
// (no such process).
absl::StatusOr<CsrReport> MeasureCsr(CsrOptions options, const std::function<void(absl::string_view)>& progress);

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_CSR_MEASURE_H_
