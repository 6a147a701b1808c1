// The RPC edge without a socket: a loop that runs when the test says so, and streams and calls on it.
#ifndef MESHCA_TEST_SDS_FAKE_EDGE_H_
#define MESHCA_TEST_SDS_FAKE_EDGE_H_

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/base/mutex.h"
#include "ca/rpc/call.h"
#include "ca/rpc/stream.h"

namespace meshca::sds {

// Any thread may post; the test's thread runs.
class FakeLoop {
 public:
  void Post(std::function<void()> task) {
    MutexLock lock(mutex_);
    tasks_.push_back(std::move(task));
    posted_.NotifyAll();
  }

  // Runs what was posted until `done` holds; false when it does not within a minute.
  bool RunUntil(const std::function<bool()>& done) {
    const absl::Time deadline = absl::Now() + absl::Minutes(1);
    while (true) {
      if (done()) return true;
      std::function<void()> task;
      {
        MutexLock lock(mutex_);
        if (tasks_.empty()) {
          const absl::Duration left = deadline - absl::Now();
          if (left <= absl::ZeroDuration()) return false;
          // Not everything a test waits for is posted: look again now and then.
          posted_.WaitFor(mutex_, std::min(left, absl::Milliseconds(2)));
          continue;
        }
        task = std::move(tasks_.front());
        tasks_.pop_front();
      }
      task();
    }
  }

  // Runs what is there now.
  void Drain() {
    while (true) {
      std::function<void()> task;
      {
        MutexLock lock(mutex_);
        if (tasks_.empty()) return;
        task = std::move(tasks_.front());
        tasks_.pop_front();
      }
      task();
    }
  }

 private:
  Mutex mutex_;
  CondVar posted_;
  std::deque<std::function<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
};

class FakeStream final : public rpc::Stream {
 public:
  FakeStream(FakeLoop& loop, std::shared_ptr<const rpc::Peer> peer)
      : peer_(std::move(peer)), link_(std::make_shared<Link>(loop)) {}
  ~FakeStream() override { Close(absl::CancelledError("the client reset the stream")); }

  void Attach(std::unique_ptr<rpc::StreamHandler> handler) {
    handler_ = std::move(handler);
    link_->handler = handler_.get();
  }
  rpc::StreamHandler& handler() { return *handler_; }

  // The end of the stream, as the edge would do it.
  void Close(const absl::Status& why) {
    if (handler_ == nullptr) return;
    link_->handler = nullptr;
    handler_->OnClose(why);
    handler_ = nullptr;
  }

  bool Send(rpc::Payload message) override {
    if (full) return false;
    if (!finished.has_value()) sent.push_back(std::move(message));
    return true;
  }
  void Finish(const absl::Status& status) override {
    if (!finished.has_value()) finished = status;
  }
  void SendInitialMetadata() override {}
  void AddInitialMetadata(absl::string_view, absl::string_view) override {}
  void AddTrailingMetadata(absl::string_view, absl::string_view) override {}
  absl::Status HoldBytes(size_t bytes) override {
    if (bytes > std::max(held, held_max)) return absl::ResourceExhaustedError("uid 1 holds all that it may");
    held = bytes;
    held_most = std::max(held_most, held);
    return absl::OkStatus();
  }
  size_t queued_messages() const override { return queued; }
  absl::string_view method() const override { return "/test"; }
  const std::shared_ptr<const rpc::Peer>& peer() const override { return peer_; }
  const rpc::Metadata& client_metadata() const override { return metadata_; }
  absl::Time deadline() const override { return absl::InfiniteFuture(); }
  rpc::StreamHandle handle() override { return rpc::StreamHandle(link_); }

  bool full = false;  // the client does not read
  size_t queued = 0;  // messages that were not handed to the socket
  size_t held_max = 64 * 1024 * 1024;
  size_t held = 0;
  size_t held_most = 0;
  std::vector<rpc::Payload> sent;
  std::optional<absl::Status> finished;

 private:
  struct Link final : rpc::StreamLink, std::enable_shared_from_this<Link> {
    explicit Link(FakeLoop& loop_in) : loop(loop_in) {}
    void Post(absl::AnyInvocable<void(rpc::StreamHandler&) &&> visit) override {
      auto shared = std::make_shared<absl::AnyInvocable<void(rpc::StreamHandler&) &&>>(std::move(visit));
      loop.Post([self = shared_from_this(), shared] {
        if (self->handler != nullptr) std::move (*shared)(*self->handler);
      });
    }
    void Visit(const std::function<void(rpc::StreamHandler&)>& visit) override {
      if (handler != nullptr) visit(*handler);
    }
    const std::shared_ptr<rpc::Mailbox>& mailbox() const override { return no_mailbox; }

    FakeLoop& loop;
    rpc::StreamHandler* handler = nullptr;  // the test's thread
    std::shared_ptr<rpc::Mailbox> no_mailbox;
  };

  const std::shared_ptr<const rpc::Peer> peer_;
  const std::shared_ptr<Link> link_;
  rpc::Metadata metadata_;
  std::unique_ptr<rpc::StreamHandler> handler_;
};

class FakeCall final : public rpc::Call {
 public:
  FakeCall(std::shared_ptr<const rpc::Peer> peer, std::string request)
      : peer_(std::move(peer)), request_(std::move(request)) {}

  absl::string_view request() const override { return request_; }
  absl::string_view method() const override { return "/test"; }
  const std::shared_ptr<const rpc::Peer>& peer() const override { return peer_; }
  const rpc::Metadata& client_metadata() const override { return metadata_; }
  absl::Time deadline() const override { return absl::InfiniteFuture(); }
  bool cancelled() const override { return false; }
  void OnCancel(absl::AnyInvocable<void() &&> on_cancel) override { on_cancel_ = std::move(on_cancel); }
  rpc::Metadata& metadata() { return metadata_; }
  // The client resets the call.
  void Cancel() { std::move(on_cancel_)(); }
  void AddInitialMetadata(absl::string_view, absl::string_view) override {}
  void AddTrailingMetadata(absl::string_view, absl::string_view) override {}
  void Finish(rpc::Payload response) override {
    MutexLock lock(mutex_);
    response_ = std::move(response);
  }
  void Finish(const absl::Status& error) override {
    MutexLock lock(mutex_);
    error_ = error;
  }

  bool finished() const {
    MutexLock lock(mutex_);
    return response_ != nullptr || error_.has_value();
  }
  rpc::Payload response() const {
    MutexLock lock(mutex_);
    return response_;
  }
  absl::Status error() const {
    MutexLock lock(mutex_);
    return error_.value_or(absl::OkStatus());
  }

 private:
  const std::shared_ptr<const rpc::Peer> peer_;
  const std::string request_;
  rpc::Metadata metadata_;
  mutable Mutex mutex_;
  absl::AnyInvocable<void() &&> on_cancel_;  // the test's thread
  rpc::Payload response_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Status> error_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca::sds

#endif  // MESHCA_TEST_SDS_FAKE_EDGE_H_
