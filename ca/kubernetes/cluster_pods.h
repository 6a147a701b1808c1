// The pods of the cluster, watched.
#ifndef MESHCA_CA_KUBERNETES_CLUSTER_PODS_H_
#define MESHCA_CA_KUBERNETES_CLUSTER_PODS_H_

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authn/known_pods.h"
#include "ca/base/clock.h"
#include "ca/base/entropy.h"
#include "ca/kubernetes/api_server.h"
#include "ca/kubernetes/list_watch.h"
#include "ca/kubernetes/pod_directory.h"

namespace meshca::kubernetes {

// Two watches, of pods and service accounts, and what they know. Thread-safe.
class ClusterPods final : public KnownPods {
 public:
  // Everything outlives it. Begins at once. `kept_labels`: see PodDirectory.
  ClusterPods(ApiServer& server, const Clock& clock, EntropySource& entropy, std::set<std::string> kept_labels = {});

  std::optional<KnownPod> FindPod(absl::string_view uid) const override { return directory_.FindPod(uid); }
  bool LookAt(absl::string_view uid, Look look) const override { return directory_.LookAt(uid, look); }
  std::string AccountUid(const AccountName& account) const override { return directory_.AccountUid(account); }
  bool IsAccountUid(const AccountName& account, absl::string_view uid) const override {
    return directory_.IsAccountUid(account, uid);
  }
  bool IsGone(absl::string_view uid) const override { return directory_.IsGone(uid); }
  std::vector<AccountName> AccountsOn(absl::string_view node, absl::Time now) const override {
    return directory_.AccountsOn(node, now);
  }
  // Of the watch that was heard of longest ago.
  absl::Duration Age() const override;
  uint64_t Changes() const override { return directory_.Changes(); }

  const PodDirectory& directory() const { return directory_; }
  // Why one of the watches does not go on at the moment; Ok: all do.
  absl::Status LastError() const;

  // Ends the watches: nothing changes any more. Idempotent; not on the API server's client thread.
  void Stop();

 private:
  PodDirectory directory_;
  ListWatch accounts_;
  ListWatch pods_;
};

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_CLUSTER_PODS_H_
