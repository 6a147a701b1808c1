#include "cli/agent_process/agent_pages.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/process/metric_families.h"
#include "cli/process/service_metrics.h"

namespace meshca::cli {
namespace {

constexpr char kPlain[] = "text/plain; charset=utf-8";
constexpr char kPrometheus[] = "text/plain; version=0.0.4; charset=utf-8";

double UnixSeconds(absl::Time time) { return absl::ToDoubleSeconds(time - absl::UnixEpoch()); }

// Every state is listed, so that an alert on one of them does not wait for its first time.
void AddConnection(const agent::CaConnectionStatus& connection, MetricFamilies& out) {
  using S = agent::CaConnectionState;
  for (const S state :
       {S::kConnecting, S::kAttached, S::kAway, S::kNotBelieved, S::kRefused, S::kNoVersion, S::kExpired}) {
    out.Gauge("meshca_agent_connection", "1 for the state of the agent's connection to its CA.",
              connection.state == state, {{"state", agent::CaConnectionStateName(state)}});
  }
  out.Gauge("meshca_agent_connection_since_timestamp_seconds", "Since when it is in that state, Unix seconds.",
            UnixSeconds(connection.since));
}

}  // namespace

std::string AgentMetrics(const AgentCounts& counts) {
  const AgentView& view = counts.view;
  auto number = [](uint64_t value) { return static_cast<double>(value); };
  MetricFamilies out;
  AddProcessMetrics(view.version, view.started_at, out);
  out.Gauge("meshca_ready", "1 while the agent serves what its node may have.", Ready(view).ok());
  AddConnection(view.connection, out);
  out.Gauge("meshca_agent_certificate_expiry_timestamp_seconds",
            "When the agent's own certificate expires, Unix seconds.", UnixSeconds(view.certificate_ends));
  out.Gauge("meshca_agent_renewal_error", "1 while the agent's own certificate could not be renewed or saved.",
            !view.renewal.ok());
  out.Gauge("meshca_agent_trust_version", "Version of the trust that the CA told last.", number(view.trust_version));
  out.Gauge("meshca_agent_entries", "Registration entries of this node.", number(view.entries));
  out.Gauge("meshca_agent_certificates", "Certificates held for workloads.", number(view.certificates));
  out.Gauge("meshca_agent_consumers",
            "Consumers of SDS and the Workload API, those that left and may still use what "
            "they were given among them.",
            number(view.consumers));
  out.Gauge("meshca_agent_consumers_behind", "Consumers that hold older trust, or an older certificate.",
            number(view.consumers_behind));
  out.Gauge("meshca_clock_steady", "0 while the wall clock cannot be believed.", view.clock_believed);
  AddEdgeMetrics(counts.edge, out);
  AddSdsMetrics(counts.sds, out);
  return out.ToText();
}

std::vector<http::Page> MakeAgentPages(std::function<AgentView()> view, std::function<AgentCounts()> counts) {
  std::vector<http::Page> pages;
  pages.push_back({"/livez", [] { return http::Answer::Of(200, kPlain, "ok\n"); }});
  pages.push_back({"/readyz", [view = std::move(view)] {
                     const absl::Status ready = Ready(view());
                     if (ready.ok()) return http::Answer::Of(200, kPlain, "ok\n");
                     return http::Answer::Of(503, kPlain, absl::StrCat("not ready: ", ready.message(), "\n"));
                   }});
  pages.push_back({"/metrics",
                   [counts = std::move(counts)] { return http::Answer::Of(200, kPrometheus, AgentMetrics(counts())); },
                   true});
  return pages;
}

}  // namespace meshca::cli
