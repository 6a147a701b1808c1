#include "ca/kubernetes/cluster.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca::kubernetes {

absl::StatusOr<std::shared_ptr<Cluster>> Cluster::Open(ClusterOptions options, const Clock& clock,
                                                       EntropySource& entropy) {
  auto cluster = std::shared_ptr<Cluster>(new Cluster());
  MESHCA_ASSIGN_OR_RETURN(cluster->issuer_, ClusterIssuer::Open(options.api_server, std::move(options.keys)));
  MESHCA_ASSIGN_OR_RETURN(cluster->api_server_, ApiServer::Create(std::move(options.api_server)));
  cluster->reviewer_ = std::make_unique<ApiTokenReviewer>(*cluster->api_server_);
  cluster->pods_ = std::make_shared<ClusterPods>(*cluster->api_server_, clock, entropy, std::move(options.kept_labels));
  const auto issuer = [issuer = cluster->issuer_] { return issuer->issuer(); };
  cluster->rights_ = std::make_shared<const PodRights>(options.tokens.trusted_node_accounts, cluster->pods_, clock);
  options.tokens.issuer = issuer;
  cluster->authenticator_ = std::make_unique<ServiceAccountAuthenticator>(std::move(options.tokens), cluster->issuer_,
                                                                          *cluster->pods_, *cluster->reviewer_, clock);
  cluster->on_return_.emplace(cluster->api_server_->reachability(),
                              [issuer = cluster->issuer_] { issuer->ServerReturned(); });
  return cluster;
}

Cluster::~Cluster() { Stop(); }

// Open may have failed half-way.
void Cluster::Stop() {
  on_return_.reset();
  if (authenticator_ != nullptr) authenticator_->Stop();
  if (pods_ != nullptr) pods_->Stop();
  if (api_server_ != nullptr) api_server_->Stop();
}

std::vector<CallCount> Cluster::CallCounts() const {
  std::vector<CallCount> counts = api_server_->CallCounts();
  for (CallCount& count : issuer_->CallCounts()) counts.push_back(std::move(count));
  return counts;
}

ClusterReport Cluster::Report() const {
  ClusterReport report;
  const ApiServerOptions& server = api_server_->options();
  report.api_server = absl::StrCat(server.url.Origin(), " (", server.described, ")");
  report.issuer = issuer_->issuer();
  report.is_anothers = authenticator_->IsOtherIssuer(report.issuer);
  report.keys = issuer_->Report();
  report.watch_age = pods_->Age();
  report.watch_error = pods_->LastError();
  report.away = api_server_->reachability().away();
  report.pods = pods_->directory().pod_count();
  report.token_reviews = authenticator_->reviews();
  report.review_error = authenticator_->review_error();
  report.signatures_verified = authenticator_->signatures_verified();
  return report;
}

}  // namespace meshca::kubernetes
