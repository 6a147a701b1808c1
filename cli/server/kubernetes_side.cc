#include "cli/server/kubernetes_side.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/counted.h"
#include "ca/base/status.h"
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
  if (!report.watch_error.ok()) {
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
  } else if (status.behind > 0) {
    fact.state = State::kWarning;
    fact.mend = "meshca subscriber list names those that are behind; the log says what is refused";
  }
  return fact;
}

}  // namespace

absl::StatusOr<std::unique_ptr<KubernetesSide>> KubernetesSide::Open(const config::ResolvedConfig& config,
                                                                     const JudgedClock& clock, EntropySource& entropy) {
  if (!config::ServesKubernetes(config.origins)) return nullptr;
  const config::v1::Kubernetes& values = config.values.kubernetes();
  MESHCA_ASSIGN_OR_RETURN(kubernetes::ApiServerOptions api_server, config::ToApiServer(values));
  MESHCA_ASSIGN_OR_RETURN(ServiceAccountOptions tokens, config::ToServiceAccounts(config.values));
  MESHCA_ASSIGN_OR_RETURN(
      std::shared_ptr<kubernetes::Cluster> cluster,
      kubernetes::Cluster::Open({.api_server = std::move(api_server), .tokens = std::move(tokens)}, clock, entropy));
  std::unique_ptr<KubernetesSide> side(new KubernetesSide(std::move(cluster)));
  for (PublisherOptions& one : config::ToPublishers(values)) {
    side->publishers_.push_back(
        std::make_unique<Publisher>(std::move(one), side->cluster_->api_server(), clock, entropy));
  }
  return side;
}

KubernetesSide::~KubernetesSide() { Shutdown(); }

void KubernetesSide::Start() {
  for (const auto& publisher : publishers_) publisher->Start();
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

std::vector<CheckedFact> KubernetesSide::Check() const {
  std::vector<CheckedFact> facts = {FactOf(Report())};
  for (const PublisherStatus& status : Published()) facts.push_back(FactOf(status));
  return facts;
}

void KubernetesSide::Shutdown() {
  for (const auto& publisher : publishers_) publisher->Shutdown();
}

}  // namespace meshca::cli
