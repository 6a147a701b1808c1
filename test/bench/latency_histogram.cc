#include "test/bench/latency_histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace meshca::bench {
namespace {

// A value of `microseconds` with 8 significant bits: the exponent counts in steps of kSubBuckets.
constexpr uint64_t kSubBuckets = 128;
constexpr int kSignificantBits = 8;
constexpr uint64_t kMicrosecondsMax = uint64_t{3600} * 1'000'000;

size_t BucketOf(uint64_t microseconds) {
  const int exponent = std::max(0, static_cast<int>(std::bit_width(microseconds)) - kSignificantBits);
  return exponent * kSubBuckets + (microseconds >> exponent);
}

// The largest value the bucket holds, in microseconds.
uint64_t UpperEnd(size_t bucket) {
  const size_t exponent = bucket < 2 * kSubBuckets ? 0 : bucket / kSubBuckets - 1;
  return ((bucket - exponent * kSubBuckets + 1) << exponent) - 1;
}

}  // namespace

void LatencyHistogram::Record(absl::Duration latency) {
  const auto us = static_cast<uint64_t>(
      std::max<int64_t>(0, absl::ToInt64Microseconds(absl::Ceil(latency, absl::Microseconds(1)))));
  const size_t bucket = BucketOf(std::min(us, kMicrosecondsMax));
  if (bucket >= buckets_.size()) buckets_.resize(bucket + 1);
  ++buckets_[bucket];
  ++count_;
  max_ = std::max(max_, latency);
}

void LatencyHistogram::Merge(const LatencyHistogram& other) {
  if (other.buckets_.size() > buckets_.size()) buckets_.resize(other.buckets_.size());
  for (size_t i = 0; i < other.buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  max_ = std::max(max_, other.max_);
}

absl::Duration LatencyHistogram::Quantile(double q) const {
  const auto rank = std::max<uint64_t>(1, static_cast<uint64_t>(std::ceil(q * static_cast<double>(count_))));
  uint64_t seen = 0;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    seen += buckets_[i];
    if (seen >= rank) return std::min(max_, absl::Microseconds(UpperEnd(i)));
  }
  return max_;
}

std::vector<LatencyBar> LatencyHistogram::Bars() const {
  std::vector<LatencyBar> bars;
  uint64_t bound_us = 100;
  for (size_t i = 0, step = 0; i < buckets_.size(); ++step) {
    LatencyBar bar = {absl::Microseconds(bound_us), 0};
    while (i < buckets_.size() && UpperEnd(i) <= bound_us) bar.count += buckets_[i++];
    if (bar.count > 0 || !bars.empty()) bars.push_back(bar);
    bound_us = step % 3 == 1 ? bound_us / 2 * 5 : bound_us * 2;
  }
  return bars;
}

}  // namespace meshca::bench
