// A Server with test methods on it.
#ifndef MESHCA_TEST_CA_RPC_EDGE_FIXTURE_H_
#define MESHCA_TEST_CA_RPC_EDGE_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ca/base/mutex.h"
#include "ca/rpc/server.h"
#include "test/ca/rpc/h2_client.h"
#include "test/fakes/status_matchers.h"
#include "test/fakes/temp_folder.h"

namespace meshca::rpc {

// What one streaming call of /t.Test/Chat saw. Guarded by its mutex: the loop writes, the test reads.
struct ChatLog {
  Mutex mutex;
  std::vector<std::string> messages ABSL_GUARDED_BY(mutex);
  std::vector<absl::Status> closed ABSL_GUARDED_BY(mutex);
  std::vector<StreamHandle> handles ABSL_GUARDED_BY(mutex);
  int half_closed ABSL_GUARDED_BY(mutex) = 0;
  int writable ABSL_GUARDED_BY(mutex) = 0;
};

// Echoes each message. "bye" finishes with NotFound; "flood N" sends N messages of 10 KB, or as many as fit.
class ChatHandler final : public StreamHandler {
 public:
  ChatHandler(Stream& stream, ChatLog& log);
  void OnMessage(absl::string_view message) override;
  void OnHalfClose() override;
  void OnWritable() override;
  void OnClose(const absl::Status& status) override;
  Stream& stream() { return stream_; }

 private:
  Stream& stream_;
  ChatLog& log_;
};

class EdgeTest : public testing::Test {
 protected:
  // /t.Test/: Echo (unary; request back, metadata "x-echo" and "x-echo-bin" as initial and trailing), Fail (the request
  // is the message of a PermissionDenied with reason WHY), Drop, Keep (see kept()), Thread (echoes from a thread),
  // Chat (stream).
  EdgeTest();
  ~EdgeTest() override;

  // Starts the server with one plaintext listener, or on `options`; returns the address.
  std::string Serve(ListenerOptions options = {}, ServerOptions server = {.loops = 2});
  // A listener of a server that server_->Start() starts: what clients send before lies there when it begins to count
  // their time. The first one makes the server, and all share the first one's router.
  std::string Bind(ListenerOptions options = {}, ServerOptions server = {.loops = 2});
  // The calls of /t.Test/Keep so far.
  std::vector<std::shared_ptr<Call>> kept();
  void Release();
  // Waits up to kPatience; returns condition().
  static bool Eventually(const std::function<bool()>& condition);
  uint64_t Limit(LimitKind kind) { return server_->stats().limit(kind); }

  Router router_;
  ChatLog chat_;
  std::unique_ptr<Server> server_;

 private:
  std::shared_ptr<const Router> bound_router_;
  Mutex mutex_;
  std::vector<std::shared_ptr<Call>> kept_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca::rpc

#endif  // MESHCA_TEST_CA_RPC_EDGE_FIXTURE_H_
