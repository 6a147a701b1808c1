#include "cli/server/http_endpoint.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ca/base/check.h"
#include "ca/base/clock.h"
#include "ca/base/mutex.h"
#include "ca/base/status.h"
#include "ca/base/tcp_listen.h"
#include "ca/base/unique_fd.h"
#include "cli/server/http_request.h"

namespace meshca::cli {
namespace {

// How long a client may take to read the end and close; a reset before that could cost it the answer.
constexpr absl::Duration kLinger = absl::Seconds(1);
constexpr absl::Duration kAcceptPause = absl::Milliseconds(100);

using Bytes = std::shared_ptr<const std::string>;

const char* Phrase(int status) {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 431: return "Request Header Fields Too Large";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return "Error";
  }
}

// An answer as it goes over the wire: the body is one for all who get it.
struct WireAnswer {
  Bytes head;
  Bytes body;
};

WireAnswer ToWire(HttpAnswer answer) {
  std::string head = absl::StrCat("HTTP/1.1 ", answer.status, " ", Phrase(answer.status),
                                  "\r\nContent-Type: ", answer.content_type, "\r\nContent-Length: ", answer.body.size(),
                                  "\r\nConnection: close\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff"
                                  "\r\nContent-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n",
                                  answer.status == 405 ? "Allow: GET, HEAD\r\n" : "", "\r\n");
  return {std::make_shared<const std::string>(std::move(head)),
          std::make_shared<const std::string>(std::move(answer.body))};
}

WireAnswer Refusal(int status) {
  HttpAnswer answer;
  answer.status = status;
  answer.body = absl::StrCat(status, " ", Phrase(status), "\n");
  return ToWire(std::move(answer));
}

struct Connection {
  enum class Phase { kReading, kWaiting, kWriting, kLingering, kEnded };
  UniqueFd fd;
  Phase phase = Phase::kReading;
  absl::Duration deadline;
  std::string received;
  bool is_head = false;
  size_t route = 0;     // kWaiting
  uint64_t ticket = 0;  // kWaiting: any run of the route that began after it was drawn will do
  WireAnswer answer;
  size_t written = 0;
};

}  // namespace

class HttpEndpoint::Impl {
 public:
  Impl(UniqueFd listener, UniqueFd wake, std::vector<HttpRoute> routes, HttpLimits limits)
      : listener_(std::move(listener)),
        wake_(std::move(wake)),
        address_(BoundAddress(listener_.get())),
        routes_(std::move(routes)),
        limits_(limits),
        demands_(routes_.size()),
        serving_([this] { Serve(); }),
        working_([this] { RunWantedRoutes(); }) {}

  ~Impl() {
    {
      MutexLock lock(mutex_);
      stop_ = true;
    }
    wanted_.NotifyAll();
    Wake();
    serving_.join();
    working_.join();
  }

  const std::string& address() const { return address_; }

 private:
  // One blocking route's requests: those up to `served` have their answer.
  struct Demand {
    uint64_t wanted = 0;
    uint64_t served = 0;
    absl::Duration began = -absl::InfiniteDuration();
  };
  struct Finished {
    size_t route;
    uint64_t ticket;
    WireAnswer answer;
  };

  static absl::Duration Now() { return SystemClock().SinceBoot(); }
  void Wake() {
    const uint64_t one = 1;
    (void)!write(wake_.get(), &one, sizeof one);
  }

  // The serving thread.
  void Serve();
  bool Stopped() {
    MutexLock lock(mutex_);
    return stop_;
  }
  void Accept();
  void OnReady(Connection& connection);
  void Read(Connection& connection);
  void Route(Connection& connection, const HttpRequest& request);
  void Send(Connection& connection, WireAnswer answer);
  void Write(Connection& connection);
  void Drain(Connection& connection);
  void OnDeadline(Connection& connection);
  void CutOff(Connection& connection);
  void TakeFinished();

  // The working thread.
  void RunWantedRoutes();
  std::optional<size_t> NextRoute() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const UniqueFd listener_;
  const UniqueFd wake_;
  const std::string address_;
  const std::vector<HttpRoute> routes_;
  const HttpLimits limits_;

  std::vector<std::unique_ptr<Connection>> connections_;    // serving thread; oldest first
  uint64_t tickets_ = 0;                                    // serving thread
  absl::Duration accept_from_ = -absl::InfiniteDuration();  // serving thread

  Mutex mutex_;
  CondVar wanted_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<Demand> demands_ ABSL_GUARDED_BY(mutex_);  // beside routes_
  std::vector<Finished> finished_ ABSL_GUARDED_BY(mutex_);

  std::thread serving_, working_;  // last: they use all of the above
};

void HttpEndpoint::Impl::Serve() {
  std::vector<pollfd> polled;
  while (!Stopped()) {
    const absl::Duration now = Now();
    absl::Duration until = absl::InfiniteDuration();
    polled.clear();
    polled.push_back({wake_.get(), POLLIN, 0});
    polled.push_back({now < accept_from_ ? -1 : listener_.get(), POLLIN, 0});
    if (now < accept_from_) until = accept_from_;
    for (const auto& connection : connections_) {
      short events = 0;
      if (connection->phase == Connection::Phase::kWriting) events = POLLOUT;
      if (connection->phase == Connection::Phase::kReading || connection->phase == Connection::Phase::kLingering) {
        events = POLLIN;
      }
      polled.push_back({connection->fd.get(), events, 0});
      until = std::min(until, connection->deadline);
    }
    const bool endless = until == absl::InfiniteDuration();
    const int timeout_ms =
        endless ? -1 : static_cast<int>(std::max<int64_t>(0, absl::ToInt64Milliseconds(until - now) + 1));
    if (poll(polled.data(), polled.size(), timeout_ms) < 0 && errno != EINTR) continue;

    if (polled[0].revents != 0) {
      uint64_t count;
      (void)!read(wake_.get(), &count, sizeof count);
      TakeFinished();
    }
    const absl::Duration after = Now();
    for (size_t i = 2; i < polled.size(); ++i) {
      Connection& connection = *connections_[i - 2];
      if (polled[i].revents != 0) OnReady(connection);
      if (connection.phase != Connection::Phase::kEnded && after >= connection.deadline) OnDeadline(connection);
    }
    std::erase_if(connections_, [](const auto& c) { return c->phase == Connection::Phase::kEnded; });
    if (polled[1].revents != 0) Accept();
  }
}

void HttpEndpoint::Impl::Accept() {
  // A few at a time: those that are open have their turn in between.
  for (int i = 0; i < 16; ++i) {
    UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd.valid()) {
      // Out of descriptors: asking again at once would only spin.
      if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
        accept_from_ = Now() + kAcceptPause;
      }
      return;
    }
    if (connections_.size() >= limits_.connections_max) {
      // The oldest that has asked nothing yet, or has its answer; a probe whose answer is being made goes last.
      auto oldest = std::find_if(connections_.begin(), connections_.end(), [](const auto& c) {
        return c->phase == Connection::Phase::kReading || c->phase == Connection::Phase::kLingering;
      });
      if (oldest == connections_.end()) oldest = connections_.begin();
      CutOff(**oldest);
      connections_.erase(oldest);
    }
    auto connection = std::make_unique<Connection>();
    connection->fd = std::move(fd);
    connection->deadline = Now() + limits_.request_timeout;
    connections_.push_back(std::move(connection));
  }
}

void HttpEndpoint::Impl::OnReady(Connection& connection) {
  switch (connection.phase) {
    case Connection::Phase::kReading: return Read(connection);
    case Connection::Phase::kWriting: return Write(connection);
    case Connection::Phase::kLingering: return Drain(connection);
    case Connection::Phase::kWaiting:  // nothing but an error or the client's end is polled for
      connection.phase = Connection::Phase::kEnded;
      return;
    case Connection::Phase::kEnded: return;
  }
}

void HttpEndpoint::Impl::Read(Connection& connection) {
  char buffer[4096];
  const size_t room = std::min(sizeof buffer, limits_.head_bytes_max - connection.received.size());
  const ssize_t n = recv(connection.fd.get(), buffer, room, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    connection.phase = Connection::Phase::kEnded;
    return;
  }
  connection.received.append(buffer, static_cast<size_t>(n));
  const HttpRequest request = ReadRequest(connection.received, limits_.head_bytes_max);
  switch (request.state) {
    case HttpRequest::State::kIncomplete: return;
    case HttpRequest::State::kRefused: return Send(connection, Refusal(request.refusal));
    case HttpRequest::State::kComplete: return Route(connection, request);
  }
}

void HttpEndpoint::Impl::Route(Connection& connection, const HttpRequest& request) {
  connection.is_head = request.is_head;
  auto route = std::find_if(routes_.begin(), routes_.end(), [&](const HttpRoute& r) { return r.path == request.path; });
  if (route == routes_.end()) return Send(connection, Refusal(404));
  if (!route->may_block) return Send(connection, ToWire(route->answer()));
  connection.phase = Connection::Phase::kWaiting;
  connection.deadline = Now() + limits_.answer_timeout;
  connection.route = static_cast<size_t>(route - routes_.begin());
  connection.ticket = ++tickets_;
  {
    MutexLock lock(mutex_);
    demands_[connection.route].wanted = connection.ticket;
  }
  wanted_.NotifyOne();
}

void HttpEndpoint::Impl::Send(Connection& connection, WireAnswer answer) {
  connection.phase = Connection::Phase::kWriting;
  connection.deadline = Now() + limits_.answer_timeout;
  connection.answer = std::move(answer);
  std::string().swap(connection.received);
  Write(connection);
}

void HttpEndpoint::Impl::Write(Connection& connection) {
  const std::string& head = *connection.answer.head;
  const std::string& body = *connection.answer.body;
  const size_t total = head.size() + (connection.is_head ? 0 : body.size());
  while (connection.written < total) {
    const bool in_head = connection.written < head.size();
    const std::string& part = in_head ? head : body;
    const size_t from = in_head ? connection.written : connection.written - head.size();
    const bool more = in_head && total > head.size();
    const ssize_t n =
        send(connection.fd.get(), part.data() + from, part.size() - from, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) {
      connection.phase = Connection::Phase::kEnded;
      return;
    }
    connection.written += static_cast<size_t>(n);
  }
  shutdown(connection.fd.get(), SHUT_WR);
  connection.answer = WireAnswer();
  connection.phase = Connection::Phase::kLingering;
  connection.deadline = Now() + kLinger;
}

void HttpEndpoint::Impl::Drain(Connection& connection) {
  char buffer[4096];
  const ssize_t n = recv(connection.fd.get(), buffer, sizeof buffer, 0);
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) connection.phase = Connection::Phase::kEnded;
}

void HttpEndpoint::Impl::OnDeadline(Connection& connection) {
  if (connection.phase == Connection::Phase::kWaiting) return Send(connection, Refusal(503));
  CutOff(connection);
}

// Ends a connection whose client will not take its answer: the kernel would go on offering the rest for minutes.
void HttpEndpoint::Impl::CutOff(Connection& connection) {
  if (connection.phase == Connection::Phase::kWriting) {
    const linger reset = {1, 0};
    setsockopt(connection.fd.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  }
  connection.phase = Connection::Phase::kEnded;
}

void HttpEndpoint::Impl::TakeFinished() {
  std::vector<Finished> finished;
  {
    MutexLock lock(mutex_);
    finished.swap(finished_);
  }
  for (const Finished& done : finished) {
    for (const auto& connection : connections_) {
      if (connection->phase != Connection::Phase::kWaiting || connection->route != done.route) continue;
      if (connection->ticket <= done.ticket) Send(*connection, done.answer);
    }
  }
}

std::optional<size_t> HttpEndpoint::Impl::NextRoute() {
  for (size_t i = 0; i < demands_.size(); ++i) {
    if (demands_[i].wanted > demands_[i].served) return i;
  }
  return std::nullopt;
}

void HttpEndpoint::Impl::RunWantedRoutes() {
  for (;;) {
    size_t route = 0;
    uint64_t ticket = 0;
    {
      MutexLock lock(mutex_);
      std::optional<size_t> next;
      while (!stop_ && !(next = NextRoute()).has_value()) wanted_.Wait(mutex_);
      // Whoever asks again and again gets one run for all that asked meanwhile.
      while (!stop_ && Now() < demands_[*next].began + limits_.blocking_gap) {
        wanted_.WaitFor(mutex_, demands_[*next].began + limits_.blocking_gap - Now());
      }
      if (stop_) return;
      route = *next;
      ticket = demands_[route].wanted;
      demands_[route].began = Now();
    }
    WireAnswer answer = ToWire(routes_[route].answer());
    {
      MutexLock lock(mutex_);
      demands_[route].served = ticket;
      finished_.push_back({route, ticket, std::move(answer)});
    }
    Wake();
  }
}

HttpEndpoint::HttpEndpoint(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpEndpoint::~HttpEndpoint() = default;
const std::string& HttpEndpoint::address() const { return impl_->address(); }

absl::StatusOr<std::unique_ptr<HttpEndpoint>> HttpEndpoint::Start(const std::string& address,
                                                                  std::vector<HttpRoute> routes, HttpLimits limits) {
  MESHCA_ASSIGN_OR_RETURN(UniqueFd listener, BindTcp(address));
  UniqueFd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return ErrnoStatus(errno, "eventfd");
  return std::unique_ptr<HttpEndpoint>(
      new HttpEndpoint(std::make_unique<Impl>(std::move(listener), std::move(wake), std::move(routes), limits)));
}

}  // namespace meshca::cli
