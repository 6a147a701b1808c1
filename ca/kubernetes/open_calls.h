// Calls of the API server that end with whoever made them.
#ifndef MESHCA_CA_KUBERNETES_OPEN_CALLS_H_
#define MESHCA_CA_KUBERNETES_OPEN_CALLS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/base/mutex.h"
#include "ca/kubernetes/api_call.h"
#include "ca/kubernetes/api_server.h"

namespace meshca::kubernetes {

// Thread-safe.
class OpenCalls {
 public:
  using Answered = absl::AnyInvocable<void(absl::StatusOr<std::string>) &&>;

  // `server` outlives it. Of each call: how long its answer may be, and how long it may take.
  OpenCalls(ApiServer& server, size_t answer_bytes_max, absl::Duration timeout)
      : server_(server), answer_bytes_max_(answer_bytes_max), timeout_(timeout) {}
  ~OpenCalls() { AwaitEnd(); }

  // `done` runs once, on the client's thread or at once on the caller's; not at all for a call that is made after
  // Cancel.
  void Send(const ApiCall& call, Answered done);

  // Ends those that are under way, and makes no more. Idempotent.
  void Cancel();
  // Cancel, and returns when none is under way. Not on the client's thread.
  void AwaitEnd();

 private:
  ApiServer& server_;
  const size_t answer_bytes_max_;
  const absl::Duration timeout_;

  Mutex mutex_;
  CondVar ended_;
  // By number; nullopt: it has only just been sent.
  absl::flat_hash_map<uint64_t, std::optional<ApiServer::CallId>> calls_ ABSL_GUARDED_BY(mutex_);
  uint64_t made_ ABSL_GUARDED_BY(mutex_) = 0;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_OPEN_CALLS_H_
