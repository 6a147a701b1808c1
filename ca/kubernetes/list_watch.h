// Follows all objects of one resource: lists them, watches them, and lists them again where the watch cannot go on.
#ifndef MESHCA_CA_KUBERNETES_LIST_WATCH_H_
#define MESHCA_CA_KUBERNETES_LIST_WATCH_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/base/clock.h"
#include "ca/base/entropy.h"
#include "ca/base/mutex.h"
#include "ca/kubernetes/api_server.h"
#include "ca/kubernetes/object_reader.h"
#include "ca/kubernetes/picked_fields.h"
#include "ca/kubernetes/reachability.h"

namespace meshca::kubernetes {

// Who is told of the objects. One call at a time, each seeing what the one before did: OnListBegin and OnListEnd on the
// ListWatch's own thread, the others on the API server's client thread, which all calls wait for. So: short.
class ObjectSink {
 public:
  virtual ~ObjectSink() = default;

  // From here to OnListEnd every object there is comes by OnObject, some perhaps twice; what did not come is gone. A
  // list that has to begin anew does so with another OnListBegin.
  virtual void OnListBegin() = 0;
  virtual void OnListEnd() = 0;
  // The object is there, as it is now: in a list, or added or changed since then.
  virtual void OnObject(const PickedFields& object) = 0;
  // It was deleted, or no longer fits the selectors; `object` is its last state.
  virtual void OnGone(const PickedFields& object) = 0;
};

struct ListWatchOptions {
  Resource resource;
  std::string namespace_name;      // "": all namespaces, or of a resource that has none
  std::string field_selector;      // "spec.signerName=meshca.io/workload"; "": all
  std::string label_selector;      // "istio.io/config=true"; "": all
  std::string granted_for;         // ApiCall::granted_for
  std::vector<std::string> paths;  // what of each object is told (FieldPicker)
  // Objects asked for at once. After a page that failed half as many, twice as many after one that came: some hundred
  // objects as large as their authors may make them are more than an API server answers in a minute. A number that
  // proved too many, for half of it came, is not asked for again before the list's end.
  int page = 500;
  absl::Duration list_timeout = absl::Minutes(1);  // of one page
  // The API server is asked to end a watch after this, or up to twice as long. A bookmark comes every minute or so, so
  // a watch on which no byte comes for `silence` is taken to hang, and is begun anew at once; after two in a row
  // everything is listed again.
  absl::Duration watch_time = absl::Minutes(5);
  absl::Duration silence = absl::Seconds(90);
  // All is listed again after this, or up to twice as long, though nothing is wrong: events may be lost for good, as
  // where the cluster's data is restored from a backup and goes past the version that is watched from.
  absl::Duration list_again = absl::Minutes(30);
  // Between attempts that fail: up to the first, up to twice as long each time, up to the last; and never less than the
  // API server asks for (Retry-After). A pause that began because the API server gave no answer is over when it is back
  // (Reachability), within `return_spread`: not all watches are begun at the same moment.
  absl::Duration retry_first = absl::Milliseconds(200);
  absl::Duration retry_last = absl::Seconds(30);
  absl::Duration return_spread = absl::Milliseconds(500);
};

// What of the resource is followed, as it stands in a query after another parameter; "": all.
std::string SelectorsOf(const ListWatchOptions& options);

// Goes on by itself after whatever fails, until it is stopped: a page that failed is asked for again, a watch that
// ended goes on from the last event; everything is listed again only where the API server no longer keeps what the next
// page or the watch would go on from (410), or answers what cannot be read. Holds one object at a time. Has a thread of
// its own, which waits. Thread-safe.
class ListWatch {
 public:
  // Everything outlives it, or its Stop. Begins at once.
  ListWatch(ListWatchOptions options, ApiServer& server, ObjectSink& sink, const Clock& clock, EntropySource& entropy);
  ~ListWatch();  // Stop

  // What is known is as old as this: the time since a list was whole, or an event or a bookmark came. Where all is well
  // it is seldom more than a minute, and never much more than twice `silence`. InfiniteDuration: never listed.
  absl::Duration Age() const;
  // Why it does not go on at the moment, by ApiServer's errors; Ok: it does.
  absl::Status LastError() const;
  uint64_t lists() const;  // how often all was listed

  // Ends the call that is under way and the thread; no sink is told anything after it. Idempotent; not on the client's
  // thread.
  void Stop();

 private:
  static constexpr int kNeverTooMany = std::numeric_limits<int>::max();

  void Run();
  // Of an error that the API server did not give: "API server https://...: list pods".
  std::string Doing(absl::string_view verb) const;
  absl::Status ListPage() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Watch() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status OnEvent(WatchEvent event);
  // Waits for the end of the answer, whose bytes go to `take`; `begun`: its head has come.
  absl::Status StreamAndWait(const std::string& verb, const std::string& query, const http::CallOptions& options,
                             std::function<void()> begun, std::function<absl::Status(absl::string_view)> take)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // What is known is what the API server knows now.
  void Heard() ABSL_LOCKS_EXCLUDED(mutex_);
  // The last error is over.
  void GoesOn() ABSL_LOCKS_EXCLUDED(mutex_);
  // How a page of `asked` objects has ended. `has_begun`: the answer's head had come.
  void LearnPageSize(int asked, bool has_begun, const absl::Status& end);
  // What goes on from where, after an error.
  void Recover(const absl::Status& status);
  // `returns`: the API server's, when what failed began.
  void PauseAfter(const absl::Status& status, uint64_t returns) ABSL_LOCKS_EXCLUDED(mutex_);
  bool Stopping() const ABSL_LOCKS_EXCLUDED(mutex_);

  const ListWatchOptions options_;
  ApiServer& server_;
  ObjectSink& sink_;
  const Clock& clock_;
  EntropySource& entropy_;

  // Of its own thread, and of the client's while that one waits.
  std::string resource_version_;                          // where the watch goes on; "": list first
  std::string next_page_;                                 // where the list goes on; "": at its beginning
  int page_;                                              // objects asked for at once now
  int too_many_ = kNeverTooMany;                          // of which a page did not come in time
  int failures_ = 0;                                      // in a row
  int vain_lists_ = 0;                                    // lists in a row from which no watch went on
  int silent_watches_ = 0;                                // in a row
  absl::Duration list_again_ = absl::InfiniteDuration();  // since boot: all is listed then in any case

  mutable Mutex mutex_;
  mutable CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<http::Client::CallId> under_way_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Duration> heard_ ABSL_GUARDED_BY(mutex_);  // since boot; nullopt: never listed
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  uint64_t lists_ ABSL_GUARDED_BY(mutex_) = 0;

  std::optional<ReturnListener> on_return_;  // until Stop: the API server may end then, and this later
  std::thread thread_;                       // the last: it begins when all the rest is there
};

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_LIST_WATCH_H_
