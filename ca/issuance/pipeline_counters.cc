#include "ca/issuance/pipeline_counters.h"

#include <algorithm>
#include <string>

#include "absl/strings/match.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

void Add(std::atomic<uint64_t>& counter, uint64_t by = 1) { counter.fetch_add(by, std::memory_order_relaxed); }

bool IsNameReason(const std::string& reason) {
  return reason == "CSR_URI_NAMES" || reason == "NO_IDENTITY" || absl::StartsWith(reason, "SPIFFE_ID_") ||
         absl::StartsWith(reason, "DNS_NAME_") || absl::StartsWith(reason, "NAME_");
}

bool IsPolicyReason(const std::string& reason) {
  return reason == "LIFETIME" || reason == "KEY_TYPE" || reason == "DNS_NAMES_TOO_MANY" ||
         reason == "CSR_ASKS_FOR_CA" || reason == "CALLER_RATE";
}

}  // namespace

void PipelineCounters::CountIssued(bool renewal, absl::Duration latency) {
  Add(issued_);
  if (renewal) Add(renewals_issued_);
  const double seconds = absl::ToDoubleSeconds(latency);
  const auto& bounds = PipelineStats::kLatencyBounds;
  const size_t bucket = static_cast<size_t>(std::lower_bound(bounds.begin(), bounds.end(), seconds) - bounds.begin());
  Add(latency_[bucket]);
  Add(latency_sum_us_, static_cast<uint64_t>(std::max<int64_t>(absl::ToInt64Microseconds(latency), 0)));
}

void PipelineCounters::CountRefused(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  if (IsNameReason(reason)) {
    Add(name_errors_);
  } else if (IsPolicyReason(reason)) {
    Add(policy_errors_);
  } else if (absl::StartsWith(reason, "CSR_")) {
    Add(csr_errors_);
  } else {
    Add(sign_errors_);
  }
}

PipelineStats PipelineCounters::Read() const {
  const auto read = [](const Counter& counter) { return counter.load(std::memory_order_relaxed); };
  PipelineStats stats;
  stats.submitted = read(submitted_);
  stats.issued = read(issued_);
  stats.renewals_issued = read(renewals_issued_);
  stats.csr_errors = read(csr_errors_);
  stats.name_errors = read(name_errors_);
  stats.policy_errors = read(policy_errors_);
  stats.sign_errors = read(sign_errors_);
  stats.store_errors = read(store_errors_);
  stats.queue_full = read(queue_full_);
  stats.signed_again = read(signed_again_);
  for (size_t i = 0; i < latency_.size(); ++i) stats.latency[i] = read(latency_[i]);
  stats.latency_sum = static_cast<double>(read(latency_sum_us_)) / 1e6;
  return stats;
}

}  // namespace meshca
