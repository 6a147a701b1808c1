// Follows who has to be restarted because it was started before a Secret was there.
#ifndef MESHCA_CA_SERVER_SECRETS_EARLY_POD_WATCH_H_
#define MESHCA_CA_SERVER_SECRETS_EARLY_POD_WATCH_H_

#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/base/clock.h"
#include "ca/base/mutex.h"
#include "ca/kubernetes/api_server.h"
#include "ca/kubernetes/open_calls.h"
#include "ca/server_secrets/server_secret.h"

namespace meshca {

// Thread-safe.
class EarlyPodWatch {
 public:
  struct Options {
    ServerSecretName secret;
    std::string labels;  // of the pods that read it ("app=istiod"); "": nobody is looked for
    // How often pods are looked for again, until there are none: no pod becomes one that was started too early.
    absl::Duration every = absl::Minutes(1);
    absl::Duration call_timeout = absl::Seconds(10);
  };

  // Both outlive it.
  EarlyPodWatch(Options options, kubernetes::ApiServer& server, const Clock& clock);

  // A Secret of this name is there, and has been since `since`. What it is told first counts: who has read one that was
  // deleted since then was not too early.
  void OnThere(absl::Time since);
  // What counts; InfinitePast: it was not told yet.
  absl::Time ThereSince() const;
  // To be called about once a second.
  void Look();
  // What to restart, as `kubectl rollout restart` takes it (early_pods.h).
  std::vector<std::string> Early() const;

  // Ends what is under way, and returns when nothing is. Idempotent; not on the API server's client thread.
  void Shutdown() { calls_.AwaitEnd(); }

 private:
  void OnPods(const absl::StatusOr<std::string>& list, absl::Time since);

  const Options options_;
  const Clock& clock_;

  mutable Mutex mutex_;
  absl::Time since_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();  // InfinitePast: it is not known
  bool looking_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Duration look_at_ ABSL_GUARDED_BY(mutex_) = absl::ZeroDuration();  // since boot
  std::vector<std::string> early_ ABSL_GUARDED_BY(mutex_);

  kubernetes::OpenCalls calls_;
};

}  // namespace meshca

#endif  // MESHCA_CA_SERVER_SECRETS_EARLY_POD_WATCH_H_
