// The issuer of a cluster's service account tokens: its name and its keys.
#ifndef MESHCA_CA_KUBERNETES_CLUSTER_ISSUER_H_
#define MESHCA_CA_KUBERNETES_CLUSTER_ISSUER_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/authn/jwks_source.h"
#include "ca/base/mutex.h"
#include "ca/kubernetes/api_server.h"

namespace meshca::kubernetes {

// Asks the API server itself for both, over the connection that it is believed on, wherever its issuer's URL leads: who
// may read them has the role `system:service-account-issuer-discovery`, as all service accounts do unless somebody took
// it from them. The keys are kept fresh as those of any issuer (OpenJwksSource). Thread-safe.
class ClusterIssuer final : public JwksSource {
 public:
  // Begins at once. Unavailable: no descriptor is left for it. InvalidArgument: the API server is asked over http, and
  // is on another machine.
  static absl::StatusOr<std::unique_ptr<ClusterIssuer>> Open(ApiServerOptions options,
                                                             JwksSourceOptions intervals = {});
  ~ClusterIssuer() override;  // Stop

  // "https://kubernetes.default.svc.cluster.local"; "": it has not been reached yet.
  std::string issuer() const;

  std::shared_ptr<const Jwks> Current() const override { return keys_->Current(); }
  JwksReport Report() const override { return keys_->Report(); }
  void Refresh(Done done) override { keys_->Refresh(std::move(done)); }
  // The API server was away and is back: looks again where the last look failed. Short.
  void ServerReturned();
  void Stop() override;

  std::vector<CallCount> CallCounts() const { return server_->CallCounts(); }

 private:
  explicit ClusterIssuer(std::unique_ptr<ApiServer> server) : server_(std::move(server)) {}
  // On the thread of keys_: the name of the issuer, and then its keys, which are returned.
  absl::StatusOr<std::string> FetchBoth();
  absl::StatusOr<std::string> Fetch(absl::string_view path);

  const std::unique_ptr<ApiServer> server_;  // of its own, so that its calls end with it and not before
  mutable Mutex mutex_;
  std::string issuer_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<JwksSource> keys_;  // set once, by Open
};

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_CLUSTER_ISSUER_H_
