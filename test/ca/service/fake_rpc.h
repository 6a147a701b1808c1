// Calls and streams without a socket.
#ifndef MESHCA_TEST_CA_SERVICE_FAKE_RPC_H_
#define MESHCA_TEST_CA_SERVICE_FAKE_RPC_H_

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ca/base/check.h"
#include "ca/base/mutex.h"
#include "ca/rpc/call.h"
#include "ca/rpc/protobuf_payload.h"
#include "ca/rpc/stream.h"

namespace meshca {

inline std::shared_ptr<const rpc::Peer> UnixTestPeer(uint32_t uid = 0) {
  auto peer = std::make_shared<rpc::Peer>();
  peer->transport = rpc::Transport::kUnix;
  peer->address = "unix:uid=0,pid=4242";
  peer->unix_credentials = rpc::UnixCredentials{4242, uid, uid, 77};
  return peer;
}

inline std::shared_ptr<const rpc::Peer> TlsTestPeer() {
  auto peer = std::make_shared<rpc::Peer>();
  peer->transport = rpc::Transport::kTls;
  peer->address = "192.0.2.7:41234";
  return peer;
}

// One unary call; Wait blocks until somebody finishes it.
class FakeCall final : public rpc::Call {
 public:
  FakeCall(std::string method, const google::protobuf::MessageLite& request,
           std::shared_ptr<const rpc::Peer> peer = UnixTestPeer())
      : method_(std::move(method)), request_(request.SerializeAsString()), peer_(std::move(peer)) {}

  rpc::Metadata& headers() { return metadata_; }
  void set_request_bytes(std::string bytes) { request_ = std::move(bytes); }

  absl::Status Wait() {
    MutexLock lock(mutex_);
    while (!finished_) done_.Wait(mutex_);
    return status_;
  }
  // The answer, where Wait was Ok.
  template <typename Response>
  Response Answer() {
    Response response;
    MutexLock lock(mutex_);
    MESHCA_CHECK(rpc::ParseMessage(rpc::MessageOf(payload_), response).ok());
    return response;
  }

  absl::string_view request() const override { return request_; }
  absl::string_view method() const override { return method_; }
  const std::shared_ptr<const rpc::Peer>& peer() const override { return peer_; }
  const rpc::Metadata& client_metadata() const override { return metadata_; }
  absl::Time deadline() const override { return absl::InfiniteFuture(); }
  bool cancelled() const override { return cancelled_; }
  // The caller goes away.
  void Cancel() { cancelled_ = true; }
  void OnCancel(absl::AnyInvocable<void() &&>) override {}
  void AddInitialMetadata(absl::string_view, absl::string_view) override {}
  void AddTrailingMetadata(absl::string_view, absl::string_view) override {}
  void Finish(rpc::Payload response) override { End(absl::OkStatus(), std::move(response)); }
  void Finish(const absl::Status& error) override { End(error, nullptr); }

 private:
  void End(absl::Status status, rpc::Payload payload) {
    {
      MutexLock lock(mutex_);
      MESHCA_CHECK(!finished_);
      finished_ = true;
      status_ = std::move(status);
      payload_ = std::move(payload);
    }
    done_.NotifyAll();
  }

  const std::string method_;
  std::string request_;
  const std::shared_ptr<const rpc::Peer> peer_;
  rpc::Metadata metadata_;
  std::atomic<bool> cancelled_ = false;
  Mutex mutex_;
  CondVar done_;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  rpc::Payload payload_ ABSL_GUARDED_BY(mutex_);
};

// One stream and its loop: the test's thread. The client reads only when told.
class FakeStream final : public rpc::Stream {
 public:
  explicit FakeStream(size_t queue_max) : queue_max_(queue_max), link_(std::make_shared<Link>()) {}

  void SetHandler(std::unique_ptr<rpc::StreamHandler> handler) { handler_ = std::move(handler); }
  rpc::StreamHandler& handler() { return *handler_; }

  // The client reads all that is queued; then the loop works off what was posted.
  void ClientReads() {
    for (rpc::Payload& message : queue_) read_.emplace_back(rpc::MessageOf(message));
    queue_.clear();
    if (std::exchange(full_, false)) handler_->OnWritable();
  }
  // Waits for one post and runs it.
  void RunOnePost() { link_->RunOne(*handler_); }
  void Close(const absl::Status& status) {
    link_->End();
    handler_->OnClose(status);
  }

  const std::vector<std::string>& read() const { return read_; }
  const std::optional<absl::Status>& finished() const { return finished_; }

  bool Send(rpc::Payload message) override {
    if (queue_.size() >= queue_max_) {
      full_ = true;
      return false;
    }
    queue_.push_back(std::move(message));
    return true;
  }
  void Finish(const absl::Status& status) override {
    if (!finished_.has_value()) finished_ = status;
  }
  void SendInitialMetadata() override {}
  void AddInitialMetadata(absl::string_view, absl::string_view) override {}
  void AddTrailingMetadata(absl::string_view, absl::string_view) override {}
  absl::Status HoldBytes(size_t bytes) override {
    return bytes <= held_max ? absl::OkStatus() : absl::ResourceExhaustedError("uid 1 holds all that it may");
  }
  size_t held_max = 64 * 1024 * 1024;
  size_t queued_messages() const override { return queue_.size(); }
  absl::string_view method() const override { return "/test/List"; }
  const std::shared_ptr<const rpc::Peer>& peer() const override { return peer_; }
  const rpc::Metadata& client_metadata() const override { return metadata_; }
  absl::Time deadline() const override { return absl::InfiniteFuture(); }
  rpc::StreamHandle handle() override { return rpc::StreamHandle(link_); }

 private:
  class Link final : public rpc::StreamLink {
   public:
    void Post(absl::AnyInvocable<void(rpc::StreamHandler&) &&> visit) override {
      {
        MutexLock lock(mutex_);
        if (ended_) return;
        posts_.push_back(std::move(visit));
      }
      posted_.NotifyAll();
    }
    void Visit(const std::function<void(rpc::StreamHandler&)>&) override {}
    const std::shared_ptr<rpc::Mailbox>& mailbox() const override { return mailbox_; }
    void RunOne(rpc::StreamHandler& handler) {
      absl::AnyInvocable<void(rpc::StreamHandler&) &&> visit;
      {
        MutexLock lock(mutex_);
        while (posts_.empty()) posted_.Wait(mutex_);
        visit = std::move(posts_.front());
        posts_.pop_front();
      }
      std::move(visit)(handler);
    }
    void End() {
      MutexLock lock(mutex_);
      ended_ = true;
    }

   private:
    const std::shared_ptr<rpc::Mailbox> mailbox_;
    Mutex mutex_;
    CondVar posted_;
    std::deque<absl::AnyInvocable<void(rpc::StreamHandler&) &&>> posts_ ABSL_GUARDED_BY(mutex_);
    bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  };

  const size_t queue_max_;
  const std::shared_ptr<const rpc::Peer> peer_ = UnixTestPeer();
  const rpc::Metadata metadata_;
  const std::shared_ptr<Link> link_;
  std::unique_ptr<rpc::StreamHandler> handler_;
  std::deque<rpc::Payload> queue_;
  bool full_ = false;
  std::vector<std::string> read_;
  std::optional<absl::Status> finished_;
};

}  // namespace meshca

#endif  // MESHCA_TEST_CA_SERVICE_FAKE_RPC_H_
