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
  // Waits until there may be something to look at. Takes all that wait, and says how to look at them.
  struct Look {
    std::deque<Waiting> waiting;
    bool stopping = false;
    bool may_be_known = false;  // what is known changed, or somebody came since the last look
  };
  Look AwaitLook() ABSL_LOCKS_EXCLUDED(mutex_);
  // Those who need not wait any more; the others stay in `look`.
  std::deque<Waiting> TakeReady(Look& look) const;
  // Gives back the places of `ready`, and puts those that were left where they were.
  void PutBack(std::deque<Waiting> left, const std::deque<Waiting>& ready) ABSL_LOCKS_EXCLUDED(mutex_);

  const Options options_;
  const KnownPods& pods_;
  mutable Mutex mutex_;
  CondVar changed_;
  // Who came first is in front, and so is whose patience ends. While the thread looks, those that came since.
  std::deque<Waiting> waiting_ ABSL_GUARDED_BY(mutex_);
  size_t places_taken_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<std::string, size_t> places_ ABSL_GUARDED_BY(mutex_);  // by source
  uint64_t looked_at_ ABSL_GUARDED_BY(mutex_) = 0;  // KnownPods::Changes, when all that waits was looked at
  bool is_fresh_ ABSL_GUARDED_BY(mutex_) = false;   // somebody came since
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_AWAITED_PODS_H_
