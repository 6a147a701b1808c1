// What makes no progress costs nothing: a loop wakes for what it can do, and not because something waits.
#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <memory>
#include <string>

#include "absl/strings/numbers.h"
#include "test/ca/rpc/edge_fixture.h"
#include "test/ca/rpc/test_certificates.h"
#include "test/ca/rpc/tls_records.h"

namespace meshca::rpc {
namespace {

// HTTP/2's preface and empty SETTINGS; a window update, which is answered by nothing.
constexpr absl::string_view kHello("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", 33);
constexpr absl::string_view kWindowUpdate("\0\0\x04\x08\0\0\0\0\0\0\0\0\x01", 13);

sockaddr_in NameOf(int fd, int (*get)(int, sockaddr*, socklen_t*)) {
  sockaddr_in name{};
  socklen_t size = sizeof name;
  if (get(fd, reinterpret_cast<sockaddr*>(&name), &size) != 0) name.sin_port = 0;
  return name;
}

// What the kernel takes for a client that does not read: some thousand answers fill it, not the megabytes that it may
// grow to.
constexpr int kReceiveBufferBytes = 64 * 1024;

// Keeps what the server's kernel holds for `client` from growing, too. Server and test are one process, so the server's
// socket is the one whose other end is `client`. With the smallest buffer the kernel would hold up each few answers for
// an acknowledgement.
void KeepSendBufferSmall(int client) {
  const in_port_t port = NameOf(client, ::getsockname).sin_port;
  DIR* folder = ::opendir("/proc/self/fd");
  int found = 0;
  while (const dirent* entry = ::readdir(folder)) {
    int fd = -1;
    if (!absl::SimpleAtoi(entry->d_name, &fd) || fd == client) continue;
    const sockaddr_in peer = NameOf(fd, ::getpeername);
    if (peer.sin_family != AF_INET || peer.sin_port != port) continue;
    const int bytes = 32 * 1024;
    found += ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) == 0 ? 1 : 0;
  }
  ::closedir(folder);
  EXPECT_EQ(found, 1);
}

class StallTest : public EdgeTest {
 protected:
  StallTest() : certificate_(MakeCertificate("server")), ctx_(SSL_CTX_new(TLS_client_method())) {
    static const unsigned char kH2[] = {2, 'h', '2'};
    SSL_CTX_set_alpn_protos(ctx_.get(), kH2, sizeof kH2);
    // No limit on control frames, so that a client gets as far as the rule under test; stalled ones end soon.
    limits_.control_frames = {};
    limits_.write_stall_timeout = absl::Milliseconds(400);
  }
  std::string ServeTls(int version = TLS1_3_VERSION) {
    SSL_CTX_set_max_proto_version(ctx_.get(), version);
    ListenerOptions listener;
    listener.limits = limits_;
    auto context = TlsContext::Create(ServerOptionsWith(certificate_));
    EXPECT_THAT(context, IsOk());
    listener.tls = *context;
    return address_ = Serve(std::move(listener), {.loops = 1});
  }
  uint64_t Rounds() const { return server_->stats().loop_rounds; }
  // Others are served, and the loop wakes for them alone.
  void ExpectALoopAtRest() {
    H2Client other(address_, ctx_.get());
    ASSERT_EQ(other.Call("/t.Test/Echo", "x").status(), 0);
    const uint64_t before = Rounds();
    constexpr uint64_t kCalls = 100;
    for (uint64_t i = 0; i < kCalls; ++i) ASSERT_EQ(other.Call("/t.Test/Echo", "x").status(), 0) << i;
    EXPECT_LE(Rounds() - before, 6 * kCalls) << "a call takes three: its request, its answer, the window updates";
  }
  // The stalled connection is cut, and until then it hardly woke the loop.
  void ExpectCutAtRest() {
    const uint64_t before = Rounds();
    ASSERT_TRUE(Eventually([this] { return Limit(LimitKind::kWriteStall) == 1; }));
    EXPECT_LE(Rounds() - before, 50u);
  }

  const TestCertificate certificate_;
  SslContextPtr ctx_;
  ConnectionLimits limits_;
  std::string address_;
};

// Writes what goes; returns how much.
size_t SendWhatGoes(int fd, absl::string_view bytes) {
  const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  return sent < 0 ? 0 : static_cast<size_t>(sent);
}

int UnreadBytes(int fd) {
  int bytes = 0;
  EXPECT_EQ(::ioctl(fd, FIONREAD, &bytes), 0);
  return bytes;
}

// Whether nothing that a client sends arrives any more. A kernel whose memory for unread answers is used up before
// their window is throws away what is on its way, and the acknowledgements in that too: both sides wait for each other
// then, and the server has nothing to write.
bool IsDead(int client) {
  // Each wait is twice the one before: three seconds. Who is only stalled is cut long before.
  constexpr int kWaits = 4;
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(client, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return false;
  return info.tcpi_backoff >= kWaits || info.tcpi_retransmits >= kWaits;
}

// Asks for key updates and reads none of the answers.
class UpdateFlood {
 public:
  UpdateFlood(const std::string& address, SSL_CTX* ctx)
      : records_(ctx), client_(ConnectTo(address, kReceiveBufferBytes), ctx) {
    EXPECT_TRUE(client_.connected()) << client_.error();
    records_.TakeOver(client_.ssl());
    KeepSendBufferSmall(client_.fd());
    out_ = records_.Seal(TlsRecords::kApplicationData, kHello);
  }
  int fd() { return client_.fd(); }
  // Returns how much went.
  size_t Send() {
    constexpr size_t kBatchBytes = 16 * 1024;
    while (out_.size() < kBatchBytes) {
      out_ += records_.KeyUpdate();
      out_ += records_.Seal(TlsRecords::kApplicationData, kWindowUpdate);
    }
    const size_t sent = SendWhatGoes(client_.fd(), out_);
    out_.erase(0, sent);
    return sent;
  }

 private:
  TlsRecords records_;
  H2Client client_;
  std::string out_;
};

TEST_F(StallTest, WhoAsksForKeyUpdatesWithoutReadingCostsNoRoundsAndIsCut) {
  const std::string address = ServeTls();
  H2Client other(address, ctx_.get());
  auto flood = std::make_unique<UpdateFlood>(address, ctx_.get());
  // Nobody reads the answers, so that at some time no more of them come: from then on rounds and calls are counted.
  int unread = -1;
  uint64_t rounds = 0;
  uint64_t calls = 0;
  const absl::Time end = absl::Now() + 3 * kPatience;
  while (Limit(LimitKind::kWriteStall) == 0 && absl::Now() < end) {
    if (IsDead(flood->fd())) flood = std::make_unique<UpdateFlood>(address, ctx_.get());
    const size_t sent = flood->Send();
    if (const int now = UnreadBytes(flood->fd()); now != unread) {
      unread = now;
      rounds = Rounds();
      calls = 0;
    }
    if (sent > 0) continue;
    pollfd room = {flood->fd(), POLLOUT, 0};
    ::poll(&room, 1, 20);
    ASSERT_EQ(other.Call("/t.Test/Echo", "x").status(), 0) << "others are served";
    ++calls;
  }
  ASSERT_EQ(Limit(LimitKind::kWriteStall), 1u);
  EXPECT_GT(unread, 10'000) << "it was not stalled, but something else";
  // What fits into the server's own buffer is answered without being seen here.
  EXPECT_LE(Rounds() - rounds, 1'000 + 6 * calls);
}

TEST_F(StallTest, HalfAHandshakeMessageMayHoldUpWhatWeWriteButNotSpinTheLoop) {
  TlsRecords records(ctx_.get());
  const std::string address = ServeTls();
  H2Client client(address, ctx_.get());
  ASSERT_TRUE(client.connected()) << client.error();
  records.TakeOver(client.ssl());
  // A ping, which is answered, and the first four bytes of a KeyUpdate: OpenSSL writes nothing before the fifth.
  const std::string hello = absl::StrCat(kHello, absl::string_view("\0\0\x08\x06\0\0\0\0\0", 9), "12345678");
  std::string out = records.Seal(TlsRecords::kApplicationData, hello);
  out += records.Seal(TlsRecords::kHandshake, absl::string_view("\x18\0\0\x01", 4));
  ASSERT_EQ(SendWhatGoes(client.fd(), out), out.size());
  ASSERT_TRUE(Eventually([this] { return server_->stats().bytes_received >= 50; }));
  ExpectALoopAtRest();
  ExpectCutAtRest();
}

TEST_F(StallTest, HalfARecordWaitsForItsOtherHalf) {
  TlsRecords records(ctx_.get());
  const std::string address = ServeTls();
  H2Client client(address, ctx_.get());
  ASSERT_TRUE(client.connected()) << client.error();
  records.TakeOver(client.ssl());
  std::string out = records.Seal(TlsRecords::kApplicationData, kHello);
  out += records.Seal(TlsRecords::kApplicationData, kWindowUpdate);
  ASSERT_EQ(SendWhatGoes(client.fd(), out.substr(0, out.size() - 5)), out.size() - 5);
  ASSERT_TRUE(Eventually([this] { return server_->stats().bytes_received >= kHello.size(); }));
  ExpectALoopAtRest();
}

TEST_F(StallTest, KeyUpdatesCountAsControlFrames) {
  limits_.control_frames = ConnectionLimits().control_frames;
  TlsRecords records(ctx_.get());
  const std::string address = ServeTls();
  H2Client client(address, ctx_.get());
  ASSERT_TRUE(client.connected()) << client.error();
  records.TakeOver(client.ssl());
  std::string out = records.Seal(TlsRecords::kApplicationData, kHello);
  for (int i = 0; i < 200; ++i) {
    out += records.KeyUpdate();
    out += records.Seal(TlsRecords::kApplicationData, kWindowUpdate);
  }
  SendWhatGoes(client.fd(), out);
  EXPECT_TRUE(Eventually([this] { return Limit(LimitKind::kControlFrames) == 1; }));
  EXPECT_TRUE(Eventually([this] { return server_->stats().connections_open == 0; }));
}

TEST_F(StallTest, AFewKeyUpdatesAreAnsweredAndTheConnectionGoesOn) {
  limits_.control_frames = ConnectionLimits().control_frames;
  const std::string address = ServeTls();
  H2Client client(address, ctx_.get());
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(SSL_key_update(client.ssl(), SSL_KEY_UPDATE_REQUESTED), 1);
    ASSERT_EQ(client.Call("/t.Test/Echo", "x").status(), 0) << i;
  }
  EXPECT_EQ(Limit(LimitKind::kControlFrames), 0u);
}

class RecordFloodTest : public StallTest, public testing::WithParamInterface<int> {};

TEST_P(RecordFloodTest, RecordsWithoutDataEndTheConnectionBeforeTheyHoldUpTheLoop) {
  TlsRecords records(ctx_.get());
  const std::string address = ServeTls(GetParam());
  H2Client client(address, ctx_.get());
  ASSERT_TRUE(client.connected()) << client.error();
  records.TakeOver(client.ssl());
  // TLS 1.2: the beginning of a ClientHello, which asks to renegotiate and is answered by a warning each time.
  const absl::string_view renegotiate("\x01\0\0\x04\x03\x03\0\0", 8);
  std::string out = records.Seal(TlsRecords::kApplicationData, kHello);
  for (int i = 0; i < 400; ++i) {
    out += GetParam() == TLS1_3_VERSION ? records.KeyUpdate() : records.Seal(TlsRecords::kHandshake, renegotiate);
  }
  SendWhatGoes(client.fd(), out);
  EXPECT_TRUE(Eventually([this] { return Limit(LimitKind::kControlFrames) == 1; }));
  EXPECT_TRUE(Eventually([this] { return server_->stats().connections_open == 0; }));
}
INSTANTIATE_TEST_SUITE_P(Versions, RecordFloodTest, testing::Values(TLS1_2_VERSION, TLS1_3_VERSION),
                         [](const auto& info) { return info.param == TLS1_2_VERSION ? "Tls12" : "Tls13"; });

TEST_F(StallTest, ACallThatOutlivesTheGraceOfItsConnectionDoesNotWakeTheLoopEveryMillisecond) {
  const std::string ageless = Bind({}, {.loops = 1});
  limits_.age_max = absl::Milliseconds(100);
  limits_.age_grace = absl::Milliseconds(1);
  ListenerOptions listener;
  listener.limits = limits_;
  H2Client client(Bind(std::move(listener)));
  const int32_t kept = client.Start("/t.Test/Keep", "x");
  const int32_t chat = client.Open("/t.Test/Chat");
  client.RunUntil([] { return true; });  // Writes them: the calls are there before the connection has any age.
  server_->Start();
  ASSERT_TRUE(client.WaitClosed(chat));  // The grace is over; the unary call still has some seconds.
  const uint64_t before = Rounds();
  // The deadline of a call on another connection tells that time has passed.
  H2Client other(ageless);
  const Reply& reply = other.Call("/t.Test/Keep", "x", {{"grpc-timeout", "90m"}});
  EXPECT_EQ(reply.status(), 4);
  EXPECT_LE(Rounds() - before, 45u);
  EXPECT_FALSE(client.reply(kept).closed);
  Release();
}

}  // namespace
}  // namespace meshca::rpc
