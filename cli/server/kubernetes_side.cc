#include "cli/server/kubernetes_side.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/counted.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"
#include "ca/kubernetes/needed_restarts.h"
#include "cli/config/convert_kubernetes.h"
#include "cli/server/lease_identity.h"
#include "cli/server/server_state.h"

namespace meshca::cli {
namespace {

using State = CheckedFact::State;

// A watch hears something every minute or so; older than this, what is known of the cluster is not what is there.
constexpr absl::Duration kOld = absl::Minutes(5);

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

CheckedFact FactOf(const kubernetes::ClusterReport& report) {
  CheckedFact fact{"cluster", State::kOk, absl::StrCat(report.api_server, ": ", Counted(report.pods, "pod")), ""};
  if (report.watch_error.ok() && report.watch_age == absl::InfiniteDuration()) {
    fact.state = State::kWarning;
    fact.detail = absl::StrCat(report.api_server, ": its pods are still being listed");
    fact.mend = "wait; where it stays so, see whether the API server answers";
  } else if (!report.watch_error.ok()) {
    const bool old = report.watch_age > kOld;
    fact.state = old ? State::kFailed : State::kWarning;
    absl::StrAppend(&fact.detail, "; not followed at the moment: ", report.watch_error.message());
    fact.mend =
        old ? "mend what it names; until then every token is asked about, and new pods get nothing while the API "
              "server is away"
            : "mend what it names; it is tried again and again, and what was known goes on counting";
  } else if (report.is_anothers) {
    fact.state = State::kWarning;
    absl::StrAppend(&fact.detail, "; tokens of its service accounts give what `authenticators` says of their issuer ",
                    report.issuer, ", whether their pods live or not");
    fact.mend = "take that issuer out of `authenticators`, unless this is what you want";
  } else if (!report.keys.error.empty()) {
    fact.state = State::kWarning;
    absl::StrAppend(&fact.detail, "; its keys: ", report.keys.error);
    fact.mend =
        "let meshca read the API server's keys (/openid/v1/jwks): the ClusterRole "
        "system:service-account-issuer-discovery";
  } else if (!report.review_error.empty()) {
    fact.state = State::kWarning;
    absl::StrAppend(&fact.detail, "; a token was asked about and not judged: ", report.review_error);
    fact.mend = "mend what it names; the next token in doubt is asked about again";
  }
  return fact;
}

CheckedFact FactOf(const PublisherStatus& status) {
  CheckedFact fact{absl::StrCat("published ", status.object), State::kOk, "", ""};
  if (status.unserved) {
    fact.state = State::kWarning;
    fact.detail = "the API server serves no such object, so the roots are not published there";
    fact.mend = "turn its API on in the API server, or take it out of the configuration";
    return fact;
  }
  fact.detail = absl::StrCat("in ", status.places - status.behind, " of ", Counted(status.places, "place"));
  if (!status.watching.ok()) {
    fact.state = status.age > kOld ? State::kFailed : State::kWarning;
    absl::StrAppend(&fact.detail, "; not followed at the moment: ", status.watching.message());
    fact.mend = "mend what it names; it is tried again and again, and what was known goes on counting";
  } else if (status.age == absl::InfiniteDuration()) {
    fact.state = State::kWarning;
    fact.detail = "the objects are still being listed";
    fact.mend = "wait; where it stays so, see whether the API server answers";
  } else if (status.places == 0) {
    fact.state = State::kWarning;
    fact.mend = "no namespace of the cluster is one of those that are to get it: see `namespaces` and `except`";
  } else if (status.behind > 0) {
    fact.state = State::kWarning;
    if (!status.fault.empty()) absl::StrAppend(&fact.detail, "; one of them: ", status.fault);
    fact.mend = "mend what it names, it is tried again and again; meshca subscriber list names all that are behind";
  }
  return fact;
}

// istiod looks for its certificate once, when it starts.
CheckedFact WithEarlyPods(const ServerSecretStatus& status, CheckedFact fact) {
  if (status.early.empty()) return fact;
  fact.state = State::kWarning;
  absl::StrAppend(&fact.detail,
                  "; started before it was there, and may serve no TLS: ", absl::StrJoin(status.early, ", "));
  std::vector<std::string> commands;
  for (const std::string& one : status.early) {
    const bool alone = absl::StartsWith(one, "pod/");
    commands.push_back(
        absl::StrCat("kubectl -n ", status.secret.namespace_name, alone ? " delete " : " rollout restart ", one));
  }
  fact.mend = absl::StrJoin(commands, "; ");
  return fact;
}

CheckedFact FactOf(const ServerSecretStatus& status) {
  CheckedFact fact{absl::StrCat("published ", status.secret.Text()), State::kOk, "", ""};
  if (!status.watching.ok()) {
    // By a Secret that was never read nobody is served, and nobody knows until when.
    fact.state = !status.listed || status.age > kOld ? State::kFailed : State::kWarning;
    fact.detail = absl::StrCat("not followed at the moment: ", status.watching.message());
    fact.mend = "mend what it names; it is tried again and again, and what was known goes on counting";
  } else if (!status.listed) {
    fact.state = State::kWarning;
    fact.detail = "it is still being listed";
    fact.mend = "wait; where it stays so, see whether the API server answers";
  } else if (status.behind) {
    fact.state = State::kWarning;
    fact.detail = absl::StrCat("does not show what it is to", status.fault.empty() ? "" : ": ", status.fault);
    fact.mend = status.fault.empty() ? "wait; it is being written" : "mend what it names; it is tried again and again";
  } else {
    fact.detail = absl::StrCat("certificate ", status.serial, " until ", UtcText(status.expires), ", replaced at ",
                               UtcText(status.renews));
    if (status.fault.empty()) return WithEarlyPods(status, std::move(fact));
    fact.state = State::kWarning;
    absl::StrAppend(&fact.detail, "; ", status.fault);
    fact.mend = "mend what it names; it is tried again and again";
  }
  return fact;
}

CheckedFact FactOfAdmission(std::string name, const absl::Status& admission) {
  CheckedFact fact{std::move(name), State::kWarning,
                   absl::StrCat("no PodCertificateRequest is answered: ", admission.message()),
                   "mend what it names; it is looked for again every few seconds"};
  if (!absl::IsFailedPrecondition(admission)) return fact;
  fact.state = State::kFailed;
  fact.mend =
      "create it as meshca's chart does (in its sources: ca/pod_certificates/admission_policy.yaml), or set "
      "kubernetes.signer_without_policy where something else keeps strangers from creating PodCertificateRequests";
  return fact;
}

// What keeps requests from being answered. `pods`: why the cluster's pods are not followed at the moment; Ok: they are.
void AddTroubles(const RequestSignerStatus& status, const absl::Status& pods, CheckedFact& fact) {
  const absl::Status& watching = status.watching.ok() ? pods : status.watching;
  if (!watching.ok()) {
    fact.state = status.age > kOld ? State::kFailed : State::kWarning;
    absl::StrAppend(&fact.detail, "; not followed at the moment: ", watching.message());
    fact.mend = "mend what it names; it is tried again and again";
  } else if (!status.waits.empty()) {
    fact.state = State::kWarning;
    absl::StrAppend(&fact.detail, "; one of them: ", status.waits);
    fact.mend = "mend what it names; it is tried again and again, and the log says more";
  }
}

CheckedFact FactOf(const PodSignerStatus& status, const absl::Status& pods) {
  std::string name = absl::StrCat("signer ", status.signer_name);
  if (status.unserved) {
    return {std::move(name), State::kWarning, "the API server serves no PodCertificateRequests, so none is answered",
            "turn certificates.k8s.io/v1 (Kubernetes 1.37) or v1beta1 on in the API server, or take kubernetes.signer "
            "away"};
  }
  if (!status.admission.ok()) return FactOfAdmission(std::move(name), status.admission);
  CheckedFact fact{std::move(name), State::kOk, "", ""};
  fact.detail = absl::StrCat(Counted(status.issued, "pod certificate"), " since the start, ", status.denied,
                             " denied, ", Counted(status.pending, "request"), " not answered");
  AddTroubles(status, pods, fact);
  return fact;
}

CheckedFact FactOfSigningRequests(const RequestSignerStatus& status, const absl::Status& pods) {
  std::string name = "certificate signing requests";
  if (status.unserved) {
    return {std::move(name), State::kWarning,
            "the API server serves no CertificateSigningRequests, so none is answered",
            "turn certificates.k8s.io/v1 on in the API server, or take kubernetes.signer away"};
  }
  CheckedFact fact{std::move(name), State::kOk, "", ""};
  fact.detail = absl::StrCat(Counted(status.issued, "certificate"), " since the start, ", status.denied, " refused, ",
                             Counted(status.pending, "request"), " not answered");
  if (status.awaiting > 0) {
    absl::StrAppend(&fact.detail, ", ", status.awaiting, " not approved, such as ", status.awaits);
  }
  AddTroubles(status, pods, fact);
  return fact;
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

CheckedFact KubernetesSide::FactOfLease(const kubernetes::LeaseStatus& status) const {
  const std::string what = signer_ == nullptr ? "publishes" : "publishes, and answers PodCertificateRequests";
  const std::string nothing =
      signer_ == nullptr ? "it publishes nothing" : "it publishes nothing and answers no PodCertificateRequest";
  const std::string since = status.since == absl::InfinitePast() ? "" : absl::StrCat(" since ", UtcText(status.since));
  CheckedFact fact{"lease", State::kOk, "", ""};
  if (status.held) {
    fact.detail = absl::StrCat(status.lease, " is held", since, ": this server ", what);
    if (status.error.ok()) return fact;
    fact.state = State::kWarning;
    absl::StrAppend(&fact.detail, "; it cannot be renewed at the moment: ", status.error.message());
    fact.mend = absl::StrCat("mend what it names; when the Lease has run out, ", nothing);
  } else if (!status.error.ok()) {
    fact.state = State::kFailed;
    fact.detail =
        absl::StrCat(status.lease, " cannot be had, so this server waits, and ", nothing, ": ", status.error.message());
    fact.mend =
        "mend what it names; the namespace of the Lease is kubernetes.lease_namespace. It is tried again and again";
  } else if (status.holder.empty() || status.holder == status.identity) {
    fact.state = State::kWarning;
    fact.detail = absl::StrCat(status.lease, " is being asked for; until then ", nothing);
    fact.mend = "wait a moment; where it stays so, see whether the API server answers";
  } else {
    fact.state = State::kWarning;
    fact.detail = absl::StrCat(status.lease, " is held by ", status.holder, since, ", so this server waits: ", nothing);
    fact.mend =
        "nothing, where that is a second server of the same CA. Two CAs of one trust domain in a cluster cannot both "
        "publish: end one of them, or give it a trust domain of its own";
  }
  return fact;
}

std::optional<RequestSignerStatus> KubernetesSide::SigningRequestSigner() const {
  if (signing_signer_ == nullptr) return std::nullopt;
  return signing_signer_->Status();
}

std::vector<CheckedFact> KubernetesSide::Check() const {
  std::vector<CheckedFact> facts = {FactOf(Report())};
  if (const std::optional<kubernetes::LeaseStatus> lease = Lease()) facts.push_back(FactOfLease(*lease));
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
