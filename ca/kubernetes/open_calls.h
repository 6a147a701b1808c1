// Calls of the API server that end with whoever made them.
#ifndef MESHCA_CA_KUBERNETES_OPEN_CALLS_H_
#define MESHCA_CA_KUBERNETES_OPEN_CALLS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/base/mutex.h"
#include "ca/kubernetes/api_call.h"
#include "ca/kubernetes/api_server.h"
#include "ca/kubernetes/picked_fields.h"

namespace meshca::kubernetes {

// Thread-safe.
class OpenCalls {
 public:
  using Answered = absl::AnyInvocable<void(absl::StatusOr<std::string>) &&>;
  using Picked = absl::AnyInvocable<void(absl::StatusOr<PickedFields>) &&>;

  // `server` outlives it. `timeout`: how long each call may take.
  OpenCalls(ApiServer& server, absl::Duration timeout) : server_(server), timeout_(timeout) {}
  ~OpenCalls() { AwaitEnd(); }

  // `done` runs once, on the client's thread or at once on the caller's; not at all for a call that is made after
  // Cancel. `bytes_max`: ApiServer::Send's.
  void Send(const ApiCall& call, size_t bytes_max, Answered done);
  // Where the answer is an object of which nothing but `paths` counts (FieldPicker), however long its author made it.
  // InvalidArgument: it is no object.
  void SendAndPick(const ApiCall& call, const std::vector<std::string>& paths, Picked done);

  // Ends those that are under way, and makes no more. Idempotent.
  void Cancel();
  // Cancel, and returns when none is under way. Not on the client's thread.
  void AwaitEnd();

 private:
  // `send` sends the call of that number; nothing is sent after Cancel.
  void Make(absl::FunctionRef<ApiServer::CallId(uint64_t number)> send);
  void Ended(uint64_t number);

  ApiServer& server_;
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
