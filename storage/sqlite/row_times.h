// How issuances hold times, and where the border lies when a question names a finer one. The infinities are the ends
// of the range, as in MicrosOf.
#ifndef MESHCA_STORAGE_SQLITE_ROW_TIMES_H_
#define MESHCA_STORAGE_SQLITE_ROW_TIMES_H_

#include <cstdint>
#include <limits>

#include "absl/time/time.h"
#include "storage/canonical_bytes.h"

namespace meshca::storage {

// Whole seconds, cut towards the past.
inline int64_t SecondsOf(absl::Time time) {
  if (time == absl::InfiniteFuture()) return std::numeric_limits<int64_t>::max();
  if (time == absl::InfinitePast()) return std::numeric_limits<int64_t>::min();
  return absl::ToUnixSeconds(time);
}

// The smallest whole second that is not before `time`: not_after < time holds for the same rows as not_after < this.
inline int64_t SecondsNotBefore(absl::Time time) {
  const int64_t seconds = SecondsOf(time);
  const bool exact = time == absl::FromUnixSeconds(seconds);
  return exact || time == absl::InfiniteFuture() || time == absl::InfinitePast() ? seconds : seconds + 1;
}

// The same in microseconds.
inline int64_t MicrosNotBefore(absl::Time time) {
  const int64_t micros = MicrosOf(time);
  return TimeOfMicros(micros) < time ? micros + 1 : micros;
}

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_SQLITE_ROW_TIMES_H_
