// The pages of the HTTP endpoint.
#ifndef MESHCA_CLI_SERVER_HTTP_ROUTES_H_
#define MESHCA_CLI_SERVER_HTTP_ROUTES_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/base/clock.h"
#include "ca/http/page_server.h"

namespace meshca::cli {

// Where the pages get what they show; all outlive the endpoint.
struct HttpPages {
  std::string version;
  std::string trust_domain;
  const Clock* clock = nullptr;
  // Never blocks: Readiness::Ready.
  std::function<absl::Status()> ready;
  const AuthoritySnapshots* authorities = nullptr;
  // MetricsRegistry::Render; may block.
  std::function<std::string()> metrics;
};

//   /livez     200 while the process answers: a full disk or a database away is no reason to kill a server that still
//              serves SDS
//   /readyz    200, or 503 and why it cannot issue
//   /metrics   Prometheus' text format
//   /          for people; what a stranger may know: no identity, no path of a file
std::vector<http::Page> MakeHttpRoutes(HttpPages pages);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_SERVER_HTTP_ROUTES_H_
