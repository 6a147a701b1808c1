#include "cli/commands/durations.h"

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "cli/config/value.h"
#include "cli/session.h"

namespace meshca::cli {

absl::StatusOr<absl::Duration> ReadDuration(absl::string_view option, const std::string& text) {
  absl::StatusOr<absl::Duration> duration = config::ParseDuration(text);
  if (!duration.ok()) return UsageError(absl::StrCat(option, ": ", duration.status().message()));
  return duration;
}

absl::Status ReadDuration(absl::string_view option, const std::string& text, google::protobuf::Duration& out) {
  MESHCA_ASSIGN_OR_RETURN(absl::Duration duration, ReadDuration(option, text));
  out.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &duration));
  out.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(duration)));
  return absl::OkStatus();
}

absl::Status ReadTime(absl::string_view option, const std::string& text, absl::Time now,
                      google::protobuf::Timestamp& out) {
  absl::Time time;
  std::string error;
  const absl::StatusOr<absl::Duration> from_now = config::ParseDuration(text);
  if (from_now.ok()) {
    time = now + *from_now;
  } else if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error) &&
             !absl::ParseTime("%Y-%m-%d", text, absl::UTCTimeZone(), &time, &error)) {
    return UsageError(absl::StrCat(option, ": \"", text,
                                   "\" is no time; write 2026-11-23, 2026-11-23T20:15:00Z or, from now on, 7d"));
  }
  out.set_seconds(absl::ToUnixSeconds(time));
  return absl::OkStatus();
}

}  // namespace meshca::cli
