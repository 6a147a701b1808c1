// Durations and times as options.
#ifndef MESHCA_CLI_COMMANDS_DURATIONS_H_
#define MESHCA_CLI_COMMANDS_DURATIONS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace google::protobuf {
class Duration;
class Timestamp;
}  // namespace google::protobuf

namespace meshca::cli {

// "90s", "24h", "30d", "1h30m". A usage error names `option`.
absl::StatusOr<absl::Duration> ReadDuration(absl::string_view option, const std::string& text);
absl::Status ReadDuration(absl::string_view option, const std::string& text, google::protobuf::Duration& out);

// A moment: "2026-11-23", "2026-11-23T20:15:00Z", or a duration from now, "7d".
absl::Status ReadTime(absl::string_view option, const std::string& text, absl::Time now,
                      google::protobuf::Timestamp& out);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_COMMANDS_DURATIONS_H_
