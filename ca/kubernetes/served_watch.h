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
#include "ca/kubernetes/open_calls.h"

namespace meshca::kubernetes {

// A version that was listed once is served, whatever is answered later: a proxy that has lost the API server says 404
// as the API server does of what it does not serve. It may have been upgraded, though, so where it has not been found
// for some seconds the other versions are tried too, once in a while, and then that one is followed again. While a less
// preferred one is followed, those before it are asked for once in a while. Start, Look, ListAgain and Stop are one
// thread's; the others any thread's.
class ServedWatch {
 public:
  // One of `versions` for each version of the API, the preferred one first. Where none is served, or the one that was
  // is not found any more, all are looked for again after `look_again`; those before the one that is followed are too.
  // Where none was served yet they are looked for sooner at first: what has just been started may be a proxy that has
  // not found the API server.
  // Everything outlives it.
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
  // Asks for a page of a version before the one that is followed, if it is time for that.
  void AskForABetter();
  // The version before the one that is followed that such a page came of; nullopt: none has.
  std::optional<size_t> TakeBetter();
  // Whether the version that is followed, and was listed, has not been found for so long that it may be served no more.
  bool IsLost();
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
  // Look's; times since boot.
  absl::Duration look_again_;
  int unserved_looks_ = 0;                                // in a row that found none, before one was listed
  absl::Duration lost_since_ = absl::InfiniteDuration();  // not found; InfiniteDuration: it is
  absl::Duration ask_again_ = absl::InfiniteDuration();   // for a better version
  size_t asked_ = 0;                                      // times
  std::optional<size_t> last_;                            // the version that was listed last

  mutable Mutex mutex_;
  size_t version_ ABSL_GUARDED_BY(mutex_) = 0;
  bool unserved_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<ListWatch> watch_ ABSL_GUARDED_BY(mutex_);
  absl::Duration heard_ ABSL_GUARDED_BY(mutex_) = -absl::InfiniteDuration();  // since boot; of those before watch_
  std::optional<size_t> better_ ABSL_GUARDED_BY(mutex_);                      // a version that a page came of
  OpenCalls asks_;                                                            // the last: its callbacks use the rest
};

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_SERVED_WATCH_H_
