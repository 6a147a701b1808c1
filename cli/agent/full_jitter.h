// How long to wait before the next try, so that a fleet which lost its server at one moment does not come back at one.
#ifndef MESHCA_CLI_AGENT_FULL_JITTER_H_
#define MESHCA_CLI_AGENT_FULL_JITTER_H_

#include <algorithm>

#include "absl/time/time.h"
#include "ca/base/entropy.h"

namespace meshca::agent {

// Exponential backoff with full jitter: the wait after the nth failure is spread evenly over [0, first * 2^(n-1)), and
// over [0, max) once that is more. Not thread-safe.
class FullJitter {
 public:
  // `entropy` outlives it. 0 < first <= max.
  FullJitter(absl::Duration first, absl::Duration max, EntropySource& entropy)
      : first_(first), max_(max), spread_(first), entropy_(entropy) {}

  // The wait after one more failure.
  absl::Duration Next() {
    const absl::Duration wait = UniformDuration(entropy_, absl::ZeroDuration(), spread_);
    spread_ = std::min(2 * spread_, max_);
    return wait;
  }
  void Reset() { spread_ = first_; }

 private:
  const absl::Duration first_;
  const absl::Duration max_;
  absl::Duration spread_;
  EntropySource& entropy_;
};

}  // namespace meshca::agent

#endif  // MESHCA_CLI_AGENT_FULL_JITTER_H_
