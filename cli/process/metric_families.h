// Metrics of one scrape, collected and written in Prometheus' text format 0.0.4.
#ifndef MESHCA_CLI_PROCESS_METRIC_FAMILIES_H_
#define MESHCA_CLI_PROCESS_METRIC_FAMILIES_H_

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace meshca::cli {

using MetricLabels = std::initializer_list<std::pair<absl::string_view, absl::string_view>>;

// What the counting parts counted, at one moment. They count for themselves, without locks on their hot paths; a scrape
// reads them, so a metric costs nothing while nobody looks. Names are those of Prometheus' data model; `help` is
// taken from the first sample of a name. One thread.
class MetricFamilies {
 public:
  MetricFamilies();
  ~MetricFamilies();

  // Only grows while the process lives.
  void Counter(absl::string_view name, absl::string_view help, double value, MetricLabels labels = {});
  void Gauge(absl::string_view name, absl::string_view help, double value, MetricLabels labels = {});
  // `counts` of each bucket alone (not cumulative); one more than `upper_bounds`: the last has none.
  void Histogram(absl::string_view name, absl::string_view help, std::span<const double> upper_bounds,
                 std::span<const uint64_t> counts, double sum, MetricLabels labels = {});

  std::string ToText() const;

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_PROCESS_METRIC_FAMILIES_H_
