#include "ca/rpc/server_call.h"

#include <atomic>
#include <utility>

#include "ca/base/check.h"

namespace meshca::rpc {
namespace {

class ServerCall final : public Call, public std::enable_shared_from_this<ServerCall> {
 public:
  explicit ServerCall(std::shared_ptr<ServerStream> stream) : stream_(std::move(stream)) {}

  ~ServerCall() override {
    if (finished_.load(std::memory_order_relaxed)) return;
    answer_.status = absl::InternalError("the handler dropped the call");
    if (stream_->mailbox()->OnLoop()) {
      stream_->DeliverAnswer(std::move(answer_));
    } else {
      stream_->mailbox()->Post(
          [stream = stream_, answer = std::move(answer_)]() mutable { stream->DeliverAnswer(std::move(answer)); });
    }
  }

  absl::string_view request() const override { return stream_->request(); }
  absl::string_view method() const override { return stream_->method(); }
  const std::shared_ptr<const Peer>& peer() const override { return stream_->peer(); }
  const Metadata& client_metadata() const override { return stream_->client_metadata(); }
  absl::Time deadline() const override { return stream_->deadline(); }
  bool cancelled() const override { return stream_->cancelled(); }

  void OnCancel(absl::AnyInvocable<void() &&> on_cancel) override {
    if (stream_->mailbox()->OnLoop()) return stream_->SetOnCancel(std::move(on_cancel));
    stream_->mailbox()->Post(
        [stream = stream_, on_cancel = std::move(on_cancel)]() mutable { stream->SetOnCancel(std::move(on_cancel)); });
  }

  void AddInitialMetadata(absl::string_view name, absl::string_view value) override {
    if (!answer_.initial) answer_.initial = std::make_unique<Metadata>();
    answer_.initial->Add(name, value);
  }
  void AddTrailingMetadata(absl::string_view name, absl::string_view value) override {
    if (!answer_.trailing) answer_.trailing = std::make_unique<Metadata>();
    answer_.trailing->Add(name, value);
  }

  void Finish(Payload response) override {
    MESHCA_CHECK(response != nullptr);
    TakeFinish();
    answer_.payload = std::move(response);
    Deliver();
  }
  void Finish(const absl::Status& error) override {
    TakeFinish();
    answer_.status = error;
    Deliver();
  }

 private:
  void TakeFinish() { MESHCA_CHECK(!finished_.exchange(true, std::memory_order_relaxed)); }

  void Deliver() {
    if (stream_->mailbox()->OnLoop()) return stream_->DeliverAnswer(std::move(answer_));
    // Two words of capture: AnyInvocable keeps them without allocating.
    stream_->mailbox()->Post([call = shared_from_this()] { call->stream_->DeliverAnswer(std::move(call->answer_)); });
  }

  const std::shared_ptr<ServerStream> stream_;
  std::atomic<bool> finished_{false};
  ServerStream::Answer answer_;  // of the thread that finishes, then of the loop's
};

}  // namespace

std::shared_ptr<Call> MakeCall(std::shared_ptr<ServerStream> stream) {
  return std::make_shared<ServerCall>(std::move(stream));
}

}  // namespace meshca::rpc
