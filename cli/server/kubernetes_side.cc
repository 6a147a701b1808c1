#include "cli/server/kubernetes_side.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/kubernetes/needed_restarts.h"
#include "cli/config/convert_kubernetes.h"
#include "cli/server/kubernetes_facts.h"
#include "cli/server/lease_identity.h"
#include "cli/server/server_state.h"

namespace meshca::cli {
namespace {

// The roots as PEM, in an order that no step of a rotation changes: the bundle's own has the active root first, and an
// object that is written anew is copied anew to every pod.
std::string RootsPem(const TrustBundle& bundle) {
  TrustBundle sorted = bundle;
  std::sort(sorted.roots.begin(), sorted.roots.end(), [](const Certificate& a, const Certificate& b) {
    return std::make_pair(a.validity().not_before, a.der().bytes()) <
           std::make_pair(b.validity().not_before, b.der().bytes());
  });
  return sorted.ToPem();
}

}  // namespace

absl::StatusOr<std::unique_ptr<KubernetesSide>> KubernetesSide::Open(const config::ResolvedConfig& config,
                                                                     const JudgedClock& clock, EntropySource& entropy) {
  if (!config::ServesKubernetes(config.origins)) return nullptr;
  const config::v1::Kubernetes& values = config.values.kubernetes();
  MESHCA_ASSIGN_OR_RETURN(kubernetes::ApiServerOptions api_server, config::ToApiServer(values));
  const std::string in_cluster_namespace = values.kubeconfig().empty() ? api_server.namespace_name : "";
  MESHCA_ASSIGN_OR_RETURN(ServiceAccountOptions tokens, config::ToServiceAccounts(config.values));
  std::vector<AccountName> node_accounts = tokens.trusted_node_accounts;
  MESHCA_ASSIGN_OR_RETURN(std::shared_ptr<kubernetes::Cluster> cluster,
                          kubernetes::Cluster::Open({.api_server = std::move(api_server),
                                                     .tokens = std::move(tokens),
                                                     .kept_labels = kubernetes::LabelsOfRestarts()},
                                                    clock, entropy));
  std::unique_ptr<KubernetesSide> side(new KubernetesSide(std::move(cluster), std::move(node_accounts), clock));
  if (config::WritesInCluster(values)) {
    kubernetes::ApiServer& server = side->cluster_->api_server();
    const kubernetes::LeaseTerms terms =
        LeaseTermsOf(LeasePrefix(in_cluster_namespace), absl::StrCat(DatabasePath(config), ".lock"), clock, entropy);
    side->lease_place_ = config::ToLeasePlace(config.values);
    side->lease_ = std::make_unique<kubernetes::LeaseHolder>(side->lease_place_, terms, server, clock);
    if (values.events()) {
      side->events_ =
          std::make_unique<kubernetes::EventSender>(kubernetes::EventLimits(), terms.identity, server, clock, entropy);
      side->lease_->AddListener([side = side.get()] { side->TellLeaseChange(); });
    }
  }
  for (PublisherOptions& one : config::ToPublishers(values)) {
    side->publishers_.push_back(std::make_unique<Publisher>(std::move(one), side->cluster_->api_server(), clock,
                                                            entropy, side->lease_.get(), side->events_.get()));
  }
  return side;
}

absl::Status KubernetesSide::AddSigner(const config::v1::Config& config, const Signing& signing, const Clock& clock,
                                       EntropySource& entropy) {
  MESHCA_ASSIGN_OR_RETURN(std::optional<PodSignerOptions> options, config::ToPodSigner(config));
  if (!options.has_value()) return absl::OkStatus();
  options->guard_memory = absl::StrCat(config.state_dir(), "/admission-policy.seen");
  signer_policy_ = std::make_unique<PodRequestPolicy>(&signing.policy, options->profile.lifetime_min);
  PipelineOptions pipeline;
  pipeline.threads = 1;
  pipeline.policy = signer_policy_.get();
  signer_pipeline_ = std::make_unique<IssuancePipeline>(options->profile, pipeline, signing.authorities, signing.store,
                                                        clock, signing.serials);
  signer_ = std::make_unique<PodCertificateSigner>(
      *std::move(options), PodCertificateSigner::Parts{cluster_->api_server(), cluster_->pods(), signing.authorities,
                                                       *signer_pipeline_, clock, entropy, lease_.get(), events_.get()});
  MESHCA_ASSIGN_OR_RETURN(SigningRules rules, config::ToSigningRules(config));
  AddSigningRequests(std::move(rules), config.kubernetes().signer(), signing, clock, entropy);
  return absl::OkStatus();
}

absl::Status KubernetesSide::AddServerSecrets(const config::v1::Config& config, const Signing& signing,
                                              const JudgedClock& clock, EntropySource& entropy) {
  MESHCA_ASSIGN_OR_RETURN(std::vector<ServerSecretOptions> all, config::ToServerSecrets(config));
  if (all.empty()) return absl::OkStatus();
  MESHCA_ASSIGN_OR_RETURN(CertificateProfile profile, config::ToServerSecretProfile(config));
  PipelineOptions pipeline;
  pipeline.threads = 1;
  pipeline.policy = &signing.policy;
  secrets_pipeline_ = std::make_unique<IssuancePipeline>(std::move(profile), pipeline, signing.authorities,
                                                         signing.store, clock, signing.serials);
  for (ServerSecretOptions& one : all) {
    secrets_.push_back(std::make_unique<ServerSecretKeeper>(
        std::move(one), ServerSecretKeeper::Parts{cluster_->api_server(), signing.authorities, signing.store,
                                                  *secrets_pipeline_, clock, entropy, lease_.get()}));
  }
  return absl::OkStatus();
}

void KubernetesSide::AddSigningRequests(SigningRules rules, const std::string& signer_name, const Signing& signing,
                                        const Clock& clock, EntropySource& entropy) {
  rules.policy = &signing.policy;
  PipelineOptions pipeline;
  pipeline.threads = 1;
  pipeline.policy = &signing.policy;
  signing_pipeline_ = std::make_unique<IssuancePipeline>(rules.profile, pipeline, signing.authorities, signing.store,
                                                         clock, signing.serials);
  signing_kind_ = std::make_unique<SigningRequestKind>(std::move(rules), cluster_->pods());
  RequestSignerOptions options;
  options.signer_name = signer_name;
  options.pending.pending_max = 4096;  // of up to 16 KiB
  signing_signer_ = std::make_unique<RequestSigner>(
      std::move(options),
      RequestSigner::Parts{cluster_->api_server(), *signing_kind_, *signing_pipeline_, clock, entropy, lease_.get()});
}

KubernetesSide::~KubernetesSide() { Shutdown(); }

void KubernetesSide::Start() {
  if (events_ != nullptr) events_->Start();
  for (const auto& publisher : publishers_) publisher->Start();
  if (signer_ != nullptr) signer_->Start();
  for (const auto& secret : secrets_) secret->Start();
  if (signing_signer_ != nullptr) signing_signer_->Start();
  // The last: whoever writes by it listens by now.
  if (lease_ != nullptr) lease_->Start();
}

void KubernetesSide::OnAuthorities(const AuthoritySnapshot& snapshot) {
  if (snapshot.bundle == nullptr) return;
  if (events_ != nullptr) {
    MutexLock lock(rotation_mutex_);
    if (std::optional<kubernetes::ObjectEvent> event = rotation_events_.EventOf(snapshot, LeaseObject())) {
      events_->Tell(*std::move(event));
    }
  }
  const std::string pem = RootsPem(*snapshot.bundle);
  for (const auto& publisher : publishers_) publisher->SetRoots(snapshot.bundle->sequence_number, pem);
  for (const auto& secret : secrets_) secret->SetRoots(snapshot.bundle->sequence_number, pem);
}

std::vector<SubscriberRecord> KubernetesSide::List() const {
  std::vector<SubscriberRecord> all;
  for (const auto& publisher : publishers_) {
    std::vector<SubscriberRecord> some = publisher->List();
    std::move(some.begin(), some.end(), std::back_inserter(all));
  }
  for (const auto& secret : secrets_) {
    std::vector<SubscriberRecord> some = secret->List();
    std::move(some.begin(), some.end(), std::back_inserter(all));
  }
  return all;
}

std::vector<PublisherStatus> KubernetesSide::Published() const {
  std::vector<PublisherStatus> all;
  for (const auto& publisher : publishers_) all.push_back(publisher->Status());
  return all;
}

std::vector<ServerSecretStatus> KubernetesSide::ServerSecrets() const {
  std::vector<ServerSecretStatus> all;
  for (const auto& secret : secrets_) all.push_back(secret->Status());
  return all;
}

std::optional<PodSignerStatus> KubernetesSide::Signer() const {
  if (signer_ == nullptr) return std::nullopt;
  return signer_->Status();
}

std::optional<kubernetes::LeaseStatus> KubernetesSide::Lease() const {
  if (lease_ == nullptr) return std::nullopt;
  return lease_->Status();
}

std::optional<kubernetes::EventCounts> KubernetesSide::Events() const {
  if (events_ == nullptr) return std::nullopt;
  return events_->Counts();
}

kubernetes::ObjectReference KubernetesSide::LeaseObject() const {
  return {"coordination.k8s.io/v1", "Lease", lease_place_.namespace_name, lease_place_.name, lease_->Status().uid};
}

void KubernetesSide::TellLeaseChange() {
  const kubernetes::LeaseStatus status = lease_->Status();
  kubernetes::ObjectEvent event;
  event.regarding = LeaseObject();
  event.reason = status.held ? "LeaseTaken" : "LeaseLost";
  event.is_warning = !status.held;
  event.action = "Lead";
  event.note =
      absl::StrCat(status.identity, status.held ? " publishes and signs from now on"
                                                : " has lost the Lease, and publishes and signs nothing any more");
  events_->Tell(std::move(event));
}

std::optional<RequestSignerStatus> KubernetesSide::SigningRequestSigner() const {
  if (signing_signer_ == nullptr) return std::nullopt;
  return signing_signer_->Status();
}

std::vector<CheckedFact> KubernetesSide::Check() const {
  std::vector<CheckedFact> facts = {FactOf(Report())};
  if (const std::optional<kubernetes::LeaseStatus> lease = Lease()) facts.push_back(FactOf(*lease, signer_ != nullptr));
  for (const PublisherStatus& status : Published()) facts.push_back(FactOf(status));
  for (const ServerSecretStatus& status : ServerSecrets()) facts.push_back(FactOf(status));
  if (const std::optional<PodSignerStatus> signer = Signer())
    facts.push_back(FactOf(*signer, cluster_->pods().LastError()));
  if (const std::optional<RequestSignerStatus> signer = SigningRequestSigner())
    facts.push_back(FactOfSigningRequests(*signer, cluster_->pods().LastError()));
  return facts;
}

void KubernetesSide::Shutdown() {
  for (const auto& publisher : publishers_) publisher->Shutdown();
  if (signer_ != nullptr) signer_->Shutdown();
  if (signing_signer_ != nullptr) signing_signer_->Shutdown();
  if (signer_pipeline_ != nullptr) signer_pipeline_->Shutdown();
  if (signing_pipeline_ != nullptr) signing_pipeline_->Shutdown();
  for (const auto& secret : secrets_) secret->Shutdown();
  if (secrets_pipeline_ != nullptr) secrets_pipeline_->Shutdown();
  // Nothing is written any more, so somebody else may.
  if (lease_ != nullptr) lease_->Shutdown();
  if (events_ != nullptr) events_->Shutdown();
  // Last: the others end their calls of the API server themselves.
  cluster_->Stop();
}

}  // namespace meshca::cli
