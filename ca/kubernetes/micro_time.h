// A point in time as Kubernetes writes those that are exact to a microsecond (MicroTime).
#ifndef MESHCA_CA_KUBERNETES_MICRO_TIME_H_
#define MESHCA_CA_KUBERNETES_MICRO_TIME_H_

#include <string>

#include "absl/time/time.h"

namespace meshca::kubernetes {

// "2026-01-02T03:04:05.000000Z": six digits behind the second, neither more nor fewer.
inline std::string MicroTimeText(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", time, absl::UTCTimeZone());
}

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_MICRO_TIME_H_
