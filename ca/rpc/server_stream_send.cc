// The answering half of a stream: headers, messages, trailers.
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/rpc/connection.h"
#include "ca/rpc/grpc_wire.h"
#include "ca/rpc/server_stream.h"

namespace meshca::rpc {

nghttp2_data_source_read_callback DataReader();  // http2_callbacks.cc

namespace {

constexpr uint32_t kSharedPayloadCharge = 64;

// Headers for one submit call: static text by reference, the rest copied by nghttp2.
class HeaderList {
 public:
  void AddStatic(absl::string_view name, absl::string_view value) {
    Add(name, value, NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE);
  }
  // `value` lives until the submit call.
  void AddCopied(absl::string_view name, absl::string_view value) { Add(name, value, NGHTTP2_NV_FLAG_NONE); }
  // Binary values are encoded into `storage`, which lives until the submit call.
  void AddMetadata(const Metadata* metadata, std::vector<std::string>& storage) {
    if (metadata == nullptr) return;
    storage.reserve(storage.size() + metadata->size());
    for (size_t i = 0; i < metadata->size(); ++i) {
      if (absl::EndsWith(metadata->name(i), "-bin")) {
        storage.push_back(EncodeBinaryValue(metadata->value(i)));
        AddCopied(metadata->name(i), storage.back());
      } else {
        AddCopied(metadata->name(i), metadata->value(i));
      }
    }
  }
  const nghttp2_nv* data() const { return headers_.data(); }
  size_t size() const { return headers_.size(); }

 private:
  void Add(absl::string_view name, absl::string_view value, uint8_t flags) {
    headers_.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                        reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(), flags});
  }
  absl::InlinedVector<nghttp2_nv, 8> headers_;
};

// The status's own headers; the texts they point at live here.
struct StatusHeaders {
  explicit StatusHeaders(const absl::Status& status) : code(absl::StrCat(static_cast<int>(status.code()))) {
    const std::string bounded = BoundedMessage(absl::string_view(status.message().data(), status.message().size()));
    message = PercentEncode(bounded);
    if (!status.ok()) details = EncodeBinaryValue(EncodeStatusDetails(status, bounded));
  }

  void AddTo(HeaderList& headers) const {
    headers.AddCopied("grpc-status", code);
    if (!message.empty()) headers.AddCopied("grpc-message", message);
    if (!details.empty()) headers.AddCopied("grpc-status-details-bin", details);
  }

  std::string code;
  std::string message;
  std::string details;
};

void AddResponseStart(HeaderList& headers) {
  headers.AddStatic(":status", "200");
  headers.AddStatic("content-type", "application/grpc");
}

}  // namespace

// ---- Stream

bool ServerStream::Send(Payload message) {
  if (finished_) return true;
  if (!out_.empty() && (out_.size() >= method_->queue_messages_max ||
                        out_bytes_ - out_offset_ + message->size() > method_->queue_bytes_max)) {
    if (!blocked_) connection_->CountLimit(LimitKind::kSlowReader);
    blocked_ = true;
    return false;
  }
  const auto charge = message.use_count() > 1 ? kSharedPayloadCharge : static_cast<uint32_t>(message->size());
  if (const Fit fit = connection_->ReserveAnswer(charge); fit != Fit::kFits) {
    connection_->CountShutOut(LimitKind::kBufferedBytes);
    End(Annotate(connection_->TooMuchHeld(fit), "answers that were not read"));
    return true;
  }
  Enqueue(std::move(message), charge);
  return true;
}

void ServerStream::Enqueue(Payload payload, uint32_t charge) {
  out_bytes_ += payload->size();
  out_.push_back({std::move(payload), charge});
  connection_->OnMessageWaits();
  counters_->messages_sent.Add();
  if (headers_sent_) {
    OfferOutput();
  } else {
    SendInitialMetadata();
  }
}

// The source is offered anew for what comes after a pause: while nghttp2 has one it keeps 170 bytes for it, and most
// streams are silent for hours between two messages.
void ServerStream::OfferOutput() {
  if (out_.empty()) {
    // Also where nghttp2 still has the source of what EndNow dropped, and waits for room to ask it: trailers need no
    // room. nghttp2 sends HEADERS before any DATA and drops the source when they end the stream.
    if (finished_) SubmitTrailers();
    return;
  }
  if (data_offered_) return;
  nghttp2_data_provider provider{};
  provider.source.ptr = this;
  provider.read_callback = DataReader();
  data_offered_ = nghttp2_submit_data(connection_->session(), NGHTTP2_FLAG_NONE, id_, &provider) == 0;
  MarkDirty();
}

void ServerStream::SendInitialMetadata() {
  if (headers_sent_ || connection_ == nullptr) return;
  headers_sent_ = true;
  HeaderList headers;
  std::vector<std::string> storage;
  AddResponseStart(headers);
  headers.AddMetadata(initial_.get(), storage);
  // Not nghttp2_submit_response, which asks for data as soon as the headers are out.
  nghttp2_submit_headers(connection_->session(), NGHTTP2_FLAG_NONE, id_, nullptr, headers.data(), headers.size(),
                         nullptr);
  MarkDirty();
  OfferOutput();
}

void ServerStream::AddInitialMetadata(absl::string_view name, absl::string_view value) {
  if (!initial_) initial_ = std::make_unique<Metadata>();
  initial_->Add(name, value);
}

void ServerStream::AddTrailingMetadata(absl::string_view name, absl::string_view value) {
  if (!trailing_) trailing_ = std::make_unique<Metadata>();
  trailing_->Add(name, value);
}

void ServerStream::Finish(const absl::Status& status) {
  if (!finished_) End(status);
}

void ServerStream::End(const absl::Status& status) {
  finished_ = true;
  status_ = status;
  CountEnd(status.code());
  if (method_ == nullptr || method_->stream || !started_) {
    in_.clear();  // A unary call's request belongs to its Call.
    DropInput();
  }
  if (!headers_sent_ && out_.empty()) return SubmitTrailersOnly();
  if (headers_sent_) {
    OfferOutput();
  } else {
    SendInitialMetadata();
  }
}

void ServerStream::SubmitTrailersOnly() {
  headers_sent_ = true;
  HeaderList headers;
  std::vector<std::string> storage;
  storage.reserve((initial_ ? initial_->size() : 0) + (trailing_ ? trailing_->size() : 0));
  AddResponseStart(headers);
  const StatusHeaders status(status_);
  status.AddTo(headers);
  if (absl::IsUnimplemented(status_)) headers.AddStatic("grpc-accept-encoding", "identity");
  headers.AddMetadata(initial_.get(), storage);
  headers.AddMetadata(trailing_.get(), storage);
  nghttp2_submit_response(connection_->session(), id_, headers.data(), headers.size(), nullptr);
  MarkDirty();
}

void ServerStream::SubmitTrailers() {
  HeaderList headers;
  std::vector<std::string> storage;
  const StatusHeaders status(status_);
  status.AddTo(headers);
  headers.AddMetadata(trailing_.get(), storage);
  nghttp2_submit_trailer(connection_->session(), id_, headers.data(), headers.size());
  MarkDirty();
}

// ---- HTTP/2 takes the messages

size_t ServerStream::NextDataBytes(size_t max, bool& last) {
  const size_t available = out_bytes_ - out_offset_;
  last = available <= max;
  data_ends_ = last;
  promised_ = std::min(available, max);
  return promised_;
}

void ServerStream::OnDataSent() {
  if (!data_ends_) return;
  data_ends_ = false;
  data_offered_ = false;
  OfferOutput();  // what came meanwhile
}

void ServerStream::TakeData(size_t bytes, std::string& out) {
  size_t done = 0;
  promised_ = 0;
  while (bytes > 0) {
    const std::string& payload = *out_[done].payload;
    const size_t take = std::min(bytes, payload.size() - out_offset_);
    out.append(payload, out_offset_, take);
    out_offset_ += take;
    bytes -= take;
    if (out_offset_ < payload.size()) break;
    connection_->ReleaseAnswer(out_[done].charge);
    out_bytes_ -= payload.size();
    out_offset_ = 0;
    ++done;
  }
  if (done == 0) return;
  out_.erase(out_.begin(), out_.begin() + static_cast<ptrdiff_t>(done));
  // What several messages at once took up is nobody's any more: most streams send one now and then, for months.
  if (out_.empty()) out_.shrink_to_fit();
  connection_->OnMessagesGone(done);
  if (blocked_ && out_.empty()) {
    blocked_ = false;
    connection_->NotifyWritable(*this);
  }
}

void ServerStream::RunWritable() {
  if (handler_ && !finished_) handler_->OnWritable();
}

// ---- Call's answer

void ServerStream::DeliverAnswer(Answer answer) {
  on_cancel_ = nullptr;
  if (finished_) return;
  initial_ = std::move(answer.initial);
  trailing_ = std::move(answer.trailing);
  if (!answer.payload) {
    End(answer.status.ok() ? absl::InternalError("the handler gave neither answer nor error") : answer.status);
    return;
  }
  const auto charge =
      answer.payload.use_count() > 1 ? kSharedPayloadCharge : static_cast<uint32_t>(answer.payload->size());
  if (const Fit fit = connection_->ReserveAnswer(charge); fit != Fit::kFits) {
    connection_->CountShutOut(LimitKind::kBufferedBytes);
    return End(Annotate(connection_->TooMuchHeld(fit), "answers that were not read"));
  }
  finished_ = true;
  CountEnd(absl::StatusCode::kOk);
  Enqueue(std::move(answer.payload), charge);
}

void ServerStream::SetOnCancel(absl::AnyInvocable<void() &&> on_cancel) {
  if (cancelled()) return std::move(on_cancel)();
  if (!finished_) on_cancel_ = std::move(on_cancel);
}

}  // namespace meshca::rpc
