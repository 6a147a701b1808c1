// Listeners, peers, shutdown, health and reflection.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <future>
#include <map>
#include <string>
#include <thread>

#include "ca/rpc/health.h"
#include "ca/rpc/protobuf_payload.h"
#include "ca/rpc/reflection.h"
#include "grpc/health/v1/health.pb.h"
#include "grpc/reflection/v1/reflection.pb.h"
#include "test/ca/rpc/edge_fixture.h"

namespace meshca::rpc {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string Bytes(const google::protobuf::MessageLite& message) { return message.SerializeAsString(); }

class ServerTest : public EdgeTest {
 protected:
  absl::StatusOr<std::string> Listen(Server& server, const std::string& address) {
    ListenerOptions options;
    options.address = address;
    options.router = std::make_shared<const Router>();
    return server.AddListener(std::move(options));
  }
  TempFolder folder_;
};

TEST_F(ServerTest, AUnixPeerIsKnownByTheKernelsWord) {
  std::shared_ptr<const Peer> peer;
  router_.AddUnary("/t.Test/Peer", [&peer](std::shared_ptr<Call> call) {
    peer = call->peer();
    call->Finish(Frame(""));
  });
  ListenerOptions options;
  options.address = "unix:" + folder_ / "api.sock";
  options.unix_mode = 0666;
  const std::string address = Serve(std::move(options));
  EXPECT_EQ(address, "unix:" + folder_ / "api.sock");
  struct stat info {};
  ASSERT_EQ(stat((folder_ / "api.sock").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0666u);

  H2Client client(address);
  ASSERT_EQ(client.Call("/t.Test/Peer", "").status(), 0);
  EXPECT_EQ(peer->transport, Transport::kUnix);
  ASSERT_TRUE(peer->unix_credentials.has_value());
  EXPECT_EQ(peer->unix_credentials->pid, getpid());
  EXPECT_EQ(peer->unix_credentials->uid, getuid());
  EXPECT_EQ(peer->unix_credentials->gid, getgid());
  std::ifstream file("/proc/self/stat");
  std::string line;
  std::getline(file, line);
  EXPECT_THAT(line, HasSubstr(absl::StrCat(" ", peer->unix_credentials->pid_start_ticks, " ")));
  EXPECT_GT(peer->unix_credentials->pid_start_ticks, 0u);
  EXPECT_EQ(peer->address, absl::StrCat("unix:uid=", getuid(), ",pid=", getpid()));

  server_->Shutdown(absl::Seconds(1));
  EXPECT_NE(access((folder_ / "api.sock").c_str(), F_OK), 0) << "the socket is removed";
}

TEST_F(ServerTest, SeveralListenersHaveTheirOwnRouters) {
  auto server = *Server::Create({.loops = 2});
  Router first;
  first.AddUnary("/a.A/X", [](std::shared_ptr<Call> call) { call->Finish(Frame("first")); });
  Router second;
  second.AddUnary("/a.A/X", [](std::shared_ptr<Call> call) { call->Finish(Frame("second")); });
  ListenerOptions tcp;
  tcp.address = "[::1]:0";
  tcp.router = std::make_shared<const Router>(std::move(first));
  ListenerOptions unix_socket;
  unix_socket.address = "unix://" + folder_ / "admin.sock";
  unix_socket.router = std::make_shared<const Router>(std::move(second));
  ListenerOptions named;
  named.address = "localhost:0";
  named.router = tcp.router;
  auto tcp_address = server->AddListener(tcp);
  auto unix_address = server->AddListener(unix_socket);
  auto named_address = server->AddListener(named);
  ASSERT_THAT(unix_address, IsOk());
  ASSERT_THAT(named_address, IsOk());
  server->Start();
  EXPECT_THAT(*named_address, testing::StartsWith("127.0.0.1:"));
  EXPECT_THAT(H2Client(*named_address).Call("/a.A/X", "").messages(), ElementsAre("first"));
  EXPECT_THAT(H2Client(*unix_address).Call("/a.A/X", "").messages(), ElementsAre("second"));
  if (tcp_address.ok()) {  // A machine may have no IPv6.
    EXPECT_THAT(*tcp_address, testing::StartsWith("[::1]:"));
  }
  const StatsSnapshot stats = server->stats();
  EXPECT_EQ(stats.methods[0].finished_by_code[0], 1u);
  EXPECT_EQ(stats.methods[2].finished_by_code[0], 1u);
}

struct AddressCase {
  const char* name;
  const char* address;
  const char* words;
};
class ServerAddress : public testing::TestWithParam<AddressCase> {};
TEST_P(ServerAddress, IsRefusedByItsFault) {
  auto server = *Server::Create({.loops = 1});
  ListenerOptions options;
  options.address = GetParam().address;
  options.router = std::make_shared<const Router>();
  EXPECT_THAT(server->AddListener(options), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().words)));
}
INSTANTIATE_TEST_SUITE_P(Listen, ServerAddress,
                         testing::Values(AddressCase{"Empty", "", "no port"},
                                         AddressCase{"NoPort", "127.0.0.1", "no port"},
                                         AddressCase{"PortTooHigh", "127.0.0.1:65536", "0 to 65535"},
                                         AddressCase{"PortIsAWord", "127.0.0.1:http", "0 to 65535"},
                                         AddressCase{"BareIpv6", "::1:80", "brackets"},
                                         AddressCase{"OpenBracket", "[::1:80", "not closed"},
                                         AddressCase{"EmptyPath", "unix:", "1 to 107"}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_F(ServerTest, AnAddressInUseIsAlreadyExists) {
  const std::string tcp = Serve();
  auto other = *Server::Create({.loops = 1});
  EXPECT_THAT(Listen(*other, tcp), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("another process")));
}

TEST_F(ServerTest, OnlyAStaleSocketIsReplaced) {
  const std::string path = folder_ / "s.sock";
  auto first = *Server::Create({.loops = 1});
  ASSERT_THAT(Listen(*first, "unix:" + path), IsOk());
  auto second = *Server::Create({.loops = 1});
  EXPECT_THAT(Listen(*second, "unix:" + path),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("another process")));
  first.reset();
  // What a killed server leaves: a socket file without a listener.
  {
    UniqueFd stale(socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    path.copy(name.sun_path, sizeof name.sun_path - 1);
    ASSERT_EQ(bind(stale.get(), reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
  }
  EXPECT_THAT(Listen(*second, "unix:" + path), IsOk());
  second.reset();
  std::ofstream(path) << "a file";
  auto third = *Server::Create({.loops = 1});
  EXPECT_THAT(Listen(*third, "unix:" + path), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("not a socket")));
  EXPECT_EQ(access(path.c_str(), F_OK), 0) << "and stays";
  EXPECT_THAT(Listen(*third, "unix:/nonexistent/x.sock"), StatusIs(absl::StatusCode::kNotFound));
  ListenerOptions group;
  group.address = "unix:" + folder_ / "g.sock";
  group.unix_group = "no-such-group";
  group.router = std::make_shared<const Router>();
  EXPECT_THAT(third->AddListener(group), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no group")));
}

TEST_F(ServerTest, ClientsBeforeStartAreServedAfterIt) {
  auto server = *Server::Create({.loops = 1});
  Router router;
  router.AddUnary("/a.A/X", [](std::shared_ptr<Call> call) { call->Finish(Frame("x")); });
  ListenerOptions options;
  options.address = "127.0.0.1:0";
  options.router = std::make_shared<const Router>(std::move(router));
  auto address = server->AddListener(options);
  H2Client early(*address);
  const int32_t stream = early.Start("/a.A/X", "");
  server->Start();
  EXPECT_TRUE(early.WaitClosed(stream));
}

TEST_F(ServerTest, ConnectionsSpreadOverTheLoops) {
  Mutex mutex;
  std::map<std::thread::id, int> threads;
  router_.AddUnary("/t.Test/Where", [&](std::shared_ptr<Call> call) {
    {
      MutexLock lock(mutex);
      ++threads[std::this_thread::get_id()];
    }
    call->Finish(Frame(""));
  });
  const std::string address = Serve({}, {.loops = 4});
  std::vector<std::unique_ptr<H2Client>> clients;
  for (int i = 0; i < 8; ++i) {
    clients.push_back(std::make_unique<H2Client>(address));
    clients.back()->Call("/t.Test/Where", "");
  }
  EXPECT_EQ(threads.size(), 4u);
}

TEST_F(ServerTest, ShutdownLetsUnaryCallsFinishAndEndsStreams) {
  const std::string address = Serve();
  H2Client client(address);
  const int32_t unary = client.Start("/t.Test/Keep", "");
  const int32_t chat = client.Open("/t.Test/Chat");
  client.SendMessage(chat, "x");
  ASSERT_TRUE(client.WaitMessages(chat, 1));
  ASSERT_TRUE(client.RunUntil([this] { return kept().size() == 1; }));
  auto stopped = std::async(std::launch::async, [this] { server_->Shutdown(kPatience); });
  ASSERT_TRUE(client.WaitClosed(chat));
  EXPECT_EQ(client.reply(chat).status(), 14);
  EXPECT_THAT(client.reply(chat).Find("grpc-message"), HasSubstr("shutting down"));
  EXPECT_EQ(client.goaways(), 2);
  EXPECT_FALSE(client.reply(unary).closed);
  kept()[0]->Finish(Frame("done"));
  ASSERT_TRUE(client.WaitClosed(unary));
  EXPECT_THAT(client.reply(unary).messages(), ElementsAre("done"));
  EXPECT_TRUE(client.WaitEnd());
  stopped.get();
}

TEST_F(ServerTest, ShutdownCutsWhatIsLeftAfterTheGrace) {
  const std::string address = Serve();
  H2Client client(address);
  client.Start("/t.Test/Keep", "");
  ASSERT_TRUE(client.RunUntil([this] { return kept().size() == 1; }));
  server_->Shutdown(absl::Milliseconds(200));
  EXPECT_TRUE(client.WaitEnd());
  EXPECT_TRUE(kept()[0]->cancelled());
}

TEST_F(ServerTest, AConnectionOfAgeIsToldToGoAndItsStreamsEndAfterTheGrace) {
  ListenerOptions options;
  options.limits.age_max = absl::Milliseconds(50);
  options.limits.age_grace = absl::Milliseconds(300);
  const absl::Duration shortest = 0.9 * options.limits.age_max + options.limits.age_grace;
  H2Client client(Bind(std::move(options)));
  const int32_t chat = client.Open("/t.Test/Chat");
  client.RunUntil([] { return true; });  // Writes it: the call is there before the connection has any age.
  const auto begun = std::chrono::steady_clock::now();
  server_->Start();
  ASSERT_TRUE(client.WaitClosed(chat));
  EXPECT_GE(absl::FromChrono(std::chrono::steady_clock::now() - begun), shortest);
  EXPECT_EQ(client.reply(chat).goaways, 2) << "it is told first";
  EXPECT_EQ(client.goaway_error(), static_cast<uint32_t>(NGHTTP2_NO_ERROR));
  EXPECT_EQ(client.reply(chat).status(), 14);
  EXPECT_TRUE(client.WaitEnd());
}

class HealthTest : public EdgeTest {
 protected:
  using Response = grpc::health::v1::HealthCheckResponse;
  HealthTest() : health_(HealthService::Create()) {
    health_->AddTo(router_);
    AddReflection(router_);
  }
  ~HealthTest() override { server_.reset(); }
  static std::string Request(const std::string& service) {
    grpc::health::v1::HealthCheckRequest request;
    request.set_service(service);
    return Bytes(request);
  }
  static Response::ServingStatus StatusIn(const std::string& message) {
    Response response;
    EXPECT_TRUE(response.ParseFromString(message));
    return response.status();
  }
  std::unique_ptr<HealthService> health_;
};

TEST_F(HealthTest, ChecksWhatIsSet) {
  H2Client client(Serve());
  EXPECT_EQ(StatusIn(client.Call("/grpc.health.v1.Health/Check", Request("")).messages()[0]), Response::SERVING);
  EXPECT_EQ(client.Call("/grpc.health.v1.Health/Check", Request("a.B")).status(), 5);
  health_->Set("a.B", false);
  EXPECT_EQ(StatusIn(client.Call("/grpc.health.v1.Health/Check", Request("a.B")).messages()[0]), Response::NOT_SERVING);
  EXPECT_EQ(client.Call("/grpc.health.v1.Health/Check", "\xff\xff").status(), 3);
}

TEST_F(HealthTest, WatchTellsEachChange) {
  H2Client client(Serve());
  const int32_t stream = client.Open("/grpc.health.v1.Health/Watch");
  client.SendMessage(stream, Request("a.B"), true);
  ASSERT_TRUE(client.WaitMessages(stream, 1));
  health_->Set("a.B", true);
  ASSERT_TRUE(client.WaitMessages(stream, 2));
  health_->Set("a.B", true);  // No change, no message.
  health_->Retire();
  ASSERT_TRUE(client.WaitMessages(stream, 3));
  health_->Set("a.B", true);  // Retired for good.
  const auto messages = client.reply(stream).messages();
  EXPECT_EQ(StatusIn(messages[0]), Response::SERVICE_UNKNOWN);
  EXPECT_EQ(StatusIn(messages[1]), Response::SERVING);
  EXPECT_EQ(StatusIn(messages[2]), Response::NOT_SERVING);
  EXPECT_EQ(StatusIn(client.Call("/grpc.health.v1.Health/Check", Request("a.B")).messages()[0]), Response::NOT_SERVING);
  EXPECT_FALSE(client.reply(stream).closed);
}

TEST_F(HealthTest, ANameTooLongToBeOneIsRefused) {
  H2Client client(Serve());
  const std::string request = Request(std::string(600, 'a'));
  EXPECT_EQ(client.Call("/grpc.health.v1.Health/Check", request).status(), 8);
  EXPECT_EQ(client.Call("/grpc.health.v1.Health/Watch", request).status(), 8);
  EXPECT_EQ(Limit(LimitKind::kMessageBytes), 2u);
}

TEST_F(HealthTest, WatchersThatLeaveTakeNobodyWithThem) {
  H2Client client(Serve());
  // Three of a name that is set, and three of names that are not yet: the middle ones leave.
  health_->Set("a.Set", true);
  std::vector<int32_t> streams;
  for (const char* name : {"a.Set", "a.Set", "a.Set", "a.Late", "a.Other", "a.Late"}) {
    streams.push_back(client.Open("/grpc.health.v1.Health/Watch"));
    client.SendMessage(streams.back(), Request(name), true);
    ASSERT_TRUE(client.WaitMessages(streams.back(), 1));
  }
  client.Reset(streams[1]);
  client.Reset(streams[4]);
  ASSERT_TRUE(client.RunUntil([this] { return server_->stats().streams_open == 4; }));
  health_->Set("a.Set", false);
  health_->Set("a.Late", true);
  for (const size_t i : {0, 2}) {
    ASSERT_TRUE(client.WaitMessages(streams[i], 2)) << i;
    EXPECT_EQ(StatusIn(client.reply(streams[i]).messages()[1]), Response::NOT_SERVING) << i;
  }
  for (const size_t i : {3, 5}) {
    ASSERT_TRUE(client.WaitMessages(streams[i], 2)) << i;
    EXPECT_EQ(StatusIn(client.reply(streams[i]).messages()[1]), Response::SERVING) << i;
  }
  EXPECT_EQ(client.reply(streams[1]).messages().size(), 1u);
}

TEST_F(HealthTest, ReflectionListsAndDescribes) {
  H2Client client(Serve());
  for (const char* version : {"v1", "v1alpha"}) {
    const int32_t stream =
        client.Open(absl::StrCat("/grpc.reflection.", version, ".ServerReflection/ServerReflectionInfo"));
    grpc::reflection::v1::ServerReflectionRequest request;
    request.set_list_services("*");
    client.SendMessage(stream, Bytes(request));
    request.set_file_containing_symbol("grpc.health.v1.Health");
    client.SendMessage(stream, Bytes(request));
    request.set_file_by_filename("no/such.proto");
    client.SendMessage(stream, Bytes(request), true);
    ASSERT_TRUE(client.WaitClosed(stream));
    EXPECT_EQ(client.reply(stream).status(), 0);
    const auto messages = client.reply(stream).messages();
    ASSERT_EQ(messages.size(), 3u);
    grpc::reflection::v1::ServerReflectionResponse response;
    ASSERT_TRUE(response.ParseFromString(messages[0]));
    std::vector<std::string> names;
    for (const auto& service : response.list_services_response().service()) names.push_back(service.name());
    EXPECT_THAT(names, ElementsAre("grpc.health.v1.Health", "t.Test", "grpc.reflection.v1.ServerReflection",
                                   "grpc.reflection.v1alpha.ServerReflection"));
    ASSERT_TRUE(response.ParseFromString(messages[1]));
    EXPECT_EQ(response.file_descriptor_response().file_descriptor_proto_size(), 1);
    EXPECT_EQ(response.original_request().file_containing_symbol(), "grpc.health.v1.Health");
    ASSERT_TRUE(response.ParseFromString(messages[2]));
    EXPECT_EQ(response.error_response().error_code(), 5);
  }
}

}  // namespace
}  // namespace meshca::rpc
