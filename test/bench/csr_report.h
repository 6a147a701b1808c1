// What a load of certificate requests measured, and how it is told: JSON for programs, a table for people.
#ifndef MESHCA_TEST_BENCH_CSR_REPORT_H_
#define MESHCA_TEST_BENCH_CSR_REPORT_H_

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "test/bench/latency_histogram.h"

namespace meshca::bench {

struct CsrRound {
  uint64_t requests = 0;  // that left
  uint64_t ok = 0;        // answered with a certificate
  uint64_t not_sent = 0;  // of an open loop: due while as many as may be were open
  uint64_t not_made = 0;  // of an open loop: due before this tool had made it; says nothing of the server
  uint64_t verified = 0;  // answers checked whole
  std::map<std::string, uint64_t> errors;
  absl::Duration wall;                       // from the first request to the last answer
  std::optional<absl::Duration> server_cpu;  // user and system time of all its threads
  absl::Duration load_cpu;                   // this tool's own
  std::optional<absl::Duration> arithmetic;  // P-256 verify + sign, mean of before and after
  uint64_t connections = 0;                  // TLS connections made within the round
  uint64_t resumed = 0;                      // of these, with a session resumed
  LatencyHistogram latency;                  // of certificates
  LatencyHistogram error_latency;
};

struct CsrReport {
  std::string what;  // one line: server, key type, load
  std::vector<CsrRound> rounds;
  std::map<std::string, std::string> error_messages;  // the first one's words, by the error's name
  std::optional<int64_t> memory_bytes;                // the server's, resident, after the last round
  std::optional<int64_t> memory_peak_bytes;           // since the server started
};

// Unknown numbers are null: without a server's pid, without the yardstick, a quantile of nothing.
nlohmann::json ToJson(const CsrReport& report);
void PrintForPeople(const CsrReport& report, std::ostream& out);

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_CSR_REPORT_H_
