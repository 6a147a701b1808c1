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
#include "ca/identity/object_name.h"
#include "ca/pod_certificates/pod_certificate_terms.h"
#include "ca/spiffe/trust_domain.h"
#include "cli/config/convert.h"
#include "cli/config/kubeconfig.h"
#include "cli/config/value.h"

namespace meshca::config {
namespace {

absl::StatusOr<ServiceAccountTemplate> ToAccountTemplate(const v1::Config& config) {
  MESHCA_ASSIGN_OR_RETURN(const TrustDomain trust_domain, TrustDomain::Parse(config.trust_domain()));
  absl::StatusOr<ServiceAccountTemplate> parsed =
      ServiceAccountTemplate::Parse(config.kubernetes().spiffe_id(), trust_domain);
  if (!parsed.ok()) return Annotate(parsed.status(), "kubernetes.spiffe_id");
  return parsed;
}

// BoringSSL, which Envoy is built with, verifies no Ed25519 unless it is told to.
KeyType ServerKeyType(const v1::Config& config) {
  const KeyType type = ToKeyType(config.leaf().key_type());
  return type == KeyType::kEd25519 ? KeyType::kEcP256 : type;
}

}  // namespace

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
  MESHCA_ASSIGN_OR_RETURN(ServiceAccountTemplate spiffe_id, ToAccountTemplate(config));
  ServiceAccountOptions options{.spiffe_id = std::move(spiffe_id)};
  options.audiences.assign(kubernetes.audiences().begin(), kubernetes.audiences().end());
  if (options.audiences.empty()) options.audiences = {"istio-ca"};
  options.always_review = kubernetes.verify() == v1::TOKEN_VERIFICATION_TOKEN_REVIEW;
  const auto& accounts = kubernetes.trusted_node_accounts();
  const bool is_nobody = accounts.size() == 1 && accounts[0] == "none";
  for (const std::string& text : accounts) {
    if (is_nobody) break;
    const std::vector<std::string> names = absl::StrSplit(text, '/');
    if (names.size() != 2 || !IsNamespaceName(names[0]) || !IsObjectName(names[1])) {
      return absl::InvalidArgumentError(absl::StrCat(
          "kubernetes.trusted_node_accounts: expects NAMESPACE/ACCOUNT, such as istio-system/ztunnel, not \"", text,
          "\""));
    }
    options.trusted_node_accounts.push_back({names[0], names[1]});
  }
  if (accounts.empty()) options.trusted_node_accounts = {{"istio-system", "ztunnel"}};
  return options;
}

absl::StatusOr<std::optional<PodSignerOptions>> ToPodSigner(const v1::Config& config) {
  const v1::Kubernetes& kubernetes = config.kubernetes();
  if (kubernetes.signer().empty()) return std::nullopt;
  MESHCA_ASSIGN_OR_RETURN(ServiceAccountTemplate spiffe_id, ToAccountTemplate(config));
  MESHCA_ASSIGN_OR_RETURN(const CertificateProfile profile, ToProfile(config.leaf()));
  return PodSignerOptions{.signer_name = kubernetes.signer(),
                          .spiffe_id = std::move(spiffe_id),
                          .profile = PodCertificateProfile(profile),
                          .without_policy = kubernetes.signer_without_policy()};
}

absl::StatusOr<std::vector<ServerSecretOptions>> ToServerSecrets(const v1::Config& config) {
  MESHCA_ASSIGN_OR_RETURN(const ServiceAccountTemplate spiffe_id, ToAccountTemplate(config));
  const v1::Kubernetes& kubernetes = config.kubernetes();
  std::vector<ServerSecretOptions> all;
  for (int i = 0; i < kubernetes.server_secrets_size(); ++i) {
    const v1::ServerSecret& secret = kubernetes.server_secrets(i);
    ServerSecretOptions& options = all.emplace_back();
    options.secret = {secret.namespace_(), secret.name()};
    options.pods = secret.pods();
    absl::StatusOr<SpiffeId> id = spiffe_id.IdOf({secret.namespace_(), secret.service_account()});
    if (!id.ok()) return Annotate(id.status(), absl::StrCat("kubernetes.server_secrets[", i, "].service_account"));
    options.names.spiffe_id = *std::move(id);
    for (const std::string& name : secret.dns_names()) options.names.dns_names.push_back(absl::AsciiStrToLower(name));
    std::sort(options.names.dns_names.begin(), options.names.dns_names.end());
    options.key_type = ServerKeyType(config);
    options.publication.mount_delay = ToDuration(kubernetes.mount_delay());
  }
  return all;
}

absl::StatusOr<CertificateProfile> ToServerSecretProfile(const v1::Config& config) {
  MESHCA_ASSIGN_OR_RETURN(CertificateProfile profile, ToProfile(config.leaf()));
  // leaf.key_types says which keys others may bring; these are made here.
  profile.key_types = {ServerKeyType(config)};
  return profile;
}

bool WritesInCluster(const v1::Kubernetes& kubernetes) {
  return !kubernetes.signer().empty() || kubernetes.server_secrets_size() > 0 ||
         !kubernetes.roots_config_map().name().empty() || !kubernetes.cluster_trust_bundle().name().empty();
}

kubernetes::LeasePlace ToLeasePlace(const v1::Config& config) {
  return {config.kubernetes().lease_namespace(), kubernetes::LeaseName(config.trust_domain()), config.trust_domain()};
}

absl::Status CheckNamespace(absl::string_view name) {
  if (IsNamespaceName(name)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("\"", name, "\" is no name of a namespace, such as kube-system"));
}

absl::StatusOr<SigningRules> ToSigningRules(const v1::Config& config) {
  MESHCA_ASSIGN_OR_RETURN(ServiceAccountTemplate spiffe_id, ToAccountTemplate(config));
  MESHCA_ASSIGN_OR_RETURN(CertificateProfile profile, ToProfile(config.leaf()));
  MESHCA_ASSIGN_OR_RETURN(TrustDomain trust_domain, TrustDomain::Parse(config.trust_domain()));
  const auto& trusted = config.kubernetes().signer_trusted_requesters();
  return SigningRules{.spiffe_id = std::move(spiffe_id),
                      .trust_domain = std::move(trust_domain),
                      .profile = std::move(profile),
                      .trusted_requesters = {trusted.begin(), trusted.end()}};
}

std::vector<std::string> KubernetesWarnings(const v1::Config& config) {
  std::vector<std::string> warnings;
  const v1::Kubernetes& kubernetes = config.kubernetes();
  if (kubernetes.signer().empty()) return warnings;
  if (const absl::Duration lifetime = ToDuration(config.leaf().lifetime()); lifetime < kPodLifeMin) {
    warnings.push_back(absl::StrCat(
        "leaf.lifetime is ", DurationText(lifetime),
        ", and Kubernetes takes no pod certificate that lives for less than 1h: those of PodCertificateRequests to ",
        kubernetes.signer(), " live for 1h"));
  }
  // An issuing authority is replaced while it outlives the longest leaf by an eighth of its own life.
  const absl::Duration issuing = ToDuration(config.authority().issuing_lifetime());
  if (ToDuration(config.leaf().lifetime_max()) + issuing / 8 < kPodLifeMin) {
    warnings.push_back(absl::StrCat("authority.issuing_lifetime is ", DurationText(issuing),
                                    ": an issuing authority is replaced less than 1h before it ends, and until then "
                                    "PodCertificateRequests wait; raise it to 8h"));
  }
  for (int i = 0; i < config.policy_size(); ++i) {
    const absl::Duration longest = ToDuration(config.policy(i).lifetime_max());
    if (longest == absl::ZeroDuration() || longest >= kPodLifeMin) continue;
    warnings.push_back(absl::StrCat("policy[", i, "].lifetime_max is ", DurationText(longest),
                                    ", and Kubernetes takes no pod certificate that lives for less than 1h: "
                                    "PodCertificateRequests for ",
                                    config.policy(i).spiffe_id(), " are denied"));
  }
  return warnings;
}

std::vector<PublisherOptions> ToPublishers(const v1::Kubernetes& kubernetes) {
  std::vector<PublisherOptions> all;
  if (const v1::RootsConfigMap& map = kubernetes.roots_config_map(); !map.name().empty()) {
    std::set<std::string> except(map.except().begin(), map.except().end());
    if (except.empty()) except = {"kube-public", "kube-node-lease", "local-path-storage"};
    PublisherOptions& options = all.emplace_back();
    options.publication.mount_delay = ToDuration(kubernetes.mount_delay());
    options.kinds = {RootsConfigMap(map.name(), map.key())};
    options.namespaces.emplace(std::set<std::string>(map.namespaces().begin(), map.namespaces().end()),
                               std::move(except));
  }
  if (const v1::RootsTrustBundle& bundle = kubernetes.cluster_trust_bundle(); !bundle.name().empty()) {
    PublisherOptions& options = all.emplace_back();
    options.publication.mount_delay = ToDuration(bundle.mount_delay());
    for (const char* version : {"v1", "v1beta1"}) {
      options.kinds.push_back(RootsClusterTrustBundle(bundle.name(), bundle.signer_name(), version));
    }
  }
  return all;
}

}  // namespace meshca::config
