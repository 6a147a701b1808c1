// A point in time as messages show it, in UTC.
#ifndef MESHCA_CA_BASE_UTC_TEXT_H_
#define MESHCA_CA_BASE_UTC_TEXT_H_

#include <string>

#include "absl/time/time.h"

namespace meshca {

// "2026-11-23T20:15:00Z", RFC 3339 in whole seconds: for programs, logs and errors that clients are told.
std::string Rfc3339Text(absl::Time time);
// "2026-11-23 20:15:00 UTC": for what an operator reads.
std::string UtcText(absl::Time time);
// "2026-11-23 20:15:00": the same where the words around it, or the head of the column, say that it is UTC.
std::string DateTimeText(absl::Time time);
// "2026-11-23T20:15:00+00:00": RFC 3339 with the offset written out, as errors and the audit log have always had it.
std::string OffsetText(absl::Time time);
// "20:15:00Z": of a moment that is near.
std::string TimeOfDayText(absl::Time time);
// "2026-11-23".
std::string DateText(absl::Time time);

}  // namespace meshca

#endif  // MESHCA_CA_BASE_UTC_TEXT_H_
