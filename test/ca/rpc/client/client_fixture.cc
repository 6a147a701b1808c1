#include "test/ca/rpc/client/client_fixture.h"

#include <future>
#include <utility>

namespace meshca::rpc {

void LoggingHandler::OnMessage(ClientStream& stream, absl::string_view message) {
  {
    MutexLock lock(log_->mutex);
    log_->messages.emplace_back(message);
    log_->threads.insert(std::this_thread::get_id());
  }
  if (reads_on_) stream.Read();
}

void LoggingHandler::OnWritable(ClientStream& stream) {
  MutexLock lock(log_->mutex);
  ++log_->writable;
  log_->threads.insert(std::this_thread::get_id());
}

void LoggingHandler::OnClose(const absl::Status& status) {
  MutexLock lock(log_->mutex);
  log_->closed.push_back(status);
  log_->threads.insert(std::this_thread::get_id());
}

ClientTest::~ClientTest() {
  if (channel_) channel_->Shutdown();
}

void ClientTest::ServeOnSocket(const ClientChannelOptions& options) {
  socket_ = folder_.path() + "/edge.sock";
  ListenerOptions listener;
  listener.address = "unix:" + socket_;
  Serve(std::move(listener));
  channel_ = ClientChannel::ToUnixSocket(socket_, options);
}

absl::StatusOr<std::string> ClientTest::Ask(ClientChannel& channel, const std::string& method,
                                            const std::string& request, const ClientCallOptions& options) {
  auto answered = std::make_shared<std::promise<absl::StatusOr<std::string>>>();
  auto answer = answered->get_future();
  channel.CallUnary(method, request, options,
                    [answered](absl::StatusOr<std::string> got) { answered->set_value(std::move(got)); });
  if (answer.wait_for(absl::ToChronoSeconds(kPatience)) != std::future_status::ready) {
    return absl::InternalError("the test's patience is at its end");
  }
  return answer.get();
}

std::shared_ptr<ClientStream> ClientTest::Chat(bool reads_on, const ClientStreamOptions& options) {
  log_ = std::make_shared<StreamLog>();
  auto stream = channel_->OpenStream("/t.Test/Chat", {.timeout = absl::InfiniteDuration()},
                                     std::make_unique<LoggingHandler>(log_, reads_on), options);
  stream->Read();
  return stream;
}

absl::Status ClientTest::Closed() {
  const bool closed = Eventually([this] {
    MutexLock lock(log_->mutex);
    return !log_->closed.empty();
  });
  if (!closed) return absl::InternalError("the stream does not end");
  MutexLock lock(log_->mutex);
  EXPECT_EQ(log_->closed.size(), 1u);
  return log_->closed.front();
}

std::vector<std::string> ClientTest::Messages() {
  MutexLock lock(log_->mutex);
  return log_->messages;
}

}  // namespace meshca::rpc
