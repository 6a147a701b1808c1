// Latencies of a run of any length in a few kilobytes: quantiles within 1 % of the truth, and bars for people.
#ifndef MESHCA_TEST_BENCH_LATENCY_HISTOGRAM_H_
#define MESHCA_TEST_BENCH_LATENCY_HISTOGRAM_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/time/time.h"

namespace meshca::bench {

// A bar: values above the bar before it, up to `up_to` (inclusive, within 1 %).
struct LatencyBar {
  absl::Duration up_to;
  uint64_t count = 0;
};

// Counts values in buckets that are 1/128 wider than the one before or narrower: 1 us each below 256 us. One thread.
class LatencyHistogram {
 public:
  // Negative values count as zero, those above an hour as an hour.
  void Record(absl::Duration latency);
  void Merge(const LatencyHistogram& other);

  uint64_t count() const { return count_; }
  absl::Duration max() const { return max_; }

  // The value that at least the part `q` (0 to 1) of all values do not exceed: at most 1 % above it, never above max().
  // Zero without values.
  absl::Duration Quantile(double q) const;

  // At bounds 1, 2, 5, 10 ... from 0.1 ms on, from the first bar that is not empty to the last one.
  std::vector<LatencyBar> Bars() const;

 private:
  std::vector<uint64_t> buckets_;
  uint64_t count_ = 0;
  absl::Duration max_;
};

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_LATENCY_HISTOGRAM_H_
