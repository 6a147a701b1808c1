#include "cli/config/convert_kubernetes.h"

#include <algorithm>
#include <cstdlib>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "ca/base/status.h"
#include "ca/spiffe/trust_domain.h"
#include "cli/config/convert.h"
#include "cli/config/kubeconfig.h"

namespace meshca::config {

bool ServesKubernetes(const Origins& origins) {
  const std::string section = "kubernetes.";
  // `kubernetes: {}` is on with every default.
  if (origins.contains("kubernetes")) return true;
  return std::any_of(origins.lower_bound(section), origins.end(), [&](const auto& one) {
    return absl::StartsWith(one.first, section) && one.second.kind != OriginKind::kDefault;
  });
}

absl::StatusOr<kubernetes::ApiServerOptions> ToApiServer(const v1::Kubernetes& kubernetes) {
  if (!kubernetes.kubeconfig().empty()) return ReadKubeconfig(kubernetes.kubeconfig());
  absl::StatusOr<kubernetes::ApiServerOptions> in_cluster =
      kubernetes::InClusterOptions([](const char* name) -> const char* { return std::getenv(name); });
  if (in_cluster.ok()) return in_cluster;
  return Annotate(in_cluster.status(), "kubernetes.kubeconfig names no file");
}

absl::StatusOr<ServiceAccountOptions> ToServiceAccounts(const v1::Config& config) {
  const v1::Kubernetes& kubernetes = config.kubernetes();
  MESHCA_ASSIGN_OR_RETURN(const TrustDomain trust_domain, TrustDomain::Parse(config.trust_domain()));
  absl::StatusOr<ServiceAccountTemplate> spiffe_id =
      ServiceAccountTemplate::Parse(kubernetes.spiffe_id(), trust_domain);
  if (!spiffe_id.ok()) return Annotate(spiffe_id.status(), "kubernetes.spiffe_id");
  ServiceAccountOptions options{.spiffe_id = *std::move(spiffe_id)};
  options.audiences.assign(kubernetes.audiences().begin(), kubernetes.audiences().end());
  if (options.audiences.empty()) options.audiences = {"istio-ca"};
  options.always_review = kubernetes.verify() == v1::TOKEN_VERIFICATION_TOKEN_REVIEW;
  for (const std::string& text : kubernetes.trusted_node_accounts()) {
    const std::vector<std::string> names = absl::StrSplit(text, '/');
    if (names.size() != 2 || names[0].empty() || names[1].empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "kubernetes.trusted_node_accounts: expects NAMESPACE/ACCOUNT, such as istio-system/ztunnel, not \"", text,
          "\""));
    }
    options.trusted_node_accounts.push_back({names[0], names[1]});
  }
  if (options.trusted_node_accounts.empty()) options.trusted_node_accounts = {{"istio-system", "ztunnel"}};
  return options;
}

std::vector<PublisherOptions> ToPublishers(const v1::Kubernetes& kubernetes) {
  std::vector<PublisherOptions> all;
  if (const v1::RootsConfigMap& map = kubernetes.roots_config_map(); !map.name().empty()) {
    std::set<std::string> except(map.except().begin(), map.except().end());
    if (except.empty()) except = {"kube-public", "kube-node-lease", "local-path-storage"};
    PublisherOptions& options = all.emplace_back();
    options.kinds = {RootsConfigMap(map.name(), map.key())};
    options.namespaces.emplace(std::set<std::string>(map.namespaces().begin(), map.namespaces().end()),
                               std::move(except));
  }
  if (const v1::RootsTrustBundle& bundle = kubernetes.cluster_trust_bundle(); !bundle.name().empty()) {
    PublisherOptions& options = all.emplace_back();
    for (const char* version : {"v1", "v1beta1"}) {
      options.kinds.push_back(RootsClusterTrustBundle(bundle.name(), bundle.signer_name(), version));
    }
  }
  for (PublisherOptions& options : all) options.publication.mount_delay = ToDuration(kubernetes.mount_delay());
  return all;
}

}  // namespace meshca::config
