// The Kubernetes API server: calls of it, their errors and their number.
#ifndef MESHCA_CA_KUBERNETES_API_SERVER_H_
#define MESHCA_CA_KUBERNETES_API_SERVER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/base/mutex.h"
#include "ca/http/http_client.h"
#include "ca/kubernetes/api_call.h"
#include "ca/kubernetes/api_server_options.h"
#include "ca/kubernetes/reachability.h"

namespace meshca::kubernetes {

// How often a kind of call was made, for metrics. There are as many kinds as this program has of verbs and resources.
struct CallCount {
  std::string verb;
  std::string resource;  // "podcertificaterequests.certificates.k8s.io/status", or a path
  uint64_t calls = 0;    // begun
  uint64_t failed = 0;   // ended with an error
};

// Thread-safe. Errors of every call; each names the API server, verb, resource and object:
//   Unauthenticated    401: names the token or the certificate, and what to do
//   PermissionDenied   403; by RBAC, with the rule to add
//   NotFound           404: the object is not there, or the API is not served, and the error says which
//   AlreadyExists      409 of a create
//   Aborted            409: changed by others meanwhile, or a field that another manager holds
//   OutOfRange         410: the version or the page that was asked for is no longer kept
//   InvalidArgument    400, 422: with the API server's words
//   FailedPrecondition the namespace is being deleted
//   ResourceExhausted  429, or too many calls of our own
//   Unavailable        it cannot be reached, breaks off, answers 5xx or no HTTP; or a file that it takes, such as the
//                      token's, cannot be read
//   DeadlineExceeded, Cancelled, Internal (another status)
// RefusalOf (api_refusal.h) tells HTTP status, reason and Retry-After of those that are an answer.
class ApiServer {
 public:
  using CallId = http::Client::CallId;
  using Done = absl::AnyInvocable<void(absl::StatusOr<std::string>) &&>;

  // Starts the client's thread; calls nobody by itself, but for probes where it seems to be away. Unavailable: no
  // descriptor is left for it.
  static absl::StatusOr<std::unique_ptr<ApiServer>> Create(ApiServerOptions options);
  ~ApiServer();  // Stop

  // The body of a 2xx answer, at most `bytes_max`. Blocks; not on the client's thread.
  absl::StatusOr<std::string> Call(const ApiCall& call, size_t bytes_max, absl::Duration timeout);
  // The same, later: `done` runs once, on the client's thread, or at once on the caller's where nothing could be sent.
  CallId Send(const ApiCall& call, size_t bytes_max, absl::Duration timeout, Done done);

  // What becomes of a streamed answer; on the client's thread, which every other call waits for.
  struct Streamed {
    // The head of a 2xx answer has come. May be null.
    absl::AnyInvocable<void()> on_begin;
    // The next piece of its body, which may begin and end anywhere. An error ends the call with it.
    absl::AnyInvocable<absl::Status(absl::string_view piece)> on_piece;
    // The last call, exactly once; on the caller's thread, during the call, where nothing could be sent. Ok: the answer
    // has come to its end. An error of on_piece comes back as it was.
    absl::AnyInvocable<void(absl::Status) &&> on_end;
  };
  // `options`: its body_bytes_max does not apply, nothing of a 2xx answer is kept; a connection may take no longer than
  // ApiServerOptions says.
  CallId Stream(const ApiCall& call, const http::CallOptions& options, Streamed streamed);

  // Ends the call, Cancelled, unless it has ended already: its last callback may come before or after this returns.
  void Cancel(CallId call);

  // Ends every call, Unavailable: when this returns, no callback runs any more. Idempotent; not on the client's thread.
  void Stop();

  // Knows how every call ended. Whoever tries again what failed listens to it: a pause between attempts is for an API
  // server that stays away.
  Reachability& reachability() { return reachability_; }

  // What time it is by the API server's own clock, as it said with its last answer (Date, whole seconds): what it has
  // written is of this time, whatever the clock here says. InfinitePast: it has not said.
  absl::Time TimeThere() const;

  // By verb and resource, in their order; probes are none of them.
  std::vector<CallCount> CallCounts() const;

  const ApiServerOptions& options() const { return options_; }

 private:
  class Counter;
  ApiServer(ApiServerOptions options, std::unique_ptr<http::Client> client);
  absl::StatusOr<http::ClientRequest> RequestOf(const ApiCall& call) const;
  // The error of `call`, whose answer is `head` and the beginning of its body.
  absl::Status Refused(const ApiCall& call, const http::Response& head, absl::string_view body) const;
  // The end of `call`: named, and counted.
  absl::Status Ended(const ApiCall& call, const absl::Status& status) const;
  // What the end of a call that was begun at `begun` says of the API server. Ok: it has answered.
  void NoteEnd(absl::Duration begun, const absl::Status& status);
  void Probe(Reachability::ProbeDone done);
  void NoteDate(const http::Response& head) ABSL_LOCKS_EXCLUDED(mutex_);

  const ApiServerOptions options_;
  const std::unique_ptr<Counter> counter_;
  Reachability reachability_;
  mutable Mutex mutex_;
  absl::Time date_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();  // of its last answer
  absl::Duration dated_at_ ABSL_GUARDED_BY(mutex_);                 // since boot
  const std::unique_ptr<http::Client> client_;                      // the last: its callbacks use the rest
};

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_API_SERVER_H_
