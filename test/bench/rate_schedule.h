// When the requests of an open loop leave: at even distances, whether or not answers came.
#ifndef MESHCA_TEST_BENCH_RATE_SCHEDULE_H_
#define MESHCA_TEST_BENCH_RATE_SCHEDULE_H_

#include <cmath>
#include <cstdint>

#include "absl/time/time.h"

namespace meshca::bench {

class RateSchedule {
 public:
  // `per_second` is above 0; fractions count (0.5: one every two seconds).
  explicit RateSchedule(double per_second) : per_second_(per_second) {}

  // When request `number` (from 0) leaves, after the start. Computed from the start each time: errors do not add up.
  absl::Duration DueAfter(uint64_t number) const { return absl::Seconds(static_cast<double>(number) / per_second_); }

  // How many leave within `duration`: those due before it is over.
  uint64_t CountWithin(absl::Duration duration) const {
    // A billionth is forgiven: 0.1 s at 30 a second are 3, though 0.1 * 30 is a little more than 3.
    return static_cast<uint64_t>(std::ceil(absl::ToDoubleSeconds(duration) * per_second_ - 1e-9));
  }

 private:
  double per_second_;
};

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_RATE_SCHEDULE_H_
