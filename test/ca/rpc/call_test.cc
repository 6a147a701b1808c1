// Unary calls, as a client sees them.
#include <atomic>
#include <map>
#include <string>

#include "test/ca/rpc/edge_fixture.h"

namespace meshca::rpc {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

class CallTest : public EdgeTest {
 protected:
  CallTest() : address_(Serve()), client_(address_) {}
  const std::string address_;
  H2Client client_;
};

TEST_F(CallTest, AnswersWithOneMessageAndOk) {
  const Reply& reply = client_.Call("/t.Test/Echo", "hello");
  EXPECT_EQ(reply.Find(":status"), "200");
  EXPECT_EQ(reply.Find("content-type"), "application/grpc");
  EXPECT_THAT(reply.messages(), testing::ElementsAre("hello"));
  EXPECT_EQ(reply.status(), 0);
  EXPECT_EQ(reply.error_code, 0u);
}

TEST_F(CallTest, AnswersFromAnotherThread) {
  EXPECT_THAT(client_.Call("/t.Test/Thread", "hello").messages(), testing::ElementsAre("hello"));
}

TEST_F(CallTest, CarriesEmptyAndLargeMessages) {
  EXPECT_THAT(client_.Call("/t.Test/Echo", "").messages(), testing::ElementsAre(""));
  const std::string large(200'000, 'y');  // Beyond both 64 KiB windows.
  EXPECT_THAT(client_.Call("/t.Test/Echo", large).messages(), testing::ElementsAre(large));
}

TEST_F(CallTest, ManyCallsShareAConnection) {
  std::vector<int32_t> streams;
  streams.reserve(500);
  for (int i = 0; i < 500; ++i) streams.push_back(client_.Start("/t.Test/Thread", std::to_string(i)));
  for (int i = 0; i < 500; ++i) {
    ASSERT_TRUE(client_.WaitClosed(streams[i])) << i;
    EXPECT_THAT(client_.reply(streams[i]).messages(), testing::ElementsAre(std::to_string(i)));
  }
}

TEST_F(CallTest, EchoesMetadataBothWays) {
  const Reply& reply = client_.Call("/t.Test/Echo", "", {{"x-echo", "in"}, {"x-echo-bin", "AAEC"}});
  EXPECT_THAT(reply.headers, testing::Contains(testing::Pair("x-echo", "in")));
  EXPECT_THAT(reply.trailers, testing::Contains(testing::Pair("x-echo-bin", "AAEC")));
}

TEST_F(CallTest, AnErrorIsTrailersOnlyWithReasonAndEncodedMessage) {
  const Reply& reply = client_.Call("/t.Test/Fail", "no \xC3\xA9 100%");
  EXPECT_EQ(reply.status(), 7);
  EXPECT_EQ(reply.Find("grpc-message"), "no %C3%A9 100%25");
  EXPECT_EQ(reply.Find("x-why"), "because");
  EXPECT_NE(reply.Find("grpc-status-details-bin"), "");
  EXPECT_THAT(reply.trailers, testing::IsEmpty());
  EXPECT_EQ(reply.data, "");
}

TEST_F(CallTest, ADroppedCallIsInternal) {
  const Reply& reply = client_.Call("/t.Test/Drop", "");
  EXPECT_EQ(reply.status(), 13);
  EXPECT_THAT(reply.Find("grpc-message"), HasSubstr("dropped"));
}

TEST_F(CallTest, TheDeadlineEndsTheCallAndTellsTheHandler) {
  const Reply& reply = client_.Call("/t.Test/Keep", "", {{"grpc-timeout", "50m"}});
  EXPECT_EQ(reply.status(), 4);
  ASSERT_THAT(kept(), SizeIs(1));
  EXPECT_TRUE(kept()[0]->cancelled());
  EXPECT_LT(kept()[0]->deadline(), absl::InfiniteFuture());
  kept()[0]->Finish(Frame("too late"));
  EXPECT_EQ(client_.Call("/t.Test/Echo", "x").status(), 0) << "the connection goes on";
}

TEST_F(CallTest, ACallWithoutTimeoutHasNoDeadline) {
  client_.Start("/t.Test/Keep", "");
  ASSERT_TRUE(client_.RunUntil([this] { return kept().size() == 1; }));
  EXPECT_EQ(kept()[0]->deadline(), absl::InfiniteFuture());
  EXPECT_FALSE(kept()[0]->cancelled());
}

TEST_F(CallTest, AResetCancelsAndRunsOnCancelOnce) {
  const int32_t stream = client_.Start("/t.Test/Keep", "");
  ASSERT_TRUE(client_.RunUntil([this] { return kept().size() == 1; }));
  std::atomic<int> cancelled{0};
  kept()[0]->OnCancel([&cancelled] { ++cancelled; });
  client_.Reset(stream);
  ASSERT_TRUE(client_.RunUntil([&cancelled] { return cancelled == 1; }));
  EXPECT_TRUE(kept()[0]->cancelled());
  kept()[0]->OnCancel([&cancelled] { ++cancelled; });  // Too late: runs at once.
  EXPECT_TRUE(Eventually([&cancelled] { return cancelled == 2; }));
  kept()[0]->Finish(absl::OkStatus());
}

TEST_F(CallTest, ALostConnectionCancels) {
  {
    H2Client other(address_);
    other.Start("/t.Test/Keep", "");
    ASSERT_TRUE(other.RunUntil([this] { return kept().size() == 1; }));
  }
  EXPECT_TRUE(Eventually([this] { return kept()[0]->cancelled(); }));
}

TEST_F(CallTest, ACallOutlivesTheServer) {
  client_.Start("/t.Test/Keep", "still readable");
  ASSERT_TRUE(client_.RunUntil([this] { return kept().size() == 1; }));
  server_.reset();
  EXPECT_TRUE(kept()[0]->cancelled());
  EXPECT_EQ(kept()[0]->request(), "still readable");
  kept()[0]->Finish(Frame("nobody hears"));
}

TEST_F(CallTest, FinishingTwiceIsABrokenBelief) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  client_.Start("/t.Test/Keep", "");
  ASSERT_TRUE(client_.RunUntil([this] { return kept().size() == 1; }));
  kept()[0]->Finish(Frame("once"));
  EXPECT_DEATH(kept()[0]->Finish(Frame("twice")), "check failed");
}

struct RequestCase {
  const char* name;
  const char* path;
  Headers headers;
  std::string body;  // as sent, prefix included
  std::string http;  // expected :status
  int grpc;          // expected grpc-status, -1: none
  const char* words;
};

std::string Framed(absl::string_view message) { return *Frame(message); }

class CallRequest : public EdgeTest, public testing::WithParamInterface<RequestCase> {};
TEST_P(CallRequest, IsAnsweredByTheRules) {
  H2Client client(Serve());
  const int32_t stream = client.Open(GetParam().path, GetParam().headers);
  client.SendRaw(stream, GetParam().body, true);
  ASSERT_TRUE(client.WaitClosed(stream));
  const Reply& reply = client.reply(stream);
  EXPECT_EQ(reply.Find(":status"), GetParam().http);
  EXPECT_EQ(reply.status(), GetParam().grpc);
  EXPECT_THAT(reply.Find("grpc-message"), HasSubstr(GetParam().words));
  EXPECT_EQ(client.Call("/t.Test/Echo", "x").status(), 0) << "the connection goes on";
}
INSTANTIATE_TEST_SUITE_P(
    GrpcOverHttp2, CallRequest,
    testing::Values(
        RequestCase{"NoContentType", "/t.Test/Echo", {{"content-type", ""}}, Framed("x"), "415", -1, ""},
        RequestCase{
            "JsonContentType", "/t.Test/Echo", {{"content-type", "application/json"}}, Framed("x"), "415", -1, ""},
        RequestCase{"ProtoContentType",
                    "/t.Test/Echo",
                    {{"content-type", "application/grpc+proto"}},
                    Framed("x"),
                    "200",
                    0,
                    ""},
        RequestCase{"Get", "/t.Test/Echo", {{":method", "GET"}}, Framed("x"), "405", -1, ""},
        RequestCase{"NoTe", "/t.Test/Echo", {{"te", ""}}, Framed("x"), "200", 0, ""},
        RequestCase{"AnyAuthority",
                    "/t.Test/Echo",
                    {{":authority", "istiod.istio-system.svc:15012"}},
                    Framed("x"),
                    "200",
                    0,
                    ""},
        RequestCase{
            "SocketPathAuthority", "/t.Test/Echo", {{":authority", "/run/api.sock"}}, Framed("x"), "200", 0, ""},
        RequestCase{"UnixAuthority", "/t.Test/Echo", {{":authority", "unix:/run/api.sock"}}, Framed("x"), "200", 0, ""},
        RequestCase{"PercentAuthority", "/t.Test/Echo", {{":authority", "%2Frun%2Fapi"}}, Framed("x"), "200", 0, ""},
        RequestCase{"NoAuthority", "/t.Test/Echo", {{":authority", ""}}, Framed("x"), "200", 0, ""},
        RequestCase{"UnknownMethod", "/t.Test/Nothing", {}, Framed("x"), "200", 12, "no method /t.Test/Nothing"},
        RequestCase{"UnknownService", "/t.Other/Echo", {}, Framed("x"), "200", 12, "no service t.Other"},
        RequestCase{"PathWithoutMethod", "/t.Test", {}, Framed("x"), "200", 12, "no method /t.Test"},
        RequestCase{"GzipEncoding", "/t.Test/Echo", {{"grpc-encoding", "gzip"}}, Framed("x"), "200", 12, "compressed"},
        RequestCase{"IdentityEncoding", "/t.Test/Echo", {{"grpc-encoding", "identity"}}, Framed("x"), "200", 0, ""},
        RequestCase{"CompressedFlag", "/t.Test/Echo", {}, std::string("\1\0\0\0\1x", 6), "200", 12, "compressed"},
        RequestCase{"UnknownFlag", "/t.Test/Echo", {}, std::string("\7\0\0\0\1x", 6), "200", 13, "unknown flags"},
        RequestCase{"NoMessage", "/t.Test/Echo", {}, "", "200", 13, "this has none"},
        RequestCase{"HalfAPrefix", "/t.Test/Echo", {}, std::string("\0\0\0", 3), "200", 13, "cut short"},
        RequestCase{"HalfAMessage", "/t.Test/Echo", {}, std::string("\0\0\0\0\5ab", 7), "200", 13, "cut short"},
        RequestCase{"TwoMessages", "/t.Test/Echo", {}, Framed("x") + Framed("y"), "200", 13, "one request message"},
        RequestCase{"TooLarge",
                    "/t.Test/Echo",
                    {},
                    std::string("\0\0\4\0\1", 5),
                    "200",
                    8,
                    "262145 bytes is above the limit of 262144"},
        RequestCase{"BadTimeout", "/t.Test/Echo", {{"grpc-timeout", "soon"}}, Framed("x"), "200", 13, "grpc-timeout"},
        RequestCase{"ForeverTimeout", "/t.Test/Echo", {{"grpc-timeout", "99999999H"}}, Framed("x"), "200", 0, ""},
        RequestCase{"BadBinaryMetadata", "/t.Test/Echo", {{"x-a-bin", "%%"}}, Framed("x"), "200", 13, "base64"},
        RequestCase{"HeadersTooLarge",
                    "/t.Test/Echo",
                    {{"x-a", std::string(17'000, 'a')}},
                    Framed("x"),
                    "200",
                    8,
                    "and 16384 are taken"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_F(CallTest, CompressionRefusedNamesWhatIsUnderstood) {
  EXPECT_EQ(client_.Call("/t.Test/Echo", "x", {{"grpc-encoding", "gzip"}}).Find("grpc-accept-encoding"), "identity");
}

TEST_F(CallTest, AnEarlyAnswerStopsTheClient) {
  const int32_t stream = client_.Open("/t.Test/Nothing");
  ASSERT_TRUE(client_.WaitClosed(stream));
  EXPECT_EQ(client_.reply(stream).status(), 12);
  EXPECT_EQ(client_.reply(stream).error_code, static_cast<uint32_t>(NGHTTP2_NO_ERROR));
}

TEST_F(CallTest, CountsWhatItDid) {
  client_.Call("/t.Test/Echo", "x");
  client_.Call("/t.Test/Echo", "x");
  client_.Call("/t.Test/Fail", "x");
  client_.Call("/no.Service/X", "x");
  const StatsSnapshot stats = server_->stats();
  EXPECT_EQ(stats.connections_open, 1u);
  EXPECT_EQ(stats.buffered_bytes, 0u);
  std::map<std::string, MethodStats> methods;
  for (const MethodStats& method : stats.methods) methods[method.path] = method;
  EXPECT_EQ(methods["/t.Test/Echo"].finished_by_code[0], 2u);
  EXPECT_EQ(methods["/t.Test/Echo"].messages_received, 2u);
  EXPECT_EQ(methods["/t.Test/Echo"].messages_sent, 2u);
  EXPECT_EQ(methods["/t.Test/Echo"].open, 0u);
  EXPECT_EQ(methods["/t.Test/Fail"].finished_by_code[7], 1u);
  EXPECT_EQ(methods[""].finished_by_code[12], 1u);
  uint64_t timed = 0;
  for (uint64_t count : methods["/t.Test/Echo"].latency) timed += count;
  EXPECT_EQ(timed, 2u);
  EXPECT_GT(methods["/t.Test/Echo"].latency_sum, absl::ZeroDuration());
}

}  // namespace
}  // namespace meshca::rpc
