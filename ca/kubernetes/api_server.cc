#include "ca/kubernetes/api_server.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "ca/base/clock.h"
#include "ca/base/mutex.h"
#include "ca/base/status.h"
#include "ca/kubernetes/api_refusal.h"

namespace meshca::kubernetes {
namespace {

// Of a refusal: the API server's own words.
constexpr size_t kRefusalBytesMax = 64 * 1024;

// Every user may ask for it (ClusterRole system:public-info-viewer), and one that is still starting says so here.
constexpr char kProbePath[] = "/readyz";
constexpr absl::Duration kProbeTimeout = absl::Seconds(3);
constexpr size_t kProbeBytesMax = 64 * 1024;

bool IsGood(int http_status) { return http_status / 100 == 2; }

// An answer that is no HTTP, breaks off or is too long is InvalidArgument to the HTTP client, and a file of ours that
// is not there for the moment, such as a certificate, NotFound or PermissionDenied. To whoever called the API these are
// an API server that cannot be reached: none may pass for what it says of an object, or of a right.
absl::Status WithoutBlame(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kInternal: return status;
    default: return absl::UnavailableError(status.message());
  }
}

// `end`: of the call; Ok: it was answered by 2xx. `what`: was asked of whom.
ProbeEnd EndOfProbe(const absl::Status& end, const std::string& what) {
  if (end.ok() || IsProperRefusal(end)) return {ProbeEnd::Kind::kAnswered};
  // As many calls of our own are under way as may be, or they are being ended.
  const bool is_ours = absl::IsResourceExhausted(end) || absl::IsCancelled(end);
  if (is_ours && !RefusalOf(end).has_value()) return {ProbeEnd::Kind::kUnknown};
  return {ProbeEnd::Kind::kFailed, std::string(Annotate(end, what).message())};
}

// What the API server did not believe, and what to do.
std::string WhoWeAre(const ApiServerOptions& options) {
  const bool by_token = !options.token.empty();
  if (!by_token && options.tls.certificate.empty()) return "there is no token and no client certificate: add one";
  const std::string& file = by_token ? options.token.file : options.tls.certificate.file;
  return absl::StrCat("its ", by_token ? "token" : "client certificate", file.empty() ? "" : " ", file,
                      " is not believed, or has ended: put a new one there",
                      file.empty() ? " and start anew" : ", it is read again");
}

}  // namespace

// Counts calls by verb and resource. Thread-safe.
class ApiServer::Counter {
 public:
  void Begin(const ApiCall& call) {
    MutexLock lock(mutex_);
    ++counts_[KeyOf(call)].begun;
  }
  void Fail(const ApiCall& call) {
    MutexLock lock(mutex_);
    ++counts_[KeyOf(call)].failed;
  }
  std::vector<CallCount> All() const {
    MutexLock lock(mutex_);
    std::vector<CallCount> all;
    for (const auto& [key, count] : counts_) all.push_back({key.first, key.second, count.begun, count.failed});
    return all;
  }

 private:
  using Key = std::pair<std::string, std::string>;
  struct Count {
    uint64_t begun = 0;
    uint64_t failed = 0;
  };
  static Key KeyOf(const ApiCall& call) {
    return {call.verb, call.path.empty() ? call.resource.Text(call.subresource) : call.path};
  }

  mutable Mutex mutex_;
  std::map<Key, Count> counts_ ABSL_GUARDED_BY(mutex_);
};

absl::StatusOr<std::unique_ptr<ApiServer>> ApiServer::Create(ApiServerOptions options) {
  http::ClientOptions client;
  client.tls = options.tls;
  MESHCA_ASSIGN_OR_RETURN(std::unique_ptr<http::Client> made, http::Client::Create(std::move(client)));
  return std::unique_ptr<ApiServer>(new ApiServer(std::move(options), std::move(made)));
}

ApiServer::ApiServer(ApiServerOptions options, std::unique_ptr<http::Client> client)
    : options_(std::move(options)),
      counter_(std::make_unique<Counter>()),
      reachability_(options_.outage, [this](Reachability::ProbeDone done) { Probe(std::move(done)); }),
      client_(std::move(client)) {}

ApiServer::~ApiServer() { Stop(); }

absl::StatusOr<http::ClientRequest> ApiServer::RequestOf(const ApiCall& call) const {
  http::ClientRequest request;
  request.method = call.Method();
  request.url = options_.url;
  request.url.target = absl::StrCat(absl::StripSuffix(options_.url.target, "/"), call.Target());
  request.headers.Add("Accept", call.accept.empty() ? "application/json" : call.accept);
  request.body = call.body;
  if (!call.body.empty()) {
    request.headers.Add("Content-Type", call.content_type.empty() ? "application/json" : call.content_type);
  }
  if (options_.token.empty()) return request;
  // kPublic: the kubelet lets a pod's whole group read the token, and nobody outside of the pod sees its volume.
  const absl::StatusOr<SecretBytes> token = options_.token.Read(FileSecrecy::kPublic);
  if (!token.ok()) {
    return WithoutBlame(Annotate(token.status(), absl::StrCat(options_.described, ": the token cannot be read")));
  }
  request.headers.Add("Authorization", absl::StrCat("Bearer ", absl::StripAsciiWhitespace(token->reveal())));
  return request;
}

absl::Status ApiServer::Refused(const ApiCall& call, const http::Response& head, absl::string_view body) const {
  absl::Status status = RefusalStatus(call, head, body);
  if (head.status != 401) return status;
  absl::Status told(status.code(), absl::StrCat(status.message(), "; ", options_.described, ": ", WhoWeAre(options_)));
  status.ForEachPayload([&told](absl::string_view url, const absl::Cord& payload) { told.SetPayload(url, payload); });
  return told;
}

absl::Status ApiServer::Ended(const ApiCall& call, const absl::Status& status) const {
  if (status.ok()) return status;
  counter_->Fail(call);
  return Annotate(status, absl::StrCat("API server ", options_.url.Origin(), ": ", call.Text()));
}

void ApiServer::NoteEnd(absl::Duration begun, const absl::Status& status) {
  if (status.ok() || IsProperRefusal(status)) {
    reachability_.NoteAnswered();
  } else if (IsWithoutAnswer(status)) {
    reachability_.NoteUnanswered(begun);
  }
}

void ApiServer::NoteDate(const http::Response& head) {
  const std::string* const text = head.headers.Find("Date");
  absl::Time date;
  if (text == nullptr || !absl::ParseTime("%a, %d %b %Y %H:%M:%S GMT", *text, &date, nullptr)) return;
  MutexLock lock(mutex_);
  date_ = date;
  dated_at_ = SystemClock().SinceBoot();
}

absl::Time ApiServer::TimeThere() const {
  MutexLock lock(mutex_);
  return date_ + (SystemClock().SinceBoot() - dated_at_);
}

// On Reachability's thread.
void ApiServer::Probe(Reachability::ProbeDone done) {
  ApiCall call;
  call.verb = "get";
  call.path = kProbePath;
  call.accept = "*/*";
  absl::StatusOr<http::ClientRequest> request = RequestOf(call);
  if (!request.ok()) return std::move(done)({ProbeEnd::Kind::kUnknown});
  http::CallOptions options;
  options.timeout = kProbeTimeout;
  options.connect_timeout = std::min(kProbeTimeout, options_.connect_timeout);
  options.body_bytes_max = kProbeBytesMax;
  client_->Send(
      *std::move(request), options,
      [this, call, done = std::move(done)](const absl::StatusOr<http::Response>& response) mutable {
        absl::Status end = WithoutBlame(response.status());
        if (end.ok() && !IsGood(response->status)) end = Refused(call, *response, response->body);
        std::move(done)(EndOfProbe(end, absl::StrCat("API server ", options_.url.Origin(), ": ", call.Text())));
      });
}

ApiServer::CallId ApiServer::Send(const ApiCall& call, size_t bytes_max, absl::Duration timeout, Done done) {
  counter_->Begin(call);
  absl::StatusOr<http::ClientRequest> request = RequestOf(call);
  if (!request.ok()) {
    std::move(done)(Ended(call, request.status()));
    return 0;
  }
  ApiCall named = call;
  named.body.clear();
  http::CallOptions options;
  options.timeout = timeout;
  options.connect_timeout = std::min(timeout, options_.connect_timeout);
  options.body_bytes_max = std::max(bytes_max, kRefusalBytesMax);
  return client_->Send(*std::move(request), options,
                       [this, bytes_max, begun = SystemClock().SinceBoot(), call = std::move(named),
                        done = std::move(done)](absl::StatusOr<http::Response> response) mutable {
                         absl::Status status = WithoutBlame(response.status());
                         if (status.ok()) NoteDate(*response);
                         if (status.ok() && !IsGood(response->status))
                           status = Refused(call, *response, response->body);
                         NoteEnd(begun, status);
                         if (status.ok() && response->body.size() > bytes_max) {
                           status =
                               absl::UnavailableError(absl::StrCat("its answer has more than ", bytes_max, " bytes"));
                         }
                         if (!status.ok()) return std::move(done)(Ended(call, status));
                         std::move(done)(std::move(response->body));
                       });
}

absl::StatusOr<std::string> ApiServer::Call(const ApiCall& call, size_t bytes_max, absl::Duration timeout) {
  struct Answer {
    Mutex mutex;
    CondVar changed;
    bool has_come ABSL_GUARDED_BY(mutex) = false;
    absl::StatusOr<std::string> value ABSL_GUARDED_BY(mutex);
  };
  Answer answer;
  Send(call, bytes_max, timeout, [&answer](absl::StatusOr<std::string> value) {
    MutexLock lock(answer.mutex);
    answer.value = std::move(value);
    answer.has_come = true;
    answer.changed.NotifyAll();
  });
  MutexLock lock(answer.mutex);
  while (!answer.has_come) answer.changed.Wait(answer.mutex);
  return std::move(answer.value);
}

ApiServer::CallId ApiServer::Stream(const ApiCall& call, const http::CallOptions& options, Streamed streamed) {
  counter_->Begin(call);
  absl::StatusOr<http::ClientRequest> request = RequestOf(call);
  if (!request.ok()) {
    std::move(streamed.on_end)(Ended(call, request.status()));
    return 0;
  }
  struct State {
    ApiCall call;
    absl::Duration begun;
    Streamed streamed;
    http::Response head;
    std::string refusal;    // the beginning of the body of an answer other than 2xx
    absl::Status by_piece;  // what on_piece refused
  };
  auto state = std::make_shared<State>();
  state->call = call;
  state->call.body.clear();
  state->begun = SystemClock().SinceBoot();
  state->streamed = std::move(streamed);
  http::StreamHandler handler;
  handler.on_head = [this, state](const http::Response& head) {
    state->head = head;
    NoteDate(head);
    if (!IsGood(head.status)) return;
    NoteEnd(state->begun, absl::OkStatus());  // it may take hours until it ends
    if (state->streamed.on_begin != nullptr) state->streamed.on_begin();
  };
  handler.on_piece = [state](absl::string_view piece) {
    if (IsGood(state->head.status)) return state->by_piece = state->streamed.on_piece(piece);
    const size_t room = kRefusalBytesMax - state->refusal.size();
    absl::StrAppend(&state->refusal, piece.substr(0, room));
    return absl::OkStatus();
  };
  handler.on_end = [this, state](const absl::Status& status) {
    absl::Status end = !state->by_piece.ok() ? state->by_piece : WithoutBlame(status);
    if (state->head.status != 0 && !IsGood(state->head.status) && !absl::IsCancelled(status)) {
      end = Refused(state->call, state->head, state->refusal);
    }
    if (!end.ok() && state->by_piece.ok()) NoteEnd(state->begun, end);
    std::move(state->streamed.on_end)(Ended(state->call, end));
  };
  http::CallOptions within = options;
  within.connect_timeout = std::min(options.connect_timeout, options_.connect_timeout);
  return client_->Stream(*std::move(request), within, std::move(handler));
}

void ApiServer::Cancel(CallId call) { client_->Cancel(call); }
void ApiServer::Stop() {
  reachability_.Stop();  // the end of a probe that is under way says nothing any more
  client_->Stop();
}
std::vector<CallCount> ApiServer::CallCounts() const { return counter_->All(); }

}  // namespace meshca::kubernetes
