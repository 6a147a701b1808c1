#include "cli/client/rpc_client.h"

#include <google/protobuf/message.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "ca/base/status.h"
#include "cli/client/address.h"
#include "cli/client/error_details.h"

namespace meshca::cli {
namespace {

using google::protobuf::Message;

// Every meshca server's certificate carries it, for istio's clients.
constexpr char kServerName[] = "istiod.istio-system.svc";
// One operation is under way at a time, so its tag tells nothing.
void* const kTag = nullptr;
constexpr int kMessageBytesMax = 64 * 1024 * 1024;

grpc::ByteBuffer Encode(const Message& message) {
  grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

absl::Status Decode(const grpc::ByteBuffer& buffer, Message& message) {
  grpc::Slice slice;
  if (!buffer.DumpToSingleSlice(&slice).ok() ||
      !message.ParseFromArray(slice.begin(), static_cast<int>(slice.size()))) {
    return absl::InternalError("the server's answer is no " + message.GetTypeName());
  }
  return absl::OkStatus();
}

absl::Status ToStatus(const grpc::Status& status, const std::string& where) {
  if (status.ok()) return absl::OkStatus();
  absl::Status converted(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  const std::string reason = ReasonInDetails(status.error_details());
  if (!reason.empty()) return WithReason(std::move(converted), reason);
  // Without details it was the transport that spoke.
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) return Annotate(converted, where);
  return converted;
}

void SetOptions(const CallOptions& options, grpc::ClientContext& context) {
  if (options.timeout != absl::InfiniteDuration()) {
    context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(options.timeout));
  }
  if (!options.bearer_token.empty()) {
    context.AddMetadata("authorization", absl::StrCat("Bearer ", options.bearer_token));
  }
}

class GrpcStream final : public RpcStream {
 public:
  GrpcStream(grpc::GenericStub& stub, const std::string& method, const CallOptions& options, std::string where)
      : where_(std::move(where)) {
    SetOptions(options, context_);
    call_ = stub.PrepareCall(&context_, method, &queue_);
    call_->StartCall(kTag);
    alive_ = Wait();
  }
  ~GrpcStream() override {
    if (!ended_) {
      context_.TryCancel();
      End().IgnoreError();
    }
    queue_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
    }
  }

  absl::Status Exchange(const Message& request, Message& response) override {
    if (alive_) {
      call_->Write(Encode(request), kTag);
      alive_ = Wait();
    }
    const absl::StatusOr<bool> more = Next(response);
    if (!more.ok()) return more.status();
    return *more ? absl::OkStatus() : absl::InternalError("the server ended the call before its answer");
  }

  absl::StatusOr<bool> Next(Message& response) override {
    grpc::ByteBuffer buffer;
    if (!ended_) {
      // Also after a write that failed: what the server said before is still to be read.
      call_->Read(&buffer, kTag);
      if (Wait()) {
        const absl::Status decoded = Decode(buffer, response);
        if (!decoded.ok()) return decoded;
        return true;
      }
      status_ = End();
    }
    if (!status_.ok()) return status_;
    return false;
  }

 private:
  bool Wait() {
    void* tag = nullptr;
    bool ok = false;
    return queue_.Next(&tag, &ok) && ok;
  }

  absl::Status End() {
    ended_ = true;
    alive_ = false;
    grpc::Status status;
    call_->Finish(&status, kTag);
    Wait();
    return ToStatus(status, where_);
  }

  const std::string where_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  bool alive_ = false;
  bool ended_ = false;
  absl::Status status_;
};

class GrpcClient final : public RpcClient {
 public:
  GrpcClient(std::shared_ptr<grpc::Channel> channel, std::string where)
      : stub_(std::move(channel)), where_(std::move(where)) {}

  absl::Status Unary(const std::string& method, const Message& request, Message& response,
                     const CallOptions& options) override {
    bool answered = false;
    absl::Status status = ServerStream(
        method, request, response,
        [&] {
          answered = true;
          return true;
        },
        options);
    if (!status.ok()) return status;
    return answered ? absl::OkStatus() : absl::InternalError("the server answered nothing");
  }

  absl::Status ServerStream(const std::string& method, const Message& request, Message& response,
                            absl::FunctionRef<bool()> on_message, const CallOptions& options) override {
    return Run(
        method, request, response, nullptr, [&] { return on_message() ? Next::kWait : Next::kEnd; }, options);
  }

  absl::Status BidiStream(const std::string& method, const Message& first, Message& response, Message& reply,
                          absl::FunctionRef<Next()> on_message, const CallOptions& options) override {
    return Run(method, first, response, &reply, on_message, options);
  }

  std::unique_ptr<RpcStream> Open(const std::string& method, const CallOptions& options) override {
    return std::make_unique<GrpcStream>(stub_, method, options, where_);
  }

 private:
  // All three kinds on the wire are one: messages out, messages in, a status. `reply` null: half-close after `first`.
  absl::Status Run(const std::string& method, const Message& first, Message& response, Message* reply,
                   absl::FunctionRef<Next()> on_message, const CallOptions& options) {
    grpc::ClientContext context;
    SetOptions(options, context);
    grpc::CompletionQueue queue;
    const auto call = stub_.PrepareCall(&context, method, &queue);
    const auto wait = [&queue] {
      void* tag = nullptr;
      bool ok = false;
      return queue.Next(&tag, &ok) && ok;
    };
    call->StartCall(kTag);
    bool alive = wait();
    if (alive) {
      if (reply != nullptr) {
        call->Write(Encode(first), kTag);
      } else {
        call->WriteLast(Encode(first), grpc::WriteOptions(), kTag);
      }
      alive = wait();
    }
    absl::Status decoded;
    bool ended_here = false;
    while (alive && decoded.ok() && !ended_here) {
      grpc::ByteBuffer buffer;
      call->Read(&buffer, kTag);
      if (!wait()) break;
      decoded = Decode(buffer, response);
      if (!decoded.ok()) break;
      const Next next = on_message();
      ended_here = next == Next::kEnd;
      if (next == Next::kReply) {
        call->Write(Encode(*reply), kTag);
        alive = wait();
      }
    }
    if (ended_here || !decoded.ok()) context.TryCancel();
    grpc::Status status;
    call->Finish(&status, kTag);
    wait();
    queue.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue.Next(&tag, &ok)) {
    }
    if (!decoded.ok()) return decoded;
    return ended_here ? absl::OkStatus() : ToStatus(status, where_);
  }

  grpc::GenericStub stub_;
  const std::string where_;
};

grpc::ChannelArguments Arguments() {
  // The detector is on in Debian's Abseil and costs every new connection half of its time.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // A proxy that the environment names is for the web, not for the CA.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return arguments;
}

}  // namespace

std::unique_ptr<RpcClient> RpcClient::Unix(const std::string& path) {
  grpc::ChannelArguments arguments = Arguments();
  // gRPC would send the socket's path, in an encoding that servers refuse.
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  return std::make_unique<GrpcClient>(
      grpc::CreateCustomChannel(absl::StrCat("unix:", path), grpc::InsecureChannelCredentials(), arguments), path);
}

std::unique_ptr<RpcClient> RpcClient::Tls(TlsTarget target) {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = target.roots_pem;
  options.pem_cert_chain = target.certificate_pem;
  options.pem_private_key = std::string(target.key_pem.reveal());
  grpc::ChannelArguments arguments = Arguments();
  if (IsIpAddress(HostOf(target.address))) arguments.SetSslTargetNameOverride(kServerName);
  auto credentials = grpc::SslCredentials(options);
  Wipe(options.pem_private_key);
  return std::make_unique<GrpcClient>(grpc::CreateCustomChannel(target.address, credentials, arguments),
                                      target.address);
}

}  // namespace meshca::cli
