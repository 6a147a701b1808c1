// The cluster whose pods are served: everything that judges them, made once and in the right order.
#ifndef MESHCA_CA_KUBERNETES_CLUSTER_H_
#define MESHCA_CA_KUBERNETES_CLUSTER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authn/authenticator.h"
#include "ca/authn/pod_rights.h"
#include "ca/authn/service_account_authenticator.h"
#include "ca/base/clock.h"
#include "ca/base/entropy.h"
#include "ca/kubernetes/api_server.h"
#include "ca/kubernetes/api_token_reviewer.h"
#include "ca/kubernetes/cluster_issuer.h"
#include "ca/kubernetes/cluster_pods.h"
#include "ca/kubernetes/reachability.h"

namespace meshca::kubernetes {

struct ClusterOptions {
  ApiServerOptions api_server;
  // Its `issuer` is set here.
  ServiceAccountOptions tokens;
  std::set<std::string> kept_labels = {};  // of pods (PodDirectory)
  JwksSourceOptions keys = {};
};

// How it stands with the cluster, for `check` and metrics.
struct ClusterReport {
  std::string api_server;    // "https://10.0.0.1:443 (in-cluster)"
  std::string issuer;        // "": not known yet
  bool is_anothers = false;  // the configuration has its tokens judged as those of an issuer of JWTs
  JwksReport keys;
  absl::Duration watch_age;  // InfiniteDuration: the pods were never listed
  absl::Status watch_error;  // why a watch does not go on at the moment
  bool away = false;         // the API server (Reachability): nothing is written or signed before it answers
  size_t pods = 0;
  uint64_t token_reviews = 0;        // calls made
  std::string review_error = {};     // why the last of them was not answered; "": it was
  uint64_t signatures_verified = 0;  // of tokens
};

// Thread-safe.
class Cluster {
 public:
  // Begins to watch; an API server that is away now may come back. `clock` and `entropy` outlive it. Errors:
  // ApiServer::Create's, ClusterIssuer::Open's.
  static absl::StatusOr<std::shared_ptr<Cluster>> Open(ClusterOptions options, const Clock& clock,
                                                       EntropySource& entropy);
  ~Cluster();  // Stop

  // Ends the watches and all calls of the API server, and answers whoever waits; tokens are Unavailable from then on,
  // and what is known stays. Before what the callers of the authenticator use ends. Idempotent, by one thread. Joins
  // threads: not on a loop.
  void Stop();

  // For the listeners' chains, before the JwtAuthenticator. Holds the cluster.
  static std::shared_ptr<Authenticator> AuthenticatorOf(const std::shared_ptr<Cluster>& cluster) {
    return {cluster, cluster->authenticator_.get()};
  }
  // For ClientCertificateAuthenticator::SetTrustedOrigins. Outlives the cluster where somebody still holds it, and
  // knows what was known then.
  const std::shared_ptr<const PodRights>& rights() const { return rights_; }

  // ServiceAccountAuthenticator::SetOtherIssuers.
  void SetOtherIssuers(std::vector<std::string> issuers) { authenticator_->SetOtherIssuers(std::move(issuers)); }

  ApiServer& api_server() { return *api_server_; }
  const ClusterPods& pods() const { return *pods_; }
  ClusterReport Report() const;
  // Of all calls that are made for it, over api_server() and beside it.
  std::vector<CallCount> CallCounts() const;

 private:
  Cluster() = default;

  std::unique_ptr<ApiServer> api_server_;
  std::unique_ptr<ApiTokenReviewer> reviewer_;
  std::shared_ptr<ClusterIssuer> issuer_;
  std::shared_ptr<ClusterPods> pods_;
  std::shared_ptr<const PodRights> rights_;
  std::unique_ptr<ServiceAccountAuthenticator> authenticator_;  // it uses the others
  std::optional<ReturnListener> on_return_;
};

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_CLUSTER_H_
