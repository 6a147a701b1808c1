// A place to wait for callers whose pod the watch does not know yet.
#ifndef MESHCA_CA_AUTHN_AWAITED_PODS_H_
#define MESHCA_CA_AUTHN_AWAITED_PODS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <thread>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authn/known_pods.h"
#include "ca/base/mutex.h"

namespace meshca {

// A new pod's first call and the news of the pod race each other, and after a restart all pods of a cluster may call
// before they have been listed. Asking the API server about each of them would be a storm; a moment's patience costs
// nothing. One thread looks whenever what is known has changed. Thread-safe.
class AwaitedPods {
 public:
  struct Options {
    absl::Duration patience = absl::Seconds(5);  // of each caller
    absl::Duration interval = absl::Milliseconds(50);
    size_t places_max = 16'384;
    size_t places_per_source_max = 256;
  };
  using Done = absl::AnyInvocable<void() &&>;

  // `pods` outlives it.
  AwaitedPods(Options options, const KnownPods& pods);
  ~AwaitedPods();  // Stop

  // `done` runs once: on this object's thread as soon as `is_known` says so, or the patience is over; by Stop at the
  // latest. ResourceExhausted (AUTHENTICATION_SHARE_USED, AUTHENTICATION_QUEUE_FULL), Unavailable (it was stopped):
  // `done` never runs.
  absl::Status Await(absl::string_view source, std::function<bool()> is_known, Done done);

  // Ends the thread and runs what waits. Idempotent, by one thread.
  void Stop();

  size_t waiting() const;

 private:
  struct Waiting {
    std::string source;
    std::function<bool()> is_known;
    Done done;
    absl::Duration until;  // since boot
  };
  void Run();
  // Those who need not wait any more.
  std::deque<Waiting> TakeReady() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void GiveBack(const std::string& source) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  const KnownPods& pods_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<Waiting> waiting_ ABSL_GUARDED_BY(mutex_);  // who came first is in front, and so is whose patience ends
  absl::flat_hash_map<std::string, size_t> places_ ABSL_GUARDED_BY(mutex_);  // by source
  uint64_t looked_at_ ABSL_GUARDED_BY(mutex_) = 0;  // KnownPods::Changes, when all that waits was looked at
  bool is_fresh_ ABSL_GUARDED_BY(mutex_) = false;   // somebody came since
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_AWAITED_PODS_H_
