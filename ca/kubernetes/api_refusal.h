// What the API server says when it refuses a call: its Status object, as an absl::Status with all that programs need.
#ifndef MESHCA_CA_KUBERNETES_API_REFUSAL_H_
#define MESHCA_CA_KUBERNETES_API_REFUSAL_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/http/http_message.h"
#include "ca/kubernetes/api_call.h"

namespace meshca::kubernetes {

// What a program may want to know of a refusal, beside its code. A value.
struct ApiRefusal {
  // A server that asks for more is asked again after this all the same.
  static constexpr absl::Duration kRetryAfterMax = absl::Minutes(2);

  int http_status = 0;
  std::string reason;    // of the Status object: "AlreadyExists", "Invalid"; "": the answer was none
  std::string cause;     // the first of its causes: "NamespaceTerminating", "FieldManagerConflict"; "": it has none
  bool by_rbac = false;  // a right is missing; a quota, an admission plugin or a webhook refuses by 403 too
  absl::Duration retry_after;  // how long to leave the API server alone (Retry-After); zero: it did not say
};

// The refusal behind the error of a call; nullopt: no answer came, or one that was no refusal.
std::optional<ApiRefusal> RefusalOf(const absl::Status& status);

// How long the error of a call asks that the API server be left alone (ApiRefusal::retry_after); zero: it does not.
absl::Duration RetryAfterOf(const absl::Status& status);

// Whether the error of a call says that the API server itself gave no answer: it cannot be reached, broke off, took too
// long, or something before it answered 502, 503 or 504 in its place. What has failed by that is worth another attempt
// as soon as the API server is back; a refusal, or a wait that was asked for by Retry-After, is not.
bool IsWithoutAnswer(const absl::Status& status);

// Whether the error of a call is an answer of an API server that is there and works: a refusal in its own words, but
// for 5xx and 429, by which one that is starting or has too much to do asks for patience.
bool IsProperRefusal(const absl::Status& status);

// Whether the API server itself says that the object is not there. A proxy that has lost it says 404 of everything, as
// does the API server of a version that it does not serve: no object is gone by that.
bool IsMissingObject(const absl::Status& status);

// Is it a right that is missing?
bool IsMissingRight(const absl::Status& status);

// The error of `call` whose answer has the status and the headers of `head`, and `body`, which may have been cut short.
// The code is as api_server.h says; the message has the API server's words, and of a refusal by RBAC the rule to add.
// The refusal rides along (RefusalOf).
absl::Status RefusalStatus(const ApiCall& call, const http::Response& head, absl::string_view body);

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_API_REFUSAL_H_
