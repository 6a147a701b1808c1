#include "test/interop/rpc/test_service.h"

#include <testing.pb.h>

#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/rpc/protobuf_payload.h"

namespace meshca::rpc {
namespace {

using grpc::testing::EchoStatus;

constexpr char kEchoInitial[] = "x-grpc-test-echo-initial";
constexpr char kEchoTrailing[] = "x-grpc-test-echo-trailing-bin";
constexpr size_t kMessageBytesMax = 4 * 1024 * 1024;

absl::Status ToStatus(const EchoStatus& echo) {
  return absl::Status(static_cast<absl::StatusCode>(echo.code()), echo.message());
}

// Call and Stream alike.
template <typename T>
void EchoMetadata(T& call) {
  if (auto value = call.metadata(kEchoInitial)) call.AddInitialMetadata(kEchoInitial, *value);
  if (auto value = call.metadata(kEchoTrailing)) call.AddTrailingMetadata(kEchoTrailing, *value);
}

void EmptyCall(std::shared_ptr<Call> call) { call->Finish(Frame(grpc::testing::Empty())); }

void UnaryCall(std::shared_ptr<Call> call) {
  grpc::testing::SimpleRequest request;
  absl::Status parsed = ParseMessage(call->request(), request);
  if (!parsed.ok()) return call->Finish(parsed);
  EchoMetadata(*call);
  if (request.has_response_status() && request.response_status().code() != 0) {
    return call->Finish(ToStatus(request.response_status()));
  }
  if (request.response_size() < 0) return call->Finish(absl::InvalidArgumentError("response_size is negative"));
  grpc::testing::SimpleResponse response;
  response.mutable_payload()->set_body(std::string(static_cast<size_t>(request.response_size()), '\0'));
  if (call->metadata("x-test-thread")) {
    std::thread([call = std::move(call), payload = Frame(response)] { call->Finish(payload); }).detach();
    return;
  }
  call->Finish(Frame(response));
}

class InputHandler final : public StreamHandler {
 public:
  explicit InputHandler(Stream& stream) : stream_(stream) {}

  void OnMessage(absl::string_view message) override {
    grpc::testing::StreamingInputCallRequest request;
    absl::Status parsed = ParseMessage(message, request);
    if (!parsed.ok()) return stream_.Finish(parsed);
    bytes_ += static_cast<int>(request.payload().body().size());
  }
  void OnHalfClose() override {
    grpc::testing::StreamingInputCallResponse response;
    response.set_aggregated_payload_size(bytes_);
    stream_.Send(Frame(response));
    stream_.Finish(absl::OkStatus());
  }
  void OnClose(const absl::Status& status) override {}

 private:
  Stream& stream_;
  int bytes_ = 0;
};

// StreamingOutputCall and FullDuplexCall: sends what each request asks for, as fast as the client reads.
class OutputHandler final : public StreamHandler {
 public:
  explicit OutputHandler(Stream& stream) : stream_(stream) { EchoMetadata(stream_); }

  void OnMessage(absl::string_view message) override {
    grpc::testing::StreamingOutputCallRequest request;
    absl::Status parsed = ParseMessage(message, request);
    if (!parsed.ok()) return stream_.Finish(parsed);
    if (request.has_response_status() && request.response_status().code() != 0) {
      return stream_.Finish(ToStatus(request.response_status()));
    }
    for (const auto& parameters : request.response_parameters()) {
      if (parameters.size() < 0) return stream_.Finish(absl::InvalidArgumentError("a size is negative"));
      waiting_.push_back(static_cast<size_t>(parameters.size()));
    }
    OnWritable();
  }
  void OnHalfClose() override {
    half_closed_ = true;
    OnWritable();
  }
  void OnWritable() override {
    // Made only when there is room, so a client that does not read costs a number for each answer it asked for.
    while (!waiting_.empty()) {
      grpc::testing::StreamingOutputCallResponse response;
      response.mutable_payload()->set_body(std::string(waiting_.front(), '\0'));
      if (!stream_.Send(Frame(response))) return;
      waiting_.pop_front();
    }
    if (half_closed_) stream_.Finish(absl::OkStatus());
  }
  void OnClose(const absl::Status& status) override {}

 private:
  Stream& stream_;
  std::deque<size_t> waiting_;  // sizes of answers still to send
  bool half_closed_ = false;
};

}  // namespace

void AddTestService(Router& router) {
  const UnaryOptions unary = {.request_bytes_max = kMessageBytesMax};
  StreamOptions streaming;
  streaming.message_bytes_max = kMessageBytesMax;
  router.AddUnary("/grpc.testing.TestService/EmptyCall", EmptyCall, unary);
  router.AddUnary("/grpc.testing.TestService/UnaryCall", UnaryCall, unary);
  router.AddStream(
      "/grpc.testing.TestService/StreamingInputCall",
      [](Stream& stream) { return std::make_unique<InputHandler>(stream); }, streaming);
  for (const char* method : {"StreamingOutputCall", "FullDuplexCall"}) {
    router.AddStream(
        absl::StrCat("/grpc.testing.TestService/", method),
        [](Stream& stream) { return std::make_unique<OutputHandler>(stream); }, streaming);
  }
}

}  // namespace meshca::rpc
