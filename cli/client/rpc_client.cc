#include "cli/client/rpc_client.h"

#include <google/protobuf/message.h>

#include <deque>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "ca/base/mutex.h"
#include "ca/base/typed_address.h"
#include "cli/client/address.h"

namespace meshca::cli {
namespace {

using google::protobuf::Message;

// Every meshca server's certificate carries it, for istio's clients.
constexpr char kServerName[] = "istiod.istio-system.svc";
// Messages that wait for the command: a list of millions comes as one message a line, and two threads that pass them on
// one by one would be busy with that alone.
constexpr size_t kReadAheadBytes = 256 * 1024;

absl::Status Decode(const std::string& bytes, Message& message) {
  if (message.ParseFromString(bytes)) return absl::OkStatus();
  return absl::InternalError("the server's answer is no " + message.GetTypeName());
}

rpc::ClientCallOptions ToCallOptions(const CallOptions& options) {
  return {.timeout = options.timeout, .bearer_token = options.bearer_token, .metadata = options.metadata};
}

}  // namespace

// Between the channel's thread, which brings messages, and the command, which waits for them. Thread-safe.
class WaitingStream {
 public:
  // Whether another message may be asked for.
  bool Add(absl::string_view message) {
    MutexLock lock(mutex_);
    messages_.emplace_back(message);
    bytes_ += message.size();
    paused_ = bytes_ > kReadAheadBytes;
    changed_.NotifyAll();
    return !paused_;
  }
  void Close(const absl::Status& status) {
    MutexLock lock(mutex_);
    // What ended the call here stands: the channel's word that it was cancelled follows from that.
    if (!closed_.has_value()) closed_ = status;
    changed_.NotifyAll();
  }
  // Waits for a message, or for the end of the call: its status then, false where it is Ok. `paused`: no message has
  // been asked for since there were too many, and now there is room.
  absl::StatusOr<bool> Take(std::string& message, bool& paused) {
    MutexLock lock(mutex_);
    while (messages_.empty() && !closed_.has_value()) changed_.Wait(mutex_);
    if (messages_.empty()) {
      if (!closed_->ok()) return *closed_;
      return false;
    }
    message = std::move(messages_.front());
    messages_.pop_front();
    bytes_ -= message.size();
    paused = paused_ && bytes_ <= kReadAheadBytes / 2;
    if (paused) paused_ = false;
    return true;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::deque<std::string> messages_ ABSL_GUARDED_BY(mutex_);
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool paused_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<absl::Status> closed_ ABSL_GUARDED_BY(mutex_);
};

namespace {

class WaitingHandler final : public rpc::ClientStreamHandler {
 public:
  explicit WaitingHandler(std::shared_ptr<WaitingStream> waiting) : waiting_(std::move(waiting)) {}
  void OnMessage(rpc::ClientStream& stream, absl::string_view message) override {
    if (waiting_->Add(message)) stream.Read();
  }
  void OnClose(const absl::Status& status) override { waiting_->Close(status); }

 private:
  const std::shared_ptr<WaitingStream> waiting_;
};

}  // namespace

RpcStream::RpcStream(rpc::ClientChannel& channel, const std::string& method, const CallOptions& options)
    : waiting_(std::make_shared<WaitingStream>()),
      stream_(channel.OpenStream(method, ToCallOptions(options), std::make_unique<WaitingHandler>(waiting_))) {
  stream_->Read();
}

RpcStream::~RpcStream() { stream_->Cancel(); }

void RpcStream::Send(const Message& request, bool last) {
  if (!stream_->Send(request.SerializeAsString())) {
    // A command answers what it was told, so that a queue without room means a server that talks and does not listen.
    waiting_->Close(absl::ResourceExhaustedError("the server does not read what it is sent"));
    stream_->Cancel();
  }
  if (last) stream_->HalfClose();
}

absl::Status RpcStream::Exchange(const Message& request, Message& response) {
  Send(request);
  const absl::StatusOr<bool> more = Next(response);
  if (!more.ok()) return more.status();
  return *more ? absl::OkStatus() : absl::InternalError("the server ended the call before its answer");
}

absl::StatusOr<bool> RpcStream::Next(Message& response) {
  std::string message;
  bool paused = false;
  absl::StatusOr<bool> more = waiting_->Take(message, paused);
  if (paused) stream_->Read();
  if (!more.ok() || !*more) return more;
  const absl::Status decoded = Decode(message, response);
  if (!decoded.ok()) return decoded;
  return true;
}

namespace {

// A stream may rightly be silent for hours. A server that answers no ping either is gone, and whoever waits is told so.
rpc::ClientChannelOptions WithKeepalive() {
  rpc::ClientChannelOptions options;
  options.keepalive = absl::Seconds(30);
  return options;
}

}  // namespace

std::unique_ptr<RpcClient> RpcClient::Unix(const std::string& path) {
  return std::make_unique<RpcClient>(rpc::ClientChannel::ToUnixSocket(path, WithKeepalive()));
}

std::unique_ptr<RpcClient> RpcClient::Tls(TlsTarget target) {
  rpc::TlsServer server;
  if (IsIpAddress(HostOf(target.address))) server.server_name = kServerName;
  server.address = std::move(target.address);
  server.roots_pem = std::move(target.roots_pem);
  server.certificate_pem = std::move(target.certificate_pem);
  server.key_pem = std::move(target.key_pem);
  return std::make_unique<RpcClient>(rpc::ClientChannel::ToTlsServer(std::move(server), WithKeepalive()));
}

absl::Status RpcClient::Unary(const std::string& method, const Message& request, Message& response,
                              const CallOptions& options) {
  Mutex mutex;
  CondVar answered;
  std::optional<absl::StatusOr<std::string>> answer;
  channel_->CallUnary(method, request.SerializeAsString(), ToCallOptions(options),
                      [&](absl::StatusOr<std::string> got) {
                        MutexLock lock(mutex);
                        answer = std::move(got);
                        answered.NotifyAll();
                      });
  MutexLock lock(mutex);
  while (!answer.has_value()) answered.Wait(mutex);
  if (!answer->ok()) return answer->status();
  return Decode(**answer, response);
}

absl::Status RpcClient::ServerStream(const std::string& method, const Message& request, Message& response,
                                     absl::FunctionRef<bool()> on_message, const CallOptions& options) {
  RpcStream stream(*channel_, method, options);
  stream.Send(request, /*last=*/true);
  for (;;) {
    const absl::StatusOr<bool> more = stream.Next(response);
    if (!more.ok()) return more.status();
    if (!*more || !on_message()) return absl::OkStatus();
  }
}

absl::Status RpcClient::BidiStream(const std::string& method, const Message& first, Message& response, Message& reply,
                                   absl::FunctionRef<Next()> on_message, const CallOptions& options) {
  RpcStream stream(*channel_, method, options);
  stream.Send(first);
  for (;;) {
    const absl::StatusOr<bool> more = stream.Next(response);
    if (!more.ok()) return more.status();
    if (!*more) return absl::OkStatus();
    const Next next = on_message();
    if (next == Next::kEnd) return absl::OkStatus();
    if (next == Next::kReply) stream.Send(reply);
  }
}

std::unique_ptr<RpcStream> RpcClient::Open(const std::string& method, const CallOptions& options) {
  return std::make_unique<RpcStream>(*channel_, method, options);
}

}  // namespace meshca::cli
