#include "test/ca/rpc/edge_fixture.h"

#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "ca/base/process_limits.h"

namespace meshca::rpc {

ChatHandler::ChatHandler(Stream& stream, ChatLog& log) : stream_(stream), log_(log) {
  if (auto value = stream.metadata("x-echo")) stream.AddInitialMetadata("x-echo", *value);
  MutexLock lock(log_.mutex);
  log_.handles.push_back(stream.handle());
}

void ChatHandler::OnMessage(absl::string_view message) {
  {
    MutexLock lock(log_.mutex);
    log_.messages.emplace_back(message);
  }
  int count = 0;
  if (message == "bye") {
    stream_.AddTrailingMetadata("x-last", "word");
    stream_.Finish(absl::NotFoundError("nothing here: 100% \n\xC3\xA9"));
  } else if (absl::ConsumePrefix(&message, "flood ") && absl::SimpleAtoi(message, &count)) {
    for (int i = 0; i < count; ++i) {
      if (!stream_.Send(Frame(std::string(10'000, 'x')))) break;
    }
  } else if (absl::ConsumePrefix(&message, "hold ") && absl::SimpleAtoi(message, &count)) {
    stream_.Send(Frame(stream_.HoldBytes(static_cast<size_t>(count)).ok() ? "held" : "no room"));
  } else {
    stream_.Send(Frame(message));
  }
}

void ChatHandler::OnHalfClose() {
  {
    MutexLock lock(log_.mutex);
    ++log_.half_closed;
  }
  stream_.Finish(absl::OkStatus());
}

void ChatHandler::OnWritable() {
  MutexLock lock(log_.mutex);
  ++log_.writable;
}

void ChatHandler::OnClose(const absl::Status& status) {
  MutexLock lock(log_.mutex);
  log_.closed.push_back(status);
}

EdgeTest::EdgeTest() {
  IgnoreBrokenPipes();
  router_.AddUnary("/t.Test/Echo", [](std::shared_ptr<Call> call) {
    if (auto value = call->metadata("x-echo")) call->AddInitialMetadata("x-echo", *value);
    if (auto value = call->metadata("x-echo-bin")) call->AddTrailingMetadata("x-echo-bin", *value);
    call->Finish(Frame(call->request()));
  });
  router_.AddUnary("/t.Test/Fail", [](std::shared_ptr<Call> call) {
    call->AddTrailingMetadata("x-why", "because");
    call->Finish(WithReason(absl::PermissionDeniedError(call->request()), "WHY"));
  });
  router_.AddUnary("/t.Test/Drop", [](std::shared_ptr<Call> call) {});
  router_.AddUnary("/t.Test/Keep", [this](std::shared_ptr<Call> call) {
    MutexLock lock(mutex_);
    kept_.push_back(std::move(call));
  });
  router_.AddUnary("/t.Test/Thread", [](std::shared_ptr<Call> call) {
    std::thread([call = std::move(call)] { call->Finish(Frame(call->request())); }).detach();
  });
  router_.AddStream("/t.Test/Chat", [this](Stream& stream) { return std::make_unique<ChatHandler>(stream, chat_); });
}

EdgeTest::~EdgeTest() {
  if (server_) server_->Shutdown(absl::ZeroDuration());
}

std::string EdgeTest::Serve(ListenerOptions options, ServerOptions server) {
  server_.reset();
  bound_router_.reset();
  std::string address = Bind(std::move(options), server);
  server_->Start();
  return address;
}

std::string EdgeTest::Bind(ListenerOptions options, ServerOptions server) {
  if (!server_) {
    auto created = Server::Create(server);
    EXPECT_THAT(created, IsOk());
    server_ = *std::move(created);
  }
  if (options.address.empty()) options.address = "127.0.0.1:0";
  if (!options.router) {
    if (!bound_router_) bound_router_ = std::make_shared<const Router>(std::move(router_));
    options.router = bound_router_;
  }
  // A client that the machine lets wait is not cut, but where that is what a test is about.
  if (options.limits.handshake_timeout == ConnectionLimits().handshake_timeout) {
    options.limits.handshake_timeout = kPatience;
  }
  auto address = server_->AddListener(std::move(options));
  EXPECT_THAT(address, IsOk());
  return *address;
}

std::vector<std::shared_ptr<Call>> EdgeTest::kept() {
  MutexLock lock(mutex_);
  return kept_;
}

void EdgeTest::Release() {
  std::vector<std::shared_ptr<Call>> calls;  // Ends after the lock: dropping a call answers it.
  MutexLock lock(mutex_);
  calls.swap(kept_);
}

bool EdgeTest::Eventually(const std::function<bool()>& condition) {
  const absl::Time end = absl::Now() + kPatience;
  while (!condition()) {
    if (absl::Now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // Between two looks at what another thread does.
  }
  return true;
}

}  // namespace meshca::rpc
