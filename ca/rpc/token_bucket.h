// Rates: how much of something a connection or a source has left.
#ifndef MESHCA_CA_RPC_TOKEN_BUCKET_H_
#define MESHCA_CA_RPC_TOKEN_BUCKET_H_

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "ca/rpc/limits.h"

namespace meshca::rpc {

// A token bucket in one number, the time at which it is full again (the generic cell rate algorithm). Any thread, no
// lock. Times are nanoseconds of the monotonic clock.
class TokenBucket {
 public:
  // Takes `count` tokens; false, and nothing taken, when there are not that many.
  bool Take(const RateLimit& limit, int64_t now_ns, uint32_t count = 1) { return Move(limit, now_ns, count, false); }

  // Takes `count` tokens, into debt where there are not that many; false when in debt. For what has happened already:
  // the debt, at most another burst, has to be waited out.
  bool Charge(const RateLimit& limit, int64_t now_ns, uint32_t count = 1) { return Move(limit, now_ns, count, true); }

  bool InDebt(const RateLimit& limit, int64_t now_ns) const {
    if (Unlimited(limit)) return false;
    return full_at_ns_.load(std::memory_order_relaxed) - now_ns > Depth(limit);
  }

 private:
  static bool Unlimited(const RateLimit& limit) { return limit.burst == 0 && limit.per_second == 0; }
  static int64_t Interval(const RateLimit& limit) { return 1'000'000'000 / std::max<int64_t>(1, limit.per_second); }
  static int64_t Depth(const RateLimit& limit) { return Interval(limit) * std::max<int64_t>(1, limit.burst); }

  bool Move(const RateLimit& limit, int64_t now_ns, uint32_t count, bool into_debt) {
    if (Unlimited(limit)) return true;
    const int64_t depth = Depth(limit);
    int64_t before = full_at_ns_.load(std::memory_order_relaxed);
    for (;;) {
      int64_t after = std::max(before, now_ns) + Interval(limit) * count;
      const bool enough = after - now_ns <= depth;
      if (!enough && !into_debt) return false;
      after = std::min(after, now_ns + 2 * depth);
      if (full_at_ns_.compare_exchange_weak(before, after, std::memory_order_relaxed)) return enough;
    }
  }

  std::atomic<int64_t> full_at_ns_{0};
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_TOKEN_BUCKET_H_
