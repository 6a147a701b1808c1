// The pages of an agent's HTTP endpoint.
#ifndef MESHCA_CLI_AGENT_PROCESS_AGENT_PAGES_H_
#define MESHCA_CLI_AGENT_PROCESS_AGENT_PAGES_H_

#include <functional>
#include <string>
#include <vector>

#include "ca/http/page_server.h"
#include "ca/rpc/stats.h"
#include "cli/agent_process/agent_view.h"
#include "sds/sds_service.h"

namespace meshca::cli {

// What one scrape reads.
struct AgentCounts {
  AgentView view;
  rpc::StatsSnapshot edge;
  sds::SdsStats sds;
};

// meshca_agent_*, and what cli/process has for every process, as Prometheus' text.
std::string AgentMetrics(const AgentCounts& counts);

//   /livez     200 while the process answers
//   /readyz    200 while it serves what its node may have, its CA away or not; else 503 and why
//   /metrics   Prometheus' text format
// No page names an identity. `view` and `counts` are called on the endpoint's threads.
std::vector<http::Page> MakeAgentPages(std::function<AgentView()> view, std::function<AgentCounts()> counts);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_AGENT_PROCESS_AGENT_PAGES_H_
