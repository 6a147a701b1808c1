// One loop's counters. The loop alone writes, so adding is a load and a store; anyone reads.
#ifndef MESHCA_CA_RPC_LOOP_STATS_H_
#define MESHCA_CA_RPC_LOOP_STATS_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "ca/rpc/stats.h"

namespace meshca::rpc {

class LoopCounter {
 public:
  void Add(uint64_t amount = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  void Subtract(uint64_t amount = 1) { Add(0 - amount); }
  uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

struct MethodCounters {
  std::array<LoopCounter, kStatusCodes> finished_by_code;
  LoopCounter open;
  LoopCounter messages_received;
  LoopCounter messages_sent;
  std::array<LoopCounter, kLatencyBuckets> latency;
  LoopCounter latency_sum_ns;

  void CountLatency(int64_t nanoseconds);
};

struct LoopStats {
  // By Router's place in the Server plus Method::index; the last is for unknown methods. Sized before the loop starts.
  std::vector<MethodCounters> methods;
  LoopCounter rounds;
  LoopCounter connections_accepted;
  LoopCounter handshakes_ok;
  LoopCounter handshakes_failed;
  LoopCounter handshakes_resumed;
  LoopCounter streams_open;
  LoopCounter bytes_received;
  LoopCounter bytes_sent;
  std::array<LoopCounter, static_cast<size_t>(LimitKind::kCount)> limits;

  void Count(LimitKind kind) { limits[static_cast<size_t>(kind)].Add(); }
  // Adds this loop to `total`, whose methods are sized like ours.
  void AddTo(StatsSnapshot& total) const;
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_LOOP_STATS_H_
