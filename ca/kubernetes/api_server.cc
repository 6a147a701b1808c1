#include "ca/kubernetes/api_server.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "ca/base/file.h"
#include "ca/base/printable.h"
#include "ca/base/status.h"
#include "ca/kubernetes/picked_fields.h"

namespace meshca::kubernetes {
namespace {

constexpr size_t kTokenBytesMax = 64 * 1024;
// Of an error: the API server's own words.
constexpr size_t kErrorBodyBytesMax = 64 * 1024;
constexpr size_t kWordsShown = 512;
constexpr absl::Duration kConnectTimeout = absl::Seconds(5);

const char* MethodOf(absl::string_view verb) {
  if (verb == "create") return "POST";
  if (verb == "update") return "PUT";
  if (verb == "patch") return "PATCH";
  if (verb == "delete") return "DELETE";
  return "GET";
}

// What the API server says of a refusal: a Status object, mostly.
struct Refusal {
  std::string reason;
  std::string message;
};

Refusal ReadRefusal(absl::string_view body) {
  FieldPicker picker({"reason", "message"});
  JsonStream stream(picker);
  if (!stream.Take(body).ok()) return {"", Printable(body.substr(0, kWordsShown))};
  const PickedFields fields = picker.Take();
  return {std::string(fields.Text(0)), Printable(fields.Text(1).substr(0, kWordsShown))};
}

// The rule that would let a role do it, as YAML on one line.
std::string RuleFor(const ApiCall& call) {
  return absl::StrCat("{apiGroups: [\"", call.resource.group, "\"], resources: [", call.resource.plural,
                      call.subresource.empty() ? "" : "/", call.subresource, "], verbs: [", call.verb, "]}");
}

std::string WhatOf(const ApiCall& call) {
  return absl::StrCat(call.verb, " ", call.resource.Text(call.subresource), call.name.empty() ? "" : " ", call.name,
                      call.namespace_name.empty() ? "" : " in namespace ", call.namespace_name);
}

absl::StatusCode CodeOf(int status, absl::string_view verb, absl::string_view reason) {
  switch (status) {
    case 400:
    case 422: return absl::StatusCode::kInvalidArgument;
    case 401: return absl::StatusCode::kUnauthenticated;
    case 403: return absl::StatusCode::kPermissionDenied;
    case 404: return absl::StatusCode::kNotFound;
    case 409: return verb == "create" && reason == "AlreadyExists" ? absl::StatusCode::kAlreadyExists
                                                                   : absl::StatusCode::kAborted;
    case 410: return absl::StatusCode::kOutOfRange;
    case 429: return absl::StatusCode::kResourceExhausted;
    default: return status >= 500 ? absl::StatusCode::kUnavailable : absl::StatusCode::kInternal;
  }
}

}  // namespace

absl::StatusOr<ApiServerOptions> InClusterOptions(const std::function<const char*(const char*)>& get_env,
                                                  const std::string& folder) {
  const char* const host = get_env("KUBERNETES_SERVICE_HOST");
  const char* const port = get_env("KUBERNETES_SERVICE_PORT");
  if (host == nullptr || port == nullptr) {
    return absl::FailedPreconditionError(
        "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set, so this is no pod: name a kubeconfig file");
  }
  ApiServerOptions options;
  const bool is_ipv6 = absl::StrContains(host, ':');
  MESHCA_ASSIGN_OR_RETURN(
      options.url, http::Url::Parse(absl::StrCat("https://", is_ipv6 ? "[" : "", host, is_ipv6 ? "]" : "", ":", port)));
  options.tls.ca.file = absl::StrCat(folder, "/ca.crt");
  options.token.file = absl::StrCat(folder, "/token");
  for (const std::string& needed : {options.token.file, options.tls.ca.file}) {
    const absl::Status readable = ReadFile(needed, kTokenBytesMax, FileSecrecy::kPublic).status();
    if (!readable.ok()) {
      return absl::FailedPreconditionError(absl::StrCat(
          readable.message(), ": the pod needs its service account's token (automountServiceAccountToken: true)"));
    }
  }
  options.namespace_name = "default";
  if (const auto named = ReadFile(absl::StrCat(folder, "/namespace"), kTokenBytesMax, FileSecrecy::kPublic);
      named.ok()) {
    options.namespace_name = std::string(absl::StripAsciiWhitespace(*named));
  }
  options.described = "in-cluster";
  return options;
}

absl::StatusOr<std::unique_ptr<ApiServer>> ApiServer::Create(ApiServerOptions options) {
  http::ClientOptions client;
  client.tls = options.tls;
  MESHCA_ASSIGN_OR_RETURN(std::unique_ptr<http::Client> made, http::Client::Create(std::move(client)));
  return std::unique_ptr<ApiServer>(new ApiServer(std::move(options), std::move(made)));
}

ApiServer::ApiServer(ApiServerOptions options, std::unique_ptr<http::Client> client)
    : options_(std::move(options)), client_(std::move(client)) {}

absl::StatusOr<http::ClientRequest> ApiServer::RequestOf(const ApiCall& call) const {
  http::ClientRequest request;
  request.method = MethodOf(call.verb);
  request.url = options_.url;
  const absl::string_view before = absl::StripSuffix(options_.url.target, "/");
  request.url.target = absl::StrCat(before, call.resource.Path(call.namespace_name, call.name, call.subresource),
                                    call.query.empty() ? "" : "?", call.query);
  request.headers.Add("Accept", "application/json");
  request.body = call.body;
  if (!call.body.empty()) {
    request.headers.Add("Content-Type", call.content_type.empty() ? "application/json" : call.content_type);
  }
  if (options_.token.empty()) return request;
  // Public: the kubelet gives the file the pod's group, and others in the pod are not our business.
  MESHCA_ASSIGN_OR_RETURN(const SecretBytes token, options_.token.Read(FileSecrecy::kPublic));
  request.headers.Add("Authorization", absl::StrCat("Bearer ", absl::StripAsciiWhitespace(token.reveal())));
  return request;
}

absl::Status ApiServer::Explain(const ApiCall& call, absl::Status status) const {
  if (status.ok()) return status;
  return Annotate(status, absl::StrCat("API server ", options_.url.Origin(), ": ", WhatOf(call)));
}

absl::Status ApiServer::StatusOf(const ApiCall& call, const http::Response& head, absl::string_view body) {
  const Refusal refusal = ReadRefusal(body);
  int64_t seconds = 0;
  if (const std::string* const after = head.headers.Find("Retry-After");
      after != nullptr && absl::SimpleAtoi(*after, &seconds)) {
    retry_after_s_ = seconds;
  }
  std::string text = absl::StrCat("HTTP ", head.status, refusal.message.empty() ? "" : ": ", refusal.message);
  if (head.status == 403) {
    absl::StrAppend(&text, "; the role of meshca lacks this rule, or part of it: ", RuleFor(call));
  }
  if (head.status == 401) {
    absl::StrAppend(&text, "; ", options_.described, ": ",
                    options_.token.empty() ? "its client certificate is not believed, or has ended"
                                           : "its token is not believed, or has ended",
                    ": put a new one there, it is read again");
  }
  return absl::Status(CodeOf(head.status, call.verb, refusal.reason), text);
}

absl::StatusOr<std::string> ApiServer::Call(const ApiCall& call, size_t bytes_max, absl::Duration timeout) {
  absl::StatusOr<http::ClientRequest> request = RequestOf(call);
  if (!request.ok()) return Explain(call, request.status());
  http::CallOptions options;
  options.timeout = timeout;
  options.connect_timeout = std::min(timeout, kConnectTimeout);
  options.body_bytes_max = std::max(bytes_max, kErrorBodyBytesMax);
  absl::StatusOr<http::Response> response = client_->Fetch(*std::move(request), options);
  if (!response.ok()) return Explain(call, response.status());
  if (response->status / 100 != 2) return Explain(call, StatusOf(call, *response, response->body));
  return std::move(response->body);
}

http::Client::CallId ApiServer::Stream(const ApiCall& call, const http::CallOptions& options, Streamed streamed) {
  absl::StatusOr<http::ClientRequest> request = RequestOf(call);
  if (!request.ok()) {
    std::move(streamed.on_end)(Explain(call, request.status()));
    return 0;
  }
  struct State {
    ApiCall call;
    Streamed streamed;
    http::Response head;
    std::string refusal;  // the body of an answer other than 2xx
  };
  auto state = std::make_shared<State>();
  state->call = call;
  state->call.body.clear();
  state->streamed = std::move(streamed);
  http::StreamHandler handler;
  handler.on_head = [state](const http::Response& head) { state->head = head; };
  handler.on_piece = [state](absl::string_view piece) {
    if (state->head.status / 100 == 2) return state->streamed.on_piece(piece);
    const size_t room = kErrorBodyBytesMax - state->refusal.size();
    state->refusal.append(piece.substr(0, room));
    return absl::OkStatus();
  };
  handler.on_end = [this, state](absl::Status status) {
    if (state->head.status != 0 && state->head.status / 100 != 2) {
      status = StatusOf(state->call, state->head, state->refusal);
    }
    std::move(state->streamed.on_end)(Explain(state->call, std::move(status)));
  };
  return client_->Stream(*std::move(request), options, std::move(handler));
}

void ApiServer::Cancel(http::Client::CallId call) { client_->Cancel(call); }
absl::Duration ApiServer::RetryAfter() const { return absl::Seconds(retry_after_s_.load()); }
void ApiServer::Stop() { client_->Stop(); }

}  // namespace meshca::kubernetes
