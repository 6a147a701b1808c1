#include "ca/kubernetes/api_refusal.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "ca/base/printable.h"
#include "ca/kubernetes/picked_fields.h"

namespace meshca::kubernetes {
namespace {

constexpr char kPayload[] = "meshca/kubernetes-refusal";
// Of the API server's words, in an error.
constexpr size_t kWordsShown = 512;
// Of a reason or a cause: CamelCase words, all of them short.
constexpr size_t kReasonBytesMax = 64;
constexpr char kRuleMissing[] = "; add this rule to the ClusterRole of meshca: ";
constexpr char kRuleMissingInNamespace[] = "; add this rule to a Role in namespace ";

struct StatusObject {
  bool is_status = false;  // else it is something else, such as a proxy's page
  std::string reason;
  std::string cause;
  std::string message;
};

std::string Shortened(absl::string_view text, size_t bytes) { return std::string(text.substr(0, bytes)); }

StatusObject ReadStatusObject(absl::string_view body) {
  FieldPicker picker({"kind", "reason", "details.causes[].reason", "message"});
  JsonStream stream(picker);
  StatusObject object;
  if (!stream.Take(body).ok()) {
    object.message = Printable(absl::StripAsciiWhitespace(body.substr(0, kWordsShown)));
    return object;
  }
  const PickedFields fields = picker.Take();
  object.is_status = fields.Text(0) == "Status";
  object.reason = Printable(Shortened(fields.Text(1), kReasonBytesMax));
  object.cause = Printable(Shortened(fields.Text(2), kReasonBytesMax));
  object.message = Printable(Shortened(fields.Text(3), kWordsShown));
  return object;
}

absl::StatusCode CodeOf(int status, const ApiCall& call, const StatusObject& object) {
  switch (status) {
    case 400:
    case 422: return absl::StatusCode::kInvalidArgument;
    case 401: return absl::StatusCode::kUnauthenticated;
    case 403:
      // A namespace that is being deleted takes nothing new; no role changes that.
      return object.cause == "NamespaceTerminating" ? absl::StatusCode::kFailedPrecondition
                                                    : absl::StatusCode::kPermissionDenied;
    case 404: return absl::StatusCode::kNotFound;
    case 409:
      return call.verb == "create" && object.reason == "AlreadyExists" ? absl::StatusCode::kAlreadyExists
                                                                       : absl::StatusCode::kAborted;
    case 410: return absl::StatusCode::kOutOfRange;
    case 429: return absl::StatusCode::kResourceExhausted;
    default: return status >= 500 ? absl::StatusCode::kUnavailable : absl::StatusCode::kInternal;
  }
}

// Not every 403 is RBAC's: quotas and admission plugins refuse by it too. Those by RBAC read `pods is forbidden: User
// "x" cannot list resource "pods" in API group "" at the cluster scope`. An answer that says nothing may be one.
bool IsByRbac(const StatusObject& object) {
  return object.message.empty() || !object.is_status ||
         (absl::StrContains(object.message, "User ") && absl::StrContains(object.message, " cannot "));
}

// The rule that lets a role speak for a signer; "": the refusal is about something else. Kubernetes says it in two
// ways: `user not permitted to attest for signerName "x"` and, by 422, `User "u" is not permitted to "sign" for signer
// "x"`.
std::string SignerRule(absl::string_view message) {
  constexpr absl::string_view kBefore = "not permitted to ";
  const size_t at = message.find(kBefore);
  if (at == absl::string_view::npos) return "";
  const std::vector<absl::string_view> words = absl::StrSplit(message.substr(at + kBefore.size()), ' ');
  const absl::string_view verb = absl::StripSuffix(absl::StripPrefix(words[0], "\""), "\"");
  const auto named = std::find_if(words.begin(), words.end(),
                                  [](absl::string_view word) { return word == "signer" || word == "signerName"; });
  if (named == words.end() || named + 1 == words.end()) return "";
  absl::string_view signer = *(named + 1);
  if (!absl::ConsumePrefix(&signer, "\"")) return "";
  return absl::StrCat("{apiGroups: [\"certificates.k8s.io\"], resources: [signers], resourceNames: [\"",
                      signer.substr(0, signer.find('"')), "\"], verbs: [", verb, "]}");
}

// What the reader can do about it, beside what the API server says; "": nothing that is known here.
std::string Advice(int status, const ApiCall& call, const StatusObject& object) {
  // Of a call whose body is secret no word of the answer is repeated, not even a signer's name.
  if ((status == 403 || status == 422) && !call.body_is_secret) {
    if (const std::string rule = SignerRule(object.message); !rule.empty()) return absl::StrCat(kRuleMissing, rule);
  }
  if (status == 403 && object.cause != "NamespaceTerminating" && IsByRbac(object)) {
    if (call.granted_for.empty()) return absl::StrCat(kRuleMissing, call.RbacRule());
    return absl::StrCat(kRuleMissingInNamespace, call.namespace_name, ": ", call.RbacRule());
  }
  // Of an object that is missing the API server says so by a Status; of an API that it does not serve, by a page.
  if (status == 404 && !object.is_status) {
    if (!call.path.empty()) return "; the API server does not serve it";
    return absl::StrCat("; the API server does not serve ", call.resource.Text(), " in version ",
                        call.resource.version);
  }
  return "";
}

absl::Duration WaitAskedForBy(const http::Response& head) {
  const std::string* const after = head.headers.Find("Retry-After");
  int64_t seconds = 0;  // the API server writes seconds, never a date
  if (after == nullptr || !absl::SimpleAtoi(*after, &seconds) || seconds < 0) return absl::ZeroDuration();
  return std::min(absl::Seconds(seconds), ApiRefusal::kRetryAfterMax);
}

}  // namespace

std::optional<ApiRefusal> RefusalOf(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kPayload);
  if (!payload.has_value()) return std::nullopt;
  const std::string text(*payload);
  const std::vector<std::string> parts = absl::StrSplit(text, '\n');
  ApiRefusal refusal;
  int64_t seconds = 0;
  if (parts.size() != 5 || !absl::SimpleAtoi(parts[0], &refusal.http_status) || !absl::SimpleAtoi(parts[1], &seconds)) {
    return std::nullopt;
  }
  refusal.retry_after = absl::Seconds(seconds);
  refusal.reason = parts[2];
  refusal.cause = parts[3];
  refusal.by_rbac = parts[4] == "rbac";
  return refusal;
}

absl::Duration RetryAfterOf(const absl::Status& status) {
  const std::optional<ApiRefusal> refusal = RefusalOf(status);
  return refusal.has_value() ? refusal->retry_after : absl::ZeroDuration();
}

bool IsWithoutAnswer(const absl::Status& status) {
  const std::optional<ApiRefusal> refusal = RefusalOf(status);
  if (!refusal.has_value()) return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
  const bool by_gateway = refusal->http_status >= 502 && refusal->http_status <= 504;
  return by_gateway && refusal->reason.empty() && refusal->retry_after == absl::ZeroDuration();
}

bool IsProperRefusal(const absl::Status& status) {
  const std::optional<ApiRefusal> refusal = RefusalOf(status);
  return refusal.has_value() && !refusal->reason.empty() && refusal->http_status < 500 && refusal->http_status != 429;
}

bool IsMissingObject(const absl::Status& status) {
  const std::optional<ApiRefusal> refusal = RefusalOf(status);
  return absl::IsNotFound(status) && refusal.has_value() && refusal->reason == "NotFound";
}

bool IsMissingRight(const absl::Status& status) {
  if (!absl::IsPermissionDenied(status)) return false;
  const std::optional<ApiRefusal> refusal = RefusalOf(status);
  return !refusal.has_value() || refusal->by_rbac;
}

absl::Status RefusalStatus(const ApiCall& call, const http::Response& head, absl::string_view body) {
  const StatusObject object = ReadStatusObject(body);
  std::string text = absl::StrCat("HTTP ", head.status);
  if (!object.reason.empty()) absl::StrAppend(&text, " ", object.reason);
  // A decoder's or a webhook's words may quote what it was given.
  const bool quotes_nothing = object.is_status && (head.status == 401 || (head.status == 403 && IsByRbac(object)));
  if (call.body_is_secret && !quotes_nothing) {
    absl::StrAppend(&text, ": the API server's words are not shown, for they may quote what is secret");
  } else if (!object.message.empty()) {
    absl::StrAppend(&text, ": ", object.message);
  }
  absl::StrAppend(&text, Advice(head.status, call, object));
  absl::Status status(CodeOf(head.status, call, object), text);
  // Printable text has no line's end in it.
  status.SetPayload(kPayload, absl::Cord(absl::StrCat(head.status, "\n", absl::ToInt64Seconds(WaitAskedForBy(head)),
                                                      "\n", object.reason, "\n", object.cause, "\n",
                                                      head.status == 403 && IsByRbac(object) ? "rbac" : "")));
  return status;
}

}  // namespace meshca::kubernetes
