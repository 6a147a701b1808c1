// `meshca-bench sds`: how fast, and how cheaply, a change of trust reaches thousands of SDS streams.
#ifndef MESHCA_TEST_BENCH_SDS_COMMAND_H_
#define MESHCA_TEST_BENCH_SDS_COMMAND_H_

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "test/bench/sds_load.h"
#include "test/bench/sds_report.h"

namespace meshca::bench {

struct SdsOptions {
  SdsLoadOptions load;
  int changes = 1;
  std::vector<std::string> triggers;  // shell commands, taken in turns, one a change
  std::string published_at_command;   // empty: the publication's time is not known
  absl::Duration wait = absl::Seconds(60);
  absl::Duration hold = absl::ZeroDuration();
  int server_pid = 0;  // 0: its CPU time and memory are not known
};

// Opens the streams, measures the changes, holds, closes. `progress` gets a line a phase. The report is whole, with the
// changes that were seen, also where `failure` is not Ok: a change that did not reach all, streams that ended.
struct SdsOutcome {
  SdsReport report;
  absl::Status failure;
};
SdsOutcome MeasureSds(const SdsOptions& options, const std::function<void(absl::string_view)>& progress);

// A time as --published-at-command prints it: seconds since 1970 with a fraction, or RFC 3339.
absl::StatusOr<absl::Time> ParsePublishedAt(absl::string_view text);

// Adds the command; running it sets `exit_code`: 0, or 1 when something failed (said on stderr).
CLI::App* AddSdsCommand(CLI::App& tool, int& exit_code);

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_SDS_COMMAND_H_
