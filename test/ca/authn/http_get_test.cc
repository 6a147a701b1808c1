#include "ca/authn/http_get.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include <httplib.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "ca/authn/jwks_source.h"
#include "ca/base/mutex.h"
#include "ca/base/tcp_listen.h"
#include "ca/base/unique_fd.h"
#include "ca/x509/authority_builder.h"
#include "gtest/gtest.h"
#include "test/ca/authn/refuses.h"
#include "test/ca/jwt/jwt_maker.h"
#include "test/fakes/closed_port.h"

namespace meshca {
namespace {

using Code = absl::StatusCode;

// A server on a free port of the loopback.
class TestServer {
 public:
  explicit TestServer(std::unique_ptr<httplib::Server> server) : server_(std::move(server)) {
    // Its own five seconds each would end a connection whose client is off its processor for so long.
    server_->set_keep_alive_timeout(60);
    server_->set_read_timeout(60);
    server_->set_write_timeout(60);
    server_->Get("/keys",
                 [](const httplib::Request&, httplib::Response& answer) { answer.set_content("keys", "x/y"); });
    server_->Get("/large", [](const httplib::Request&, httplib::Response& answer) {
      answer.set_content(std::string(1'000'000, 'x'), "x/y");
    });
    server_->Get("/moved", [](const httplib::Request&, httplib::Response& answer) { answer.set_redirect("/keys"); });
    server_->Get("/never", [this](const httplib::Request&, httplib::Response& answer) {
      MutexLock lock(mutex_);
      while (!ending_) changed_.Wait(mutex_);
    });
    port_ = server_->bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_->listen_after_bind(); });
    while (!server_->is_running()) std::this_thread::yield();
  }
  ~TestServer() {
    {
      MutexLock lock(mutex_);
      ending_ = true;
      changed_.NotifyAll();
    }
    server_->stop();
    thread_.join();
  }
  std::string Url(absl::string_view path, absl::string_view scheme = "http") const {
    return absl::StrCat(scheme, "://127.0.0.1:", port_, path);
  }

 private:
  std::unique_ptr<httplib::Server> server_;
  int port_ = 0;
  std::thread thread_;
  Mutex mutex_;
  CondVar changed_;
  bool ending_ = false;
};

// For tests of something else than time.
constexpr HttpGetOptions kPatient = {.timeout = absl::Minutes(2)};

// A GET by a client of its own, which believes `ca_file`.
absl::StatusOr<std::string> Get(const std::string& url, const HttpGetOptions& options = kPatient,
                                const std::string& ca_file = "") {
  return HttpGet(*http::Client::Create({.tls = http::ClientTls::Believing(ca_file)}).value(), url, options);
}

TEST(HttpGet, GivesTheBodyOf200Alone) {
  TestServer server(std::make_unique<httplib::Server>());
  auto body = Get(server.Url("/keys"));
  ASSERT_TRUE(body.ok()) << body.status();
  EXPECT_EQ(*body, "keys");
  EXPECT_THAT(Get(server.Url("/nowhere")), Refuses(Code::kUnavailable, "", "HTTP status 404"));
  EXPECT_THAT(Get(server.Url("/moved")), Refuses(Code::kUnavailable, "", "HTTP status 302"));
}

TEST(HttpGet, BoundsSizeAndTime) {
  TestServer server(std::make_unique<httplib::Server>());
  EXPECT_THAT(Get(server.Url("/large")), Refuses(Code::kUnavailable, "", "longer than 262144 bytes"));
  HttpGetOptions hasty;
  hasty.timeout = absl::Milliseconds(100);
  EXPECT_FALSE(Get(server.Url("/never"), hasty).ok());
}

// Accepts one connection and sends `start`, then a byte every few milliseconds for as long as somebody listens.
class DrippingServer {
 public:
  explicit DrippingServer(const std::string& start)
      : listener_(BindTcp("127.0.0.1:0").value()), thread_([this, start] { Drip(start); }) {}
  ~DrippingServer() {
    {
      MutexLock lock(mutex_);
      ending_ = true;
      changed_.NotifyAll();
    }
    shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  std::string Url(absl::string_view scheme) const {
    return absl::StrCat(scheme, "://", BoundAddress(listener_.get()), "/keys");
  }

 private:
  void Drip(const std::string& start) {
    pollfd ready = {listener_.get(), POLLIN, 0};
    poll(&ready, 1, -1);
    UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!fd.valid()) return;
    send(fd.get(), start.data(), start.size(), MSG_NOSIGNAL);
    MutexLock lock(mutex_);
    while (!ending_ && send(fd.get(), "x", 1, MSG_NOSIGNAL) == 1) changed_.WaitFor(mutex_, absl::Milliseconds(5));
  }
  UniqueFd listener_;
  Mutex mutex_;
  CondVar changed_;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

TEST(HttpGet, BoundsAServerThatDrips) {
  HttpGetOptions hasty;
  hasty.timeout = absl::Milliseconds(100);
  const std::string tls_record("\x16\x03\x03\x40\x00\x02\x00\x3f\xfc", 9);  // a ServerHello of 16 KiB
  for (const auto& [scheme, start] : {std::pair<std::string, std::string>{"http", "HTTP/1.1 200 OK\r\nX-Long: "},
                                      {"http", "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"},
                                      {"https", tls_record}}) {
    DrippingServer server(start);
    const absl::Time begun = absl::Now();
    EXPECT_THAT(Get(server.Url(scheme), hasty), Refuses(Code::kUnavailable, "", "no whole answer within 100ms"));
    EXPECT_LT(absl::Now() - begun, absl::Minutes(1)) << scheme << " " << start;
  }
}

TEST(HttpGet, ReadsEarlyHintsAndTrailersOfARealConnection) {
  DrippingServer server(
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
      "4\r\nkeys\r\n0\r\nX-Sum: 12\r\n\r\n");
  const auto body = Get(server.Url("http"));
  ASSERT_TRUE(body.ok()) << body.status();
  EXPECT_EQ(*body, "keys");
}

TEST(HttpGet, BoundsTrailersThatNeverEnd) {
  std::string trailers;
  while (trailers.size() < 20'000) absl::StrAppend(&trailers, "X-Sum: ", trailers.size(), "\r\n");
  DrippingServer endless(absl::StrCat("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", trailers));
  EXPECT_THAT(Get(endless.Url("http")), Refuses(Code::kUnavailable, "", "trailers are longer than 16384 bytes"));
}

TEST(HttpGet, NamesTheUrlWhenNobodyAnswers) {
  const ClosedPort closed;
  const std::string url = absl::StrCat("http://", closed.address(), "/keys");
  EXPECT_THAT(Get(url), Refuses(Code::kUnavailable, "", absl::StrCat("GET ", url, ": ")));
  EXPECT_EQ(Get("http://issuer.test/keys").status().code(), Code::kInvalidArgument);
}

// A root in a file, and a server certificate for 127.0.0.1 under it.
class HttpsGet : public testing::Test {
 protected:
  HttpsGet() {
    char pattern[] = "/tmp/meshca-https-XXXXXX";
    folder_ = mkdtemp(pattern);
    const TrustDomain domain = TrustDomain::Parse("cluster.local").value();
    const absl::Time now = absl::Now();
    const auto root_key = SoftwareKey::Generate(KeyType::kEcP256).value();
    const auto key = SoftwareKey::Generate(KeyType::kEcP256).value();
    const Certificate root = BuildRoot(domain, *root_key, now, absl::Hours(1), SystemEntropy()).value();
    ServerCertificateNames names;
    names.ip_addresses = {"127.0.0.1"};
    const Certificate leaf = BuildServerCertificate(domain, key->public_key(), names, root, *root_key, now,
                                                    absl::Minutes(1), absl::Minutes(30), SystemEntropy())
                                 .value();
    Write("root.pem", root.pem().text());
    Write("leaf.pem", leaf.pem().text());
    Write("key.pem", std::string(key->ToPkcs8Pem().reveal()));
  }
  ~HttpsGet() override {
    for (const char* name : {"root.pem", "leaf.pem", "key.pem"}) unlink(Path(name).c_str());
    rmdir(folder_.c_str());
  }
  std::string Path(absl::string_view name) const { return absl::StrCat(folder_, "/", name); }
  void Write(absl::string_view name, const std::string& text) { std::ofstream(Path(name)) << text; }
  std::string folder_;
};

TEST_F(HttpsGet, BelievesTheConfiguredCaAlone) {
  TestServer server(std::make_unique<httplib::SSLServer>(Path("leaf.pem").c_str(), Path("key.pem").c_str()));
  auto body = Get(server.Url("/keys", "https"), kPatient, Path("root.pem"));
  ASSERT_TRUE(body.ok()) << body.status();
  EXPECT_EQ(*body, "keys");
  EXPECT_THAT(Get(server.Url("/keys", "https")),
              Refuses(Code::kUnavailable, "", "the server's certificate is not believed"));
}

// Answers as kube-apiserver does: each document in one media type, and 406 to a request that does not accept it.
std::unique_ptr<httplib::Server> KubeApiserver(std::unique_ptr<httplib::Server> server, const std::string& jwks) {
  const auto serve = [](const std::string& type, std::function<std::string(const httplib::Request&)> body) {
    return [type, body = std::move(body)](const httplib::Request& request, httplib::Response& answer) {
      for (absl::string_view accepted : absl::StrSplit(request.get_header_value("Accept"), ',')) {
        if (absl::StripAsciiWhitespace(accepted) != type) continue;
        return answer.set_content(body(request), type.c_str());
      }
      answer.status = 406;
    };
  };
  server->Get("/.well-known/openid-configuration", serve("application/json", [](const httplib::Request& request) {
                const std::string issuer = absl::StrCat("https://", request.get_header_value("Host"));
                return absl::StrCat(R"({"issuer":")", issuer, R"(","jwks_uri":")", issuer, R"(/openid/v1/jwks"})");
              }));
  server->Get("/openid/v1/jwks", serve("application/jwk-set+json", [jwks](const httplib::Request&) { return jwks; }));
  return server;
}

TEST_F(HttpsGet, ReadsTheKeysOfAKubeApiserverByTheirUrlAndByDiscovery) {
  const JwtMaker issuer("kube");
  TestServer server(KubeApiserver(
      std::make_unique<httplib::SSLServer>(Path("leaf.pem").c_str(), Path("key.pem").c_str()), issuer.JwksText()));
  for (const JwksLocation& location :
       {JwksLocation{.file = "", .url = server.Url("/openid/v1/jwks", "https"), .issuer = "", .ca_file = ""},
        JwksLocation{.file = "", .url = "", .issuer = server.Url("", "https"), .ca_file = ""}}) {
    JwksLocation trusted = location;
    trusted.ca_file = Path("root.pem");
    const auto source = OpenJwksSource(trusted).value();
    absl::Notification looked;
    absl::Status verdict;
    source->Refresh([&](absl::Status status) {
      verdict = std::move(status);
      looked.Notify();
    });
    looked.WaitForNotification();
    ASSERT_TRUE(verdict.ok()) << verdict;
    EXPECT_EQ(source->Current()->keys().front().kid, "kube");
  }
}

}  // namespace
}  // namespace meshca
