#include "ca/rpc/server_stream.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "ca/base/status.h"
#include "ca/rpc/connection.h"
#include "ca/rpc/grpc_wire.h"
#include "ca/rpc/server_call.h"

namespace meshca::rpc {
namespace {

constexpr uint32_t kHeaderOverhead = 32;  // RFC 9113 §6.5.2

}  // namespace

ServerStream::ServerStream(Connection& connection, int32_t id, bool within_rate)
    : connection_(&connection),
      mailbox_(connection.loop().mailbox()),
      peer_(connection.peer()),
      id_(id),
      within_rate_(within_rate),
      begun_ns_(connection.loop().now_ns()) {}

void ServerStream::MarkDirty() { connection_->MarkDirty(); }

// ---- request headers

void ServerStream::Malformed() {
  if (malformed_) return;
  malformed_ = true;
  nghttp2_submit_rst_stream(connection_->session(), NGHTTP2_FLAG_NONE, id_, NGHTTP2_PROTOCOL_ERROR);
  MarkDirty();
}

void ServerStream::OnTrailer(absl::string_view name, absl::string_view value) {
  // What a client says in trailers means nothing to gRPC, but they must be well-formed, and come to an end.
  if (!CountHeader(name, value)) return;
  if (!malformed_ && check_.OnTrailer(name, value) == RequestCheck::Verdict::kMalformed) Malformed();
}

void ServerStream::OnTrailersEnd(bool ends) {
  if (connection_->dead()) return;
  if (!malformed_ && !check_.OnTrailersEnd(ends)) Malformed();
}

void ServerStream::OnDataEnd() {
  if (!malformed_ && !check_.OnEnd()) Malformed();
}

// The rest of a block that is too long is decoded all the same: what HPACK remembers of it the next requests of the
// connection rest on. So it costs the stream alone, within bounds: of the bytes on the wire (continuations_max), of
// what they come to (one byte may stand for 4 KB) and of the headers, each of which counts as a control frame.
bool ServerStream::CountHeader(absl::string_view name, absl::string_view value) {
  header_bytes_ += static_cast<uint32_t>(name.size() + value.size()) + kHeaderOverhead;
  const ConnectionLimits& limits = connection_->limits();
  if (header_bytes_ <= limits.header_bytes_max) return true;
  headers_too_large_ = true;
  if (header_bytes_ > limits.header_bytes_cut) {
    connection_->Cut(LimitKind::kHeaderBytes);
  } else {
    connection_->CountExcessHeader();
  }
  return false;
}

void ServerStream::OnHeader(absl::string_view name, absl::string_view value) {
  if (!CountHeader(name, value)) {
    // Nothing of it is kept any more, but whether the answer has to be gRPC's.
    if (name == "content-type") grpc_ = IsGrpcContentType(value);
    return;
  }
  if (malformed_) return;
  switch (check_.OnHeader(name, value)) {
    case RequestCheck::Verdict::kTake: break;
    case RequestCheck::Verdict::kIgnore: return;
    case RequestCheck::Verdict::kMalformed: return Malformed();
  }
  if (name[0] == ':') {
    if (name == ":path") {
      method_ = connection_->listener().options.router->Find(value);
      if (method_ == nullptr) status_ = absl::UnimplementedError(absl::StrCat("no method ", value.substr(0, 256)));
    } else if (name == ":method") {
      post_ = value == "POST";
    }
  } else if (name == "content-type") {
    grpc_ = IsGrpcContentType(value);
  } else if (absl::StartsWith(name, "grpc-")) {
    if (name == "grpc-timeout") OnTimeout(value);
    if (name == "grpc-encoding") compressed_ = value != "identity";
  } else if (name != "te" && name != "accept-encoding") {
    AddClientMetadata(name, value);
  }
}

void ServerStream::OnTimeout(absl::string_view value) {
  auto timeout = ParseTimeout(value);
  if (!timeout) {
    bad_timeout_ = true;
    return;
  }
  constexpr absl::Duration kForever = absl::Hours(24 * 365);
  if (*timeout > kForever) return;
  deadline_ = absl::Now() + *timeout;
  deadline_ns_ = begun_ns_ + absl::ToInt64Nanoseconds(*timeout);
}

void ServerStream::AddClientMetadata(absl::string_view name, absl::string_view value) {
  if (metadata_fit_ != Fit::kFits) return;
  // Kept while the call is open, and HPACK makes it cheap to send: without the budget, calls that do nothing else would
  // fill the memory.
  const size_t charge = name.size() + value.size() + kHeaderOverhead;
  metadata_fit_ = connection_->ReserveMetadata(charge);
  if (metadata_fit_ != Fit::kFits) return;
  metadata_charge_ += static_cast<uint32_t>(charge);
  if (!absl::EndsWith(name, "-bin")) return client_metadata_.AddUnchecked(name, value);
  for (absl::string_view part : absl::StrSplit(value, ',')) {
    std::string bytes;
    if (!DecodeBinaryValue(part, bytes)) {
      bad_metadata_ = true;
      return;
    }
    client_metadata_.AddUnchecked(name, bytes);
  }
}

absl::Status ServerStream::Judge() {
  const Router& router = *connection_->listener().options.router;
  if (headers_too_large_) {
    connection_->CountLimit(LimitKind::kHeaderBytes);
    connection_->CountRefusedCall();
    return absl::ResourceExhaustedError(
        absl::StrCat("the request headers are ", header_bytes_, " bytes long (names, values and 32 for each), and ",
                     connection_->limits().header_bytes_max, " are taken: send less metadata"));
  }
  if (metadata_fit_ != Fit::kFits) {
    connection_->CountShutOut(LimitKind::kBufferedBytes);
    return Annotate(connection_->TooMuchHeld(metadata_fit_), "metadata of open calls");
  }
  if (bad_timeout_) return absl::InternalError("grpc-timeout is malformed");
  if (bad_metadata_) return absl::InternalError("a binary metadata value is not base64");
  if (method_ == nullptr) {
    absl::string_view path(status_.message().data(), status_.message().size());
    path.remove_prefix(std::min<size_t>(path.size(), absl::string_view("no method /").size()));
    const absl::string_view service = path.substr(0, path.find('/'));
    if (router.HasService(service)) return status_;
    return absl::UnimplementedError(absl::StrCat("no service ", service));
  }
  if (compressed_) return absl::UnimplementedError("compressed messages are not supported");
  if (connection_->loop().draining()) return absl::UnavailableError("the server is shutting down");
  absl::Status refusal;
  counts_in_source_ = connection_->ReserveCall(refusal);
  return refusal;
}

void ServerStream::OnHeadersEnd(bool ends) {
  // What lies beyond the limit was not looked at: such a request is told so, well-formed or not.
  if (!malformed_ && !headers_too_large_ && !check_.OnHeadersEnd(ends)) Malformed();
  if (malformed_) return;
  const Listener& listener = connection_->listener();
  const Router& router = *listener.options.router;
  const size_t index = method_ != nullptr ? method_->index : router.methods().size();
  counters_ = &connection_->loop().stats().methods[listener.methods_offset + index];
  counters_->open.Add();
  if (!within_rate_) return RefuseOverRate();
  if (!post_) return AnswerHttp("405");
  if (!grpc_) return AnswerHttp(headers_too_large_ ? "431" : "415");
  absl::Status verdict = Judge();
  if (connection_->dead()) return;
  status_ = absl::OkStatus();
  if (!verdict.ok()) return End(verdict);
  if (deadline_ns_ != TimerHeap::kNever) connection_->loop().timers().Set(*this, deadline_ns_);
  if (method_->stream) StartStreaming();
}

void ServerStream::RefuseOverRate() {
  connection_->CountShutOut(LimitKind::kCalls);
  connection_->CountRefusedCall();
  if (connection_->dead()) return;
  if (!post_ || !grpc_) return AnswerHttp("429");
  status_ = absl::OkStatus();
  End(absl::ResourceExhaustedError("too many calls a second from this source; call again later, and less often"));
}

void ServerStream::AnswerHttp(const char* status) {
  finished_ = true;
  headers_sent_ = true;
  status_ = absl::UnknownError(absl::StrCat("HTTP ", status));
  CountEnd(absl::StatusCode::kUnknown);
  static const char kName[] = ":status";
  const nghttp2_nv header = {reinterpret_cast<uint8_t*>(const_cast<char*>(kName)),
                             reinterpret_cast<uint8_t*>(const_cast<char*>(status)), 7, 3, NGHTTP2_NV_FLAG_NONE};
  nghttp2_submit_response(connection_->session(), id_, &header, 1, nullptr);
  MarkDirty();
}

// ---- request messages

bool ServerStream::ReadPrefix(absl::string_view prefix, size_t& length) {
  length = 0;
  for (int i = 1; i <= 4; ++i) length = length << 8 | static_cast<uint8_t>(prefix[i]);
  if (prefix[0] != 0) {
    End(prefix[0] == 1 ? absl::UnimplementedError("compressed messages are not supported")
                       : absl::InternalError("a message prefix has unknown flags"));
    return false;
  }
  if (length > method_->message_bytes_max) {
    connection_->CountLimit(LimitKind::kMessageBytes);
    End(absl::ResourceExhaustedError(absl::StrCat("a message of ", length, " bytes is above the limit of ",
                                                  method_->message_bytes_max, " for ", method_->path)));
    return false;
  }
  return true;
}

void ServerStream::OnData(absl::string_view data) {
  if (malformed_) return;
  if (!check_.OnData(data.size())) return Malformed();
  if (finished_) return;
  if (method_->stream) {
    OnStreamData(data);
  } else {
    OnUnaryData(data);
  }
}

void ServerStream::OnUnaryData(absl::string_view data) {
  if (const Fit fit = connection_->ReserveRequest(data.size()); fit != Fit::kFits) {
    connection_->CountShutOut(LimitKind::kBufferedBytes);
    return End(Annotate(connection_->TooMuchHeld(fit), "unfinished requests"));
  }
  in_charge_ += data.size();
  const bool had_prefix = in_.size() >= kFramePrefixBytes;
  in_.append(data.data(), data.size());
  if (in_.size() < kFramePrefixBytes) return;
  size_t length = 0;
  if (!had_prefix || in_.size() > kFramePrefixBytes + method_->message_bytes_max) {
    if (!ReadPrefix(in_, length)) return;
    if (in_.size() > kFramePrefixBytes + method_->message_bytes_max) {
      End(absl::InternalError("a unary call has one request message"));
    }
  }
}

void ServerStream::OnStreamData(absl::string_view data) {
  // Whole messages are handed over from where they were read; only what is not whole yet is kept.
  while (!data.empty() && !finished_ && !connection_->dead()) {
    const bool direct = in_.empty();
    absl::string_view view = direct ? data : absl::string_view(in_);
    size_t length = 0;
    bool whole = false;
    if (view.size() >= kFramePrefixBytes) {
      if (!ReadPrefix(view, length)) return;
      whole = view.size() >= kFramePrefixBytes + length;
    }
    if (direct && whole) {
      counters_->messages_received.Add();
      handler_->OnMessage(view.substr(kFramePrefixBytes, length));
      data.remove_prefix(kFramePrefixBytes + length);
      continue;
    }
    // Up to the end of the prefix, then up to the end of the message.
    const size_t wanted = view.size() < kFramePrefixBytes || direct ? kFramePrefixBytes : kFramePrefixBytes + length;
    size_t take = direct ? data.size() : std::min(data.size(), wanted - in_.size());
    if (const Fit fit = connection_->ReserveRequest(take); fit != Fit::kFits) {
      connection_->CountShutOut(LimitKind::kBufferedBytes);
      return End(Annotate(connection_->TooMuchHeld(fit), "unfinished messages"));
    }
    in_charge_ += take;
    in_.append(data.data(), take);
    data.remove_prefix(take);
    if (in_.size() < kFramePrefixBytes) continue;
    if (!ReadPrefix(in_, length)) return;
    if (in_.size() < kFramePrefixBytes + length) continue;
    const std::string message = std::exchange(in_, std::string());
    DropInput();
    counters_->messages_received.Add();
    handler_->OnMessage(absl::string_view(message).substr(kFramePrefixBytes));
  }
}

void ServerStream::DropInput() {
  if (in_charge_ == 0) return;
  connection_->ReleaseRequest(std::exchange(in_charge_, 0));
}

void ServerStream::OnHalfClose() {
  half_closed_ = true;
  if (finished_ || malformed_) return;
  if (!method_->stream) return StartUnary();
  if (!in_.empty()) return End(absl::InternalError("the last message is cut short"));
  handler_->OnHalfClose();
}

void ServerStream::StartUnary() {
  size_t length = 0;
  if (in_.size() < kFramePrefixBytes) {
    return End(absl::InternalError(in_.empty() ? "a unary call has one request message, this has none"
                                               : "the request message is cut short"));
  }
  if (!ReadPrefix(in_, length)) return;
  if (in_.size() != kFramePrefixBytes + length) {
    return End(absl::InternalError(in_.size() < kFramePrefixBytes + length ? "the request message is cut short"
                                                                           : "a unary call has one request message"));
  }
  counters_->messages_received.Add();
  started_ = true;
  method_->unary(MakeCall(shared_from_this()));
}

void ServerStream::StartStreaming() {
  started_ = true;
  std::unique_ptr<StreamHandler> handler = method_->stream(*this);
  if (!handler) {
    if (!finished_) End(absl::InternalError("the stream was not accepted"));
    return;
  }
  handler_ = std::move(handler);
}

// ---- the end

void ServerStream::OnTimer() { EndNow(absl::DeadlineExceededError("the call's deadline passed")); }

void ServerStream::EndNow(const absl::Status& status) {
  if (finished_ || counters_ == nullptr) return;
  if (out_offset_ > 0 || promised_ > 0) {
    // Half a message is out, so trailers cannot follow it.
    finished_ = true;
    status_ = status;
    CountEnd(status.code());
    nghttp2_submit_rst_stream(connection_->session(), NGHTTP2_FLAG_NONE, id_, NGHTTP2_CANCEL);
    MarkDirty();
  } else {
    DropOutput();  // It would come too late as well.
    End(status);
  }
  Cancel();
}

void ServerStream::DropOutput() {
  connection_->OnMessagesGone(out_.size());
  for (const Waiting& waiting : out_) connection_->ReleaseAnswer(waiting.charge);
  out_.clear();
  out_bytes_ = 0;
  out_offset_ = 0;
}

void ServerStream::Cancel() {
  if (method_ == nullptr || method_->stream || !started_) return;
  cancelled_.store(true, std::memory_order_release);
  if (auto on_cancel = std::exchange(on_cancel_, nullptr)) std::move(on_cancel)();
}

void ServerStream::EndStreaming(const absl::Status& status) {
  if (finished_ || method_ == nullptr || !method_->stream) return;
  End(status);
}

void ServerStream::OnClosed(uint32_t http2_error, const absl::Status& lost) {
  connection_->loop().timers().Cancel(*this);
  absl::Status why = status_;
  if (!lost.ok()) {
    why = finished_ && out_.empty() && !status_.ok() ? status_ : lost;
  } else if (!finished_ || (http2_error != NGHTTP2_NO_ERROR && !absl::IsDeadlineExceeded(status_))) {
    why = absl::CancelledError("the client reset the stream");
  }
  if (!finished_) {
    if (counters_ != nullptr) CountEnd(why.code());
    finished_ = true;  // Before anybody is told: what they do about it must not reach the session.
    Cancel();
  }
  on_cancel_ = nullptr;
  DropInput();
  if (metadata_charge_ > 0) connection_->ReleaseMetadata(std::exchange(metadata_charge_, 0));
  if (counts_in_source_) connection_->ReleaseCall();
  if (handler_) {
    handler_->OnClose(why);
    handler_.reset();
  }
  DropOutput();                // after OnClose, which may ask whether anything was left unwritten
  HoldBytes(0).IgnoreError();  // what the handler kept is gone with it
  connection_ = nullptr;
}

void ServerStream::CountEnd(absl::StatusCode code) {
  counters_->open.Subtract();
  counters_->finished_by_code[std::min<size_t>(static_cast<size_t>(code), kStatusCodes - 1)].Add();
  if (method_ != nullptr && method_->unary && started_) counters_->CountLatency(MonotonicNanos() - begun_ns_);
}

}  // namespace meshca::rpc
