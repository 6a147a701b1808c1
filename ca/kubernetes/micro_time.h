// A point in time as Kubernetes writes those that are exact to a microsecond (MicroTime).
#ifndef MESHCA_CA_KUBERNETES_MICRO_TIME_H_
#define MESHCA_CA_KUBERNETES_MICRO_TIME_H_

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "ca/base/utc_text.h"

namespace meshca::kubernetes {

// "2026-01-02T03:04:05.000000Z": six digits behind the second, neither more nor fewer.
inline std::string MicroTimeText(absl::Time time) {
  absl::Duration behind;
  absl::IDivDuration(time - absl::UnixEpoch(), absl::Seconds(1), &behind);
  if (behind < absl::ZeroDuration()) behind += absl::Seconds(1);  // before 1970
  std::string text = Rfc3339Text(time - behind);
  const int64_t digits = 1000000 + absl::ToInt64Microseconds(behind);  // the first one is cut off
  return text.insert(text.size() - 1, absl::StrCat(".", std::to_string(digits).substr(1)));
}

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_MICRO_TIME_H_
