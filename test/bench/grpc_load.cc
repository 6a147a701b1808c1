#include "test/bench/grpc_load.h"

#include <poll.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <deque>
#include <unordered_map>

#include "absl/strings/str_cat.h"
#include "ca/base/check.h"
#include "ca/base/status.h"
#include "ca/base/unique_fd.h"
#include "test/bench/h2_connection.h"
#include "test/bench/rate_schedule.h"

namespace meshca::bench {
namespace {

constexpr size_t kFrameHeader = 5;  // gRPC: one byte of flags, four of length
constexpr int kAttemptsMax = 3;
// A slot whose connection failed rests: a closed loop would else burn all its requests while a server restarts.
constexpr absl::Duration kRest = absl::Milliseconds(100);
constexpr absl::Duration kIdleWait = absl::Seconds(1);
constexpr uint64_t kNoConnection = 0;

// Since some moment; a step of the wall clock does not move it.
absl::Duration Now() {
  timespec time = {};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return absl::DurationFromTimespec(time);
}

nghttp2_nv Header(absl::string_view name, absl::string_view value) {
  const auto bytes = [](absl::string_view text) {
    return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));  // nghttp2's C interface; it only reads
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

// The name under which a call that brought no certificate is counted.
std::string ErrorName(const CallResult& result) {
  if (result.grpc_status > 0) return absl::StatusCodeToString(static_cast<absl::StatusCode>(result.grpc_status));
  if (result.h2_error == NGHTTP2_REFUSED_STREAM) return "STREAM_REFUSED";
  if (result.h2_error != NGHTTP2_NO_ERROR) return "STREAM_RESET";
  if (result.grpc_status == 0) return "EMPTY_ANSWER";
  if (result.http_status != 200) return absl::StrCat("HTTP_", result.http_status);
  return "NO_GRPC_STATUS";
}

class Load final : public GrpcLoad, private H2Events {
 public:
  Load(TlsTarget& target, const LoadOptions& options)
      : options_(options), target_(target), epoll_(epoll_create1(EPOLL_CLOEXEC)), slots_(options.connections) {
    headers_ = {Header(":method", "POST"),        Header(":scheme", "https"),
                Header(":path", options_.method), Header(":authority", target_.authority()),
                Header("te", "trailers"),         Header("content-type", "application/grpc")};
    if (!options_.authorization.empty()) headers_.push_back(Header("authorization", options_.authorization));
    const int turns = std::max(options_.connections, options_.in_flight);
    for (int i = 0; i < turns; ++i) free_.push_back(i % options_.connections);
  }

  absl::Status ConnectAll() {
    if (options_.new_connection_each) return absl::OkStatus();
    for (uint64_t& slot : slots_) {
      MESHCA_ASSIGN_OR_RETURN(slot, Dial());
    }
    const absl::Duration end = Now() + options_.answer_within;
    while (result_.connections < slots_.size()) {
      if (!first_loss_.ok()) return first_loss_;
      if (Now() > end) return absl::UnavailableError("the server takes connections but does not shake hands");
      MESHCA_RETURN_IF_ERROR(Turn(absl::Milliseconds(100)));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<LoadResult> Run(RequestSource& requests, absl::Duration limit) override {
    MESHCA_RETURN_IF_ERROR(Turn(absl::ZeroDuration()));  // connections that ended since the last run
    requests_ = &requests;
    calls_.clear();
    result_ = LoadResult{};
    next_ = oldest_ = 0;
    start_ = Now();
    end_ = start_ + limit;
    while (true) {
      MESHCA_RETURN_IF_ERROR(Advance());
      if (open_ == 0 && MayStartNoMore()) break;
      MESHCA_RETURN_IF_ERROR(Turn(UntilNextEvent()));
    }
    result_.wall = last_end_ - start_;
    return std::move(result_);
  }

 private:
  struct Call {
    absl::Duration due;
    std::string framed;  // while it is open
    uint64_t connection = kNoConnection;
    uint32_t slot = 0;
    int attempts = 0;
    bool open = false;
  };
  struct Resting {
    absl::Duration until;
    uint32_t slot;
  };

  bool MayStartNoMore() const { return next_ == requests_->count() || (!options_.rate && Now() >= end_); }

  // Starts what may start, gives up what has waited too long, writes.
  absl::Status Advance() {
    const absl::Duration now = Now();
    while (!resting_.empty() && resting_.front().until <= now) {
      free_.push_back(resting_.front().slot);
      resting_.pop_front();
    }
    if (options_.rate) {
      StartDue(now);
    } else {
      while (open_ < options_.in_flight && !free_.empty() && next_ < requests_->count() && now < end_) {
        const uint32_t slot = free_.front();
        free_.pop_front();
        std::optional<std::string> framed = requests_->Take(next_);
        MESHCA_CHECK(framed.has_value());
        Start(slot, now, *std::move(framed));
      }
    }
    GiveUp(now);
    for (size_t i = 0; i < to_flush_.size(); ++i) Flush(to_flush_[i]);
    to_flush_.clear();
    for (const uint64_t connection : to_close_) connections_.erase(connection);
    to_close_.clear();
    return absl::OkStatus();
  }

  void StartDue(absl::Duration now) {
    const RateSchedule schedule(*options_.rate);
    while (next_ < requests_->count()) {
      const absl::Duration due = start_ + schedule.DueAfter(next_);
      if (due > now) return;
      if (open_ >= options_.open_max) {
        ++result_.not_sent;
        Skip();
      } else if (std::optional<std::string> framed = requests_->Take(next_); !framed.has_value()) {
        ++result_.not_made;
        Skip();
      } else {
        Start(next_ % slots_.size(), due, *std::move(framed));
      }
    }
  }

  // The next call does not leave.
  void Skip() {
    calls_.emplace_back();
    ++next_;
  }

  void Start(uint32_t slot, absl::Duration due, std::string framed) {
    const size_t id = next_++;
    Call& call = calls_.emplace_back();
    call.due = due;
    call.framed = std::move(framed);
    call.slot = slot;
    call.open = true;
    ++open_;
    ++result_.sent;
    Send(id);
  }

  // Null: it has been over for so long that it is forgotten.
  Call* Find(size_t id) { return id < oldest_ ? nullptr : &calls_[id - oldest_]; }

  // Gives the call to its slot's connection, or to a new one.
  void Send(size_t id) {
    Call& call = *Find(id);
    ++call.attempts;
    uint64_t& slot = slots_[call.slot];
    auto connection = options_.new_connection_each ? connections_.end() : connections_.find(slot);
    if (connection == connections_.end() || !connection->second->accepts_calls()) {
      // A connection that takes no more calls goes when its last one has ended: the server closes it.
      const auto dialled = Dial();
      if (!dialled.ok()) {
        Fail(id, dialled.status());
        return;
      }
      if (!options_.new_connection_each) slot = *dialled;
      connection = connections_.find(*dialled);
    }
    call.connection = connection->first;
    connection->second->Call(id, headers_, call.framed);
    to_flush_.push_back(connection->first);
  }

  absl::StatusOr<uint64_t> Dial() {
    MESHCA_ASSIGN_OR_RETURN(TlsSocket socket, target_.StartConnection());
    const uint64_t number = ++last_connection_;
    epoll_event event = {};
    event.events = EPOLLIN | EPOLLOUT | EPOLLET;  // told once a change: OnReady() always goes on until it would block
    event.data.u64 = number;
    MESHCA_CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, socket.fd.get(), &event) == 0);
    H2Events& events = *this;
    connections_.emplace(number, std::make_unique<H2Connection>(std::move(socket), events));
    return number;
  }

  void Flush(uint64_t number) {
    const auto connection = connections_.find(number);
    if (connection == connections_.end()) return;
    if (const absl::Status flushed = connection->second->Flush(); !flushed.ok()) Lose(number, flushed);
  }

  void Lose(uint64_t number, const absl::Status& why) {
    const auto node = connections_.extract(number);
    if (node.empty()) return;
    if (first_loss_.ok()) first_loss_ = why;
    for (const size_t id : node.mapped()->Outstanding()) Fail(id, why);
  }

  void OnResult(CallResult result) override {
    Call* const found = Find(result.id);
    if (found == nullptr || !found->open) return;
    Call& call = *found;
    // Never looked at by the server, which is on its way out: every gRPC client sends such a call again elsewhere.
    if (result.h2_error == NGHTTP2_REFUSED_STREAM && result.grpc_status < 0 && call.attempts < kAttemptsMax) {
      Send(result.id);
      return;
    }
    if (result.grpc_status != 0 || result.h2_error != NGHTTP2_NO_ERROR || result.body.size() < kFrameHeader) {
      Count(call, ErrorName(result), result.grpc_message);
    } else {
      ++result_.ok;
      result_.latency.Record(Now() - call.due);
      if (options_.keep_one_in > 0 && result.id % options_.keep_one_in == 0) {
        result_.kept.emplace_back(result.id, result.body.substr(kFrameHeader));
      }
    }
    End(call, false);
  }

  void Fail(size_t id, const absl::Status& why) {
    Call* const found = Find(id);
    if (found == nullptr || !found->open) return;
    Call& call = *found;
    const std::string reason = ReasonOf(why);
    Count(call, reason.empty() ? std::string(CodeName(why.code())) : reason, std::string(why.message()));
    End(call, true);
  }

  void Count(const Call& call, const std::string& name, const std::string& message) {
    ++result_.errors[name];
    result_.error_messages.emplace(name, message);
    result_.error_latency.Record(Now() - call.due);
  }

  void End(Call& call, bool connection_failed) {
    call.open = false;
    call.framed = std::string();
    --open_;
    last_end_ = Now();
    if (options_.new_connection_each) to_close_.push_back(call.connection);
    if (options_.rate) return;
    if (connection_failed) {
      resting_.push_back({last_end_ + kRest, call.slot});
    } else {
      free_.push_back(call.slot);
    }
  }

  // Calls start in order and wait equally long, so the oldest is the first to be given up.
  void GiveUp(absl::Duration now) {
    for (; oldest_ < next_; ++oldest_, calls_.pop_front()) {
      const Call& call = calls_.front();
      if (!call.open) continue;
      if (call.due + options_.answer_within > now) return;
      const auto connection = connections_.find(call.connection);
      if (connection != connections_.end()) {
        connection->second->Cancel(oldest_);
        to_flush_.push_back(call.connection);
      }
      Fail(oldest_, WithReason(absl::DeadlineExceededError(
                                   absl::StrCat("none within ", absl::FormatDuration(options_.answer_within))),
                               "NO_ANSWER"));
    }
  }

  absl::Duration UntilNextEvent() const {
    absl::Duration next = Now() + kIdleWait;
    if (options_.rate && next_ < requests_->count()) {
      next = std::min(next, start_ + RateSchedule(*options_.rate).DueAfter(next_));
    }
    if (!resting_.empty()) next = std::min(next, resting_.front().until);
    if (oldest_ < next_) next = std::min(next, calls_.front().due + options_.answer_within);
    return std::max(absl::ZeroDuration(), next - Now());
  }

  // Waits for the sockets once and serves them.
  absl::Status Turn(absl::Duration wait) {
    if (wait > absl::ZeroDuration()) {
      // epoll_wait counts in milliseconds: too coarse for a rate.
      const timespec timeout = absl::ToTimespec(wait);
      pollfd ready = {epoll_.get(), POLLIN, 0};
      const int count = ppoll(&ready, 1, &timeout, nullptr);
      if (count < 0 && errno != EINTR) return ErrnoStatus(errno, "ppoll");
    }
    std::array<epoll_event, 64> events;
    const int count = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
    if (count < 0 && errno != EINTR) return ErrnoStatus(errno, "epoll_wait");
    for (int i = 0; i < count; ++i) Serve(events[i].data.u64);
    return absl::OkStatus();
  }

  void Serve(uint64_t number) {
    const auto connection = connections_.find(number);
    if (connection == connections_.end()) return;
    H2Connection& h2 = *connection->second;
    const bool was_open = h2.open();
    const absl::Status served = h2.OnReady();
    if (!was_open && h2.open()) {
      ++result_.connections;
      if (h2.resumed()) ++result_.resumed;
    }
    if (!served.ok()) Lose(number, served);
  }

  const LoadOptions options_;
  TlsTarget& target_;
  std::vector<nghttp2_nv> headers_;
  UniqueFd epoll_;
  std::unordered_map<uint64_t, std::unique_ptr<H2Connection>> connections_;
  uint64_t last_connection_ = kNoConnection;
  absl::Status first_loss_;
  std::vector<uint64_t> slots_;     // the connection of each; kNoConnection: none yet
  std::deque<uint32_t> free_;       // closed loop: slots that may take a call, the longest idle first
  std::deque<Resting> resting_;     // closed loop: in order of time
  std::vector<uint64_t> to_flush_;  // connections with something to write
  std::vector<uint64_t> to_close_;

  RequestSource* requests_ = nullptr;  // of the run
  std::deque<Call> calls_;             // from `oldest_` to `next_`
  size_t next_ = 0;                    // to start
  size_t oldest_ = 0;                  // all before it have ended
  int open_ = 0;
  absl::Duration start_;
  absl::Duration end_;
  absl::Duration last_end_;
  LoadResult result_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcLoad>> GrpcLoad::Connect(TlsTarget& target, const LoadOptions& options) {
  auto load = std::make_unique<Load>(target, options);
  MESHCA_RETURN_IF_ERROR(load->ConnectAll());
  return load;
}

}  // namespace meshca::bench
