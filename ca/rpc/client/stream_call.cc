#include "ca/rpc/client/stream_call.h"

#include <utility>

#include "ca/rpc/client/grpc_conversion.h"

namespace meshca::rpc {

StreamCall::StreamCall(CompletionThread& thread, std::string where, const ClientCallOptions& options,
                       const ClientStreamOptions& stream_options, std::unique_ptr<ClientStreamHandler> handler)
    : thread_(thread),
      where_(std::move(where)),
      queue_bytes_max_(stream_options.queue_bytes_max),
      handler_(std::move(handler)) {
  SetCallOptions(options, context_);
}

void StreamCall::Start(grpc::GenericStub& stub, const std::string& method) {
  call_ = stub.PrepareCall(&context_, method, &thread_.queue());
  call_->StartCall(static_cast<Completion*>(&on_started_));
}

void StreamCall::Refuse(const absl::Status& why) {
  {
    MutexLock lock(mutex_);
    finished_ = true;
    writing_ended_ = true;
  }
  handler_->OnClose(why);
  handler_.reset();
}

void StreamCall::Read() {
  MutexLock lock(mutex_);
  read_wanted_ = true;
  BeginOperations();
}

bool StreamCall::Send(std::string message) {
  MutexLock lock(mutex_);
  if (writing_ended_ || half_close_wanted_ || cancelled_ || finishing_) return true;
  if (!queue_.empty() && queued_bytes_ + message.size() > queue_bytes_max_) {
    owes_writable_ = true;
    return false;
  }
  queue_.push_back(BufferOf(message));
  queued_bytes_ += message.size();
  BeginOperations();
  return true;
}

void StreamCall::HalfClose() {
  MutexLock lock(mutex_);
  half_close_wanted_ = true;
  BeginOperations();
}

void StreamCall::Cancel() {
  MutexLock lock(mutex_);
  if (cancelled_ || finished_) return;
  cancelled_ = true;
  // Before StartCall too: gRPC cancels the call as soon as it exists.
  context_.TryCancel();
  BeginOperations();
}

void StreamCall::OnStarted(bool ok) {
  MutexLock lock(mutex_);
  started_ = true;
  if (!ok) {
    // There is no connection, or the call was cancelled: the status says which.
    reading_ended_ = true;
    writing_ended_ = true;
    queue_.clear();
  }
  BeginOperations();
}

void StreamCall::OnRead(bool ok) {
  grpc::ByteBuffer message;
  {
    MutexLock lock(mutex_);
    reading_ = false;
    if (!ok) reading_ended_ = true;
    if (ok && !cancelled_) message.Swap(&incoming_);
    incoming_.Clear();
    BeginOperations();
  }
  if (message.Valid()) {
    const grpc::Slice slice = SliceOf(message);
    handler_->OnMessage(*this, BytesOf(slice));
  }
  CloseWhenIdle();
}

void StreamCall::OnWritten(bool ok) {
  bool writable = false;
  {
    MutexLock lock(mutex_);
    writing_ = false;
    // A write that failed ends the writing alone: what the server said before is still to be read.
    if (!ok) {
      writing_ended_ = true;
      queue_.clear();
    }
    BeginOperations();
    writable = owes_writable_ && queue_.empty() && !writing_ended_ && !cancelled_ && !finishing_;
    if (writable) owes_writable_ = false;
  }
  if (writable) handler_->OnWritable(*this);
  CloseWhenIdle();
}

void StreamCall::OnFinished(bool) {
  {
    MutexLock lock(mutex_);
    finished_ = true;
  }
  CloseWhenIdle();
}

void StreamCall::BeginOperations() {
  if (!started_ || finishing_) return;
  BeginWriting();
  if (reading_) return;
  if (reading_ended_ || cancelled_) {
    finishing_ = true;
    call_->Finish(&status_, static_cast<Completion*>(&on_finished_));
  } else if (read_wanted_) {
    read_wanted_ = false;
    reading_ = true;
    call_->Read(&incoming_, static_cast<Completion*>(&on_read_));
  }
}

void StreamCall::BeginWriting() {
  if (writing_ || writing_ended_ || cancelled_ || reading_ended_) return;
  if (!queue_.empty()) {
    // gRPC keeps what it needs of the buffer.
    writing_ = true;
    call_->Write(queue_.front(), static_cast<Completion*>(&on_written_));
    queued_bytes_ -= queue_.front().Length();
    queue_.pop_front();
  } else if (half_close_wanted_) {
    writing_ = true;
    writing_ended_ = true;
    call_->WritesDone(static_cast<Completion*>(&on_written_));
  }
}

void StreamCall::CloseWhenIdle() {
  {
    MutexLock lock(mutex_);
    if (!finished_ || reading_ || writing_) return;
  }
  handler_->OnClose(StatusOf(status_, where_));
  handler_.reset();
  thread_.Deregister(this);
}

}  // namespace meshca::rpc
