// Streaming calls: messages both ways, ends of every kind, flow control, fan-out.
#include <algorithm>
#include <atomic>
#include <string>
#include <vector>

#include "test/ca/rpc/edge_fixture.h"

namespace meshca::rpc {
namespace {

using testing::ElementsAre;

class StreamTest : public EdgeTest {
 protected:
  bool ClosedWith(absl::StatusCode code) {
    return Eventually([this, code] {
      MutexLock lock(chat_.mutex);
      return chat_.closed.size() == 1 && chat_.closed[0].code() == code;
    });
  }
  std::vector<StreamHandle> Handles() {
    MutexLock lock(chat_.mutex);
    return chat_.handles;
  }
};

// Answers each message and leaves the end to others, whatever the client does.
class EndlessHandler final : public StreamHandler {
 public:
  explicit EndlessHandler(Stream& stream) : stream_(stream) {}
  void OnMessage(absl::string_view message) override { stream_.Send(Frame(message)); }
  void OnHalfClose() override {}
  void OnClose(const absl::Status&) override {}

 private:
  Stream& stream_;
};

// Looks once in each round of a loop, as a stream of another connection, how much the loop has sent since the last
// time.
class RoundProbe {
 public:
  // `server` is that of the stream and has one loop; both outlive the probe's last look.
  RoundProbe(const Server& server, StreamHandle stream) : server_(server), stream_(std::move(stream)) {}
  // On the loop. Goes on until Stop().
  void Look() {
    const uint64_t sent = server_.stats().bytes_sent;
    if (looks_++ > 0) most_ = std::max(most_, sent - sent_);
    sent_ = sent;
    if (stop_) {
      stopped_ = true;
    } else {
      stream_.Post([this](StreamHandler&) { Look(); });
    }
  }
  void Stop() { stop_ = true; }
  bool stopped() const { return stopped_; }
  // The most that was sent between two looks. Once stopped().
  uint64_t most() const { return most_; }

 private:
  const Server& server_;
  const StreamHandle stream_;
  uint64_t looks_ = 0;
  uint64_t sent_ = 0;
  uint64_t most_ = 0;
  std::atomic<bool> stop_{false};
  std::atomic<bool> stopped_{false};
};

// A client whose windows never shut, and that reads as fast as it can.
void OpenWindows(H2Client& client) {
  const nghttp2_settings_entry wide = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 28};
  nghttp2_submit_settings(client.session(), 0, &wide, 1);
  nghttp2_submit_window_update(client.session(), 0, 0, 1 << 28);
}

// What one connection is sent before the others have their turn: eight batches, each of 64 KiB and the frame that goes
// beyond. A round may have two such turns, of what a look at the sockets and of what a task brought about.
constexpr uint64_t kSentInARoundMax = 2 * 8 * (64 + 17) * 1024;

TEST_F(StreamTest, PlaysPingPong) {
  H2Client client(Serve());
  const int32_t stream = client.Open("/t.Test/Chat", {{"x-echo", "first"}});
  for (size_t i = 1; i <= 3; ++i) {
    client.SendMessage(stream, std::string(i, 'p'));
    ASSERT_TRUE(client.WaitMessages(stream, i));
  }
  EXPECT_EQ(client.reply(stream).Find("x-echo"), "first");
  client.SendRaw(stream, "", true);
  ASSERT_TRUE(client.WaitClosed(stream));
  EXPECT_EQ(client.reply(stream).status(), 0);
  EXPECT_TRUE(ClosedWith(absl::StatusCode::kOk));
}

TEST_F(StreamTest, ReadsMessagesHoweverTheyAreCut) {
  H2Client client(Serve());
  const int32_t stream = client.Open("/t.Test/Chat");
  const std::string bytes = *Frame("one") + *Frame("") + *Frame(std::string(50'000, '3')) + *Frame("four");
  for (size_t at = 0; at < bytes.size();) {
    // Single bytes over every prefix, larger pieces inside the long message.
    const size_t piece = at < 40 || at >= bytes.size() - 20 ? 1 : std::min<size_t>(7'001, bytes.size() - 20 - at);
    client.SendRaw(stream, bytes.substr(at, piece));
    client.RunUntil([] { return true; });
    at += piece;
  }
  ASSERT_TRUE(client.WaitMessages(stream, 4));
  EXPECT_THAT(client.reply(stream).messages(), ElementsAre("one", "", std::string(50'000, '3'), "four"));
  EXPECT_TRUE(Eventually([this] { return server_->stats().buffered_bytes == 0; }));
}

TEST_F(StreamTest, ManyMessagesInOneFrame) {
  H2Client client(Serve());
  const int32_t stream = client.Open("/t.Test/Chat");
  std::string bytes;
  for (int i = 0; i < 10; ++i) bytes += *Frame(std::to_string(i));
  client.SendRaw(stream, bytes, true);
  ASSERT_TRUE(client.WaitClosed(stream));
  EXPECT_THAT(client.reply(stream).messages(), ElementsAre("0", "1", "2", "3", "4", "5", "6", "7", "8", "9"));
}

TEST_F(StreamTest, FinishWritesWhatIsQueuedThenTheStatus) {
  H2Client client(Serve());
  const int32_t stream = client.Open("/t.Test/Chat");
  client.SendMessage(stream, "hello");
  client.SendMessage(stream, "bye");
  client.SendMessage(stream, "unheard");
  ASSERT_TRUE(client.WaitClosed(stream));
  const Reply& reply = client.reply(stream);
  EXPECT_THAT(reply.messages(), ElementsAre("hello"));
  EXPECT_EQ(reply.status(), 5);
  EXPECT_EQ(reply.Find("grpc-message"), "nothing here: 100%25 %0A%C3%A9");
  EXPECT_EQ(reply.Find("x-last"), "word");
  EXPECT_TRUE(ClosedWith(absl::StatusCode::kNotFound));
  MutexLock lock(chat_.mutex);
  EXPECT_THAT(chat_.messages, ElementsAre("hello", "bye"));
}

TEST_F(StreamTest, ATruncatedLastMessageIsInternal) {
  H2Client client(Serve());
  const int32_t stream = client.Open("/t.Test/Chat");
  client.SendRaw(stream, absl::string_view("\0\0\0\0\11half", 9), true);
  ASSERT_TRUE(client.WaitClosed(stream));
  EXPECT_EQ(client.reply(stream).status(), 13);
  MutexLock lock(chat_.mutex);
  EXPECT_EQ(chat_.half_closed, 0);
}

TEST_F(StreamTest, AResetEndsItCancelled) {
  H2Client client(Serve());
  const int32_t stream = client.Open("/t.Test/Chat");
  client.SendMessage(stream, "x");
  ASSERT_TRUE(client.WaitMessages(stream, 1));
  client.Reset(stream);
  client.RunUntil([] { return true; });
  EXPECT_TRUE(ClosedWith(absl::StatusCode::kCancelled));
}

TEST_F(StreamTest, ALostConnectionEndsItUnavailable) {
  {
    H2Client client(Serve());
    const int32_t stream = client.Open("/t.Test/Chat");
    client.SendMessage(stream, "x");
    ASSERT_TRUE(client.WaitMessages(stream, 1));
  }
  EXPECT_TRUE(ClosedWith(absl::StatusCode::kUnavailable));
}

TEST_F(StreamTest, TheDeadlineEndsIt) {
  H2Client client(Serve());
  const int32_t stream = client.Open("/t.Test/Chat", {{"grpc-timeout", "30m"}});
  ASSERT_TRUE(client.WaitClosed(stream));
  EXPECT_EQ(client.reply(stream).status(), 4);
  EXPECT_TRUE(ClosedWith(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(StreamTest, AFactoryMayRefuse) {
  router_.AddStream("/t.Test/Refuse", [](Stream& stream) {
    stream.Finish(absl::PermissionDeniedError("not you"));
    return nullptr;
  });
  router_.AddStream("/t.Test/Null", [](Stream&) { return nullptr; });
  H2Client client(Serve());
  EXPECT_EQ(client.Call("/t.Test/Refuse", "x").status(), 7);
  EXPECT_EQ(client.Call("/t.Test/Null", "x").status(), 13);
}

TEST_F(StreamTest, PostReachesALiveStreamAndNoDeadOne) {
  H2Client client(Serve());
  const int32_t stream = client.Open("/t.Test/Chat");
  ASSERT_TRUE(client.RunUntil([this] { return Handles().size() == 1; }));
  const StreamHandle handle = Handles()[0];
  handle.Post([](StreamHandler& handler) { static_cast<ChatHandler&>(handler).stream().Send(Frame("pushed")); });
  ASSERT_TRUE(client.WaitMessages(stream, 1));
  EXPECT_THAT(client.reply(stream).messages(), ElementsAre("pushed"));
  client.Reset(stream);
  client.RunUntil([] { return true; });
  ASSERT_TRUE(ClosedWith(absl::StatusCode::kCancelled));
  handle.Post([](StreamHandler&) { FAIL() << "the stream has ended"; });
  server_.reset();
  handle.Post([](StreamHandler&) { FAIL() << "the server has ended"; });
}

TEST_F(StreamTest, PostAllSharesOnePayloadWithManyStreams) {
  const std::string address = Serve({}, {.loops = 3});
  constexpr size_t kConnections = 7;
  constexpr size_t kStreams = 30;
  std::vector<std::unique_ptr<H2Client>> clients;
  std::vector<std::vector<int32_t>> streams(kConnections);
  for (size_t i = 0; i < kConnections; ++i) {
    clients.push_back(std::make_unique<H2Client>(address));
    for (size_t j = 0; j < kStreams; ++j) streams[i].push_back(clients[i]->Open("/t.Test/Chat"));
    ASSERT_TRUE(clients[i]->RunUntil([&] { return Handles().size() == (i + 1) * kStreams; }));
  }
  const Payload payload = Frame(std::string(3'000, 'k'));
  StreamHandle::PostAll(
      Handles(), std::make_shared<const std::function<void(StreamHandler&)>>(
                     [payload](StreamHandler& handler) { static_cast<ChatHandler&>(handler).stream().Send(payload); }));
  for (size_t i = 0; i < kConnections; ++i) {
    for (int32_t stream : streams[i]) {
      ASSERT_TRUE(clients[i]->WaitMessages(stream, 1));
      EXPECT_EQ(clients[i]->reply(stream).messages()[0].size(), 3'000u);
    }
  }
}

TEST_F(StreamTest, WhatIsPostedWhileALongQueueRunsIsRunAsWell) {
  H2Client client(Serve({}, {.loops = 1}));
  client.Open("/t.Test/Chat");
  ASSERT_TRUE(client.RunUntil([this] { return Handles().size() == 1; }));
  const StreamHandle handle = Handles()[0];
  // Many rounds of the loop, each of which leaves some of them.
  std::atomic<int> run{0};
  for (int i = 0; i < 100; ++i) {
    handle.Post([&run](StreamHandler&) {
      absl::SleepFor(absl::Milliseconds(1));
      ++run;
    });
  }
  ASSERT_TRUE(Eventually([&run] { return run >= 20; }));
  handle.Post([&run](StreamHandler&) { ++run; });
  EXPECT_TRUE(Eventually([&run] { return run == 101; })) << run;
}

TEST_F(StreamTest, AClientThatGivesNoWindowMeetsTheQueueLimitAndThenCatchesUp) {
  H2Client client(Serve(), nullptr, nullptr, /*manual_window=*/true);
  const int32_t stream = client.Open("/t.Test/Chat");
  // 64 KiB fit the window; 16 messages more the queue.
  client.SendMessage(stream, "flood 100");
  ASSERT_TRUE(client.RunUntil([&] { return client.reply(stream).data.size() == 65'535; }));
  EXPECT_EQ(Limit(LimitKind::kSlowReader), 1u);
  EXPECT_GT(server_->stats().buffered_bytes, 0u);
  nghttp2_submit_window_update(client.session(), 0, 0, 1 << 20);
  nghttp2_submit_window_update(client.session(), 0, stream, 1 << 20);
  ASSERT_TRUE(client.WaitMessages(stream, 16));
  EXPECT_TRUE(Eventually([this] {
    MutexLock lock(chat_.mutex);
    return chat_.writable == 1;
  }));
  EXPECT_TRUE(Eventually([this] { return server_->stats().buffered_bytes == 0; }));
}

// The end comes while nghttp2 still waits for room to send what came before it.
TEST_F(StreamTest, WhatFinishesWhileTheWindowIsShutIsSentWhole) {
  H2Client client(Serve(), nullptr, nullptr, /*manual_window=*/true);
  const int32_t stream = client.Open("/t.Test/Chat");
  client.SendMessage(stream, "hello");
  ASSERT_TRUE(client.WaitMessages(stream, 1));
  client.SendMessage(stream, "flood 10");
  ASSERT_TRUE(client.RunUntil([&] { return client.reply(stream).data.size() == 65'535; }));
  client.SendMessage(stream, "bye");
  ASSERT_TRUE(client.RunUntil([this] {
    MutexLock lock(chat_.mutex);
    return chat_.messages.size() == 3;
  }));
  nghttp2_submit_window_update(client.session(), 0, 0, 1 << 20);
  nghttp2_submit_window_update(client.session(), 0, stream, 1 << 20);
  ASSERT_TRUE(client.WaitClosed(stream));
  EXPECT_EQ(client.reply(stream).messages().size(), 11u);
  EXPECT_EQ(client.reply(stream).status(), 5);
  EXPECT_TRUE(ClosedWith(absl::StatusCode::kNotFound));
}

// What waited for room is dropped, and the status waits for none. The window stays shut to the end.
TEST_F(StreamTest, ADeadlineBeforeTheFirstByteIsAStatusAtOnceThoughTheStreamsWindowIsShut) {
  H2Client client(Serve(), nullptr, nullptr, /*manual_window=*/true);
  const nghttp2_settings_entry shut = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0};
  nghttp2_submit_settings(client.session(), 0, &shut, 1);
  const int32_t stream = client.Open("/t.Test/Chat", {{"grpc-timeout", "200m"}});
  client.SendMessage(stream, "hello");
  ASSERT_TRUE(client.WaitClosed(stream));
  EXPECT_EQ(client.reply(stream).data, "");
  EXPECT_EQ(client.reply(stream).status(), 4);
  EXPECT_FALSE(client.reply(stream).trailers.empty()) << "the headers were out before";
  EXPECT_TRUE(ClosedWith(absl::StatusCode::kDeadlineExceeded));
  EXPECT_EQ(server_->stats().buffered_bytes, 0u);
  // The connection goes on, and what was dropped never comes.
  nghttp2_submit_window_update(client.session(), 0, stream, 1 << 20);
  const nghttp2_settings_entry open = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 65'535};
  nghttp2_submit_settings(client.session(), 0, &open, 1);
  EXPECT_EQ(client.Call("/t.Test/Echo", "after").messages(), std::vector<std::string>{"after"});
  EXPECT_EQ(client.reply(stream).data, "");
}

TEST_F(StreamTest, ADeadlineBeforeTheFirstByteIsAStatusAtOnceThoughTheConnectionsWindowIsShut) {
  H2Client client(Serve(), nullptr, nullptr, /*manual_window=*/true);
  const int32_t filling = client.Open("/t.Test/Chat");
  client.SendMessage(filling, "flood 10");
  ASSERT_TRUE(client.RunUntil([&] { return client.reply(filling).data.size() == 65'535; }));
  const int32_t stream = client.Open("/t.Test/Chat", {{"grpc-timeout", "200m"}});
  client.SendMessage(stream, "hello");
  ASSERT_TRUE(client.WaitClosed(stream));
  EXPECT_EQ(client.reply(stream).data, "");
  EXPECT_EQ(client.reply(stream).status(), 4);
  EXPECT_TRUE(ClosedWith(absl::StatusCode::kDeadlineExceeded));
  nghttp2_submit_window_update(client.session(), 0, 0, 1 << 20);
  nghttp2_submit_window_update(client.session(), 0, filling, 1 << 20);
  ASSERT_TRUE(client.WaitMessages(filling, 10));
}

// A client that has sent all it has to: the stream closes with the trailers, with nothing to reset.
TEST_F(StreamTest, ADeadlineWhileTheWindowIsShutEndsAStreamThatIsHalfClosed) {
  router_.AddStream("/t.Test/Endless", [](Stream& stream) { return std::make_unique<EndlessHandler>(stream); });
  H2Client client(Serve(), nullptr, nullptr, /*manual_window=*/true);
  const nghttp2_settings_entry shut = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0};
  nghttp2_submit_settings(client.session(), 0, &shut, 1);
  const int32_t stream = client.Start("/t.Test/Endless", "hello", {{"grpc-timeout", "200m"}});
  ASSERT_TRUE(client.WaitClosed(stream));
  EXPECT_EQ(client.reply(stream).data, "");
  EXPECT_EQ(client.reply(stream).status(), 4);
  EXPECT_EQ(client.reply(stream).error_code, static_cast<uint32_t>(NGHTTP2_NO_ERROR));
  EXPECT_TRUE(Eventually([this] { return server_->stats().streams_open == 0; }));
  EXPECT_EQ(server_->stats().buffered_bytes, 0u);
}

TEST_F(StreamTest, ADeadlineInTheMiddleOfAMessageResets) {
  H2Client client(Serve(), nullptr, nullptr, /*manual_window=*/true);
  const int32_t stream = client.Open("/t.Test/Chat", {{"grpc-timeout", "1S"}});
  client.SendMessage(stream, "flood 10");  // What fits the window is out long before.
  ASSERT_TRUE(client.WaitClosed(stream));
  EXPECT_EQ(client.reply(stream).error_code, static_cast<uint32_t>(NGHTTP2_CANCEL));
  EXPECT_TRUE(ClosedWith(absl::StatusCode::kDeadlineExceeded));
  EXPECT_TRUE(Eventually([this] { return server_->stats().buffered_bytes == 0; }));
}

// The socket of a client on this machine takes more than two megabytes before it is full.
TEST_F(StreamTest, ManyAnswersForAFastReaderLetOtherConnectionsHaveTheirTurn) {
  constexpr size_t kCalls = 80;
  const std::string address = Serve({}, {.loops = 1});
  H2Client other(address);
  const int32_t stream = other.Open("/t.Test/Chat");
  ASSERT_TRUE(other.RunUntil([this] { return Handles().size() == 1; }));
  const StreamHandle handle = Handles()[0];
  H2Client reader(address);
  OpenWindows(reader);
  std::vector<int32_t> calls;
  for (size_t i = 0; i < kCalls; ++i) calls.push_back(reader.Start("/t.Test/Keep", ""));
  ASSERT_TRUE(reader.RunUntil([this] { return kept().size() == kCalls; }));
  RoundProbe probe(*server_, handle);
  // All the answers are there before the first of them leaves.
  handle.Post([this, &probe](StreamHandler&) {
    for (const auto& call : kept()) call->Finish(Frame(std::string(100'000, 'x')));
    probe.Look();
  });
  EXPECT_TRUE(reader.RunUntil([&] {  // Not ASSERT: the probe has to stop before it is gone.
    return std::all_of(calls.begin(), calls.end(), [&](int32_t call) { return reader.reply(call).closed; });
  }));
  probe.Stop();
  ASSERT_TRUE(Eventually([&probe] { return probe.stopped(); }));
  EXPECT_LE(probe.most(), kSentInARoundMax);
  for (const int32_t call : calls) EXPECT_EQ(reader.reply(call).data.size(), 100'005u);
  other.Reset(stream);
}

// Sends `left` messages of 10 KB, as many at a time as there is room for.
class FillingHandler final : public StreamHandler {
 public:
  FillingHandler(Stream& stream, int left) : stream_(stream), left_(left) {}
  void OnMessage(absl::string_view) override { OnWritable(); }
  void OnHalfClose() override {}
  void OnWritable() override {
    for (; left_ > 0; --left_) {
      if (!stream_.Send(Frame(std::string(10'000, 'x')))) return;
    }
    stream_.Finish(absl::OkStatus());
  }
  void OnClose(const absl::Status&) override {}

 private:
  Stream& stream_;
  int left_;
};

TEST_F(StreamTest, AStreamThatIsRefilledForAFastReaderLetsOtherConnectionsHaveTheirTurn) {
  static constexpr int kMessages = 800;
  router_.AddStream("/t.Test/Fill", [](Stream& stream) { return std::make_unique<FillingHandler>(stream, kMessages); });
  const std::string address = Serve({}, {.loops = 1});
  H2Client other(address);
  const int32_t stream = other.Open("/t.Test/Chat");
  ASSERT_TRUE(other.RunUntil([this] { return Handles().size() == 1; }));
  const StreamHandle handle = Handles()[0];
  H2Client reader(address);
  OpenWindows(reader);
  RoundProbe probe(*server_, handle);
  handle.Post([&probe](StreamHandler&) { probe.Look(); });
  const int32_t filled = reader.Open("/t.Test/Fill");
  reader.SendMessage(filled, "begin");
  EXPECT_TRUE(reader.WaitClosed(filled));  // Not ASSERT, as above.
  probe.Stop();
  ASSERT_TRUE(Eventually([&probe] { return probe.stopped(); }));
  EXPECT_LE(probe.most(), kSentInARoundMax);
  EXPECT_EQ(reader.reply(filled).messages().size(), static_cast<size_t>(kMessages));
  EXPECT_EQ(reader.reply(filled).status(), 0);
  other.Reset(stream);
}

TEST_F(StreamTest, MessagesAboveTheLimitAreRefused) {
  H2Client client(Serve());
  const int32_t stream = client.Open("/t.Test/Chat");
  client.SendRaw(stream, absl::string_view("\0\0\4\0\1", 5));
  ASSERT_TRUE(client.WaitClosed(stream));
  EXPECT_EQ(client.reply(stream).status(), 8);
  EXPECT_EQ(Limit(LimitKind::kMessageBytes), 1u);
}

}  // namespace
}  // namespace meshca::rpc
