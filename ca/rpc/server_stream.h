// One HTTP/2 stream that carries a call: gRPC's rules between HTTP/2 frames and handlers.
#ifndef MESHCA_CA_RPC_SERVER_STREAM_H_
#define MESHCA_CA_RPC_SERVER_STREAM_H_

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/inlined_vector.h"
#include "ca/rpc/fair_budget.h"
#include "ca/rpc/loop_stats.h"
#include "ca/rpc/mailbox.h"
#include "ca/rpc/request_check.h"
#include "ca/rpc/router.h"
#include "ca/rpc/stream.h"
#include "ca/rpc/timer_heap.h"

namespace meshca::rpc {

class Connection;

// Owned by itself while its HTTP/2 stream is open, then by whoever still holds a Call or StreamHandle. Everything is
// the loop thread's except what says otherwise; once closed, nothing of the connection is touched any more.
class ServerStream final : public Stream,
                           public StreamLink,
                           public Timer,
                           public std::enable_shared_from_this<ServerStream> {
 public:
  // `within_rate`: its source may begin one more call now.
  ServerStream(Connection& connection, int32_t id, bool within_rate);

  // ---- what the HTTP/2 session tells
  // `ends`: END_STREAM came with it; OnHalfClose follows.
  void OnHeader(absl::string_view name, absl::string_view value);
  void OnHeadersEnd(bool ends);
  void OnTrailer(absl::string_view name, absl::string_view value);
  void OnTrailersEnd(bool ends);
  void OnData(absl::string_view data);
  void OnDataEnd();
  void OnHalfClose();
  // `http2_error` is RST_STREAM's code, 0 for an orderly end; `lost` says that the whole connection went.
  void OnClosed(uint32_t http2_error, const absl::Status& lost);

  // How many bytes of the next DATA frame, at most `max`. `last`: of those that wait now.
  size_t NextDataBytes(size_t max, bool& last);
  // Appends that many bytes to `out`.
  void TakeData(size_t bytes, std::string& out);
  // The DATA frame has gone out.
  void OnDataSent();
  // Room after a refused Send: from Connection, outside nghttp2.
  void RunWritable();

  int32_t id() const { return id_; }
  bool half_closed() const { return half_closed_; }
  // A streaming call ends; a unary one is left to finish.
  void EndStreaming(const absl::Status& status);
  // A call of either kind ends, and what it has not sent yet is dropped. Its status needs no room in the client's
  // windows. Where a part of a message is out already, the stream is reset instead.
  void EndNow(const absl::Status& status);

  // ---- Call (server_call.cc)
  struct Answer {
    Payload payload;  // null: `status` is the answer
    absl::Status status;
    std::unique_ptr<Metadata> initial;
    std::unique_ptr<Metadata> trailing;
  };
  void DeliverAnswer(Answer answer);
  void SetOnCancel(absl::AnyInvocable<void() &&> on_cancel);
  // Any thread.
  bool cancelled() const { return cancelled_.load(std::memory_order_acquire); }
  absl::string_view request() const { return absl::string_view(in_).substr(kFramePrefixBytes); }

  // ---- Stream
  bool Send(Payload message) override;
  void Finish(const absl::Status& status) override;
  void SendInitialMetadata() override;
  void AddInitialMetadata(absl::string_view name, absl::string_view value) override;
  void AddTrailingMetadata(absl::string_view name, absl::string_view value) override;
  absl::Status HoldBytes(size_t bytes) override;
  size_t queued_messages() const override { return out_.size(); }
  absl::string_view method() const override { return method_->path; }
  const std::shared_ptr<const Peer>& peer() const override { return peer_; }
  const Metadata& client_metadata() const override { return client_metadata_; }
  absl::Time deadline() const override { return deadline_; }
  StreamHandle handle() override;

  // ---- StreamLink; any thread
  void Post(absl::AnyInvocable<void(StreamHandler&) &&> visit) override;
  void Visit(const std::function<void(StreamHandler&)>& visit) override;
  const std::shared_ptr<Mailbox>& mailbox() const override { return mailbox_; }

  // ---- Timer: the deadline
  void OnTimer() override;

  // Links of the connection's list of open streams.
  ServerStream* previous = nullptr;
  ServerStream* next = nullptr;
  // The stream's hold on itself while it is open.
  std::shared_ptr<ServerStream> self;

 private:
  struct Waiting {
    Payload payload;
    uint32_t charge;  // what it holds of the buffer budget
  };

  // Adds to header_bytes_. False: there are too many by now, and this header is not looked at.
  bool CountHeader(absl::string_view name, absl::string_view value);
  // The request breaks HTTP/2's rules: the stream is reset, and nothing more of it is read.
  void Malformed();
  // What is wrong with the request's headers; Ok starts the call.
  absl::Status Judge();
  void OnTimeout(absl::string_view value);
  void AddClientMetadata(absl::string_view name, absl::string_view value);
  void StartUnary();
  void StartStreaming();
  void OnUnaryData(absl::string_view data);
  void OnStreamData(absl::string_view data);
  // The length in a prefix; nothing, and the call refused, when it breaks a rule.
  bool ReadPrefix(absl::string_view prefix, size_t& length);
  void DropInput();
  void DropOutput();
  void Enqueue(Payload payload, uint32_t charge);
  // What waits is nghttp2's to send; where nothing does, and nothing will, trailers are, and at once: the client's
  // windows do not hold them back.
  void OfferOutput();
  void SubmitTrailers();
  void Cancel();
  void End(const absl::Status& status);
  void CountEnd(absl::StatusCode code);
  void AnswerHttp(const char* status);
  void RefuseOverRate();
  void SubmitTrailersOnly();
  void MarkDirty();

  Connection* connection_;  // null once closed
  const std::shared_ptr<Mailbox> mailbox_;
  const std::shared_ptr<const Peer> peer_;
  const Router::Method* method_ = nullptr;
  MethodCounters* counters_ = nullptr;
  const int32_t id_;
  uint32_t header_bytes_ = 0;
  uint32_t metadata_charge_ = 0;  // what client_metadata_ holds of the buffer budget

  bool post_ : 1 = false;
  bool grpc_ : 1 = false;
  bool started_ : 1 = false;           // a handler knows of it
  bool half_closed_ : 1 = false;       // the client sends no more
  bool headers_sent_ : 1 = false;      // handed to nghttp2
  bool data_offered_ : 1 = false;      // nghttp2 asks for it until it has all that waits
  bool data_ends_ : 1 = false;         // with the DATA frame that nghttp2 has begun: it asks no more
  bool finished_ : 1 = false;          // the status stands
  bool blocked_ : 1 = false;           // a Send was refused
  bool counts_in_source_ : 1 = false;  // and in the edge
  bool headers_too_large_ : 1 = false;
  bool compressed_ : 1 = false;
  bool bad_timeout_ : 1 = false;
  bool bad_metadata_ : 1 = false;
  bool malformed_ : 1 = false;
  bool within_rate_ : 1;
  Fit metadata_fit_ = Fit::kFits;  // whether the buffer budget had room for client_metadata_
  RequestCheck check_;
  std::atomic<bool> cancelled_{false};

  int64_t begun_ns_;
  absl::Time deadline_ = absl::InfiniteFuture();
  int64_t deadline_ns_ = TimerHeap::kNever;
  Metadata client_metadata_;

  std::string in_;        // unary: the request; streaming: a message that is not whole yet
  size_t in_charge_ = 0;  // what it holds of the buffer budget
  absl::InlinedVector<Waiting, 1> out_;
  size_t promised_ = 0;     // of the first ones, in a DATA frame nghttp2 has begun
  size_t out_bytes_ = 0;    // of all in out_
  size_t out_offset_ = 0;   // of the first, gone already
  size_t held_charge_ = 0;  // HoldBytes

  absl::Status status_;
  std::unique_ptr<Metadata> initial_;
  std::unique_ptr<Metadata> trailing_;
  std::unique_ptr<StreamHandler> handler_;
  absl::AnyInvocable<void() &&> on_cancel_;
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_SERVER_STREAM_H_
