// Who is let in when somebody else takes all he can get: reserves, identities, strangers that give way.
#include <poll.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "test/ca/rpc/edge_fixture.h"
#include "test/ca/rpc/test_certificates.h"

namespace meshca::rpc {
namespace {

using testing::HasSubstr;

// Accepts every certificate; who it is, its common name says. Names up to a dot are one client: "web.1" and "web.2".
class PrefixVerifier final : public ClientVerifier {
 public:
  absl::StatusOr<std::shared_ptr<const void>> Verify(std::span<const std::string> chain_der, absl::Time now) override {
    return std::shared_ptr<const void>(std::make_shared<const std::string>(CommonNameOf(chain_der[0])));
  }
  std::string CountedAs(const void* identity) const override {
    const std::string& name = *static_cast<const std::string*>(identity);
    return name.substr(0, name.find('.'));
  }
};

class AdmissionTest : public EdgeTest {
 protected:
  AdmissionTest() : certificate_(MakeCertificate("server")) {}

  // TLS, client certificates optional.
  std::string ServeTls(const ServerOptions& server, ConnectionLimits limits = {}) {
    TlsOptions options = ServerOptionsWith(certificate_);
    options.client_certificates = ClientCertificates::kOptional;
    options.verifier = std::make_shared<PrefixVerifier>();
    auto context = TlsContext::Create(std::move(options));
    EXPECT_THAT(context, IsOk());
    ListenerOptions listener;
    listener.tls = *context;
    listener.limits = limits;
    return address_ = Serve(std::move(listener), server);
  }

  // A connection with a certificate of that name, "" for none.
  std::unique_ptr<H2Client> Connect(const std::string& name = "") {
    SslContextPtr ctx(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_alpn_protos(ctx.get(), reinterpret_cast<const unsigned char*>("\x02h2"), 3);
    if (!name.empty()) {
      const TestCertificate certificate = MakeCertificate(name);
      SSL_CTX_use_certificate(ctx.get(), certificate.certificate.get());
      SSL_CTX_use_PrivateKey(ctx.get(), certificate.key.get());
    }
    auto client = std::make_unique<H2Client>(address_, ctx.get());
    contexts_.push_back(std::move(ctx));
    return client;
  }
  static bool Serves(H2Client& client) { return client.connected() && client.Call("/t.Test/Echo", "x").status() == 0; }
  // One address has two handshakes at a time, and those that stand still are soon ended where others wait.
  void ServeTwoHandshakesAtATime() {
    ServerOptions options = {.loops = 1};
    options.source.handshakes_max = 2;
    ConnectionLimits limits;
    limits.handshake_timeout = absl::Hours(1);
    limits.handshake_stall = absl::Milliseconds(20);
    ServeTls(options, limits);
  }
  // Connections with a certificate of that name, "" for none, leave so many calls open that their source is in debt for
  // most of a minute.
  void ServeUntilInDebt(const std::string& name) {
    ServerOptions options = {.loops = 1};
    options.source.resets = {100, 1};
    ServeTls(options);
    for (int i = 0; i < 3; ++i) {
      {
        auto client = Connect(name);
        for (int j = 0; j < 50; ++j) client->Open("/t.Test/Chat");
        EXPECT_TRUE(client->RunUntil([this] { return server_->stats().streams_open == 50; }));
      }
      // Its calls are charged before it is gone, and none of them is taken for one of the next.
      EXPECT_TRUE(Eventually([this] { return server_->stats().connections_open == 0; }));
    }
  }
  // The first bytes of a ClientHello.
  UniqueFd BeginAHandshake() {
    UniqueFd fd = ConnectTo(address_);
    EXPECT_EQ(::write(fd.get(), "\x16\x03\x01\x02\x00\x01", 6), 6);
    return fd;
  }
  // A handshake that fails.
  void FailHandshake() {
    const UniqueFd fd = ConnectTo(address_);
    const std::string text = "this is no ClientHello";
    ASSERT_EQ(::write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
    pollfd ended{fd.get(), POLLIN, 0};
    char bytes[64];
    do {
      ASSERT_EQ(::poll(&ended, 1, static_cast<int>(absl::ToInt64Milliseconds(kPatience))), 1);
    } while (::read(fd.get(), bytes, sizeof bytes) > 0);
  }
  uint64_t Open(Room room) { return server_->stats().connections_by_room[static_cast<size_t>(room)]; }

  const TestCertificate certificate_;
  std::string address_;
  std::vector<SslContextPtr> contexts_;
};

// ---- the reserve

class ReserveTest : public EdgeTest {
 protected:
  // A public and a privileged Unix socket.
  void ServeBoth(const ServerOptions& options) {
    auto created = Server::Create(options);
    ASSERT_THAT(created, IsOk());
    server_ = *std::move(created);
    const auto router = std::make_shared<const Router>(std::move(router_));
    for (const bool privileged : {false, true}) {
      ListenerOptions listener;
      listener.address = absl::StrCat("unix:", folder_.path(), privileged ? "/admin" : "/api");
      listener.privileged = privileged;
      listener.router = router;
      auto address = server_->AddListener(std::move(listener));
      ASSERT_THAT(address, IsOk());
      (privileged ? admin_ : api_) = *address;
    }
    server_->Start();
  }
  // Connections to `address` until one is refused.
  std::vector<std::unique_ptr<H2Client>> TakeAll(const std::string& address) {
    std::vector<std::unique_ptr<H2Client>> taken;
    for (;;) {
      auto client = std::make_unique<H2Client>(address);
      if (client->Call("/t.Test/Echo", "x").status() != 0) return taken;
      taken.push_back(std::move(client));
    }
  }
  TempFolder folder_;
  std::string api_;
  std::string admin_;
};

TEST_F(ReserveTest, NobodyOnAPublicListenerUsesThePrivilegedOnes) {
  ServerOptions options = {.loops = 1};
  options.global.connections_max = 16;
  options.global.privileged_connections_max = 4;
  ServeBoth(options);
  const auto taken = TakeAll(api_);
  EXPECT_EQ(taken.size(), 10u) << "5/8: the same uid by the admin socket is another source";
  EXPECT_GE(Limit(LimitKind::kConnectionsPerSource), 1u);
  EXPECT_EQ(H2Client(admin_).Call("/t.Test/Echo", "x").status(), 0);
}

TEST_F(ReserveTest, OneOperatorLeavesRoomForAnother) {
  ServerOptions options = {.loops = 1};
  options.global.privileged_connections_max = 8;
  ServeBoth(options);
  EXPECT_EQ(TakeAll(admin_).size(), 4u);
  EXPECT_GE(Limit(LimitKind::kConnectionsPerSource), 1u);
}

TEST_F(ReserveTest, OpenCallsOfThePublicShutNoOperatorOut) {
  ServerOptions options = {.loops = 1};
  options.global.streams_max = 16;
  ServeBoth(options);
  H2Client crowd(api_);
  for (int i = 0; i < 8; ++i) crowd.Open("/t.Test/Chat");
  ASSERT_TRUE(crowd.RunUntil([this] { return server_->stats().streams_open == 8; }));
  EXPECT_EQ(H2Client(api_).Call("/t.Test/Echo", "x").status(), 8);
  EXPECT_EQ(H2Client(admin_).Call("/t.Test/Echo", "x").status(), 0);
}

TEST_F(ReserveTest, BytesOfThePublicShutNoOperatorOut) {
  ServerOptions options = {.loops = 1};
  options.global.buffered_bytes_max = 160'000;
  ServeBoth(options);
  H2Client crowd(api_);
  for (int i = 0; i < 7; ++i) crowd.Open("/t.Test/Chat", {{"x-large", std::string(11'000, 'm')}});
  ASSERT_TRUE(crowd.RunUntil([this] { return server_->stats().buffered_bytes > 76'000; }));
  const Headers some = {{"x-some", std::string(5'000, 'm')}};
  EXPECT_EQ(H2Client(api_).Call("/t.Test/Echo", "x", some).status(), 8);
  EXPECT_EQ(H2Client(admin_).Call("/t.Test/Echo", "x", some).status(), 0);
}

// ---- the largest gives way

class CrowdTest : public AdmissionTest {
 protected:
  // 16 public places, 8 open calls and 160,000 bytes; by a Unix socket and by TCP without TLS, where nobody can prove
  // anything.
  CrowdTest() {
    ServerOptions options = {.loops = 1};
    options.global.connections_max = 16;
    options.global.streams_max = 8;
    options.global.buffered_bytes_max = 160'000;
    server_ = *Server::Create(options);
    const auto router = std::make_shared<const Router>(std::move(router_));
    for (std::string* address : {&socket_, &tcp_}) {
      ListenerOptions listener;
      listener.address = address == &socket_ ? absl::StrCat("unix:", folder_.path(), "/api") : "127.0.0.1:0";
      listener.router = router;
      *address = *server_->AddListener(std::move(listener));
    }
    server_->Start();
  }
  std::vector<std::unique_ptr<H2Client>> Served(const std::string& address, int count) {
    std::vector<std::unique_ptr<H2Client>> clients;
    for (int i = 0; i < count; ++i) {
      clients.push_back(std::make_unique<H2Client>(address));
      EXPECT_TRUE(Serves(*clients.back())) << address << ", number " << i;
    }
    return clients;
  }
  TempFolder folder_;
  std::string socket_;
  std::string tcp_;
};

TEST_F(CrowdTest, TheLargestCrowdGivesWayToASmallerSource) {
  auto crowd = Served(tcp_, 10);
  auto others = Served(socket_, 8);
  EXPECT_EQ(Limit(LimitKind::kGaveWay), 2u);
  EXPECT_TRUE(crowd[0]->WaitEnd()) << "the idlest";
  EXPECT_EQ(crowd[0]->goaway_error(), static_cast<uint32_t>(NGHTTP2_NO_ERROR)) << "it may come again";
  EXPECT_FALSE(crowd[9]->ended());
  H2Client one_more(socket_);
  EXPECT_TRUE(one_more.WaitEnd()) << "eight each: nobody is larger";
  EXPECT_EQ(Limit(LimitKind::kConnectionsGlobal), 1u);
}

TEST_F(CrowdTest, StrangersDisplaceNobodyWhoHasProvenWhoHeIsBeyondTheirOwnEighth) {
  auto proven = Served(socket_, 10);
  auto strangers = Served(tcp_, 6);
  H2Client refused(tcp_);
  EXPECT_TRUE(refused.WaitEnd()) << "all 16 are taken, and two are the strangers' own";
  EXPECT_EQ(Limit(LimitKind::kGaveWay), 0u);
  for (auto& client : proven) EXPECT_TRUE(Serves(*client));
}

// ---- open calls and bytes are parted as well

TEST_F(CrowdTest, OpenCallsOfOneSourceLeaveOthersTheirPart) {
  H2Client crowd(socket_);
  for (int i = 0; i < 6; ++i) crowd.Open("/t.Test/Chat");
  ASSERT_TRUE(crowd.RunUntil([this] { return Limit(LimitKind::kStreamsPerSource) == 2; })) << "four are half";
  H2Client others(tcp_);
  for (int i = 0; i < 2; ++i) others.Open("/t.Test/Chat");
  const Reply& refused = others.Call("/t.Test/Echo", "x");
  EXPECT_EQ(refused.status(), 8);
  EXPECT_THAT(refused.Find("grpc-message"),
              HasSubstr("the rest is for callers with at most 1 open calls, and loopback has 2"));
  EXPECT_EQ(Limit(LimitKind::kStreamsGlobal), 1u);
}

TEST_F(CrowdTest, BytesOfOneSourceLeaveOthersTheirPart) {
  const Headers large = {{"x-large", std::string(12'000, 'm')}};
  H2Client crowd(socket_);
  std::vector<int32_t> calls;
  for (int i = 0; i < 4; ++i) calls.push_back(crowd.Open("/t.Test/Chat", large));
  ASSERT_TRUE(crowd.RunUntil([this] { return server_->stats().buffered_bytes > 48'000; }));
  for (int i = 0; i < 4; ++i) crowd.SendMessage(calls[i], "hold 9000");
  ASSERT_TRUE(crowd.RunUntil([&] { return crowd.reply(calls[3]).messages().size() == 1; }));
  EXPECT_EQ(crowd.reply(calls[2]).messages(), std::vector<std::string>{"held"});
  EXPECT_EQ(crowd.reply(calls[3]).messages(), std::vector<std::string>{"no room"}) << "80,000 are half";
  H2Client others(tcp_);
  EXPECT_EQ(others.Call("/t.Test/Echo", "x", large).status(), 0);
}

// ---- who has proven who he is

TEST_F(AdmissionTest, ConnectionsWithACertificateCountByIdentityAndNotByAddress) {
  ServerOptions options = {.loops = 1};
  options.source.connections_max = 2;
  ServeTls(options);
  std::vector<std::unique_ptr<H2Client>> clients;
  for (const char* name : {"web.1", "web.2", "api.1", "db.1"}) {
    clients.push_back(Connect(name));
    EXPECT_TRUE(Serves(*clients.back())) << name << ": one address is not one caller";
  }
  EXPECT_EQ(Open(Room::kCertified), 4u);
  EXPECT_EQ(Open(Room::kStranger), 0u);
  auto third = Connect("web.3");
  EXPECT_FALSE(Serves(*third)) << "more certificates do not make it more callers";
  EXPECT_EQ(Limit(LimitKind::kConnectionsPerSource), 1u);
  clients.clear();
  ASSERT_TRUE(Eventually([this] { return server_->stats().connections_open == 0; }));
  EXPECT_TRUE(Serves(*Connect("web.3")));
}

TEST_F(AdmissionTest, CallsWithACertificateCountByIdentity) {
  ServerOptions options = {.loops = 1};
  options.source.calls = {5, 1};
  ServeTls(options);
  auto web = Connect("web");
  std::vector<int32_t> calls;
  for (int i = 0; i < 10; ++i) calls.push_back(web->Start("/t.Test/Echo", "x"));  // in one moment
  int refused = 0;
  for (const int32_t call : calls) {
    ASSERT_TRUE(web->WaitClosed(call));
    refused += web->reply(call).status() == 8 ? 1 : 0;
  }
  EXPECT_GE(refused, 4);
  EXPECT_TRUE(Serves(*Connect("api")));
  EXPECT_TRUE(Serves(*Connect())) << "a stranger behind the same address";
}

TEST_F(AdmissionTest, ManyIdentitiesFromOneAddressLeaveRoomForOthers) {
  ServerOptions options = {.loops = 1};
  options.global.connections_max = 8;
  ServeTls(options);
  std::vector<std::unique_ptr<H2Client>> thief;
  for (int i = 0; i < 6; ++i) {
    thief.push_back(Connect(absl::StrCat("name", i)));
    ASSERT_TRUE(Serves(*thief.back())) << i;
  }
  EXPECT_FALSE(Serves(*Connect("name6")));
  EXPECT_EQ(Limit(LimitKind::kConnectionsPerSource), 1u);
}

TEST_F(AdmissionTest, TheStrangerIdleLongestGivesWayToWhoMayProveHimself) {
  ServerOptions options = {.loops = 1};
  options.source.connections_max = 3;
  ServeTls(options);
  std::vector<std::unique_ptr<H2Client>> strangers;
  for (int i = 0; i < 3; ++i) {
    strangers.push_back(Connect());
    ASSERT_TRUE(Serves(*strangers.back()));
  }
  ASSERT_TRUE(Serves(*strangers[0])) << "the second is the one idle longest now";
  EXPECT_TRUE(Serves(*Connect("web")));
  EXPECT_TRUE(strangers[1]->WaitEnd());
  EXPECT_FALSE(strangers[0]->ended());
  EXPECT_FALSE(strangers[2]->ended());
  EXPECT_EQ(Limit(LimitKind::kGaveWay), 1u);
}

TEST_F(AdmissionTest, StrangersWithoutACallGiveWayHoweverManyThereAre) {
  ServerOptions options = {.loops = 2};
  options.source.connections_max = 8;
  ServeTls(options);
  std::vector<UniqueFd> silent;
  for (int i = 0; i < 100; ++i) silent.push_back(ConnectTo(address_));
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(Serves(*Connect("web"))) << i;
  // One of the other loop gives way when that has a turn.
  EXPECT_TRUE(Eventually([this] { return Open(Room::kStranger) <= 8u + 2u; }));
  EXPECT_TRUE(Eventually([this] { return Limit(LimitKind::kGaveWay) >= 90u; }));
}

// ---- strangers' failures

TEST_F(AdmissionTest, FailedHandshakesPaceAndDoNotShutOutNeighbours) {
  ServerOptions options = {.loops = 1};
  options.source.handshake_failures = {5, 1};
  ServeTls(options);
  for (int i = 0; i < 30; ++i) FailHandshake();
  EXPECT_GE(server_->stats().handshakes_failed, 30u);
  EXPECT_GT(Limit(LimitKind::kHandshakesPaced), 0u);
  EXPECT_TRUE(Serves(*Connect("web")));
  EXPECT_TRUE(Serves(*Connect())) << "a stranger whose own handshake succeeds is none who failed";
  EXPECT_EQ(Limit(LimitKind::kSourceOverRate), 0u);
}

TEST_F(AdmissionTest, WhatStrangersResetIsNoReasonToRefuseACertificateFromTheirAddress) {
  ServeUntilInDebt("");
  EXPECT_FALSE(Serves(*Connect())) << "one more stranger";
  EXPECT_GE(Limit(LimitKind::kSourceOverRate), 1u);
  EXPECT_TRUE(Serves(*Connect("web")));
}

TEST_F(AdmissionTest, ResetsWithACertificateFollowTheIdentityOntoTheNextConnection) {
  ServeUntilInDebt("web");
  EXPECT_FALSE(Serves(*Connect("web")));
  EXPECT_TRUE(Serves(*Connect("api")));
  EXPECT_TRUE(Serves(*Connect()));
}

TEST_F(AdmissionTest, AHandshakeThatStandsStillGivesItsTurnToOneThatWaits) {
  ServeTwoHandshakesAtATime();
  std::vector<UniqueFd> stalled;
  for (int i = 0; i < 6; ++i) {
    stalled.push_back(BeginAHandshake());
  }
  ASSERT_TRUE(Eventually([this] { return Limit(LimitKind::kHandshakeStalled) == 4; })) << "the last two have the turns";
  // Nobody waits beside it, so that it has the time it needs when its turn comes.
  EXPECT_TRUE(Serves(*Connect("web")));
  EXPECT_GE(Limit(LimitKind::kHandshakeStalled), 5u);
}

TEST_F(AdmissionTest, WhoKeepsComingDoesNotPutOffTheEndOfHandshakesThatStandStill) {
  ServeTwoHandshakesAtATime();
  std::vector<UniqueFd> crowd;
  // One comes more often than those who wait are looked at, but not before the one before it was let in: what piles up
  // while the server has no turn of the processor says nothing.
  ASSERT_TRUE(Eventually([&] {
    if (crowd.size() < 2'000 && server_->stats().connections_accepted == crowd.size()) {
      crowd.push_back(BeginAHandshake());
    }
    return Limit(LimitKind::kHandshakeStalled) >= 1;
  }));
  EXPECT_LT(crowd.size(), 2'000u) << "it ended only when nobody came any more";
}

TEST_F(AdmissionTest, AHandshakeThatStandsStillHasItsTimeWhereNobodyWaits) {
  ServerOptions options = {.loops = 1};
  options.source.handshakes_max = 4;
  ConnectionLimits limits;
  limits.handshake_stall = absl::Milliseconds(1);
  ServeTls(options, limits);
  const UniqueFd slow = BeginAHandshake();
  ASSERT_TRUE(Eventually([this] { return server_->stats().handshakes_open == 1; }));
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(Serves(*Connect("web")));
  EXPECT_EQ(Limit(LimitKind::kHandshakeStalled), 0u);
  EXPECT_EQ(server_->stats().handshakes_open, 1u);
}

// ---- everything that begins a stream

class BeginsAStream : public EdgeTest, public testing::WithParamInterface<std::pair<const char*, Headers>> {};

TEST_P(BeginsAStream, CountsAsACall) {
  ServerOptions options = {.loops = 1};
  options.source.calls = {10, 1};
  H2Client client(Serve({}, options));
  for (int i = 0; i < 12; ++i) client.Open("/t.Test/Echo", GetParam().second, /*end_stream=*/true);
  // In one moment with the others: a second later it would have one call more.
  EXPECT_EQ(client.Call("/t.Test/Echo", "x").status(), 8) << "its calls of this second are used up";
  EXPECT_GE(Limit(LimitKind::kCalls), 1u);
}
INSTANTIATE_TEST_SUITE_P(Streams, BeginsAStream,
                         testing::Values(std::pair<const char*, Headers>{"Get", {{":method", "GET"}}},
                                         std::pair<const char*, Headers>{"UnknownMethod", {{":path", "/t.Test/None"}}},
                                         std::pair<const char*, Headers>{"NoGrpc", {{"content-type", "text/html"}}},
                                         std::pair<const char*, Headers>{"Malformed", {{"connection", "close"}}},
                                         std::pair<const char*, Headers>{"Compressed", {{"grpc-encoding", "gzip"}}}),
                         [](const auto& info) { return info.param.first; });

TEST_F(AdmissionTest, WhatIsNoGrpcIsTold429) {
  ServerOptions options = {.loops = 1};
  options.source.calls = {2, 1};
  H2Client client(Serve({}, options));
  int32_t last = 0;
  for (int i = 0; i < 5; ++i) last = client.Open("/t.Test/Echo", {{":method", "GET"}}, true);  // in one moment
  ASSERT_TRUE(client.WaitClosed(last));
  EXPECT_EQ(client.reply(last).Find(":status"), "429");
}

}  // namespace
}  // namespace meshca::rpc
