// Each limit, met by a client that goes too far; the next client is served all the same.
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "test/ca/rpc/edge_fixture.h"

namespace meshca::rpc {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class LimitsTest : public EdgeTest {
 protected:
  std::string ServeWith(const ConnectionLimits& limits, ServerOptions server = {.loops = 1}) {
    ListenerOptions options;
    options.limits = limits;
    return address_ = Serve(std::move(options), server);
  }
  // The connection was cut for `kind`, and said so.
  void ExpectCut(H2Client& client, LimitKind kind) {
    EXPECT_TRUE(client.WaitEnd());
    EXPECT_EQ(client.goaway_error(), static_cast<uint32_t>(NGHTTP2_ENHANCE_YOUR_CALM));
    EXPECT_EQ(client.goaway_text(), LimitName(kind));
    EXPECT_EQ(Limit(kind), 1u);
    EXPECT_EQ(H2Client(address_).Call("/t.Test/Echo", "x").status(), 0) << "others are served";
  }
  // What a stream gives back comes a moment after it counts as closed.
  void ExpectBuffered(size_t bytes) {
    EXPECT_TRUE(Eventually([&] { return server_->stats().buffered_bytes == bytes; }))
        << server_->stats().buffered_bytes;
  }
  std::string address_;
};

TEST_F(LimitsTest, ResetsFromTheClient) {
  ConnectionLimits limits;
  limits.resets = {20, 1};
  H2Client client(ServeWith(limits));
  // More than what a long halt of this thread gives back.
  for (int i = 0; i < 100 && !client.ended(); ++i) {
    const int32_t stream = client.Open("/t.Test/Chat");
    client.RunUntil([] { return true; });  // Writes it: a reset before would take it back.
    client.Reset(stream);
    client.RunUntil([] { return true; });
  }
  ExpectCut(client, LimitKind::kResets);
}

TEST_F(LimitsTest, ResetsTheClientProvokes) {
  ConnectionLimits limits;
  limits.resets = {20, 1};
  H2Client client(ServeWith(limits));
  for (int i = 0; i < 100 && !client.ended(); ++i) {
    const int32_t stream = client.Open("/t.Test/Echo", {{"connection", "malformed in HTTP/2"}});
    client.RunUntil([&] { return client.reply(stream).closed; });
  }
  ExpectCut(client, LimitKind::kResets);
}

TEST_F(LimitsTest, PingsWithoutCalls) {
  ConnectionLimits limits;
  limits.pings = {20, 1};
  H2Client client(ServeWith(limits));
  for (int i = 0; i < 30; ++i) nghttp2_submit_ping(client.session(), 0, nullptr);
  ExpectCut(client, LimitKind::kPings);
}

TEST_F(LimitsTest, PingsBesideAnswersAreFree) {
  ConnectionLimits limits;
  limits.pings = {5, 1};
  H2Client client(ServeWith(limits));
  for (int i = 0; i < 50; ++i) {
    nghttp2_submit_ping(client.session(), 0, nullptr);
    ASSERT_EQ(client.Call("/t.Test/Echo", "x").status(), 0) << i;
  }
  EXPECT_EQ(Limit(LimitKind::kPings), 0u);
}

TEST_F(LimitsTest, Settings) {
  ConnectionLimits limits;
  limits.settings = {5, 1};
  H2Client client(ServeWith(limits));
  for (int i = 0; i < 10; ++i) nghttp2_submit_settings(client.session(), 0, nullptr, 0);
  ExpectCut(client, LimitKind::kSettings);
}

TEST_F(LimitsTest, ControlFrames) {
  ConnectionLimits limits;
  limits.control_frames = {20, 1};
  H2Client client(ServeWith(limits));
  for (int i = 0; i < 30; ++i) nghttp2_submit_window_update(client.session(), 0, 0, 1);
  ExpectCut(client, LimitKind::kControlFrames);
}

// `count` headers of 600 bytes each: x-`first` and so on.
Headers LargeHeaders(int count, int first = 0) {
  Headers headers;
  for (int i = first; i < first + count; ++i) headers.emplace_back(absl::StrCat("x-", i), std::string(600, 'b'));
  return headers;
}

TEST_F(LimitsTest, HeaderBomb) {
  ConnectionLimits limits;
  limits.header_bytes_max = 4'096;
  limits.header_bytes_cut = 16'384;
  H2Client client(ServeWith(limits));
  client.Open("/t.Test/Echo", LargeHeaders(40));
  ExpectCut(client, LimitKind::kHeaderBytes);
}

TEST_F(LimitsTest, TooMuchMetadataEndsItsCallAndNoOther) {
  ConnectionLimits limits;
  limits.header_bytes_max = 4'096;
  H2Client client(ServeWith(limits));
  const int32_t chat = client.Open("/t.Test/Chat");
  client.SendMessage(chat, "before");
  ASSERT_TRUE(client.WaitMessages(chat, 1));
  const Reply& refused = client.Call("/t.Test/Echo", "x", LargeHeaders(90));
  EXPECT_EQ(refused.status(), 8);
  EXPECT_THAT(refused.Find("grpc-message"),
              HasSubstr("bytes long (names, values and 32 for each), and 4096 are taken"));
  EXPECT_EQ(refused.error_code, 0u) << "an answer, no reset";
  EXPECT_EQ(Limit(LimitKind::kHeaderBytes), 1u);
  // HPACK remembers the last of those that nobody looked at, and both ends go on from that.
  Headers echo = LargeHeaders(3, 87);
  echo.emplace_back("x-echo", echo[2].second);
  const Reply& served = client.Call("/t.Test/Echo", "y", echo);
  EXPECT_EQ(served.status(), 0);
  EXPECT_EQ(served.Find("x-echo"), echo[2].second);
  client.SendMessage(chat, "after");
  ASSERT_TRUE(client.WaitMessages(chat, 2));
  EXPECT_EQ(client.goaways(), 0);
}

TEST_F(LimitsTest, WhoSendsTooMuchMetadataAgainAndAgainIsCut) {
  ConnectionLimits limits;
  limits.header_bytes_max = 4'096;
  limits.resets = {20, 1};
  H2Client client(ServeWith(limits));
  for (int i = 0; i < 100 && !client.ended(); ++i) {
    const int32_t stream = client.Open("/t.Test/Echo", LargeHeaders(10));
    client.RunUntil([&] { return client.reply(stream).closed; });
  }
  ExpectCut(client, LimitKind::kResets);
}

TEST_F(LimitsTest, EachHeaderBeyondTheLimitIsAControlFrame) {
  ConnectionLimits limits;
  limits.header_bytes_max = 4'096;
  limits.control_frames = {50, 1};
  H2Client client(ServeWith(limits));
  client.Open("/t.Test/Echo", LargeHeaders(90));
  ExpectCut(client, LimitKind::kControlFrames);
}

TEST_F(LimitsTest, TooMuchMetadataOfWhatIsNoGrpcIs431) {
  ConnectionLimits limits;
  limits.header_bytes_max = 4'096;
  H2Client client(ServeWith(limits));
  Headers headers = LargeHeaders(20);
  headers.emplace_back("content-type", "text/html");
  const int32_t stream = client.Open("/t.Test/Echo", headers, /*end_stream=*/true);
  ASSERT_TRUE(client.WaitClosed(stream));
  EXPECT_EQ(client.reply(stream).Find(":status"), "431");
}

TEST_F(LimitsTest, WhatTheSessionHolds) {
  ConnectionLimits limits;
  limits.session_bytes_max = 128 * 1024;
  limits.streams_max = 10'000;
  H2Client client(ServeWith(limits));
  for (int i = 0; i < 2'000; ++i) client.Open("/t.Test/Chat");
  ExpectCut(client, LimitKind::kSessionBytes);
}

TEST_F(LimitsTest, StreamsPerConnectionAreAnnouncedAndRefused) {
  ConnectionLimits limits;
  limits.streams_max = 3;
  H2Client client(ServeWith(limits));
  client.RunUntil([&client] {
    return nghttp2_session_get_remote_settings(client.session(), NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS) == 3;
  });
  for (int i = 0; i < 5; ++i) client.Open("/t.Test/Chat");
  ASSERT_TRUE(Eventually([&] {
    client.RunUntil([] { return true; });
    return server_->stats().streams_open == 3;
  }));
  EXPECT_FALSE(client.ended());
}

TEST_F(LimitsTest, CallsASecond) {
  ServerOptions server = {.loops = 1};
  server.source.calls = {10, 1};
  H2Client client(ServeWith({}, server));
  std::vector<int32_t> calls;
  for (int i = 0; i < 15; ++i) calls.push_back(client.Start("/t.Test/Echo", "x"));  // in one moment
  int refused = 0;
  for (const int32_t call : calls) {
    ASSERT_TRUE(client.WaitClosed(call));
    refused += client.reply(call).status() == 8 ? 1 : 0;
  }
  EXPECT_GE(refused, 4);
  EXPECT_GE(Limit(LimitKind::kCalls), 4u);
  EXPECT_FALSE(client.ended()) << "an answer, not a cut";
}

TEST_F(LimitsTest, OpenCallsOfASource) {
  ServerOptions server = {.loops = 1};
  server.source.streams_max = 2;
  const std::string address = ServeWith({}, server);
  H2Client first(address);
  H2Client second(address);
  first.Open("/t.Test/Chat");
  first.Open("/t.Test/Chat");
  ASSERT_TRUE(first.RunUntil([this] { return server_->stats().streams_open == 2; }));
  const Reply refused = second.Call("/t.Test/Echo", "x");
  EXPECT_EQ(refused.status(), 8);
  EXPECT_EQ(refused.Find("grpc-message"),
            "loopback has 2 calls open, as many as one caller may: end some, or raise limits.streams_max");
  EXPECT_EQ(Limit(LimitKind::kStreamsPerSource), 1u);
}

TEST_F(LimitsTest, WhoseCallsAreRefusedAgainAndAgainIsCut) {
  ServerOptions server = {.loops = 1};
  server.source.streams_max = 2;
  ConnectionLimits limits;
  limits.resets = {20, 1};
  const std::string address = ServeWith(limits, server);
  H2Client client(address);
  for (int i = 0; i < 100; ++i) client.Open("/t.Test/Chat");
  EXPECT_TRUE(client.WaitEnd());
  EXPECT_EQ(client.goaway_text(), LimitName(LimitKind::kResets));
}

TEST_F(LimitsTest, OneSourceHasHalfOfTheOpenCallsOfAll) {
  ServerOptions server = {.loops = 1};
  server.global.streams_max = 4;
  const std::string address = ServeWith({}, server);
  H2Client first(address);
  const int32_t stream = first.Open("/t.Test/Chat");
  first.Open("/t.Test/Chat");
  ASSERT_TRUE(first.RunUntil([this] { return server_->stats().streams_open == 2; }));
  H2Client second(address);
  EXPECT_EQ(second.Call("/t.Test/Echo", "x").status(), 8);
  EXPECT_EQ(Limit(LimitKind::kStreamsPerSource), 1u);
  first.Reset(stream);
  ASSERT_TRUE(first.RunUntil([this] { return server_->stats().streams_open == 1; }));
  EXPECT_EQ(second.Call("/t.Test/Echo", "x").status(), 0) << "what has ended makes room";
}

TEST_F(LimitsTest, MetadataOfOpenCalls) {
  ServerOptions server = {.loops = 1};
  server.global.buffered_bytes_max = 200'000;
  H2Client client(ServeWith({}, server));
  const Headers large = {{"x-large", std::string(10'000, 'm')}};
  std::vector<int32_t> streams;
  for (int i = 0; i < 12; ++i) streams.push_back(client.Open("/t.Test/Chat", large));
  ASSERT_TRUE(client.RunUntil([this] { return Limit(LimitKind::kBufferedBytes) == 3; }));
  ASSERT_TRUE(client.WaitClosed(streams[11]));
  EXPECT_EQ(client.reply(streams[11]).status(), 8);
  EXPECT_THAT(client.reply(streams[11]).Find("grpc-message"),
              AllOf(HasSubstr("metadata of open calls: loopback holds "), HasSubstr("of the 100000 bytes")));
  EXPECT_GT(server_->stats().buffered_bytes, 90'000u);
  EXPECT_EQ(H2Client(address_).Call("/t.Test/Echo", "x").status(), 0) << "small calls still fit";
  for (int i = 0; i < 9; ++i) client.Reset(streams[i]);
  ASSERT_TRUE(client.RunUntil([this] { return server_->stats().streams_open == 0; }));
  ExpectBuffered(0);
}

class HeldBytesTest : public LimitsTest {
 protected:
  // What the handler of `stream` was told when it asked to hold `bytes`.
  std::string Hold(H2Client& client, int32_t stream, int bytes) {
    const size_t before = client.reply(stream).messages().size();
    client.SendMessage(stream, absl::StrCat("hold ", bytes));
    EXPECT_TRUE(client.RunUntil([&] { return client.reply(stream).messages().size() > before; }));
    return client.reply(stream).messages().back();
  }
};

TEST_F(HeldBytesTest, WhatHandlersKeepIsChargedToConnectionAndSourceAndGivenBackAtTheEnd) {
  ConnectionLimits limits;
  limits.held_bytes_max = 100'000;
  ServerOptions server = {.loops = 1};
  server.source.buffered_bytes_max = 150'000;
  H2Client first(ServeWith(limits, server)), second(address_);
  const int32_t one = first.Open("/t.Test/Chat"), two = first.Open("/t.Test/Chat");
  const int32_t other = second.Open("/t.Test/Chat");
  EXPECT_EQ(Hold(first, one, 60'000), "held");
  EXPECT_EQ(Hold(first, two, 50'000), "no room") << "the connection's";
  EXPECT_EQ(Hold(first, two, 40'000), "held");
  EXPECT_EQ(Hold(second, other, 60'000), "no room") << "the source's";
  EXPECT_EQ(Hold(second, other, 40'000), "held");
  EXPECT_EQ(Limit(LimitKind::kBufferedBytes), 2u);
  EXPECT_EQ(server_->stats().buffered_bytes, 140'000u);
  EXPECT_EQ(Hold(first, one, 10'000), "held") << "in place of what it was";
  EXPECT_EQ(server_->stats().buffered_bytes, 90'000u);
  first.Reset(one);
  ASSERT_TRUE(first.RunUntil([this] { return server_->stats().streams_open == 2; }));
  ExpectBuffered(80'000);
  first.SendRaw(two, "", /*end=*/true);
  second.Reset(other);
  ASSERT_TRUE(first.WaitClosed(two));
  ASSERT_TRUE(second.RunUntil([this] { return server_->stats().streams_open == 0; }));
  ExpectBuffered(0);
}

TEST_F(LimitsTest, ConnectionsOfASource) {
  ServerOptions server = {.loops = 1};
  server.source.connections_max = 2;
  const std::string address = ServeWith({}, server);
  H2Client first(address);
  H2Client second(address);
  ASSERT_EQ(first.Call("/t.Test/Echo", "").status(), 0);
  ASSERT_EQ(second.Call("/t.Test/Echo", "").status(), 0);
  H2Client third(address);
  EXPECT_TRUE(third.WaitEnd());
  EXPECT_EQ(Limit(LimitKind::kConnectionsPerSource), 1u);
}

TEST_F(LimitsTest, ConnectionsOfAll) {
  ServerOptions server = {.loops = 1};
  server.global.connections_max = 1;
  const std::string address = ServeWith({}, server);
  {
    H2Client first(address);
    ASSERT_EQ(first.Call("/t.Test/Echo", "").status(), 0);
    H2Client second(address);
    EXPECT_TRUE(second.WaitEnd());
    EXPECT_EQ(Limit(LimitKind::kConnectionsGlobal), 1u);
  }
  ASSERT_TRUE(Eventually([this] { return server_->stats().connections_open == 0; }));
  EXPECT_EQ(H2Client(address).Call("/t.Test/Echo", "").status(), 0);
}

TEST_F(LimitsTest, ReconnectingDoesNotRefillTheSource) {
  ServerOptions server = {.loops = 1};
  server.source.resets = {100, 1};  // So that the debt lasts for most of a minute, however slow this goes.
  const std::string address = ServeWith({}, server);
  // Streams left open at close count as resets.
  for (int i = 0; i < 3; ++i) {
    {
      H2Client client(address);
      for (int j = 0; j < 50; ++j) client.Open("/t.Test/Chat");
      ASSERT_TRUE(client.RunUntil([this] { return server_->stats().streams_open == 50; }));
    }
    // They are charged before it is gone, and none of them is taken for one of the next.
    ASSERT_TRUE(Eventually([this] { return server_->stats().connections_open == 0; }));
  }
  H2Client refused(address);
  EXPECT_TRUE(refused.WaitEnd());
  EXPECT_GE(Limit(LimitKind::kSourceOverRate), 1u);
}

TEST_F(LimitsTest, UnfinishedRequestBytes) {
  ConnectionLimits limits;
  limits.request_bytes_max = 100'000;
  H2Client client(ServeWith(limits));
  const int32_t first = client.Open("/t.Test/Echo");
  client.SendRaw(first, *Frame(std::string(90'000, 'a')));
  ASSERT_TRUE(client.RunUntil([this] { return server_->stats().buffered_bytes > 89'000; }));
  const int32_t second = client.Open("/t.Test/Echo");
  client.SendRaw(second, *Frame(std::string(20'000, 'b')));
  ASSERT_TRUE(client.WaitClosed(second));
  EXPECT_EQ(client.reply(second).status(), 8);
  EXPECT_EQ(Limit(LimitKind::kBufferedBytes), 1u);
  client.SendRaw(first, "", true);
  ASSERT_TRUE(client.WaitClosed(first));
  EXPECT_EQ(client.reply(first).status(), 0);
  ExpectBuffered(0);
}

TEST_F(LimitsTest, UnreadAnswersOfAll) {
  ServerOptions server = {.loops = 1};
  server.global.buffered_bytes_max = 300'000;
  H2Client client(ServeWith({}, server), nullptr, nullptr, /*manual_window=*/true);
  std::vector<int32_t> streams;
  streams.reserve(20);
  for (int i = 0; i < 20; ++i) streams.push_back(client.Start("/t.Test/Echo", std::string(40'000, 'x')));
  ASSERT_TRUE(client.RunUntil([&] { return Limit(LimitKind::kBufferedBytes) > 0; }));
  EXPECT_LE(server_->stats().buffered_bytes, 300'000u);
}

TEST_F(LimitsTest, AClientThatDoesNotRead) {
  ConnectionLimits limits;
  limits.write_stall_timeout = absl::Milliseconds(100);
  H2Client client(ServeWith(limits), nullptr, nullptr, /*manual_window=*/true);
  client.SendMessage(client.Open("/t.Test/Chat"), "flood 10");
  EXPECT_TRUE(client.WaitEnd());
  EXPECT_EQ(Limit(LimitKind::kWriteStall), 1u);
  EXPECT_TRUE(Eventually([this] { return server_->stats().buffered_bytes == 0; }));
}

TEST_F(LimitsTest, AConnectionWithoutACall) {
  ConnectionLimits limits;
  limits.first_call_timeout = absl::Milliseconds(30);
  H2Client client(ServeWith(limits));
  EXPECT_TRUE(client.WaitEnd());
  EXPECT_EQ(client.goaway_error(), static_cast<uint32_t>(NGHTTP2_NO_ERROR));
  EXPECT_EQ(Limit(LimitKind::kFirstCallTimeout), 1u);
}

TEST_F(LimitsTest, AnIdleConnectionIsClosedAndABusyOneNot) {
  ConnectionLimits limits;
  limits.idle_timeout = absl::Milliseconds(150);
  H2Client client(ServeWith(limits));
  const int32_t kept_open = client.Start("/t.Test/Keep", "");
  ASSERT_TRUE(client.RunUntil([this] { return kept().size() == 1; }));
  EXPECT_FALSE(client.WaitEnd(absl::Milliseconds(400)));
  kept()[0]->Finish(Frame("x"));
  ASSERT_TRUE(client.WaitClosed(kept_open));
  EXPECT_TRUE(client.WaitEnd());
  EXPECT_GE(client.goaways(), 1);
  EXPECT_EQ(client.goaway_error(), static_cast<uint32_t>(NGHTTP2_NO_ERROR));
}

TEST_F(LimitsTest, KeepaliveFindsTheDeadAndLeavesTheLiving) {
  // Who lives may have to wait for its turn of the processor. Its next PING comes when the time for the last is over.
  ListenerOptions patient;
  patient.limits.keepalive_interval = absl::Milliseconds(30);
  patient.limits.keepalive_timeout = absl::Seconds(5);
  ListenerOptions strict = patient;
  strict.limits.keepalive_timeout = absl::Milliseconds(100);
  const std::string for_the_living = Bind(patient, {.loops = 1});
  const std::string for_the_dead = Bind(strict);
  server_->Start();
  H2Client living(for_the_living);
  H2Client dead(for_the_dead);
  living.Open("/t.Test/Chat");
  const int32_t stream = dead.Open("/t.Test/Chat");
  dead.SendMessage(stream, "x");
  ASSERT_TRUE(dead.WaitMessages(stream, 1));
  // `dead` is never run again, so it answers no PING.
  ASSERT_TRUE(living.RunUntil([&] { return living.pings() >= 2 && Limit(LimitKind::kKeepalive) == 1; }));
  EXPECT_TRUE(Eventually([this] { return server_->stats().connections_open == 1; }));
  EXPECT_FALSE(living.ended());
}

TEST_F(LimitsTest, WhatIsNotHttp2IsClosed) {
  const std::string address = ServeWith({});
  const UniqueFd fd = ConnectTo(address);
  const std::string text = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
  ASSERT_EQ(::write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  EXPECT_TRUE(Eventually([this] {
    const StatsSnapshot stats = server_->stats();
    return stats.connections_accepted == 1 && stats.connections_open == 0;
  }));
}

// nghttp2 sends no HEADERS of that size and says so in a callback alone: the client must not wait for what never comes.
TEST_F(LimitsTest, MoreMetadataThanHttp2SendsResetsTheCallAndNothingElse) {
  const std::string much(70'000, 'm');
  router_.AddUnary("/t.Test/MuchBefore", [&much](std::shared_ptr<Call> call) {
    call->AddInitialMetadata("x-much", much);
    call->Finish(Frame("answer"));
  });
  router_.AddUnary("/t.Test/MuchBehind", [&much](std::shared_ptr<Call> call) {
    call->AddTrailingMetadata("x-much", much);
    call->Finish(Frame("answer"));
  });
  router_.AddUnary("/t.Test/MuchAlone", [&much](std::shared_ptr<Call> call) {
    call->AddTrailingMetadata("x-much", much);
    call->Finish(absl::NotFoundError("not here"));
  });
  H2Client client(Serve());
  for (const char* path : {"/t.Test/MuchBefore", "/t.Test/MuchBehind", "/t.Test/MuchAlone"}) {
    const Reply& reply = client.Call(path, "request");
    EXPECT_TRUE(reply.closed) << path;
    EXPECT_EQ(reply.error_code, static_cast<uint32_t>(NGHTTP2_INTERNAL_ERROR)) << path;
    EXPECT_EQ(reply.status(), -1) << path;
  }
  EXPECT_EQ(client.Call("/t.Test/Echo", "after").messages(), std::vector<std::string>{"after"});
  EXPECT_TRUE(Eventually([this] { return server_->stats().streams_open == 0; }));
  EXPECT_EQ(server_->stats().buffered_bytes, 0u);
}

}  // namespace
}  // namespace meshca::rpc
