// The bytes of a connection: handshake, reading, writing, and the buffer budget.
#include <sys/epoll.h>

#include <span>
#include <utility>

#include "ca/base/log.h"
#include "ca/rpc/connection.h"

namespace meshca::rpc {
namespace {

constexpr int kReadsPerRound = 4;
constexpr int kBatchesPerRound = 8;

}  // namespace

// ---- TLS

bool Connection::TakeHandshakeTurn() {
  Edge& edge = loop_.edge();
  if (source_->handshakes.fetch_add(1, std::memory_order_relaxed) >= edge.source.handshakes_max) {
    source_->handshakes.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  if (edge.handshakes.fetch_add(1, std::memory_order_relaxed) >= edge.global.handshakes_max) {
    source_->handshakes.fetch_sub(1, std::memory_order_relaxed);
    edge.handshakes.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  holds_handshake_turn_ = true;
  return true;
}

void Connection::EndHandshakeTurn() {
  if (!std::exchange(holds_handshake_turn_, false)) return;
  source_->handshakes.fetch_sub(1, std::memory_order_relaxed);
  loop_.edge().handshakes.fetch_sub(1, std::memory_order_relaxed);
  loop_.HandshakeEnded();
}

void Connection::Handshake() {
  // An SSL in handshake holds 70 KB, so only so many exist; the others wait with 1 KB each, their bytes in the kernel.
  if (!holds_handshake_turn_ && !TakeHandshakeTurn()) {
    state_ = State::kTlsWaiting;
    Arm(0);
    return loop_.WaitForHandshake(*this);
  }
  if (!loop_.TakeHandshakeTurn()) {
    if (!std::exchange(deferred_, true)) loop_.Defer(*this);
    return;
  }
  if (!handshake_) {
    auto handshake = TlsHandshake::Begin(CurrentState(*listener_.options.tls), channel_.fd(), *loop_.edge().clock);
    if (!handshake.ok()) return Close();
    handshake_ = *std::move(handshake);
    state_ = State::kHandshaking;
  }
  switch (handshake_->Continue()) {
    case TlsHandshake::Step::kDone: return HandshakeDone();
    case TlsHandshake::Step::kWantRead: return Arm(EPOLLIN);
    case TlsHandshake::Step::kWantWrite: return Arm(EPOLLIN | EPOLLOUT);
    case TlsHandshake::Step::kFailed: break;
  }
  loop_.stats().handshakes_failed.Add();
  source_->handshake_failures.Charge(loop_.edge().source.handshake_failures, loop_.now_ns());
  LogDebug("TLS handshake failed", {{"peer", peer_->address}, {"error", handshake_->error()}});
  Close();
}

void Connection::HandshakeDone() {
  LoopStats& stats = loop_.stats();
  stats.handshakes_ok.Add();
  if (handshake_->resumed()) stats.handshakes_resumed.Add();
  Peer peer = *peer_;
  peer.certificate_chain_der = *handshake_->chain();
  peer.identity = handshake_->identity();
  peer.tls_version = handshake_->version();
  peer.tls_resumed = handshake_->resumed();
  peer_ = std::make_shared<const Peer>(std::move(peer));
  channel_.StartTls(handshake_->TakeSsl());
  handshake_.reset();
  EndHandshakeTurn();
  Arm(EPOLLIN);
  StartServing();
  // The first requests often come with the last handshake message, and then lie inside OpenSSL already.
  if (state_ == State::kServing) Readable();
}

// ---- reading

bool Connection::ReadOnce(size_t& bytes) {
  auto& buffer = loop_.read_buffer();
  switch (channel_.Read(std::span<char>(buffer.data(), buffer.size()), bytes)) {
    case Channel::Io::kDone: return true;
    case Channel::Io::kAgain: return false;
    case Channel::Io::kClosed: break;
  }
  Close();
  return false;
}

void Connection::Readable() {
  for (int i = 0; i < kReadsPerRound; ++i) {
    size_t bytes = 0;
    if (!ReadOnce(bytes)) break;
    loop_.stats().bytes_received.Add(bytes);
    read_ns_ = loop_.now_ns();
    const auto* data = reinterpret_cast<const uint8_t*>(loop_.read_buffer().data());
    const ssize_t result = nghttp2_session_mem_recv(session_.get(), data, bytes);
    if (dead()) return;
    if (result < 0) return SessionFailed(result);
    // A short read emptied the socket; epoll tells when there is more, so no read() is spent on asking.
    if (channel_.tls() ? !channel_.HasPending() : bytes < Loop::kReadBytes) break;
  }
  if (dead()) return;
  MarkDirty();
  if (channel_.HasPending() && !std::exchange(deferred_, true)) loop_.Defer(*this);
}

void Connection::SessionFailed(ssize_t error) {
  if (out_of_memory_) return Cut(LimitKind::kSessionBytes);
  if (error == NGHTTP2_ERR_FLOODED) return Cut(LimitKind::kControlFrames);
  Close();
}

// ---- writing

void Connection::MarkDirty() {
  if (dirty_ || state_ != State::kServing) return;
  dirty_ = true;
  loop_.MarkDirty(*this);
}

void Connection::Arm(uint32_t events) {
  if (events == armed_events_ || dead()) return;
  armed_events_ = events;
  loop_.Change(channel_.fd(), *this, events);
}

bool Connection::WritePending() {
  if (pending_.empty()) return true;
  size_t written = 0;
  if (channel_.Write(pending_, written) == Channel::Io::kClosed) {
    Close();
    return false;
  }
  loop_.stats().bytes_sent.Add(written);
  if (written > 0) Progress();
  pending_.erase(0, written);
  ReleaseShared(written);
  if (pending_.empty()) std::string().swap(pending_);
  return true;
}

void Connection::KeepRest(absl::string_view rest) {
  // Bytes of frames already begun: they cannot be refused any more, only the connection can.
  if (!ReserveShared(rest.size())) return Cut(LimitKind::kBufferedBytes);
  pending_.assign(rest.data(), rest.size());
  Progress();
}

void Connection::Flush() {
  dirty_ = false;
  if (state_ != State::kServing || !WritePending()) return;
  for (int batch = 0; pending_.empty(); ++batch) {
    if (batch == kBatchesPerRound) {  // The others' turn.
      if (!std::exchange(deferred_, true)) loop_.Defer(*this);
      break;
    }
    std::string& out = loop_.write_buffer();
    out.clear();
    if (!GatherOutput(out)) return;
    if (out.empty()) break;
    size_t written = 0;
    if (channel_.Write(out, written) == Channel::Io::kClosed) return Close();
    loop_.stats().bytes_sent.Add(written);
    if (written > 0) Progress();
    if (written < out.size()) KeepRest(absl::string_view(out).substr(written));
    if (dead()) return;
    if (!output_blocked_) break;
  }
  RunWritable();
  // Between the two GOAWAYs of a drain the session wants nothing, and calls may be on their way all the same.
  if (pending_.empty() && !dirty_ && drain_ != DrainState::kNoticeSent &&
      nghttp2_session_want_read(session_.get()) == 0 && nghttp2_session_want_write(session_.get()) == 0) {
    return Linger();
  }
  Arm(pending_.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
  // Most messages are written in the round they were queued in; only what is left over is watched.
  if (!dead() && (waiting_messages_ > 0 || !pending_.empty())) WakeBy(NextDue());
}

void Connection::Linger() {
  // Closing with unread input makes the kernel send RST, which may destroy our last frames on their way.
  state_ = State::kLingering;
  channel_.ShutdownWrite();
  progress_ns_ = loop_.now_ns();
  WakeBy(NextDue());
  Arm(EPOLLIN);
}

void Connection::NotifyWritable(ServerStream& stream) {
  writable_.push_back(stream.shared_from_this());
  MarkDirty();
}

void Connection::RunWritable() {
  if (writable_.empty()) return;
  std::vector<std::shared_ptr<ServerStream>> streams;
  streams.swap(writable_);
  for (const auto& stream : streams) stream->RunWritable();
}

void Connection::OnMessageWaits() {
  if (waiting_messages_++ == 0) Progress();
}

// ---- the buffer budget

bool Connection::ReserveShared(size_t bytes) {
  Edge& edge = loop_.edge();
  if (source_->buffered_bytes.fetch_add(bytes, std::memory_order_relaxed) + bytes > edge.source.buffered_bytes_max) {
    source_->buffered_bytes.fetch_sub(bytes, std::memory_order_relaxed);
    return false;
  }
  if (edge.buffered_bytes.fetch_add(bytes, std::memory_order_relaxed) + bytes > edge.global.buffered_bytes_max) {
    source_->buffered_bytes.fetch_sub(bytes, std::memory_order_relaxed);
    edge.buffered_bytes.fetch_sub(bytes, std::memory_order_relaxed);
    return false;
  }
  return true;
}

void Connection::ReleaseShared(size_t bytes) {
  source_->buffered_bytes.fetch_sub(bytes, std::memory_order_relaxed);
  loop_.edge().buffered_bytes.fetch_sub(bytes, std::memory_order_relaxed);
}

bool Connection::ReserveRequest(size_t bytes) {
  if (request_bytes_ + bytes > limits().request_bytes_max || !ReserveShared(bytes)) return false;
  request_bytes_ += bytes;
  return true;
}

void Connection::ReleaseRequest(size_t bytes) {
  request_bytes_ -= bytes;
  ReleaseShared(bytes);
}

bool Connection::ReserveMetadata(size_t bytes) { return ReserveShared(bytes); }
void Connection::ReleaseMetadata(size_t bytes) { ReleaseShared(bytes); }

bool Connection::ReserveAnswer(size_t bytes) { return ReserveShared(bytes); }
void Connection::ReleaseAnswer(size_t bytes) { ReleaseShared(bytes); }

}  // namespace meshca::rpc
