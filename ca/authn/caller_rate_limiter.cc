#include "ca/authn/caller_rate_limiter.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca {

absl::Status CallerRateLimiter::Admit(absl::string_view caller, uint32_t per_minute, absl::Time now) {
  if (per_minute == 0) return absl::OkStatus();
  const double full = per_minute;
  MutexLock lock(mutex_);
  auto it = by_caller_.find(caller);
  if (it == by_caller_.end()) {
    if (buckets_.size() >= callers_max_) {
      by_caller_.erase(buckets_.back().caller);
      buckets_.pop_back();
    }
    buckets_.push_front(Bucket{std::string(caller), full, now});
    it = by_caller_.emplace(buckets_.front().caller, buckets_.begin()).first;
  } else {
    buckets_.splice(buckets_.begin(), buckets_, it->second);
  }
  Bucket& bucket = *it->second;
  // A clock set back neither fills nor empties; from then on it counts from there.
  const absl::Duration passed = std::max(now - bucket.filled_at, absl::ZeroDuration());
  bucket.tokens = std::min(full, bucket.tokens + absl::FDivDuration(passed, absl::Minutes(1)) * full);
  bucket.filled_at = now;
  if (bucket.tokens >= 1) {
    bucket.tokens -= 1;
    return absl::OkStatus();
  }
  const double wait_seconds = std::ceil((1 - bucket.tokens) * 60 / full);
  return WithReason(absl::ResourceExhaustedError(absl::StrCat("policy allows this caller ", per_minute,
                                                              " certificates a minute; the next is free in ",
                                                              static_cast<int64_t>(wait_seconds), " s")),
                    "CALLER_RATE");
}

}  // namespace meshca
