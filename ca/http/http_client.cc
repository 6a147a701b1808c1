#include "ca/http/http_client.h"

#include <algorithm>
#include <limits>
#include <list>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "ca/base/check.h"
#include "ca/base/clock.h"
#include "ca/base/mutex.h"
#include "ca/base/status.h"
#include "ca/http/event_loop.h"
#include "ca/http/message_reader.h"
#include "ca/http/wire.h"

namespace meshca::http {
namespace {

constexpr size_t kClientReceiveBytes = 16 * 1024;

absl::Duration SinceBoot() { return SystemClock().SinceBoot(); }

// Asked twice, the server is where it would be if it had been asked once (RFC 9110 §9.2.2).
bool IsIdempotent(absl::string_view method) {
  return method == "GET" || method == "HEAD" || method == "PUT" || method == "DELETE";
}

// A field that ends its line, or a method with a blank in it, would let whoever wrote it say more than he may.
absl::Status CheckFields(const ClientRequest& request) {
  const auto is_word = [](absl::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), absl::ascii_isgraph);
  };
  if (!is_word(request.method)) return absl::InvalidArgumentError("the method of an HTTP request is no word");
  for (const Headers::Field& field : request.headers) {
    if (!is_word(field.name) || field.name.find(':') != std::string::npos ||
        std::any_of(field.value.begin(), field.value.end(),
                    [](char c) { return c != '\t' && absl::ascii_iscntrl(c); })) {
      return absl::InvalidArgumentError(
          absl::StrCat("a header of an HTTP request holds a byte that no header has: ", absl::CHexEscape(field.name)));
    }
  }
  return absl::OkStatus();
}

std::string HeadOf(const ClientRequest& request) {
  std::string head =
      absl::StrCat(request.method, " ", request.url.target, " HTTP/1.1\r\nHost: ", request.url.HostHeader(),
                   "\r\nAccept-Encoding: identity\r\nUser-Agent: meshca\r\n");
  for (const Headers::Field& field : request.headers) absl::StrAppend(&head, field.name, ": ", field.value, "\r\n");
  if (!request.body.empty() || request.method == "POST" || request.method == "PUT" || request.method == "PATCH") {
    absl::StrAppend(&head, "Content-Length: ", request.body.size(), "\r\n");
  }
  absl::StrAppend(&head, "\r\n");
  return head;
}

struct Call;

struct Connection {
  Connection(EventLoop& loop, std::string origin)
      : origin(std::move(origin)), wire(loop, kClientReceiveBytes), idle_end(loop) {}

  const std::string origin;
  Wire wire;
  Timer idle_end;
  Call* call = nullptr;  // null: idle
  bool reused = false;
  bool sending = false;
  absl::Status send_error;
};
using ConnectionPtr = std::shared_ptr<Connection>;

struct Call {
  Call(EventLoop& loop, Client::CallId id, ClientRequest request, const CallOptions& options, StreamHandler handler)
      : id(id), request(std::move(request)), options(options), handler(std::move(handler)), timer(loop) {}

  const Client::CallId id;
  ClientRequest request;
  const CallOptions options;
  StreamHandler handler;
  Timer timer;
  absl::Duration whole_until = absl::InfiniteDuration();  // since boot
  absl::Duration part_until = absl::InfiniteDuration();
  std::string part;  // what is late when part_until has come
  ConnectionPtr connection;
  std::optional<ResponseReader> reader;
  bool answer_began = false;
  bool head_told = false;
};

}  // namespace

class Client::Impl {
 public:
  Impl(ClientOptions options, std::shared_ptr<EventLoop> loop) : options_(std::move(options)), loop_(std::move(loop)) {}
  ~Impl() { Stop(); }

  CallId Submit(ClientRequest request, const CallOptions& options, StreamHandler handler);
  void Cancel(CallId id);
  void Stop();
  bool IsLoopThread() const { return loop_->IsLoopThread(); }

 private:
  // All that follows runs on the loop's thread.
  void Begin(std::shared_ptr<Call> call);
  void Attempt(Call& call);
  void OpenConnection(Call& call);
  void SendRequest(const ConnectionPtr& connection);
  void ReceiveNext(const ConnectionPtr& connection);
  void OnReceived(const ConnectionPtr& connection, absl::StatusOr<absl::string_view> bytes);
  void OnConnectionEnd(Call& call, const absl::Status& status);
  bool Deliver(Call& call);
  void Complete(Call& call);
  void Finish(Call& call, absl::Status status);
  void SetPart(Call& call, absl::Duration timeout, absl::string_view late);
  void OnDeadline(Call& call);
  ConnectionPtr TakeIdle(const std::string& origin);
  void KeepIdle(const ConnectionPtr& connection);
  void Drop(const ConnectionPtr& connection);
  void EndAll();

  const ClientOptions options_;
  const std::shared_ptr<EventLoop> loop_;
  std::map<CallId, std::shared_ptr<Call>> calls_;  // loop thread
  std::list<ConnectionPtr> idle_;                  // loop thread; the one used last is the last

  Mutex mutex_;
  CallId last_id_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

Client::CallId Client::Impl::Submit(ClientRequest request, const CallOptions& options, StreamHandler handler) {
  {
    MutexLock lock(mutex_);
    const CallId id = ++last_id_;
    if (!stopped_) {
      auto call = std::make_shared<Call>(*loop_, id, std::move(request), options, std::move(handler));
      // From now on, and not from when the loop comes to it: the machine may be asleep until then.
      call->whole_until = SinceBoot() + options.timeout;
      loop_->Post([this, call = std::move(call)]() mutable { Begin(std::move(call)); });
      return id;
    }
  }
  std::move(handler.on_end)(absl::UnavailableError("the HTTP client is shutting down"));
  return 0;
}

void Client::Impl::Cancel(CallId id) {
  MutexLock lock(mutex_);
  if (stopped_) return;
  loop_->Post([this, id] {
    const auto found = calls_.find(id);
    if (found != calls_.end()) Finish(*found->second, absl::CancelledError("the HTTP call was cancelled"));
  });
}

void Client::Impl::Stop() {
  MESHCA_CHECK(!IsLoopThread());
  {
    MutexLock lock(mutex_);
    if (stopped_) return;
    stopped_ = true;
    // Behind every call that was submitted before: no call is left waiting.
    loop_->Post([this] { EndAll(); });
  }
  loop_->Join();
}

void Client::Impl::EndAll() {
  while (!calls_.empty()) {
    Finish(*calls_.begin()->second, absl::UnavailableError("the HTTP client is shutting down"));
  }
  while (!idle_.empty()) Drop(ConnectionPtr(idle_.front()));
}

void Client::Impl::Begin(std::shared_ptr<Call> call) {
  Call& begun = *call;
  const bool full = calls_.size() >= options_.calls_max;
  calls_.emplace(begun.id, std::move(call));
  if (full) {
    return Finish(begun, absl::ResourceExhaustedError(
                             absl::StrCat(options_.calls_max, " HTTP calls are under way; no more at once")));
  }
  const absl::Status good = CheckFields(begun.request);
  if (!good.ok()) return Finish(begun, good);
  Attempt(begun);
}

void Client::Impl::Attempt(Call& call) {
  const Bodies bodies = call.request.method == "HEAD"   ? Bodies::kOfHead
                        : call.options.body_of_200_only ? Bodies::kOf200
                                                        : Bodies::kAll;
  call.reader.emplace(call.options.body_bytes_max, bodies);
  call.connection = TakeIdle(call.request.url.Origin());
  if (call.connection == nullptr) return OpenConnection(call);
  call.connection->call = &call;
  call.connection->reused = true;
  SendRequest(call.connection);
}

void Client::Impl::OpenConnection(Call& call) {
  const Url& url = call.request.url;
  call.connection = std::make_shared<Connection>(*loop_, url.Origin());
  call.connection->call = &call;
  SetPart(call, call.options.connect_timeout, "no connection");
  call.connection->wire.Connect(url.host, url.port, url.https ? &options_.tls : nullptr,
                                [this, connection = call.connection](absl::Status status) {
                                  if (!status.ok()) return Finish(*connection->call, std::move(status));
                                  ReceiveNext(connection);
                                  SendRequest(connection);
                                });
}

void Client::Impl::SendRequest(const ConnectionPtr& connection) {
  Call& call = *connection->call;
  SetPart(call, call.options.silence_timeout, "nothing came");
  // Whoever asked has long been told, by his own clock, that nothing of it happens any more. The timer may come later.
  if (SinceBoot() >= call.whole_until) return OnDeadline(call);
  connection->sending = true;
  connection->send_error = absl::OkStatus();
  auto body = call.request.body.empty() ? nullptr : std::make_shared<const std::string>(call.request.body);
  connection->wire.Send(std::make_shared<const std::string>(HeadOf(call.request)), std::move(body),
                        [connection](absl::Status status) {
                          // A server may refuse a request that it has not read to the end, and say so: what was
                          // received decides, and the error stands where nothing was.
                          connection->sending = false;
                          connection->send_error = std::move(status);
                        });
}

// Goes on while the connection is idle too: so its end shows when it comes.
void Client::Impl::ReceiveNext(const ConnectionPtr& connection) {
  connection->wire.Receive(
      [this, connection](absl::StatusOr<absl::string_view> bytes) { OnReceived(connection, std::move(bytes)); });
}

void Client::Impl::OnReceived(const ConnectionPtr& connection, absl::StatusOr<absl::string_view> bytes) {
  // Whatever comes while nobody asks, the end or an answer to no question, makes the connection useless.
  if (connection->call == nullptr) return Drop(connection);
  Call& call = *connection->call;
  if (!bytes.ok() || bytes->empty()) return OnConnectionEnd(call, bytes.status());
  call.answer_began = true;
  SetPart(call, call.options.silence_timeout, "nothing came");
  const absl::Status taken = call.reader->Take(*bytes);
  if (!Deliver(call)) return;
  if (!taken.ok()) return Finish(call, taken);
  if (call.reader->done()) return Complete(call);
  ReceiveNext(connection);
}

void Client::Impl::OnConnectionEnd(Call& call, const absl::Status& status) {
  const ConnectionPtr connection = call.connection;
  if (connection->reused && !call.answer_began && IsIdempotent(call.request.method)) {
    // It had ended while it was idle. What else is idle may be as old, so the next one is new.
    connection->call = nullptr;
    Drop(connection);
    return OpenConnection(call);
  }
  if (!status.ok() || !connection->send_error.ok()) {
    return Finish(call, connection->send_error.ok() ? status : connection->send_error);
  }
  const absl::Status ended = call.reader->End();
  if (Deliver(call)) Finish(call, ended);
}

// Tells the handler what is new. False: it has ended the call.
bool Client::Impl::Deliver(Call& call) {
  if (!call.reader->head_done()) return true;
  if (!call.head_told) {
    call.head_told = true;
    call.handler.on_head(Response{call.reader->status(), call.reader->headers(), ""});
  }
  const std::string piece = call.reader->TakeBody();
  if (piece.empty()) return true;
  absl::Status status = call.handler.on_piece(piece);
  if (status.ok()) return true;
  Finish(call, std::move(status));
  return false;
}

void Client::Impl::Complete(Call& call) {
  const ConnectionPtr connection = call.connection;
  if (call.reader->keep_alive() && !connection->sending && connection->send_error.ok()) {
    call.connection = nullptr;
    connection->call = nullptr;
    KeepIdle(connection);
    ReceiveNext(connection);
  }
  Finish(call, absl::OkStatus());
}

void Client::Impl::Finish(Call& call, absl::Status status) {
  const auto found = calls_.find(call.id);
  const std::shared_ptr<Call> ended = std::move(found->second);
  calls_.erase(found);
  ended->timer.Cancel();
  if (const ConnectionPtr connection = std::exchange(ended->connection, nullptr)) {
    connection->call = nullptr;
    Drop(connection);
  }
  std::move(ended->handler.on_end)(std::move(status));
}

void Client::Impl::SetPart(Call& call, absl::Duration timeout, absl::string_view late) {
  const absl::Duration now = SinceBoot();
  call.part_until = now + timeout;
  call.part = absl::StrCat(late, " within ", absl::FormatDuration(timeout));
  // The call is the owner of its timer.
  call.timer.Set(std::min(call.part_until, call.whole_until) - now, [this, &call] { OnDeadline(call); });
}

void Client::Impl::OnDeadline(Call& call) {
  const bool whole = call.whole_until <= call.part_until;
  Finish(call,
         absl::DeadlineExceededError(
             whole ? absl::StrCat("no whole answer within ", absl::FormatDuration(call.options.timeout)) : call.part));
}

ConnectionPtr Client::Impl::TakeIdle(const std::string& origin) {
  for (auto it = idle_.rbegin(); it != idle_.rend(); ++it) {
    if ((*it)->origin != origin) continue;
    ConnectionPtr connection = *it;
    connection->idle_end.Cancel();
    idle_.erase(std::next(it).base());
    return connection;
  }
  return nullptr;
}

void Client::Impl::KeepIdle(const ConnectionPtr& connection) {
  const auto of_origin = [&](const ConnectionPtr& other) { return other->origin == connection->origin; };
  const auto count = std::count_if(idle_.begin(), idle_.end(), of_origin);
  if (static_cast<size_t>(count) >= options_.idle_per_origin_max && count > 0) {
    Drop(ConnectionPtr(*std::find_if(idle_.begin(), idle_.end(), of_origin)));
  }
  while (!idle_.empty() && idle_.size() >= options_.idle_max) Drop(ConnectionPtr(idle_.front()));
  idle_.push_back(connection);
  connection->idle_end.Set(options_.idle_timeout, [this, raw = connection.get()] {
    const auto found = std::find_if(idle_.begin(), idle_.end(), [raw](const auto& one) { return one.get() == raw; });
    if (found != idle_.end()) Drop(ConnectionPtr(*found));
  });
}

void Client::Impl::Drop(const ConnectionPtr& connection) {
  connection->idle_end.Cancel();
  connection->wire.Close();
  idle_.remove(ConnectionPtr(connection));
}

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::~Client() = default;

absl::StatusOr<std::unique_ptr<Client>> Client::Create(ClientOptions options) {
  MESHCA_ASSIGN_OR_RETURN(std::shared_ptr<EventLoop> loop, EventLoop::Start());
  return std::unique_ptr<Client>(new Client(std::make_unique<Impl>(std::move(options), std::move(loop))));
}

Client::CallId Client::Send(ClientRequest request, const CallOptions& options, Done done) {
  struct Collected {
    Response response;
    Done done;
  };
  auto collected = std::make_shared<Collected>();
  collected->done = std::move(done);
  StreamHandler handler;
  handler.on_head = [collected](const Response& head) { collected->response = head; };
  handler.on_piece = [collected](absl::string_view piece) {
    collected->response.body.append(piece.data(), piece.size());
    return absl::OkStatus();
  };
  handler.on_end = [collected](absl::Status status) {
    if (!status.ok()) return std::move(collected->done)(std::move(status));
    std::move(collected->done)(std::move(collected->response));
  };
  return impl_->Submit(std::move(request), options, std::move(handler));
}

Client::CallId Client::Stream(ClientRequest request, const CallOptions& options, StreamHandler handler) {
  CallOptions endless = options;
  endless.body_bytes_max = std::numeric_limits<size_t>::max();
  return impl_->Submit(std::move(request), endless, std::move(handler));
}

absl::StatusOr<Response> Client::Fetch(ClientRequest request, const CallOptions& options) {
  MESHCA_CHECK(!impl_->IsLoopThread());
  struct Answer {
    Mutex mutex;
    CondVar changed;
    std::optional<absl::StatusOr<Response>> value ABSL_GUARDED_BY(mutex);
  };
  Answer answer;
  Send(std::move(request), options, [&answer](absl::StatusOr<Response> response) {
    MutexLock lock(answer.mutex);
    answer.value = std::move(response);
    answer.changed.NotifyAll();
  });
  MutexLock lock(answer.mutex);
  while (!answer.value.has_value()) answer.changed.Wait(answer.mutex);
  return *std::move(answer.value);
}

void Client::Cancel(CallId call) { impl_->Cancel(call); }
void Client::Stop() { impl_->Stop(); }

}  // namespace meshca::http
