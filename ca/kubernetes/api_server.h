// The Kubernetes API server: where it is, who we are to it, and calls of it.
#ifndef MESHCA_CA_KUBERNETES_API_SERVER_H_
#define MESHCA_CA_KUBERNETES_API_SERVER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/http/client_tls.h"
#include "ca/http/http_client.h"
#include "ca/http/http_message.h"
#include "ca/http/url.h"
#include "ca/kubernetes/resource.h"

namespace meshca::kubernetes {

// Where the API server is and how it knows us: in-cluster, or as a kubeconfig says (cli/config reads those).
struct ApiServerOptions {
  http::Url url;  // its target is a path before every path, mostly "/"
  http::ClientTls tls;
  http::PemSource token;    // a bearer token, no PEM: read again for each call, for the kubelet replaces it; may be empty
  std::string described;    // for people: "in-cluster", "/etc/meshca/kubeconfig, context prod"
  std::string namespace_name;  // ours; "default" where nothing says it
};

// Of a pod: KUBERNETES_SERVICE_HOST and _PORT by `get_env` (null: not set), and the files of its service account in
// `folder`. FailedPrecondition: this is no pod with a service account token; says what is missing.
absl::StatusOr<ApiServerOptions> InClusterOptions(
    const std::function<const char*(const char*)>& get_env,
    const std::string& folder = "/var/run/secrets/kubernetes.io/serviceaccount");

// One call: what is done to what, as an RBAC rule would have it. A refusal names the rule that is missing.
struct ApiCall {
  std::string verb;  // "list", "watch", "get", "create", "update", "patch"
  Resource resource;
  std::string namespace_name;
  std::string name;
  std::string subresource;
  std::string query;         // "limit=500&continue=...", without "?"
  std::string body;          // JSON
  std::string content_type;  // of `body`; "": application/json
};

// Thread-safe. Errors of every call:
//   Unauthenticated    the API server does not know us (401): names the token or certificate and what to do
//   PermissionDenied   403, with the RBAC rule to add
//   NotFound, AlreadyExists (409 on create), Aborted (409: changed by others meanwhile), OutOfRange (410: list again),
//   InvalidArgument (400, 422: with the API server's words), ResourceExhausted (429)
//   Unavailable        it cannot be reached, or answers 5xx; DeadlineExceeded, Cancelled
class ApiServer {
 public:
  // Starts the client's thread. Unavailable: no descriptor is left for it.
  static absl::StatusOr<std::unique_ptr<ApiServer>> Create(ApiServerOptions options);

  // The body of a 2xx answer, at most `bytes_max`. Blocks; not on the client's thread.
  absl::StatusOr<std::string> Call(const ApiCall& call, size_t bytes_max, absl::Duration timeout);

  // What becomes of a streamed answer; on the client's thread, which everything else waits for.
  struct Streamed {
    // The next piece of the body of a 2xx answer. An error ends the call with it.
    absl::AnyInvocable<absl::Status(absl::string_view piece)> on_piece;
    // The last call, exactly once. Ok: the answer has come to its end.
    absl::AnyInvocable<void(absl::Status) &&> on_end;
  };
  // `options`: its body_bytes_max does not apply.
  http::Client::CallId Stream(const ApiCall& call, const http::CallOptions& options, Streamed streamed);
  void Cancel(http::Client::CallId call);

  // How long the API server asked to be left alone by its last 429 or 503 (Retry-After); zero: it did not.
  absl::Duration RetryAfter() const;

  // Ends every call. Idempotent; not on the client's thread.
  void Stop();

  const ApiServerOptions& options() const { return options_; }

 private:
  ApiServer(ApiServerOptions options, std::unique_ptr<http::Client> client);
  absl::StatusOr<http::ClientRequest> RequestOf(const ApiCall& call) const;
  absl::Status StatusOf(const ApiCall& call, const http::Response& head, absl::string_view body);
  absl::Status Explain(const ApiCall& call, absl::Status status) const;

  const ApiServerOptions options_;
  const std::unique_ptr<http::Client> client_;
  std::atomic<int64_t> retry_after_s_{0};
};

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_API_SERVER_H_
