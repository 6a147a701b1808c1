// The connection: whom it believes, what happens when it breaks, and its end.
#include <openssl/pem.h>

#include <atomic>

#include "ca/base/status.h"
#include "test/ca/rpc/client/client_fixture.h"
#include "test/ca/rpc/test_certificates.h"

namespace meshca::rpc {
namespace {

using testing::HasSubstr;

std::string PemOf(const TestCertificate& certificate) {
  BioPtr out(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(out.get(), certificate.certificate.get());
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return std::string(text, static_cast<size_t>(size));
}

std::string KeyPemOf(const TestCertificate& certificate) {
  BioPtr out(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey(out.get(), certificate.key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return std::string(text, static_cast<size_t>(size));
}

// Accepts any certificate; the identity is its common name.
class AnyVerifier final : public ClientVerifier {
 public:
  absl::StatusOr<std::shared_ptr<const void>> Verify(std::span<const std::string> chain_der, absl::Time now) override {
    return std::shared_ptr<const void>(std::make_shared<const std::string>(CommonNameOf(chain_der[0])));
  }
};

class ClientChannelTest : public ClientTest {
 protected:
  ClientChannelTest() : certificate_(MakeCertificate("server.test")) {
    router_.AddUnary("/t.Test/Who", [](std::shared_ptr<Call> call) {
      const std::shared_ptr<const void>& identity = call->peer()->identity;
      call->Finish(Frame(identity ? *static_cast<const std::string*>(identity.get()) : "nobody"));
    });
  }

  std::string ServeTls() {
    TlsOptions options = ServerOptionsWith(certificate_);
    options.client_certificates = ClientCertificates::kOptional;
    options.verifier = std::make_shared<AnyVerifier>();
    auto context = TlsContext::Create(std::move(options));
    EXPECT_THAT(context, IsOk());
    ListenerOptions listener;
    listener.tls = *context;
    return Serve(std::move(listener));
  }
  TlsServer Target(const std::string& address) {
    TlsServer server;
    server.address = address;
    server.roots_pem = PemOf(certificate_);
    server.server_name = "server.test";
    return server;
  }
  // The server of this test ends as a process does that is killed: its connections break.
  void KillServer() {
    server_->Shutdown(absl::ZeroDuration());
    server_.reset();
  }
  // Another one on the same socket.
  void ServeAgain() {
    Router router;
    router.AddUnary("/t.Test/Echo", [](std::shared_ptr<Call> call) { call->Finish(Frame(call->request())); });
    ListenerOptions listener;
    listener.address = "unix:" + socket_;
    listener.router = std::make_shared<const Router>(std::move(router));
    Serve(std::move(listener));
  }

  const TestCertificate certificate_;
};

TEST_F(ClientChannelTest, AServerUnderTheGivenRootWithTheNameIsBelieved) {
  channel_ = ClientChannel::ToTlsServer(Target(ServeTls()));
  EXPECT_THAT(Ask("/t.Test/Who", ""), Answers("nobody"));
}

TEST_F(ClientChannelTest, AServerUnderAnotherRootIsRefusedAndNamed) {
  const std::string address = ServeTls();
  TlsServer target = Target(address);
  target.roots_pem = PemOf(MakeCertificate("server.test"));
  channel_ = ClientChannel::ToTlsServer(std::move(target));
  const absl::Status refused = Ask("/t.Test/Who", "").status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(
      refused.message(),
      absl::StrCat(address, ": failed to connect to all addresses; last error: UNKNOWN: ipv4:", address,
                   ": Ssl handshake failed: SSL_ERROR_SSL: error:0A000086:SSL routines::certificate verify failed"));
}

TEST_F(ClientChannelTest, AServerWithAnotherNameIsRefused) {
  TlsServer target = Target(ServeTls());
  target.server_name = "other.test";
  channel_ = ClientChannel::ToTlsServer(std::move(target));
  EXPECT_EQ(Ask("/t.Test/Who", "").status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(ClientChannelTest, AClientCertificateIsShown) {
  TlsServer target = Target(ServeTls());
  const TestCertificate client = MakeCertificate("node-1");
  target.certificate_pem = PemOf(client);
  target.key_pem = SecretBytes(KeyPemOf(client));
  channel_ = ClientChannel::ToTlsServer(std::move(target));
  EXPECT_THAT(Ask("/t.Test/Who", ""), Answers("node-1"));
}

// A server that is believed by a verdict: whatever gRPC would say of its root and name.
class VerdictTest : public ClientChannelTest {
 protected:
  // Makes a channel whose verdict notes what it was shown.
  void Connect(const std::string& address, const absl::Status& verdict) {
    TlsServer target;
    target.address = address;
    const TestCertificate client = MakeCertificate("node-1");
    target.certificate_pem = PemOf(client);
    target.key_pem = SecretBytes(KeyPemOf(client));
    target.verdict = [this, verdict](absl::string_view chain_pem) {
      MutexLock lock(mutex_);
      shown_.emplace_back(chain_pem);
      return verdict;
    };
    channel_ = ClientChannel::ToTlsServer(std::move(target));
  }
  ~VerdictTest() override { channel_.reset(); }

  Mutex mutex_;
  std::vector<std::string> shown_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(VerdictTest, SeesWhatTheServerShowsAndDecidesAlone) {
  Connect(ServeTls(), absl::OkStatus());
  EXPECT_THAT(Ask("/t.Test/Who", ""), Answers("node-1"));
  MutexLock lock(mutex_);
  EXPECT_THAT(shown_, testing::ElementsAre(PemOf(certificate_)));
}

TEST_F(VerdictTest, KeepsEveryCallFromAServerThatItRefuses) {
  const std::string address = ServeTls();
  Connect(address, WithReason(absl::UnauthenticatedError("it is not ours"), "NOT_OURS"));
  const absl::Status refused = Ask("/t.Test/Who", "").status();
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("it is not ours")));
  EXPECT_THAT(std::string(refused.message()), HasSubstr(address));
}

TEST_F(ClientChannelTest, AServerThatWasKilledAndCameBackIsFoundAgain) {
  ServeOnSocket({.retry_min = absl::Milliseconds(100), .retry_max = absl::Milliseconds(100)});
  ASSERT_THAT(Ask("/t.Test/Echo", "before"), Answers("before"));
  const auto stream = Chat();
  stream->Send("open");
  ASSERT_TRUE(Eventually([this] { return Messages().size() == 1; }));

  KillServer();
  EXPECT_EQ(Closed().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Ask("/t.Test/Echo", "meanwhile").status().code(), absl::StatusCode::kUnavailable);

  ServeAgain();
  EXPECT_THAT(Ask("/t.Test/Echo", "after", {.wait_for_connection = true}), Answers("after"));
}

TEST_F(ClientChannelTest, ACallThatWaitsForAConnectionOutlivesTheTimeWithoutAServer) {
  ServeOnSocket({.retry_min = absl::Milliseconds(100), .retry_max = absl::Milliseconds(100)});
  KillServer();
  std::atomic<bool> answered = false;
  absl::StatusOr<std::string> answer = absl::UnknownError("none yet");
  channel_->CallUnary("/t.Test/Echo", "patient", {.timeout = absl::InfiniteDuration(), .wait_for_connection = true},
                      [&](absl::StatusOr<std::string> got) {
                        answer = std::move(got);
                        answered = true;
                      });
  // A call without patience ends while nobody serves: by then the patient one has met a try that failed.
  EXPECT_EQ(Ask("/t.Test/Echo", "hasty").status().code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(answered);
  ServeAgain();
  ASSERT_TRUE(Eventually([&] { return answered.load(); }));
  EXPECT_THAT(answer, Answers("patient"));
}

TEST_F(ClientChannelTest, AShutdownEndsEveryOpenCallBeforeItReturns) {
  ServeOnSocket();
  const auto stream = Chat();
  stream->Send("open");
  ASSERT_TRUE(Eventually([this] { return Messages().size() == 1; }));
  std::vector<absl::Status> answers;  // Written by the channel's thread, which has ended when they are read.
  for (int i = 0; i < 10; ++i) {
    channel_->CallUnary("/t.Test/Keep", "x", {.timeout = absl::InfiniteDuration()},
                        [&](absl::StatusOr<std::string> got) { answers.push_back(got.status()); });
  }
  ASSERT_TRUE(Eventually([this] { return kept().size() == 10; }));
  channel_->Shutdown();
  ASSERT_EQ(answers.size(), 10u);
  for (const absl::Status& answer : answers) EXPECT_EQ(answer.code(), absl::StatusCode::kCancelled);
  MutexLock lock(log_->mutex);
  ASSERT_EQ(log_->closed.size(), 1u);
  EXPECT_EQ(log_->closed[0].code(), absl::StatusCode::kCancelled);
  Release();
}

TEST_F(ClientChannelTest, AShutdownDoesNotWaitForAServerThatIsNotThere) {
  channel_ = ClientChannel::ToUnixSocket(folder_.path() + "/nobody.sock");
  absl::Status answer;
  channel_->CallUnary("/t.Test/Echo", "x", {.timeout = absl::InfiniteDuration(), .wait_for_connection = true},
                      [&](absl::StatusOr<std::string> got) { answer = got.status(); });
  channel_->Shutdown();
  EXPECT_EQ(answer.code(), absl::StatusCode::kCancelled);
}

TEST_F(ClientChannelTest, ACallBehindTheShutdownIsToldSoAtOnce) {
  ServeOnSocket();
  channel_->Shutdown();
  channel_->Shutdown();
  EXPECT_EQ(Ask("/t.Test/Echo", "x").status().code(), absl::StatusCode::kCancelled);
  const auto stream = Chat();
  EXPECT_EQ(Closed().code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(stream->Send("late"));
}

}  // namespace
}  // namespace meshca::rpc
