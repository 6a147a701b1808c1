// Metrics that every process of ours has that serves: of the process, of its gRPC listeners, of what it serves.
#ifndef MESHCA_CLI_PROCESS_SERVICE_METRICS_H_
#define MESHCA_CLI_PROCESS_SERVICE_METRICS_H_

#include <string>

#include "absl/time/time.h"
#include "ca/rpc/stats.h"
#include "cli/process/metric_families.h"
#include "sds/sds_service.h"

namespace meshca::cli {

// meshca_build_info, and the process_* that every Prometheus client has.
void AddProcessMetrics(const std::string& version, absl::Time started_at, MetricFamilies& out);
// meshca_rpc_*.
void AddEdgeMetrics(const rpc::StatsSnapshot& stats, MetricFamilies& out);
// meshca_sds_*.
void AddSdsMetrics(const sds::SdsStats& stats, MetricFamilies& out);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_PROCESS_SERVICE_METRICS_H_
