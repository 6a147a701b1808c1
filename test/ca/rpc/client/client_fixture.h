// A ClientChannel towards a Server of ours, and what its calls told.
#ifndef MESHCA_TEST_CA_RPC_CLIENT_CLIENT_FIXTURE_H_
#define MESHCA_TEST_CA_RPC_CLIENT_CLIENT_FIXTURE_H_

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "ca/rpc/client/client_channel.h"
#include "test/ca/rpc/edge_fixture.h"

namespace meshca::rpc {

// EXPECT_THAT(Ask(...), Answers("text"));
MATCHER_P(Answers, text, "") {
  if (!arg.ok()) *result_listener << arg.status().ToString();
  return arg.ok() && *arg == text;
}

// What one stream told. Guarded by its mutex: the channel's thread writes, the test reads.
struct StreamLog {
  Mutex mutex;
  std::vector<std::string> messages ABSL_GUARDED_BY(mutex);
  std::vector<absl::Status> closed ABSL_GUARDED_BY(mutex);
  int writable ABSL_GUARDED_BY(mutex) = 0;
  std::set<std::thread::id> threads ABSL_GUARDED_BY(mutex);
};

// Asks for the next message as soon as one came, where `reads_on`.
class LoggingHandler final : public ClientStreamHandler {
 public:
  LoggingHandler(std::shared_ptr<StreamLog> log, bool reads_on) : log_(std::move(log)), reads_on_(reads_on) {}
  void OnMessage(ClientStream& stream, absl::string_view message) override;
  void OnWritable(ClientStream& stream) override;
  void OnClose(const absl::Status& status) override;

 private:
  const std::shared_ptr<StreamLog> log_;
  const bool reads_on_;
};

class ClientTest : public EdgeTest {
 protected:
  ~ClientTest() override;

  // Serves on a socket in a folder of the test's, and makes the channel to it.
  void ServeOnSocket(const ClientChannelOptions& options = {});
  // The answer of a call that is waited for, on any channel.
  static absl::StatusOr<std::string> Ask(ClientChannel& channel, const std::string& method, const std::string& request,
                                         const ClientCallOptions& options = {});
  absl::StatusOr<std::string> Ask(const std::string& method, const std::string& request,
                                  const ClientCallOptions& options = {}) {
    return Ask(*channel_, method, request, options);
  }
  // A call of /t.Test/Chat without a deadline; its first message has been asked for.
  std::shared_ptr<ClientStream> Chat(bool reads_on = true, const ClientStreamOptions& options = {});
  // The status of the stream that Chat opened last, waited for.
  absl::Status Closed();
  std::vector<std::string> Messages();

  TempFolder folder_;
  std::string socket_;
  std::unique_ptr<ClientChannel> channel_;
  std::shared_ptr<StreamLog> log_;
};

}  // namespace meshca::rpc

#endif  // MESHCA_TEST_CA_RPC_CLIENT_CLIENT_FIXTURE_H_
