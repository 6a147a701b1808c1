// One client connection: socket, TLS, HTTP/2 session, limits and age.
#ifndef MESHCA_CA_RPC_CONNECTION_H_
#define MESHCA_CA_RPC_CONNECTION_H_

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ca/rpc/channel.h"
#include "ca/rpc/edge.h"
#include "ca/rpc/fair_budget.h"
#include "ca/rpc/loop.h"
#include "ca/rpc/peer.h"
#include "ca/rpc/server_stream.h"
#include "ca/rpc/stream_history.h"
#include "ca/rpc/timer_heap.h"
#include "ca/rpc/token_bucket.h"

namespace meshca::rpc {

struct Http2Callbacks;

// Lives on one loop. Nothing destroys it from inside a callback: Close marks it dead, and the loop buries it at the end
// of the round.
class Connection final : public EventTarget, public Timer, public Residents::Entry, public PacedLanes::Entry {
 public:
  // `peer` lacks what TLS will tell. Counts itself in `source` and the edge until destroyed, as one of `room`; a client
  // certificate makes it another room's and another source's. `loop` and `listener` outlive it.
  Connection(Loop& loop, const Listener& listener, UniqueFd fd, Room room, std::shared_ptr<Source> source, Peer peer);
  ~Connection();

  uint64_t id() const { return id_; }

  // ---- from the loop
  void Start();
  void OnEvents(uint32_t events) override;
  const void* Taker() const override { return source_.get(); }
  void OnTimer() override;
  void OnDeferred();
  // The step of a paced handshake may run.
  void OnPacedTurn();
  void Flush();
  // GOAWAY in two steps (RFC 9113 §6.8): no new calls, the open ones go on.
  void Drain(absl::string_view why);
  // Ends the open calls Unavailable; the destructor follows.
  void Abandon();
  // Whoever is at the other end is not believed any more: the open calls end Unauthenticated, what they have not sent
  // yet is dropped, GOAWAY carries `why`, and nothing is served from here on.
  void Withdraw(absl::string_view why);
  // Somebody else needs the place: told so with GOAWAY, which clients answer by a new connection, and closed.
  void GiveWay();
  // Holds a turn and does not go on, while others of its source (or, where the process has no turn left, of all) wait.
  bool StallsOthers() const;
  void EndStalledHandshake();
  // Serves a client that showed a certificate.
  bool serves_certificate() const { return state_ == State::kServing && !peer_->certificate_chain_der.empty(); }

  // ---- from its streams
  Loop& loop() { return loop_; }
  nghttp2_session* session() { return session_.get(); }
  const Listener& listener() const { return listener_; }
  const ConnectionLimits& limits() const { return listener_.options.limits; }
  Source& source() { return *source_; }
  const std::shared_ptr<const Peer>& peer() const { return peer_; }
  bool draining() const { return drain_ != DrainState::kNo; }
  bool dead() const { return state_ == State::kDead; }
  void MarkDirty();
  // Buffer budget of connection, source and process. Nothing is reserved unless it kFits.
  Fit ReserveRequest(size_t bytes);
  void ReleaseRequest(size_t bytes);
  // What a call keeps of its request headers.
  Fit ReserveMetadata(size_t bytes);
  void ReleaseMetadata(size_t bytes);
  Fit ReserveAnswer(size_t bytes);
  void ReleaseAnswer(size_t bytes);
  // What the handlers of its streams keep.
  Fit ReserveHeld(size_t bytes);
  void ReleaseHeld(size_t bytes);
  // One more open call of source and process. False: it is refused with `refusal`, and counted.
  bool ReserveCall(absl::Status& refusal);
  void ReleaseCall() { loop_.edge().streams.GiveBack(source_->streams, 1); }
  // ResourceExhausted, for a client: whose part of the buffer budget is used up, and what to do. `fit` is not kFits.
  absl::Status TooMuchHeld(Fit fit) const;
  // One more message waits for the client. What the next Flush leaves over starts the watch on whether it reads.
  void OnMessageWaits();
  void OnMessagesGone(size_t count) { waiting_messages_ -= count; }
  void NotifyWritable(ServerStream& stream);
  // A source that goes on calling after it was told to slow down is cut as one that resets.
  void CountRefusedCall() { CountReset(); }
  // A header beyond header_bytes_max was decoded.
  void CountExcessHeader();
  void CountLimit(LimitKind kind) { loop_.stats().Count(kind); }
  // Counts it, and says so in the log, once a minute.
  void CountShutOut(LimitKind kind);
  bool privileged() const { return room_ == Room::kPrivileged; }
  // Ends the connection at once, with GOAWAY ENHANCE_YOUR_CALM where it can be written.
  void Cut(LimitKind kind);

 private:
  friend struct Http2Callbacks;
  enum class State { kTlsIdle, kTlsWaiting, kHandshaking, kServing, kLingering, kDead };
  enum class DrainState { kNo, kNoticeSent, kFinal };
  struct SessionDelete {
    void operator()(nghttp2_session* session) const { nghttp2_session_del(session); }
  };

  // connection_io.cc: bytes; connection.cc: time and endings
  bool TakeHandshakeTurn();
  void Handshake(bool paced_turn = false);
  void WaitInLane();
  void WaitForHandshakeTurn();
  void StopWaitingForTurn();
  void HandshakeFailed();
  void HandshakeDone();
  void EndHandshakeTurn();
  // Counts from now on by whoever the certificate names. False: that caller is shut out, and so is this connection.
  bool CountByIdentity(const TlsHandshake& handshake);
  void StartServing();
  void Readable();
  bool ReadOnce(size_t& bytes);
  void Linger();
  void Close();
  void LeaveQueues();
  void Arm(uint32_t events);
  // What epoll is to wake us for while kServing.
  uint32_t ServingEvents() const;
  // False, and closed, when the client is gone.
  bool WriteSome(absl::string_view bytes, size_t& written);
  bool WritePending();
  bool GatherOutput(std::string& out);
  void KeepRest(absl::string_view rest);
  Fit ReserveShared(size_t bytes) {
    return loop_.edge().buffered_bytes.Take(source_->buffered_bytes, bytes, privileged());
  }
  void ReleaseShared(size_t bytes) { loop_.edge().buffered_bytes.GiveBack(source_->buffered_bytes, bytes); }
  // Tells the streams that have room again. False: there were none, so nobody can have sent more.
  bool RunWritable();
  void SessionFailed(ssize_t error);
  void FinalGoaway();
  void EndStreamingCalls();
  void CheckServing();
  // Nothing goes on before the client reads: write_stall_timeout runs.
  bool WaitsForClient() const { return !pending_.empty() || waiting_messages_ > 0 || read_waits_for_room_; }
  int64_t NextDue() const;
  void WakeBy(int64_t due_ns);
  void Progress() { progress_ns_ = loop_.now_ns(); }

  // http2_callbacks.cc: frames
  bool OpenSession();
  bool OnFrameBegins(const nghttp2_frame_hd& header);
  void OnFrameSent(const nghttp2_frame& frame);
  void AddStream(int32_t stream_id);
  void RemoveStream(ServerStream& stream, uint32_t http2_error, const absl::Status& lost);
  bool CountReset();
  // Takes one from both buckets; false, and the connection cut, when one is in debt.
  bool Charge(TokenBucket& own, const RateLimit& own_limit, TokenBucket& shared, const RateLimit& shared_limit,
              LimitKind kind);

  Loop& loop_;
  const Listener& listener_;
  Room room_;
  std::shared_ptr<Source> source_;
  // Of the address, once source_ is that of a certificate; else null.
  std::shared_ptr<Source> address_;
  const uint64_t id_;
  Channel channel_;
  std::shared_ptr<const Peer> peer_;
  std::unique_ptr<TlsHandshake> handshake_;
  std::unique_ptr<nghttp2_session, SessionDelete> session_;

  State state_;
  DrainState drain_ = DrainState::kNo;
  bool dirty_ = false;  // the loop will call Flush, or it runs
  bool deferred_ = false;
  bool holds_handshake_turn_ = false;
  bool waits_for_turn_ = false;  // counted in Source::handshake_waiters
  bool was_paced_ = false;
  bool ping_outstanding_ = false;
  bool answered_since_ping_ = true;
  bool had_call_ = false;
  bool out_of_memory_ = false;          // the session met session_bytes_max
  bool output_blocked_ = false;         // GatherOutput stopped at its limit
  bool read_waits_for_room_ = false;    // TLS has to write before it reads on, and the socket is full
  bool write_waits_for_input_ = false;  // TLS has to read before it writes on, and the socket is empty
  bool grace_over_ = false;             // the drain's last words: streaming calls were ended
  uint32_t armed_events_ = 0;

  ServerStream* streams_ = nullptr;  // open ones
  uint32_t stream_count_ = 0;
  size_t waiting_messages_ = 0;
  std::vector<std::shared_ptr<ServerStream>> writable_;
  std::string pending_;  // bytes the socket did not take
  size_t request_bytes_ = 0;
  size_t held_bytes_ = 0;
  size_t session_bytes_ = 0;

  TokenBucket resets_;
  TokenBucket pings_;
  TokenBucket settings_;
  TokenBucket control_frames_;
  StreamHistory history_;

  // Monotonic nanoseconds.
  int64_t accepted_ns_;
  int64_t turn_ns_ = 0;                          // the handshake took its turn
  int64_t silent_since_ns_ = TimerHeap::kNever;  // the handshake waits for the client
  int64_t ready_ns_ = 0;
  int64_t idle_since_ns_ = 0;
  int64_t read_ns_ = 0;
  int64_t progress_ns_ = 0;  // when bytes for the client last moved, or began to wait
  int64_t ping_ns_ = 0;
  int64_t age_end_ns_ = TimerHeap::kNever;
  int64_t drain_ns_ = 0;
  int64_t armed_due_ns_ = TimerHeap::kNever;
  std::string drain_reason_;
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_CONNECTION_H_
