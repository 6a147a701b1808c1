// The bytes of a connection: handshake, reading, writing, and the buffer budget.
#include <openssl/crypto.h>
#include <sys/epoll.h>

#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/log.h"
#include "ca/rpc/connection.h"

namespace meshca::rpc {
namespace {

constexpr int kReadsPerRound = 4;
constexpr int kBatchesPerRound = 8;
// What a TLS record without data counts for among control frames. A KeyUpdate derives keys for both directions, as much
// work as hundreds of frames, and honest clients send one in gigabytes.
constexpr uint32_t kControlRecordCost = 1'000;
// How long an address is known for somebody with a certificate who came from it.
constexpr int64_t kKnownAddressNs = 600'000'000'000;
// Times handshake_stall that a handshake may take in all while others wait for its turn.
constexpr int64_t kStallsToTheEnd = 8;

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
  turn_ns_ = loop_.now_ns();
  loop_.HandshakeBegan(*this);
  return true;
}

void Connection::EndHandshakeTurn() {
  if (!std::exchange(holds_handshake_turn_, false)) return;
  source_->handshakes.fetch_sub(1, std::memory_order_relaxed);
  loop_.edge().handshakes.fetch_sub(1, std::memory_order_relaxed);
  loop_.HandshakeEnded(*this);
}

void Connection::WaitForHandshakeTurn() {
  state_ = State::kTlsWaiting;
  if (!std::exchange(waits_for_turn_, true)) source_->handshake_waiters.fetch_add(1, std::memory_order_relaxed);
  Arm(0);
  loop_.WaitForHandshake(*this);
}

void Connection::StopWaitingForTurn() {
  if (std::exchange(waits_for_turn_, false)) source_->handshake_waiters.fetch_sub(1, std::memory_order_relaxed);
}

void Connection::WaitInLane() {
  if (!std::exchange(was_paced_, true)) CountShutOut(LimitKind::kHandshakesPaced);
  PacedLanes::Lane lane = PacedLanes::Lane::kBegun;
  if (!handshake_) {
    const int64_t since_ns = loop_.now_ns() - source_->certified_ns.load(std::memory_order_relaxed);
    const bool known = source_->certified.load(std::memory_order_relaxed) > 0 || since_ns < kKnownAddressNs;
    lane = known ? PacedLanes::Lane::kKnown : PacedLanes::Lane::kUnknown;
    state_ = State::kTlsWaiting;
  }
  Arm(0);
  loop_.lanes().Add(*this, lane);
}

void Connection::OnPacedTurn() {
  if (state_ == State::kTlsWaiting || state_ == State::kHandshaking) Handshake(/*paced_turn=*/true);
}

bool Connection::StallsOthers() const {
  const int64_t stall_ns = absl::ToInt64Nanoseconds(limits().handshake_stall);
  const int64_t now = loop_.now_ns();
  // Who sends a byte now and then is not silent, but has had its time all the same.
  const bool silent = silent_since_ns_ != TimerHeap::kNever &&
                      (now - silent_since_ns_ > stall_ns || (now - turn_ns_) / kStallsToTheEnd > stall_ns);
  if (!silent) return false;
  Edge& edge = loop_.edge();
  return source_->handshake_waiters.load(std::memory_order_relaxed) > 0 ||
         edge.handshakes.load(std::memory_order_relaxed) >= edge.global.handshakes_max;
}

void Connection::EndStalledHandshake() {
  if (dead()) return;
  CountShutOut(LimitKind::kHandshakeStalled);
  HandshakeFailed();
}

void Connection::HandshakeFailed() {
  loop_.stats().handshakes_failed.Add();
  source_->handshake_failures.Charge(loop_.edge().source.handshake_failures, loop_.now_ns());
  Close();
}

void Connection::Handshake(bool paced_turn) {
  if (in_lane()) return;
  StopWaitingForTurn();
  silent_since_ns_ = TimerHeap::kNever;
  loop_.residents(room_).Touch(*this, /*busy=*/false);
  if (!paced_turn && source_->Paced(loop_.edge().source, loop_.now_ns())) return WaitInLane();
  // An SSL in handshake holds 70 KB, so only so many exist; the others wait with 1 KB each, their bytes in the kernel.
  if (!holds_handshake_turn_ && !TakeHandshakeTurn()) return WaitForHandshakeTurn();
  if (!paced_turn && !loop_.TakeHandshakeTurn()) {
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
    case TlsHandshake::Step::kWantRead: silent_since_ns_ = loop_.now_ns(); return Arm(EPOLLIN);
    case TlsHandshake::Step::kWantWrite: silent_since_ns_ = loop_.now_ns(); return Arm(EPOLLOUT);
    case TlsHandshake::Step::kFailed: break;
  }
  if (handshake_->mistake()) {
    loop_.edge().mistakes.Tell(*handshake_->mistake(), peer_->address, handshake_->error(), loop_.now_ns());
  } else {
    LogDebug("TLS handshake failed", {{"peer", peer_->address}, {"error", handshake_->error()}});
  }
  HandshakeFailed();
}

bool Connection::CountByIdentity(const TlsHandshake& handshake) {
  Edge& edge = loop_.edge();
  const int64_t now = loop_.now_ns();
  const auto refuse = [this, &edge, now](LimitKind limit, const Source& source) {
    CountLimit(limit);
    edge.shut_out.Tell(limit, source, peer_->address, now);
    return false;
  };
  if (peer_->certificate_chain_der.empty()) {
    return !source_->OverRate(edge.source, now) || refuse(LimitKind::kSourceOverRate, *source_);
  }
  const std::string name = handshake.counted_as();
  std::shared_ptr<Source> identity =
      edge.sources.Find(SourceKey::OfIdentity(name.empty() ? peer_->certificate_chain_der[0] : name), now,
                        name.empty() ? absl::string_view("a client certificate") : absl::string_view(name));
  if (identity->OverRate(edge.source, now)) return refuse(LimitKind::kSourceOverRate, *identity);
  if (identity->connections.load(std::memory_order_relaxed) >= edge.plan.per_source_max) {
    return refuse(LimitKind::kConnectionsPerSource, *identity);
  }
  if (source_->certified.load(std::memory_order_relaxed) >= edge.plan.certified_per_address_max) {
    return refuse(LimitKind::kConnectionsPerSource, *source_);
  }
  loop_.residents(room_).Remove(*this);
  source_->connections.fetch_sub(1, std::memory_order_relaxed);
  source_->certified.fetch_add(1, std::memory_order_relaxed);
  source_->certified_ns.store(now, std::memory_order_relaxed);
  source_->last_seen_ns.store(now, std::memory_order_relaxed);
  edge.Open(room_).fetch_sub(1, std::memory_order_relaxed);
  address_ = std::exchange(source_, std::move(identity));
  room_ = Room::kCertified;
  source_->connections.fetch_add(1, std::memory_order_relaxed);
  edge.Open(room_).fetch_add(1, std::memory_order_relaxed);
  loop_.residents(room_).Add(*this, *source_);
  return true;
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
  EndHandshakeTurn();  // A turn is the address's, so before the source changes.
  if (!CountByIdentity(*handshake_)) return Close();
  channel_.StartTls(handshake_->TakeSsl());
  handshake_.reset();
  Arm(EPOLLIN);
  StartServing();
  // The first requests often come with the last handshake message, and then lie inside OpenSSL already.
  if (state_ == State::kServing) Readable();
}

// ---- reading

bool Connection::ReadOnce(size_t& bytes) {
  auto& buffer = loop_.read_buffer();
  const Channel::Io io = channel_.Read(std::span<char>(buffer.data(), buffer.size()), bytes);
  const uint32_t records = channel_.TakeControlRecords();
  if (records > Channel::kControlRecordsAtOnce ||
      (records > 0 && !control_frames_.Charge(limits().control_frames, loop_.now_ns(), records * kControlRecordCost))) {
    Cut(LimitKind::kControlFrames);
    return false;
  }
  const bool waits = io == Channel::Io::kWaitsForRoom;
  if (waits && !read_waits_for_room_) Progress();  // From here on the client has to read something.
  read_waits_for_room_ = waits;
  if (io == Channel::Io::kClosed) Close();
  return io == Channel::Io::kDone;
}

void Connection::Readable() {
  bool more = true;
  for (int i = 0; more && i < kReadsPerRound; ++i) {
    size_t bytes = 0;
    if (!ReadOnce(bytes)) {
      more = false;
      break;
    }
    loop_.stats().bytes_received.Add(bytes);
    read_ns_ = loop_.now_ns();
    const auto* data = reinterpret_cast<const uint8_t*>(loop_.read_buffer().data());
    const ssize_t result = nghttp2_session_mem_recv(session_.get(), data, bytes);
    if (result == NGHTTP2_ERR_BAD_CLIENT_MAGIC) {
      const absl::string_view begin(loop_.read_buffer().data(), bytes);
      loop_.edge().mistakes.Tell(MistakeOfPreface(begin, channel_.tls()), peer_->address, "", loop_.now_ns());
    }
    // Whoever needed them has copied them; a token among them must not lie here until others overwrite it.
    OPENSSL_cleanse(loop_.read_buffer().data(), bytes);
    if (dead()) return;
    if (result < 0) return SessionFailed(result);
    // A short read emptied the socket; epoll tells when there is more, so no read() is spent on asking.
    more = channel_.tls() ? channel_.HasPending() : bytes == Loop::kReadBytes;
  }
  if (dead()) return;
  MarkDirty();
  // What TLS holds back after a read that waits is half a record: the socket will tell when there is more of it.
  if (more && channel_.HasPending() && !std::exchange(deferred_, true)) loop_.Defer(*this);
}

void Connection::SessionFailed(ssize_t error) {
  if (out_of_memory_) return Cut(LimitKind::kSessionBytes);
  if (error == NGHTTP2_ERR_FLOODED) return Cut(LimitKind::kControlFrames);
  if (error == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS) return Cut(LimitKind::kHeaderBytes);
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

uint32_t Connection::ServingEvents() const {
  // Only what can be made use of: epoll reports anything else again in each round, for as long as it lasts.
  if (read_waits_for_room_) return EPOLLOUT;
  const bool write = !pending_.empty() && !write_waits_for_input_;
  return write ? EPOLLIN | EPOLLOUT : EPOLLIN;
}

bool Connection::WriteSome(absl::string_view bytes, size_t& written) {
  const Channel::Io io = channel_.Write(bytes, written);
  write_waits_for_input_ = io == Channel::Io::kWaitsForInput;
  loop_.stats().bytes_sent.Add(written);
  if (written > 0) Progress();
  if (io == Channel::Io::kClosed) Close();
  return io != Channel::Io::kClosed;
}

bool Connection::WritePending() {
  if (pending_.empty()) return true;
  size_t written = 0;
  if (!WriteSome(pending_, written)) return false;
  pending_.erase(0, written);
  ReleaseShared(written);
  if (pending_.empty()) std::string().swap(pending_);
  return true;
}

void Connection::KeepRest(absl::string_view rest) {
  // Bytes of frames already begun: they cannot be refused any more, only the connection can.
  if (ReserveShared(rest.size()) != Fit::kFits) return Cut(LimitKind::kBufferedBytes);
  pending_.assign(rest.data(), rest.size());
  Progress();
}

void Connection::Flush() {
  // Until the end, so that nothing inside marks the connection once more: GatherOutput hands out what the session's
  // callbacks submit (trailers behind the last message, say), and for the rest the next round is early enough. A second
  // Flush in this round would take the others' turn.
  dirty_ = true;
  if (state_ != State::kServing || !WritePending()) return;
  for (int batch = 0; pending_.empty(); ++batch) {
    if (batch == kBatchesPerRound) {  // The others' turn.
      if (!std::exchange(deferred_, true)) loop_.Defer(*this);
      break;
    }
    std::string& out = loop_.write_buffer();
    out.clear();
    if (!GatherOutput(out)) {
      OPENSSL_cleanse(out.data(), out.size());
      return;
    }
    if (out.empty()) break;
    size_t written = 0;
    if (!WriteSome(out, written)) {
      OPENSSL_cleanse(out.data(), out.size());
      return;
    }
    if (written < out.size()) KeepRest(absl::string_view(out).substr(written));
    OPENSSL_cleanse(out.data(), out.size());  // private keys go this way
    if (dead()) return;
    if (!output_blocked_) break;
  }
  const bool more_was_sent = RunWritable();
  dirty_ = false;
  if (more_was_sent && !std::exchange(deferred_, true)) loop_.Defer(*this);
  // Between the two GOAWAYs of a drain the session wants nothing, and calls may be on their way all the same.
  if (pending_.empty() && !more_was_sent && drain_ != DrainState::kNoticeSent &&
      nghttp2_session_want_read(session_.get()) == 0 && nghttp2_session_want_write(session_.get()) == 0) {
    return Linger();
  }
  Arm(ServingEvents());
  // Most messages are written in the round they were queued in; only what is left over is watched.
  if (!dead() && WaitsForClient()) WakeBy(NextDue());
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

bool Connection::RunWritable() {
  if (writable_.empty()) return false;
  std::vector<std::shared_ptr<ServerStream>> streams;
  streams.swap(writable_);
  for (const auto& stream : streams) stream->RunWritable();
  return true;
}

void Connection::OnMessageWaits() {
  if (waiting_messages_++ == 0) Progress();
}

// ---- the buffer budget

Fit Connection::ReserveRequest(size_t bytes) {
  if (request_bytes_ + bytes > limits().request_bytes_max) return Fit::kConnectionFull;
  const Fit fit = ReserveShared(bytes);
  if (fit == Fit::kFits) request_bytes_ += bytes;
  return fit;
}

void Connection::ReleaseRequest(size_t bytes) {
  request_bytes_ -= bytes;
  ReleaseShared(bytes);
}

Fit Connection::ReserveMetadata(size_t bytes) { return ReserveShared(bytes); }
void Connection::ReleaseMetadata(size_t bytes) { ReleaseShared(bytes); }

Fit Connection::ReserveHeld(size_t bytes) {
  if (held_bytes_ + bytes > limits().held_bytes_max) return Fit::kConnectionFull;
  const Fit fit = ReserveShared(bytes);
  if (fit == Fit::kFits) held_bytes_ += bytes;
  return fit;
}

void Connection::ReleaseHeld(size_t bytes) {
  held_bytes_ -= bytes;
  ReleaseShared(bytes);
}

Fit Connection::ReserveAnswer(size_t bytes) { return ReserveShared(bytes); }
void Connection::ReleaseAnswer(size_t bytes) { ReleaseShared(bytes); }

absl::Status Connection::TooMuchHeld(Fit fit) const {
  if (fit == Fit::kConnectionFull) {
    return absl::ResourceExhaustedError(
        "one connection has all that is kept for it: finish or end some of its calls, or use several connections");
  }
  const FairBudget& budget = loop_.edge().buffered_bytes;
  const size_t held = source_->buffered_bytes.load(std::memory_order_relaxed);
  if (fit == Fit::kShareUsed) {
    return absl::ResourceExhaustedError(absl::StrCat(
        source_->name, " holds ", held, " of the ", budget.share(),
        " bytes that one caller may: read the answers that wait, end calls, or raise limits.buffered_mib_max"));
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("all callers together use up limits.buffered_mib_max; the rest is for callers that hold at most ",
                   budget.little(), " bytes, and ", source_->name, " holds ", held, ": end calls, or try again later"));
}

// ---- open calls

bool Connection::ReserveCall(absl::Status& refusal) {
  FairBudget& budget = loop_.edge().streams;
  const Fit fit = budget.Take(source_->streams, 1, privileged());
  if (fit == Fit::kFits) return true;
  const size_t open = source_->streams.load(std::memory_order_relaxed);
  if (fit == Fit::kShareUsed) {
    CountShutOut(LimitKind::kStreamsPerSource);
    refusal = absl::ResourceExhaustedError(absl::StrCat(source_->name, " has ", open,
                                                        " calls open, as many as one caller may: end some, or raise "
                                                        "limits.streams_max"));
  } else {
    CountShutOut(LimitKind::kStreamsGlobal);
    refusal = absl::ResourceExhaustedError(absl::StrCat(
        "all callers together use up limits.streams_max; the rest is for callers with at most ", budget.little(),
        " open calls, and ", source_->name, " has ", open, ": end some, or try again later"));
  }
  // The answer may wait for a client that does not read, and the stream with it: there is no end to those either.
  CountRefusedCall();
  return false;
}

}  // namespace meshca::rpc
