#include "cli/process/metric_families.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <limits>
#include <map>
#include <sstream>
#include <vector>

#include "ca/base/check.h"

namespace meshca::cli {

class MetricFamilies::Impl {
 public:
  prometheus::ClientMetric& Add(absl::string_view name, absl::string_view help, prometheus::MetricType type,
                                MetricLabels labels) {
    auto [place, is_new] = index_.try_emplace(std::string(name), families_.size());
    if (is_new) {
      families_.emplace_back();
      families_.back().name = std::string(name);
      families_.back().help = std::string(help);
      families_.back().type = type;
    }
    prometheus::MetricFamily& family = families_[place->second];
    MESHCA_CHECK(family.type == type);
    prometheus::ClientMetric& metric = family.metric.emplace_back();
    for (const auto& [label, value] : labels) metric.label.push_back({std::string(label), std::string(value)});
    return metric;
  }

  std::vector<prometheus::MetricFamily> families_;  // in order of their first sample
  std::map<std::string, size_t> index_;
};

MetricFamilies::MetricFamilies() : impl_(std::make_unique<Impl>()) {}
MetricFamilies::~MetricFamilies() = default;

void MetricFamilies::Counter(absl::string_view name, absl::string_view help, double value, MetricLabels labels) {
  impl_->Add(name, help, prometheus::MetricType::Counter, labels).counter.value = value;
}

void MetricFamilies::Gauge(absl::string_view name, absl::string_view help, double value, MetricLabels labels) {
  impl_->Add(name, help, prometheus::MetricType::Gauge, labels).gauge.value = value;
}

void MetricFamilies::Histogram(absl::string_view name, absl::string_view help, std::span<const double> upper_bounds,
                               std::span<const uint64_t> counts, double sum, MetricLabels labels) {
  MESHCA_CHECK(counts.size() == upper_bounds.size() + 1);
  prometheus::ClientMetric::Histogram& histogram =
      impl_->Add(name, help, prometheus::MetricType::Histogram, labels).histogram;
  uint64_t cumulative = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    cumulative += counts[i];
    const double bound = i < upper_bounds.size() ? upper_bounds[i] : std::numeric_limits<double>::infinity();
    histogram.bucket.push_back({cumulative, bound});
  }
  histogram.sample_count = cumulative;
  histogram.sample_sum = sum;
}

std::string MetricFamilies::ToText() const {
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, impl_->families_);
  return out.str();
}

}  // namespace meshca::cli
