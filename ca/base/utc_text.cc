#include "ca/base/utc_text.h"

namespace meshca {

std::string Rfc3339Text(absl::Time time) { return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone()); }

std::string UtcText(absl::Time time) { return DateTimeText(time) + " UTC"; }

std::string DateTimeText(absl::Time time) { return absl::FormatTime("%Y-%m-%d %H:%M:%S", time, absl::UTCTimeZone()); }

std::string OffsetText(absl::Time time) { return absl::FormatTime(absl::RFC3339_sec, time, absl::UTCTimeZone()); }

std::string TimeOfDayText(absl::Time time) { return absl::FormatTime("%H:%M:%SZ", time, absl::UTCTimeZone()); }

std::string DateText(absl::Time time) { return absl::FormatTime("%Y-%m-%d", time, absl::UTCTimeZone()); }

}  // namespace meshca
