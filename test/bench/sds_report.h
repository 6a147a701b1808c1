// What an SDS run measured, and how it is told: JSON for programs, lines for people.
#ifndef MESHCA_TEST_BENCH_SDS_REPORT_H_
#define MESHCA_TEST_BENCH_SDS_REPORT_H_

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "test/bench/discovery_wire.h"
#include "test/bench/process_meter.h"

namespace meshca::bench {

// Times from one change. Every duration ends with an acknowledgement of the client's.
struct ChangeReport {
  int streams = 0;                            // that acknowledged it
  absl::Duration spread;                      // from the first stream's reception to the last acknowledgement
  std::optional<absl::Duration> published;    // from the publication to the last acknowledgement
  std::optional<absl::Duration> trigger;      // from the start of the trigger's command to the last acknowledgement
  std::vector<absl::Duration> latencies;      // of each stream, from the publication or, unknown, the first reception
  std::optional<absl::Duration> server_cpu;   // from before the trigger until the server is at rest again
  std::optional<absl::Duration> fan_out_cpu;  // the same from the first stream's reception on
  absl::Duration client_cpu;                  // until the last acknowledgement
  uint64_t bytes = 0;                         // received
};

struct SdsReport {
  std::string address;
  Discovery protocol = Discovery::kStateOfTheWorld;
  int streams = 0;
  int connections = 0;
  std::vector<std::string> resources;
  absl::Duration ready;                 // from the first connect until every stream acknowledged what it asked for
  std::optional<ProcessMemory> before;  // the server's, without the streams
  std::optional<ProcessMemory> after;   // with all of them, at rest
  std::vector<ChangeReport> changes;
  // The server's, from before the first change to the end of the hold: what it put off is in it too.
  std::optional<absl::Duration> overall_cpu;
  uint64_t responses = 0;
  uint64_t checked_whole = 0;
  std::map<std::string, int> ends;  // streams that ended, by code
};

nlohmann::json ToJson(const SdsReport& report);
void PrintForPeople(const SdsReport& report, std::ostream& out);

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_SDS_REPORT_H_
