#include "ca/service/record_stream.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace meshca {

bool RecordSink::Push(rpc::Payload record) {
  batch_.push_back(std::move(record));
  return batch_.size() < kBatch || Flush();
}

bool RecordSink::Flush() {
  {
    MutexLock lock(mutex_);
    while (!closed_ && in_flight_ + batch_.size() > kWindow) {
      const size_t before = in_flight_;
      // A wake-up that took nothing off the window is no progress; a slow client that does read is left alone.
      if (!room_.WaitFor(mutex_, stall_max_) && in_flight_ == before) {
        stalled_ = true;
        return false;
      }
    }
    if (closed_) return false;
    in_flight_ += batch_.size();
  }
  stream_.Post([records = std::exchange(batch_, {})](RecordStream& self) mutable { self.Take(std::move(records)); });
  return true;
}

void RecordSink::End(absl::Status status) {
  if (!stalled_ && !batch_.empty()) Flush();
  if (stalled_) {
    status = absl::DeadlineExceededError(
        absl::StrCat("the client read nothing for ", absl::FormatDuration(stall_max_), "; ask again, into a file"));
  }
  stream_.Post([status = std::move(status)](RecordStream& self) mutable { self.TakeEnd(std::move(status)); });
}

void RecordSink::Sent(size_t records) {
  {
    MutexLock lock(mutex_);
    in_flight_ -= records;
  }
  room_.NotifyOne();
}

void RecordSink::Close() {
  {
    MutexLock lock(mutex_);
    closed_ = true;
  }
  room_.NotifyOne();
}

RecordStream::RecordStream(rpc::Stream& stream, absl::Duration stall_max, Start start)
    : stream_(stream),
      sink_(std::make_shared<RecordSink>(rpc::TypedStreamHandle<RecordStream>(stream, *this), stall_max)),
      start_(std::move(start)) {}

void RecordStream::OnMessage(absl::string_view message) {
  if (request_.has_value()) return stream_.Finish(absl::InvalidArgumentError("more than one request message"));
  request_.emplace(message);
}

void RecordStream::OnHalfClose() {
  if (!request_.has_value()) return stream_.Finish(absl::InvalidArgumentError("no request message"));
  const absl::Status started = start_(*std::move(request_), sink_);
  if (!started.ok()) stream_.Finish(started);
}

void RecordStream::OnClose(const absl::Status& status) { sink_->Close(); }

void RecordStream::Take(std::vector<rpc::Payload> records) {
  for (rpc::Payload& record : records) pending_.push_back(std::move(record));
  Drain();
}

void RecordStream::TakeEnd(absl::Status status) {
  end_ = std::move(status);
  Drain();
}

void RecordStream::Drain() {
  size_t sent = 0;
  while (!pending_.empty() && stream_.Send(pending_.front())) {
    pending_.pop_front();
    ++sent;
  }
  if (sent > 0) sink_->Sent(sent);
  if (end_.has_value() && (pending_.empty() || !end_->ok())) stream_.Finish(*end_);
}

}  // namespace meshca
