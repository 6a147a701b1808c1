// A ListWatch of the first version of an API that the API server serves.
#ifndef MESHCA_CA_KUBERNETES_SERVED_WATCH_H_
#define MESHCA_CA_KUBERNETES_SERVED_WATCH_H_

#include <cstddef>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/base/clock.h"
#include "ca/base/entropy.h"
#include "ca/base/mutex.h"
#include "ca/kubernetes/api_server.h"
#include "ca/kubernetes/list_watch.h"

namespace meshca::kubernetes {

// Start, Look, ListAgain and Stop are one thread's; the others any thread's.
class ServedWatch {
 public:
  // One of `versions` for each version of the API, the preferred one first. Where none is served, all are looked for
  // again after `look_again`. Everything outlives it.
  ServedWatch(std::vector<ListWatchOptions> versions, absl::Duration look_again, ApiServer& server, ObjectSink& sink,
              const Clock& clock, EntropySource& entropy);
  ~ServedWatch() { Stop(); }

  void Start();
  // To be called about once a second: goes on with the next version where this one is not served.
  void Look();
  // Everything is listed anew.
  void ListAgain();
  // Idempotent; not on the client's thread.
  void Stop();

  // Index of the version that is followed, or tried.
  size_t version() const;
  // No version is served, as far as is known.
  bool unserved() const;
  // ListWatch's; of an API that is not served Ok and InfiniteDuration.
  absl::Status LastError() const;
  absl::Duration Age() const;

 private:
  void Follow(size_t version);
  // Null: of an API that is not served, and before Start.
  std::shared_ptr<ListWatch> watch() const;

  const std::vector<ListWatchOptions> versions_;
  const absl::Duration look_again_every_;
  ApiServer& server_;
  ObjectSink& sink_;
  const Clock& clock_;
  EntropySource& entropy_;
  absl::Duration look_again_ = absl::InfiniteDuration();  // since boot; Look's

  mutable Mutex mutex_;
  size_t version_ ABSL_GUARDED_BY(mutex_) = 0;
  bool unserved_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<ListWatch> watch_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_SERVED_WATCH_H_
