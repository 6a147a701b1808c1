#include "cli/process/service_metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <vector>

#include "ca/base/status.h"
#include "ca/rpc/limits.h"

namespace meshca::cli {
namespace {

double CpuSeconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

void AddMethod(const rpc::MethodStats& method, MetricFamilies& out) {
  const absl::string_view path = method.path.empty() ? absl::string_view("unknown") : method.path;
  uint64_t finished = 0;
  for (size_t code = 0; code < method.finished_by_code.size(); ++code) {
    if (method.finished_by_code[code] == 0) continue;
    finished += method.finished_by_code[code];
    out.Counter("meshca_rpc_calls_total", "Calls finished, by method and gRPC status.",
                static_cast<double>(method.finished_by_code[code]),
                {{"method", path}, {"code", CodeName(static_cast<absl::StatusCode>(code))}});
  }
  // Most methods are never called on most servers: their zeros would be most of the page.
  if (finished == 0 && method.open == 0) return;
  out.Gauge("meshca_rpc_calls_open", "Calls and streams open.", static_cast<double>(method.open), {{"method", path}});
  out.Counter("meshca_rpc_messages_received_total", "Messages received.", static_cast<double>(method.messages_received),
              {{"method", path}});
  out.Counter("meshca_rpc_messages_sent_total", "Messages sent.", static_cast<double>(method.messages_sent),
              {{"method", path}});
  std::vector<double> bounds;
  for (size_t i = 0; i + 1 < rpc::kLatencyBuckets; ++i) {
    bounds.push_back(absl::ToDoubleSeconds(rpc::LatencyBucketEdge(i)));
  }
  if (std::all_of(method.latency.begin(), method.latency.end(), [](uint64_t count) { return count == 0; })) return;
  out.Histogram("meshca_rpc_latency_seconds", "Unary calls, from headers to answer.", bounds, method.latency,
                absl::ToDoubleSeconds(method.latency_sum), {{"method", path}});
}

}  // namespace

void AddProcessMetrics(const std::string& version, absl::Time started_at, MetricFamilies& out) {
  out.Gauge("meshca_build_info", "1; which meshca this is.", 1, {{"version", version}});
  out.Gauge("process_start_time_seconds", "Start time of the process since the Unix epoch.",
            absl::ToDoubleSeconds(started_at - absl::UnixEpoch()));
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  out.Counter("process_cpu_seconds_total", "User and system CPU time spent.",
              CpuSeconds(usage.ru_utime) + CpuSeconds(usage.ru_stime));
  uint64_t pages_total = 0;
  uint64_t pages_resident = 0;
  if (std::ifstream("/proc/self/statm") >> pages_total >> pages_resident) {
    out.Gauge("process_resident_memory_bytes", "Resident memory size.",
              static_cast<double>(pages_resident) * static_cast<double>(sysconf(_SC_PAGESIZE)));
  }
  if (DIR* folder = opendir("/proc/self/fd")) {
    int count = -3;  // ".", ".." and the one that reads them
    while (readdir(folder) != nullptr) ++count;
    closedir(folder);
    out.Gauge("process_open_fds", "Open file descriptors.", count);
  }
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  out.Gauge("process_max_fds", "Limit of open file descriptors.", static_cast<double>(limit.rlim_cur));
}

void AddEdgeMetrics(const rpc::StatsSnapshot& stats, MetricFamilies& out) {
  auto number = [](uint64_t value) { return static_cast<double>(value); };
  out.Counter("meshca_rpc_connections_accepted_total", "Connections accepted.", number(stats.connections_accepted));
  out.Gauge("meshca_rpc_connections_open", "Connections open.", number(stats.connections_open));
  for (size_t room = 0; room < stats.connections_by_room.size(); ++room) {
    out.Gauge("meshca_rpc_connections_by_kind", "Connections open, by what they count as.",
              number(stats.connections_by_room[room]), {{"kind", rpc::RoomName(static_cast<rpc::Room>(room))}});
  }
  out.Gauge("meshca_rpc_connections_max", "Places for connections, as the limit of open files allows.",
            number(stats.connections_public_max), {{"listeners", "public"}});
  out.Gauge("meshca_rpc_connections_max", "", number(stats.connections_privileged_max), {{"listeners", "privileged"}});
  out.Gauge("meshca_rpc_streams_open", "Calls and streams open, all methods.", number(stats.streams_open));
  out.Counter("meshca_rpc_handshakes_total", "TLS handshakes.", number(stats.handshakes_ok), {{"result", "ok"}});
  out.Counter("meshca_rpc_handshakes_total", "", number(stats.handshakes_failed), {{"result", "failed"}});
  out.Counter("meshca_rpc_handshakes_resumed_total", "TLS handshakes that resumed a session.",
              number(stats.handshakes_resumed));
  out.Counter("meshca_rpc_received_bytes_total", "HTTP/2 bytes received.", number(stats.bytes_received));
  out.Counter("meshca_rpc_sent_bytes_total", "HTTP/2 bytes sent.", number(stats.bytes_sent));
  out.Gauge("meshca_rpc_buffered_bytes", "Bytes of unread answers and unfinished requests.",
            number(stats.buffered_bytes));
  for (size_t kind = 0; kind < stats.limits.size(); ++kind) {
    out.Counter("meshca_rpc_limits_total", "How often each limit was met.", number(stats.limits[kind]),
                {{"limit", rpc::LimitName(static_cast<rpc::LimitKind>(kind))}});
  }
  for (const rpc::MethodStats& method : stats.methods) AddMethod(method, out);
}

void AddSdsMetrics(const sds::SdsStats& stats, MetricFamilies& out) {
  auto number = [](uint64_t value) { return static_cast<double>(value); };
  out.Gauge("meshca_sds_subscribers", "Subscriber instances.", number(stats.subscribers.connected),
            {{"state", "connected"}});
  out.Gauge("meshca_sds_subscribers", "", number(stats.subscribers.known - stats.subscribers.connected),
            {{"state", "remembered"}});
  out.Gauge("meshca_sds_streams", "SDS streams open.", number(stats.subscribers.streams));
  out.Counter("meshca_sds_acknowledgements_total", "ACKs received.", number(stats.subscribers.acknowledged));
  out.Counter("meshca_sds_deliveries_total", "Messages of the Workload API that counted as delivered.",
              number(stats.subscribers.delivered));
  out.Counter("meshca_sds_rejections_total", "NACKs received.", number(stats.subscribers.rejected));
  out.Gauge("meshca_sds_unsaved_subscribers", "Acknowledged states that wait for the store.",
            number(stats.subscribers.unsaved));
  out.Gauge("meshca_sds_keys", "Keys of subscribers in memory.", number(stats.keys.keys));
  out.Gauge("meshca_sds_keys_waiting", "Keys that wait for a certificate.", number(stats.keys.waiting));
  out.Counter("meshca_sds_certificates_total", "Certificates issued for subscribers.", number(stats.keys.issued),
              {{"kind", "all"}});
  out.Counter("meshca_sds_certificates_total", "", number(stats.keys.renewed), {{"kind", "renewal"}});
  out.Counter("meshca_sds_certificate_failures_total", "Attempts that gave no certificate.", number(stats.keys.failed));
  out.Counter("meshca_sds_responses_serialised_total", "Responses made; many streams share one.",
              number(stats.responses_serialised));
}

}  // namespace meshca::cli
