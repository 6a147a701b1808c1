#include "cli/server/kubernetes_side.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/counted.h"
#include "ca/base/status.h"
#include "ca/kubernetes/needed_restarts.h"
#include "cli/config/convert_kubernetes.h"

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
    fact.mend = "meshca subscriber list names those that are behind; the log says what is refused";
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
  MESHCA_ASSIGN_OR_RETURN(ServiceAccountOptions tokens, config::ToServiceAccounts(config.values));
  std::vector<AccountName> node_accounts = tokens.trusted_node_accounts;
  MESHCA_ASSIGN_OR_RETURN(std::shared_ptr<kubernetes::Cluster> cluster,
                          kubernetes::Cluster::Open({.api_server = std::move(api_server),
                                                     .tokens = std::move(tokens),
                                                     .kept_labels = kubernetes::LabelsOfRestarts()},
                                                    clock, entropy));
  std::unique_ptr<KubernetesSide> side(new KubernetesSide(std::move(cluster), std::move(node_accounts), clock));
  for (PublisherOptions& one : config::ToPublishers(values)) {
    side->publishers_.push_back(
        std::make_unique<Publisher>(std::move(one), side->cluster_->api_server(), clock, entropy));
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
                                                       *signer_pipeline_, clock, entropy});
  MESHCA_ASSIGN_OR_RETURN(SigningRules rules, config::ToSigningRules(config));
  AddSigningRequests(std::move(rules), config.kubernetes().signer(), signing, clock, entropy);
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
      RequestSigner::Parts{cluster_->api_server(), *signing_kind_, *signing_pipeline_, clock, entropy});
}

KubernetesSide::~KubernetesSide() { Shutdown(); }

void KubernetesSide::Start() {
  for (const auto& publisher : publishers_) publisher->Start();
  if (signer_ != nullptr) signer_->Start();
  if (signing_signer_ != nullptr) signing_signer_->Start();
}

void KubernetesSide::OnAuthorities(const AuthoritySnapshot& snapshot) {
  if (snapshot.bundle == nullptr) return;
  const std::string pem = RootsPem(*snapshot.bundle);
  for (const auto& publisher : publishers_) publisher->SetRoots(snapshot.bundle->sequence_number, pem);
}

std::vector<SubscriberRecord> KubernetesSide::List() const {
  std::vector<SubscriberRecord> all;
  for (const auto& publisher : publishers_) {
    std::vector<SubscriberRecord> some = publisher->List();
    std::move(some.begin(), some.end(), std::back_inserter(all));
  }
  return all;
}

std::vector<PublisherStatus> KubernetesSide::Published() const {
  std::vector<PublisherStatus> all;
  for (const auto& publisher : publishers_) all.push_back(publisher->Status());
  return all;
}

std::optional<PodSignerStatus> KubernetesSide::Signer() const {
  if (signer_ == nullptr) return std::nullopt;
  return signer_->Status();
}

std::optional<RequestSignerStatus> KubernetesSide::SigningRequestSigner() const {
  if (signing_signer_ == nullptr) return std::nullopt;
  return signing_signer_->Status();
}

std::vector<CheckedFact> KubernetesSide::Check() const {
  std::vector<CheckedFact> facts = {FactOf(Report())};
  for (const PublisherStatus& status : Published()) facts.push_back(FactOf(status));
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
  // Last: the others end their calls of the API server themselves.
  cluster_->Stop();
}

}  // namespace meshca::cli
