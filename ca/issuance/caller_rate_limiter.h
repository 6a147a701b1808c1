// How often one caller may ask: off unless a policy rule says so.
#ifndef MESHCA_CA_ISSUANCE_CALLER_RATE_LIMITER_H_
#define MESHCA_CA_ISSUANCE_CALLER_RATE_LIMITER_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/base/mutex.h"

namespace meshca {

// A token bucket a caller, filled evenly over the minute, with a minute's worth at once. Remembers the `callers_max`
// callers heard last; one forgotten starts with a full bucket. Thread-safe.
class CallerRateLimiter {
 public:
  explicit CallerRateLimiter(size_t callers_max = 65'536) : callers_max_(callers_max) {}

  // Takes one from the bucket of `caller` (CallerIdentity::subject and the ID). 0 a minute: always Ok.
  // ResourceExhausted (reason CALLER_RATE) says how many there are a minute and when the next is free.
  absl::Status Admit(absl::string_view caller, uint32_t per_minute, absl::Time now);

 private:
  struct Bucket {
    std::string caller;
    absl::Time full_at;  // when it will be full again, if nothing is taken
  };
  const size_t callers_max_;
  Mutex mutex_;
  std::list<Bucket> buckets_ ABSL_GUARDED_BY(mutex_);  // heard last first
  absl::flat_hash_map<absl::string_view, std::list<Bucket>::iterator> by_caller_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca

#endif  // MESHCA_CA_ISSUANCE_CALLER_RATE_LIMITER_H_
