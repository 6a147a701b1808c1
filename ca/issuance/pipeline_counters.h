// The pipeline's counters. For ca/issuance alone.
#ifndef MESHCA_CA_ISSUANCE_PIPELINE_COUNTERS_H_
#define MESHCA_CA_ISSUANCE_PIPELINE_COUNTERS_H_

#include <array>
#include <atomic>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/issuance/issuance_pipeline.h"

namespace meshca {

// Thread-safe; each call is a few relaxed additions.
class PipelineCounters {
 public:
  void CountSubmitted() { submitted_.fetch_add(1, std::memory_order_relaxed); }
  void CountSignedAgain() { signed_again_.fetch_add(1, std::memory_order_relaxed); }
  void CountIssued(bool renewal, absl::Duration latency);
  // A request that was refused before its record was submitted; the reason says which counter it belongs to.
  void CountRefused(const absl::Status& status);
  void CountStoreError() { store_errors_.fetch_add(1, std::memory_order_relaxed); }
  void CountQueueFull() { queue_full_.fetch_add(1, std::memory_order_relaxed); }

  PipelineStats Read() const;

 private:
  using Counter = std::atomic<uint64_t>;
  Counter submitted_{0}, issued_{0}, renewals_issued_{0}, csr_errors_{0}, name_errors_{0}, policy_errors_{0};
  Counter sign_errors_{0}, store_errors_{0}, queue_full_{0}, signed_again_{0}, latency_sum_us_{0};
  std::array<Counter, PipelineStats::kLatencyBounds.size() + 1> latency_ = {};
};

}  // namespace meshca

#endif  // MESHCA_CA_ISSUANCE_PIPELINE_COUNTERS_H_
