// Follows all objects of one resource: lists them, watches them, and lists them again where the watch cannot go on.
#ifndef MESHCA_CA_KUBERNETES_LIST_WATCH_H_
#define MESHCA_CA_KUBERNETES_LIST_WATCH_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/base/clock.h"
#include "ca/base/entropy.h"
#include "ca/base/mutex.h"
#include "ca/kubernetes/api_server.h"
#include "ca/kubernetes/object_reader.h"
#include "ca/kubernetes/picked_fields.h"

namespace meshca::kubernetes {

// Who is told. One call at a time, on the API server's client thread: short.
class ObjectSink {
 public:
  virtual ~ObjectSink() = default;

  // From here to OnListEnd every object there is comes by OnObject; what did not come is gone. A list that fails is
  // followed by another OnListBegin.
  virtual void OnListBegin() = 0;
  virtual void OnListEnd() = 0;
  // The object is there, as it is now.
  virtual void OnObject(const PickedFields& object) = 0;
  virtual void OnGone(const PickedFields& object) = 0;
};

struct ListWatchOptions {
  Resource resource;
  std::string field_selector;      // "spec.signerName=meshca.io/workload"; "": all
  std::vector<std::string> paths;  // what of each object is told (FieldPicker)
  int page = 500;                  // objects asked for at once
  absl::Duration list_timeout = absl::Minutes(1);  // of one page
  // The API server ends a watch after this, or up to twice as long; a bookmark comes every minute or so, so a watch
  // that is silent for `silence` hangs.
  absl::Duration watch_time = absl::Minutes(5);
  absl::Duration silence = absl::Seconds(90);
  // Between attempts that fail: from the first, twice as long each time, up to the last, full jitter.
  absl::Duration retry_first = absl::Milliseconds(200);
  absl::Duration retry_last = absl::Seconds(30);
};

// Has a thread of its own, which waits. Thread-safe.
class ListWatch {
 public:
  // Everything outlives it. Begins at once.
  ListWatch(ListWatchOptions options, ApiServer& server, ObjectSink& sink, const Clock& clock, EntropySource& entropy);
  ~ListWatch();  // Stop

  // What is known is as old as this: since the API server was last heard of it. InfiniteDuration: never listed.
  absl::Duration Age() const;
  // Why it does not go on at the moment; Ok: it does.
  absl::Status LastError() const;
  uint64_t lists() const;  // how often all was listed

  // Ends the call that is under way and the thread; no sink is told anything after it. Idempotent; not on the client's
  // thread.
  void Stop();

 private:
  void Run();
  absl::Status List() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status ListPage(std::string& next_page) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Watch() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status OnEvent(WatchEvent event);
  // Waits for the end of the answer; the bytes go to `take`.
  absl::Status StreamAndWait(const std::string& verb, const std::string& query, const http::CallOptions& options,
                             std::function<absl::Status(absl::string_view)> take) ABSL_LOCKS_EXCLUDED(mutex_);
  void Heard() ABSL_LOCKS_EXCLUDED(mutex_);
  void PauseAfter(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  bool Stopping() const ABSL_LOCKS_EXCLUDED(mutex_);

  const ListWatchOptions options_;
  ApiServer& server_;
  ObjectSink& sink_;
  const Clock& clock_;
  EntropySource& entropy_;

  std::string resource_version_;  // where the watch goes on; "": list first. Its thread, or the client's while it waits
  int failures_ = 0;              // in a row; its thread alone

  mutable Mutex mutex_;
  mutable CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<http::Client::CallId> under_way_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Duration> heard_ ABSL_GUARDED_BY(mutex_);  // since boot; nullopt: never listed
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  uint64_t lists_ ABSL_GUARDED_BY(mutex_) = 0;

  std::thread thread_;  // the last: it begins when all the rest is there
};

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_LIST_WATCH_H_
