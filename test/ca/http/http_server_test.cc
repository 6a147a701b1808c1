#include "ca/http/http_server.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/clock.h"
#include "ca/base/entropy.h"
#include "ca/base/mutex.h"
#include "ca/base/tcp_connect.h"
#include "ca/http/http_client.h"
#include "ca/x509/authority_builder.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/http/patience.h"

namespace meshca::http {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// Answers by a function.
class FunctionHandler final : public Handler {
 public:
  using Function = std::function<void(Request, Responder)>;
  explicit FunctionHandler(Function function) : function_(std::move(function)) {}
  void OnRequest(Request request, Responder respond) override { function_(std::move(request), std::move(respond)); }

 private:
  const Function function_;
};

void Echo(Request request, Responder respond) {
  std::move(respond)(
      Answer::Of(200, "text/plain", absl::StrCat(request.method, " ", request.target, " ", request.body)));
}

ServerOptions WithBodies() {
  ServerOptions options = PatientServer();
  options.body_bytes_max = 16;
  return options;
}

ClientRequest RequestTo(const Server& server, const std::string& method, const std::string& body,
                        const std::string& scheme = "http") {
  ClientRequest request;
  request.method = method;
  request.url = Url::Parse(absl::StrCat(scheme, "://", server.address(), "/a?b")).value();
  request.body = body;
  return request;
}

// A client that sends bytes as they are.
class RawClient {
 public:
  explicit RawClient(const Server& server) {
    const std::string& address = server.address();
    const size_t colon = address.rfind(':');
    fd_ =
        TcpConnect(address.substr(0, colon), address.substr(colon + 1), SystemClock().SinceBoot() + kPatience).value();
  }
  void Send(const std::string& bytes) { (void)!::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  // Until `end` has come, or the connection's end; "(timeout)" where neither comes.
  std::string ReadUntil(const std::string& end) {
    std::string all;
    while (end.empty() || !absl::EndsWith(all, end)) {
      char bytes[4096];
      if (!WaitForSocket(fd_.get(), POLLIN, SystemClock().SinceBoot() + kPatience)) return all + "(timeout)";
      const ssize_t count = ::recv(fd_.get(), bytes, sizeof bytes, 0);
      if (count <= 0) return all;
      all.append(bytes, static_cast<size_t>(count));
    }
    return all;
  }
  std::string ReadAll() { return ReadUntil(""); }

 private:
  UniqueFd fd_;
};

TEST(HttpServer, GivesTheHandlerTheRequestAndTheClientTheAnswer) {
  std::string peer;
  FunctionHandler handler([&](Request request, Responder respond) {
    peer = request.peer;
    Echo(std::move(request), std::move(respond));
  });
  const auto server = Server::Start("127.0.0.1:0", handler, WithBodies()).value();
  const auto client = Client::Create().value();
  const auto response = client->Fetch(RequestTo(*server, "POST", "body"), PatientCall());
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->body, "POST /a?b body");
  EXPECT_THAT(peer, StartsWith("127.0.0.1:"));
}

TEST(HttpServer, KeepsAConnectionForManyRequests) {
  FunctionHandler handler(Echo);
  const auto server = Server::Start("127.0.0.1:0", handler, WithBodies()).value();
  RawClient client(*server);
  for (int i = 0; i < 5; ++i) {
    client.Send("POST /x HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody");
    EXPECT_THAT(client.ReadUntil("POST /x body"),
                AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("Connection: keep-alive")));
  }
  client.Send("POST /x HTTP/1.0\r\nContent-Length: 4\r\n\r\nbody");
  EXPECT_THAT(client.ReadAll(), AllOf(HasSubstr("Connection: close"), EndsWith("POST /x body")));
}

TEST(HttpServer, AnswersRequestsThatWereSentAheadOneByOne) {
  FunctionHandler handler(Echo);
  const auto server = Server::Start("127.0.0.1:0", handler, WithBodies()).value();
  RawClient client(*server);
  client.Send(
      "POST /1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\nGET /2 HTTP/1.1\r\n\r\n"
      "GET /3 HTTP/1.1\r\nConnection: close\r\n\r\n");
  const std::string all = client.ReadAll();
  const size_t first = all.find("POST /1 one"), second = all.find("GET /2 "), third = all.find("GET /3 ");
  EXPECT_TRUE(first < second && second < third && third != std::string::npos) << all;
}

TEST(HttpServer, InvitesABodyThatWaitsToBeInvited) {
  FunctionHandler handler(Echo);
  const auto server = Server::Start("127.0.0.1:0", handler, WithBodies()).value();
  RawClient client(*server);
  client.Send("POST /x HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("body");
  EXPECT_THAT(client.ReadUntil("POST /x body"), StartsWith("HTTP/1.1 200"));
}

TEST(HttpServer, RefusesABodyThatIsTooLongBeforeItHasCome) {
  FunctionHandler handler(Echo);
  const auto server = Server::Start("127.0.0.1:0", handler, WithBodies()).value();
  RawClient client(*server);
  client.Send("POST /x HTTP/1.1\r\nContent-Length: 17\r\n\r\n");
  EXPECT_THAT(client.ReadAll(), AllOf(StartsWith("HTTP/1.1 413"), HasSubstr("Connection: close")));
}

TEST(HttpServer, DoesNotInviteABodyThatIsTooLong) {
  FunctionHandler handler(Echo);
  const auto server = Server::Start("127.0.0.1:0", handler, WithBodies()).value();
  RawClient client(*server);
  client.Send("POST /x HTTP/1.1\r\nContent-Length: 17\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_THAT(client.ReadAll(), StartsWith("HTTP/1.1 413"));
}

TEST(HttpServer, TakesAnAnswerFromAnotherThreadAndTells500WhereNoneComes) {
  std::vector<std::thread> threads;
  FunctionHandler handler([&](Request request, Responder respond) {
    threads.emplace_back([request = std::move(request), respond = std::move(respond)]() mutable {
      if (request.method == "GET") Echo(std::move(request), std::move(respond));
    });
  });
  auto server = Server::Start("127.0.0.1:0", handler, WithBodies()).value();
  const auto client = Client::Create().value();
  EXPECT_EQ(client->Fetch(RequestTo(*server, "GET", ""), PatientCall())->body, "GET /a?b ");
  EXPECT_EQ(client->Fetch(RequestTo(*server, "PUT", ""), PatientCall())->status, 500);
  server.reset();
  for (std::thread& thread : threads) thread.join();
}

TEST(HttpServer, AnAnswerMayComeWhenTheServerIsGone) {
  std::unique_ptr<Responder> kept;
  Mutex mutex;
  CondVar changed;
  FunctionHandler handler([&](Request, Responder respond) {
    MutexLock lock(mutex);
    kept = std::make_unique<Responder>(std::move(respond));
    changed.NotifyAll();
  });
  auto server = Server::Start("127.0.0.1:0", handler, PatientServer()).value();
  RawClient client(*server);
  client.Send("GET / HTTP/1.1\r\n\r\n");
  {
    MutexLock lock(mutex);
    while (kept == nullptr) changed.Wait(mutex);
  }
  server.reset();
  EXPECT_EQ(client.ReadAll(), "");
  EXPECT_TRUE(kept->is_abandoned());
  std::move (*kept)(Answer::Of(200, "text/plain", "late"));
}

TEST(HttpServer, EndsAnIdleConnectionInTime) {
  FunctionHandler handler(Echo);
  ServerOptions options = PatientServer();
  options.idle_timeout = absl::Milliseconds(50);
  const auto server = Server::Start("127.0.0.1:0", handler, options).value();
  RawClient client(*server);
  client.Send("GET /x HTTP/1.1\r\n\r\n");
  EXPECT_THAT(client.ReadAll(), EndsWith("GET /x "));
}

TEST(HttpServer, ATrickleBuysNoTimeForALaterRequestEither) {
  FunctionHandler handler(Echo);
  ServerOptions options = PatientServer();
  options.request_timeout = absl::Milliseconds(100);
  const auto server = Server::Start("127.0.0.1:0", handler, options).value();
  RawClient client(*server);
  client.Send("GET /x HTTP/1.1\r\n\r\n");
  client.ReadUntil("GET /x ");
  std::atomic<bool> ended{false};
  std::thread trickle([&] {
    while (!ended) {
      client.Send("X");
      std::this_thread::yield();
    }
  });
  EXPECT_THAT(client.ReadAll(), Not(HasSubstr("timeout")));
  ended = true;
  trickle.join();
}

TEST(HttpServer, TheConnectionThatHasBeenIdleLongestMakesRoom) {
  FunctionHandler handler(Echo);
  ServerOptions options = PatientServer();
  options.connections_max = 2;
  const auto server = Server::Start("127.0.0.1:0", handler, options).value();
  RawClient busy(*server), idle(*server);
  for (RawClient* client : {&busy, &idle, &busy}) {
    client->Send("GET /x HTTP/1.1\r\n\r\n");
    client->ReadUntil("GET /x ");
  }
  RawClient newcomer(*server);
  EXPECT_EQ(idle.ReadAll(), "");
  busy.Send("GET /y HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(busy.ReadAll(), EndsWith("GET /y "));
}

TEST(HttpServer, StopLetsTheRequestUnderWayHaveItsAnswer) {
  Mutex mutex;
  CondVar changed;
  std::unique_ptr<Responder> kept;
  FunctionHandler handler([&](Request, Responder respond) {
    MutexLock lock(mutex);
    kept = std::make_unique<Responder>(std::move(respond));
    changed.NotifyAll();
  });
  const auto server = Server::Start("127.0.0.1:0", handler, PatientServer()).value();
  RawClient asking(*server), idle(*server);
  asking.Send("GET / HTTP/1.1\r\n\r\n");
  {
    MutexLock lock(mutex);
    while (kept == nullptr) changed.Wait(mutex);
  }
  std::thread stopping([&] { server->Stop(absl::Minutes(1)); });
  EXPECT_EQ(idle.ReadAll(), "") << "the server drains";
  std::move (*kept)(Answer::Of(200, "text/plain", "last"));
  EXPECT_THAT(asking.ReadAll(), AllOf(HasSubstr("Connection: close"), EndsWith("last")));
  stopping.join();
}

// A root in a file, and server certificates under it.
class HttpsServer : public testing::Test {
 protected:
  HttpsServer() {
    char pattern[] = "/tmp/meshca-https-XXXXXX";
    folder_ = ::mkdtemp(pattern);
    root_key_ = SoftwareKey::Generate(KeyType::kEcP256).value();
    root_ = std::make_unique<Certificate>(
        BuildRoot(domain_, *root_key_, absl::Now(), absl::Hours(1), SystemEntropy()).value());
    std::ofstream(ca_file()) << root_->pem().text();
  }
  ~HttpsServer() override {
    ::unlink(ca_file().c_str());
    ::rmdir(folder_.c_str());
  }
  std::string ca_file() const { return absl::StrCat(folder_, "/root.pem"); }

  std::shared_ptr<const TlsIdentity> IdentityFor(const std::string& ip_address) {
    const auto key = SoftwareKey::Generate(KeyType::kEcP256).value();
    ServerCertificateNames names;
    names.ip_addresses = {ip_address};
    const Certificate leaf = BuildServerCertificate(domain_, key->public_key(), names, *root_, *root_key_, absl::Now(),
                                                    absl::Minutes(1), absl::Minutes(30), SystemEntropy())
                                 .value();
    EVP_PKEY_up_ref(key->evp());
    return TlsIdentity::Create(std::vector<std::string>{leaf.der().bytes()}, EvpPkeyPtr(key->evp())).value();
  }
  std::unique_ptr<Client> NewClient() { return Client::Create({.tls = ClientTls::Believing(ca_file())}).value(); }

  const TrustDomain domain_ = TrustDomain::Parse("cluster.local").value();
  std::string folder_;
  std::unique_ptr<SoftwareKey> root_key_;
  std::unique_ptr<Certificate> root_;
};

TEST_F(HttpsServer, ServesOurOwnClientOnOneConnection) {
  FunctionHandler handler(Echo);
  ServerOptions options = WithBodies();
  std::atomic<int> handshakes = 0;
  options.identity = [&, identity = IdentityFor("127.0.0.1")] {
    ++handshakes;
    return identity;
  };
  const auto server = Server::Start("127.0.0.1:0", handler, options).value();
  const auto client = NewClient();
  for (int i = 0; i < 5; ++i) {
    const auto response = client->Fetch(RequestTo(*server, "POST", "body", "https"), PatientCall());
    ASSERT_TRUE(response.ok()) << response.status();
    EXPECT_EQ(response->body, "POST /a?b body");
  }
  EXPECT_EQ(handshakes, 1);
  EXPECT_FALSE(client->Fetch(RequestTo(*server, "GET", "", "http"), PatientCall()).ok()) << "plain HTTP to a TLS port";
}

// An API server behind a tunnel has another name in its certificate than the one it is reached by.
TEST_F(HttpsServer, IsBelievedUnderTheNameThatTheClientExpects) {
  FunctionHandler handler(Echo);
  ServerOptions options = PatientServer();
  options.identity = [identity = IdentityFor("127.0.0.2")] { return identity; };
  const auto server = Server::Start("127.0.0.1:0", handler, options).value();
  for (const char* name : {"", "127.0.0.3", "example.test", "127.0.0.2"}) {
    ClientTls tls = ClientTls::Believing(ca_file());
    tls.server_name = name;
    const auto client = Client::Create({.tls = tls}).value();
    const auto answer = client->Fetch(RequestTo(*server, "GET", "", "https"), PatientCall());
    EXPECT_EQ(answer.ok(), tls.server_name == "127.0.0.2") << name << ": " << answer.status();
  }
}

TEST_F(HttpsServer, ShowsTheCertificateOfTheMomentAtEachHandshake) {
  FunctionHandler handler(Echo);
  ServerOptions options = PatientServer();
  Mutex mutex;
  std::shared_ptr<const TlsIdentity> current = IdentityFor("127.0.0.2");
  options.identity = [&] {
    MutexLock lock(mutex);
    return current;
  };
  const auto server = Server::Start("127.0.0.1:0", handler, options).value();
  const auto client = NewClient();
  const auto get = [&] { return client->Fetch(RequestTo(*server, "GET", "", "https"), PatientCall()); };
  EXPECT_THAT(std::string(get().status().message()), HasSubstr("the server's certificate is not believed: IP address"));
  {
    MutexLock lock(mutex);
    current = nullptr;
  }
  EXPECT_THAT(std::string(get().status().message()), HasSubstr("TLS handshake"));
  {
    MutexLock lock(mutex);
    current = IdentityFor("127.0.0.1");
  }
  EXPECT_TRUE(get().ok()) << get().status();
}

TEST_F(HttpsServer, GivesUpAHandshakeInTime) {
  FunctionHandler handler(Echo);
  ServerOptions options = PatientServer();
  options.request_timeout = absl::Milliseconds(100);
  options.identity = [identity = IdentityFor("127.0.0.1")] { return identity; };
  const auto server = Server::Start("127.0.0.1:0", handler, options).value();
  RawClient silent(*server);
  EXPECT_EQ(silent.ReadAll(), "");
}

TEST_F(HttpsServer, RefusesAKeyThatIsNotItsCertificates) {
  const auto identity = IdentityFor("127.0.0.1");
  const auto other = SoftwareKey::Generate(KeyType::kEcP256).value();
  EVP_PKEY_up_ref(other->evp());
  const auto wrong = TlsIdentity::Create(std::vector<std::string>{root_->der().bytes()}, EvpPkeyPtr(other->evp()));
  EXPECT_EQ(wrong.status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace meshca::http
