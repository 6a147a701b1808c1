#include "ca/rpc/connection.h"

#include <openssl/crypto.h>
#include <sys/epoll.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/entropy.h"
#include "ca/base/log.h"

namespace meshca::rpc {
namespace {

// Between the two GOAWAYs of a drain: what was on its way arrives.
constexpr int64_t kNoticeNs = 100'000'000;
// After age_grace, for the last answers to leave.
constexpr int64_t kLastWordsNs = 10'000'000'000;
// How long a closed connection waits for the client's own goodbye, so that no RST overtakes our last frames.
constexpr int64_t kLingerNs = 1'000'000'000;

// GOAWAY's debug data: its length has one byte in GoawayFrame.
constexpr size_t kGoawayTextMax = 200;

int64_t After(int64_t base_ns, absl::Duration duration) {
  const int64_t nanoseconds = absl::ToInt64Nanoseconds(duration);
  return nanoseconds > TimerHeap::kNever - base_ns ? TimerHeap::kNever : base_ns + nanoseconds;
}

// GOAWAY by hand, without the session, which may be inside a callback or out of memory.
std::string GoawayFrame(int32_t last_stream_id, uint8_t error_code, absl::string_view why) {
  std::string frame(17, '\0');
  frame[2] = static_cast<char>(8 + why.size());
  frame[3] = NGHTTP2_GOAWAY;
  for (int i = 0; i < 4; ++i) frame[9 + i] = static_cast<char>(last_stream_id >> (24 - 8 * i));
  frame[16] = static_cast<char>(error_code);
  absl::StrAppend(&frame, why);
  return frame;
}

}  // namespace

Connection::Connection(Loop& loop, const Listener& listener, UniqueFd fd, Room room, std::shared_ptr<Source> source,
                       Peer peer)
    : loop_(loop),
      listener_(listener),
      room_(room),
      source_(std::move(source)),
      id_(peer.connection_id),
      channel_(std::move(fd)),
      peer_(std::make_shared<const Peer>(std::move(peer))),
      state_(listener.options.tls ? State::kTlsIdle : State::kServing),
      accepted_ns_(MonotonicNanos()) {
  source_->connections.fetch_add(1, std::memory_order_relaxed);
  loop_.edge().Open(room_).fetch_add(1, std::memory_order_relaxed);
  loop_.load().fetch_add(1, std::memory_order_relaxed);
}

Connection::~Connection() {
  EndHandshakeTurn();
  session_.reset();  // Before the counters its memory functions use.
  loop_.timers().Cancel(*this);
  LeaveQueues();
  source_->last_seen_ns.store(MonotonicNanos(), std::memory_order_relaxed);
  source_->connections.fetch_sub(1, std::memory_order_relaxed);
  if (address_) address_->certified.fetch_sub(1, std::memory_order_relaxed);
  loop_.edge().Open(room_).fetch_sub(1, std::memory_order_relaxed);
  loop_.load().fetch_sub(1, std::memory_order_relaxed);
}

void Connection::Start() {
  loop_.residents(room_).Add(*this, *source_);
  armed_events_ = EPOLLIN;
  loop_.Watch(channel_.fd(), *this, armed_events_);
  if (state_ == State::kServing) {
    StartServing();
  } else {
    WakeBy(NextDue());
  }
}

void Connection::OnEvents(uint32_t events) {
  switch (state_) {
    // Only an error or hang-up is reported while nothing is asked for.
    case State::kTlsWaiting: return Close();
    case State::kTlsIdle:
    case State::kHandshaking: return in_lane() ? Close() : Handshake();
    case State::kServing:
      if ((events & EPOLLOUT) != 0) MarkDirty();
      if (read_waits_for_room_ || (events & ~static_cast<uint32_t>(EPOLLOUT)) != 0) Readable();
      return;
    case State::kLingering: {
      size_t bytes = 0;
      ReadOnce(bytes);  // Dropped; nothing more is answered.
      OPENSSL_cleanse(loop_.read_buffer().data(), bytes);
      return;
    }
    case State::kDead: return;
  }
}

void Connection::OnDeferred() {
  deferred_ = false;
  switch (state_) {
    case State::kTlsIdle:
    case State::kTlsWaiting:
    case State::kHandshaking: return Handshake();
    case State::kServing: MarkDirty(); return Readable();
    default: return;
  }
}

void Connection::StartServing() {
  state_ = State::kServing;
  ready_ns_ = read_ns_ = progress_ns_ = idle_since_ns_ = loop_.now_ns();
  if (!OpenSession()) return Close();
  if (!listener_.is_unix && limits().age_max < absl::InfiniteDuration()) {
    // Spread, so that a fleet that connected in one moment does not come back in one.
    const absl::Duration age = UniformDuration(SystemEntropy(), 0.9 * limits().age_max, 1.1 * limits().age_max);
    age_end_ns_ = After(ready_ns_, age);
  }
  MarkDirty();
  if (loop_.draining()) Drain("the server is shutting down");
  WakeBy(NextDue());
}

// ---- time

int64_t Connection::NextDue() const {
  if (state_ == State::kLingering) return progress_ns_ + kLingerNs;
  if (state_ != State::kServing) return After(accepted_ns_, limits().handshake_timeout);
  int64_t due = TimerHeap::kNever;
  switch (drain_) {
    case DrainState::kNo:
      due = age_end_ns_;
      if (stream_count_ > 0) break;
      due = std::min(due, had_call_ ? After(idle_since_ns_, limits().idle_timeout)
                                    : After(ready_ns_, limits().first_call_timeout));
      break;
    case DrainState::kNoticeSent: due = drain_ns_ + kNoticeNs; break;
    case DrainState::kFinal:
      due = After(drain_ns_, limits().age_grace + absl::Nanoseconds(grace_over_ ? kLastWordsNs : 0));
      break;
  }
  if (stream_count_ > 0 && !listener_.is_unix) {
    due = std::min(due, ping_outstanding_ ? After(ping_ns_, limits().keepalive_timeout)
                                          : After(read_ns_, limits().keepalive_interval));
  }
  if (WaitsForClient()) due = std::min(due, After(progress_ns_, limits().write_stall_timeout));
  return due;
}

void Connection::WakeBy(int64_t due_ns) {
  // Set only when earlier than what is set: a timer that fires too early looks again, which costs less than moving it
  // with each call.
  if (due_ns >= armed_due_ns_) return;
  armed_due_ns_ = due_ns;
  loop_.timers().Set(*this, due_ns);
}

void Connection::OnTimer() {
  armed_due_ns_ = TimerHeap::kNever;
  switch (state_) {
    case State::kTlsIdle:
    case State::kTlsWaiting:
    case State::kHandshaking:
      if (loop_.now_ns() < NextDue()) break;
      CountLimit(LimitKind::kHandshakeTimeout);
      // Who held a turn for all this time kept others from it; who only waited for one did not.
      if (holds_handshake_turn_) return HandshakeFailed();
      loop_.stats().handshakes_failed.Add();
      return Close();
    case State::kServing: CheckServing(); break;
    case State::kLingering:
      if (loop_.now_ns() < NextDue()) break;  // A timer from before.
      return Close();
    case State::kDead: return;
  }
  if (!dead()) WakeBy(std::max(NextDue(), loop_.now_ns() + 1'000'000));
}

void Connection::CheckServing() {
  const int64_t now = loop_.now_ns();
  if (WaitsForClient() && now >= After(progress_ns_, limits().write_stall_timeout)) {
    CountLimit(LimitKind::kWriteStall);
    return Close();
  }
  if (stream_count_ > 0 && !listener_.is_unix) {
    if (ping_outstanding_ && read_ns_ > ping_ns_) ping_outstanding_ = false;  // Whatever it sent, it lives.
    if (ping_outstanding_ && now >= After(ping_ns_, limits().keepalive_timeout)) {
      CountLimit(LimitKind::kKeepalive);
      return Close();
    }
    if (!ping_outstanding_ && now >= After(read_ns_, limits().keepalive_interval)) {
      ping_outstanding_ = true;
      ping_ns_ = now;
      nghttp2_submit_ping(session_.get(), NGHTTP2_FLAG_NONE, nullptr);
      MarkDirty();
    }
  }
  switch (drain_) {
    case DrainState::kNo:
      if (now >= age_end_ns_) return Drain("the connection reached its maximum age");
      if (stream_count_ > 0) return;
      if (!had_call_ && now >= After(ready_ns_, limits().first_call_timeout)) {
        CountLimit(LimitKind::kFirstCallTimeout);
        return Drain("no call came");
      }
      if (had_call_ && now >= After(idle_since_ns_, limits().idle_timeout)) return Drain("the connection was idle");
      return;
    case DrainState::kNoticeSent:
      if (now >= drain_ns_ + kNoticeNs) FinalGoaway();
      return;
    case DrainState::kFinal:
      if (now < After(drain_ns_, limits().age_grace)) return;
      if (!std::exchange(grace_over_, true)) EndStreamingCalls();
      if (now >= After(drain_ns_, limits().age_grace + absl::Nanoseconds(kLastWordsNs))) Close();
      return;
  }
}

// ---- endings

void Connection::Drain(absl::string_view why) {
  if (state_ == State::kLingering || state_ == State::kDead) return;
  if (state_ != State::kServing) return Close();  // Nothing began yet.
  drain_reason_ = std::string(why);
  if (drain_ != DrainState::kNo) {
    if (loop_.draining() && drain_ == DrainState::kFinal) EndStreamingCalls();
    return;
  }
  drain_ = DrainState::kNoticeSent;
  drain_ns_ = loop_.now_ns();
  nghttp2_submit_shutdown_notice(session_.get());
  MarkDirty();
  WakeBy(NextDue());
}

void Connection::FinalGoaway() {
  drain_ = DrainState::kFinal;
  const int32_t last = nghttp2_session_get_last_proc_stream_id(session_.get());
  nghttp2_submit_goaway(session_.get(), NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, nullptr, 0);
  if (loop_.draining()) EndStreamingCalls();
  MarkDirty();
}

void Connection::EndStreamingCalls() {
  const absl::Status status = absl::UnavailableError(drain_reason_);
  for (ServerStream* stream = streams_; stream != nullptr; stream = stream->next) stream->EndStreaming(status);
}

void Connection::CountShutOut(LimitKind kind) {
  CountLimit(kind);
  loop_.edge().shut_out.Tell(kind, *source_, peer_->address, loop_.now_ns());
}

void Connection::Cut(LimitKind kind) {
  if (state_ == State::kDead) return;
  CountShutOut(kind);
  LogDebug("connection cut", {{"peer", peer_->address}, {"limit", std::string(LimitName(kind))}});
  if (session_ && pending_.empty()) {
    size_t written = 0;
    channel_.Write(GoawayFrame(nghttp2_session_get_last_proc_stream_id(session_.get()), NGHTTP2_ENHANCE_YOUR_CALM,
                               LimitName(kind)),
                   written);
  }
  Close();
}

void Connection::GiveWay() {
  if (state_ == State::kDead) return;
  CountShutOut(LimitKind::kGaveWay);
  if (session_ && pending_.empty()) {
    size_t written = 0;
    channel_.Write(GoawayFrame(nghttp2_session_get_last_proc_stream_id(session_.get()), NGHTTP2_NO_ERROR,
                               LimitName(LimitKind::kGaveWay)),
                   written);
  }
  Close();
}

void Connection::Withdraw(absl::string_view why) {
  if (state_ == State::kLingering || state_ == State::kDead) return;
  CountLimit(LimitKind::kWithdrawn);
  LogInfo(
      "connection cut",
      {{"peer", peer_->address}, {"limit", std::string(LimitName(LimitKind::kWithdrawn))}, {"why", std::string(why)}});
  if (state_ != State::kServing) return Close();
  const absl::Status status = absl::UnauthenticatedError(why);
  for (ServerStream* stream = streams_; stream != nullptr; stream = stream->next) stream->EndNow(status);
  Flush();
  if (state_ != State::kServing) return;  // The client was gone, or the session had ended by itself.
  while (streams_ != nullptr) RemoveStream(*streams_, NGHTTP2_CANCEL, status);
  // What the socket did not take ends within a frame, and no other may follow it.
  if (!pending_.empty()) return Close();
  size_t written = 0;
  channel_.Write(GoawayFrame(nghttp2_session_get_last_proc_stream_id(session_.get()), NGHTTP2_NO_ERROR,
                             why.substr(0, kGoawayTextMax)),
                 written);
  Linger();
}

void Connection::Close() {
  if (state_ == State::kDead) return;
  state_ = State::kDead;
  loop_.Unwatch(channel_.fd());
  loop_.timers().Cancel(*this);
  LeaveQueues();
  EndHandshakeTurn();
  loop_.Bury(*this);
}

void Connection::LeaveQueues() {
  StopWaitingForTurn();
  loop_.residents(room_).Remove(*this);
  loop_.lanes().Remove(*this);
}

void Connection::Abandon() {
  state_ = State::kDead;
  if (stream_count_ == 0) return;
  absl::Status lost;
  if (drain_ != DrainState::kNo) {
    lost = absl::UnavailableError(drain_reason_);
  } else if (loop_.draining()) {
    lost = absl::UnavailableError("the server is shutting down");
  } else {
    // A client that leaves with calls open costs what one does that resets them.
    source_->resets.Charge(loop_.edge().source.resets, loop_.now_ns(), stream_count_);
    lost = absl::UnavailableError("the connection was lost");
  }
  while (streams_ != nullptr) RemoveStream(*streams_, NGHTTP2_CANCEL, lost);
}

}  // namespace meshca::rpc
