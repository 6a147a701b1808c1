// A long list on its way to a client: read from the database by a thread that blocks, sent by a loop that must not.
#ifndef MESHCA_CA_SERVICE_RECORD_STREAM_H_
#define MESHCA_CA_SERVICE_RECORD_STREAM_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/base/mutex.h"
#include "ca/rpc/payload.h"
#include "ca/rpc/stream.h"
#include "ca/rpc/typed_stream_handle.h"

namespace meshca {

class RecordStream;

// The reading thread's end. Records go over in batches, so the loop is woken once for many; at most kWindow are between
// the database and the socket. One thread pushes; Close may come from another.
class RecordSink {
 public:
  static constexpr size_t kBatch = 64;
  static constexpr size_t kWindow = 4 * kBatch;

  // `stall_max`: how long a client may leave the window full. A reader of the database that never ends would keep its
  // log from shrinking.
  RecordSink(rpc::TypedStreamHandle<RecordStream> stream, absl::Duration stall_max)
      : stream_(std::move(stream)), stall_max_(stall_max) {}

  // Blocks while the window is full. False: the client is gone or has stalled, read no further.
  bool Push(rpc::Payload record);
  // After the last Push: sends what is left, then ends the stream with `status`; with DeadlineExceeded when the client
  // had stalled.
  void End(absl::Status status);

  // The loop's side: `records` were taken by the edge.
  void Sent(size_t records);
  // The stream has ended, or the server wants it to.
  void Close();

 private:
  bool Flush();

  const rpc::TypedStreamHandle<RecordStream> stream_;
  const absl::Duration stall_max_;
  std::vector<rpc::Payload> batch_;  // the pushing thread's
  bool stalled_ = false;             // the pushing thread's

  Mutex mutex_;
  CondVar room_;
  size_t in_flight_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

// The loop's end: takes one request, then sends what the sink brings. See rpc::StreamHandler for threads.
class RecordStream final : public rpc::StreamHandler {
 public:
  // Called once with the whole request; gives the work away and returns. An error ends the stream.
  using Start = std::function<absl::Status(std::string request, std::shared_ptr<RecordSink> sink)>;

  RecordStream(rpc::Stream& stream, absl::Duration stall_max, Start start);

  void OnMessage(absl::string_view message) override;
  void OnHalfClose() override;
  void OnWritable() override { Drain(); }
  void OnClose(const absl::Status& status) override;

 private:
  friend class RecordSink;
  void Take(std::vector<rpc::Payload> records);
  void TakeEnd(absl::Status status);
  void Drain();

  rpc::Stream& stream_;
  const std::shared_ptr<RecordSink> sink_;
  Start start_;
  std::optional<std::string> request_;
  std::deque<rpc::Payload> pending_;
  std::optional<absl::Status> end_;
};

}  // namespace meshca

#endif  // MESHCA_CA_SERVICE_RECORD_STREAM_H_
