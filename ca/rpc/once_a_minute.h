// Keeps what a flood would write again and again into the log down to a line a minute.
#ifndef MESHCA_CA_RPC_ONCE_A_MINUTE_H_
#define MESHCA_CA_RPC_ONCE_A_MINUTE_H_

#include <atomic>
#include <cstdint>
#include <optional>

namespace meshca::rpc {

// One event, as often as it comes. Any thread, no lock.
class OnceAMinute {
 public:
  static constexpr int64_t kEveryNs = 60'000'000'000;

  // The event came at `now_ns` (monotonic): whether its line is due, and then how many were passed over since the last.
  std::optional<uint64_t> Due(int64_t now_ns) {
    int64_t next = next_ns_.load(std::memory_order_relaxed);
    if (now_ns < next || !next_ns_.compare_exchange_strong(next, now_ns + kEveryNs, std::memory_order_relaxed)) {
      passed_over_.fetch_add(1, std::memory_order_relaxed);
      return std::nullopt;
    }
    return passed_over_.exchange(0, std::memory_order_relaxed);
  }

 private:
  std::atomic<int64_t> next_ns_{0};
  std::atomic<uint64_t> passed_over_{0};
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_ONCE_A_MINUTE_H_
