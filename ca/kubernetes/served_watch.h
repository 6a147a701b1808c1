// A ListWatch of the first version of an API that the API server serves.
#ifndef MESHCA_CA_KUBERNETES_SERVED_WATCH_H_
#define MESHCA_CA_KUBERNETES_SERVED_WATCH_H_

#include <cstddef>
#include <memory>
#include <optional>
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

// A version that was listed once is served, whatever is answered later: a proxy that has lost the API server says 404
// as the API server does of what it does not serve. It may have been upgraded, though, so the other versions are tried
// too, once in a while, and then that one is followed again. Start, Look, ListAgain and Stop are one thread's; the
// others any thread's.
class ServedWatch {
 public:
  // One of `versions` for each version of the API, the preferred one first. Where none is served, or the one that was
  // is not found any more, all are looked for again after `look_again`. Everything outlives it.
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
  // No version is served, as far as is known. Never again true once one was listed.
  bool unserved() const;
  // ListWatch's; of an API that is not served Ok and InfiniteDuration. What one version has told is as old as it was
  // when another is tried.
  absl::Status LastError() const;
  absl::Duration Age() const;

 private:
  void Follow(size_t version);
  // Stops it, and remembers when something was heard.
  void Leave(ListWatch& watch);
  // Null: of an API that is not served, and before Start.
  std::shared_ptr<ListWatch> watch() const;

  const std::vector<ListWatchOptions> versions_;
  const absl::Duration look_again_every_;
  ApiServer& server_;
  ObjectSink& sink_;
  const Clock& clock_;
  EntropySource& entropy_;
  absl::Duration look_again_;   // since boot; Look's
  std::optional<size_t> last_;  // the version that was listed last; Look's

  mutable Mutex mutex_;
  size_t version_ ABSL_GUARDED_BY(mutex_) = 0;
  bool unserved_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<ListWatch> watch_ ABSL_GUARDED_BY(mutex_);
  absl::Duration heard_ ABSL_GUARDED_BY(mutex_) = -absl::InfiniteDuration();  // since boot; of those before watch_
};

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_SERVED_WATCH_H_
