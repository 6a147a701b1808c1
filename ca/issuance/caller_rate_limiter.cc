#include "ca/issuance/caller_rate_limiter.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca {

absl::Status CallerRateLimiter::Admit(absl::string_view caller, uint32_t per_minute, absl::Time now) {
  if (per_minute == 0) return absl::OkStatus();
  const absl::Duration each = absl::Minutes(1) / per_minute;
  MutexLock lock(mutex_);
  auto it = by_caller_.find(caller);
  if (it == by_caller_.end()) {
    if (buckets_.size() >= callers_max_) {
      by_caller_.erase(buckets_.back().caller);
      buckets_.pop_back();
    }
    buckets_.push_front(Bucket{std::string(caller), now});
    it = by_caller_.emplace(buckets_.front().caller, buckets_.begin()).first;
  } else {
    buckets_.splice(buckets_.begin(), buckets_, it->second);
  }
  // A bucket that fills a minute from now is empty. One that fills later than that was taken from before the clock was
  // set back: it counts as empty, and from here on by the new time.
  Bucket& bucket = *it->second;
  bucket.full_at = std::clamp(bucket.full_at, now, now + absl::Minutes(1));
  const absl::Duration wait = bucket.full_at + each - (now + absl::Minutes(1));
  if (wait <= absl::ZeroDuration()) {
    bucket.full_at += each;
    return absl::OkStatus();
  }
  return WithReason(absl::ResourceExhaustedError(absl::StrCat(
                        "policy allows this caller ", per_minute, " certificates a minute; the next is free in ",
                        absl::ToInt64Seconds(absl::Ceil(wait, absl::Seconds(1))), " s")),
                    "CALLER_RATE");
}

}  // namespace meshca
