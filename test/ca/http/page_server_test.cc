#include "ca/http/page_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "ca/base/mutex.h"
#include "ca/base/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/http/patience.h"

namespace meshca::http {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kGet[] = "GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

// A door that a test opens.
class Gate {
 public:
  void Open() {
    {
      MutexLock lock(mutex_);
      open_ = true;
    }
    changed_.NotifyAll();
  }
  void Pass() {
    MutexLock lock(mutex_);
    entered_ = true;
    changed_.NotifyAll();
    while (!open_) changed_.Wait(mutex_);
  }
  // Until somebody stands before it.
  void WaitEntered() {
    MutexLock lock(mutex_);
    while (!entered_) changed_.Wait(mutex_);
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool open_ ABSL_GUARDED_BY(mutex_) = false;
  bool entered_ ABSL_GUARDED_BY(mutex_) = false;
};

class Client {
 public:
  explicit Client(const std::string& address) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    uint32_t port = 0;
    EXPECT_TRUE(absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port));
    to.sin_port = htons(static_cast<uint16_t>(port));
    EXPECT_EQ(connect(fd_.get(), reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  }
  void Send(const std::string& bytes) { (void)!send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  // Until the server ends the connection; "(still open)" where it does not.
  std::string ReadAll() {
    std::string all;
    char buffer[4096];
    for (;;) {
      pollfd polled{fd_.get(), POLLIN, 0};
      if (poll(&polled, 1, static_cast<int>(absl::ToInt64Milliseconds(kPatience))) != 1) return all + "(still open)";
      ssize_t n = recv(fd_.get(), buffer, sizeof buffer, 0);
      if (n <= 0) return all;
      all.append(buffer, static_cast<size_t>(n));
    }
  }

  // Has the server reset the connection? Waits for it, and reads nothing.
  bool IsCut() {
    pollfd polled{fd_.get(), 0, 0};
    return poll(&polled, 1, static_cast<int>(absl::ToInt64Milliseconds(kPatience))) == 1 &&
           (polled.revents & POLLERR) != 0;
  }

 private:
  UniqueFd fd_;
};

std::string Ask(const PageServer& endpoint, const std::string& bytes) {
  Client client(endpoint.address());
  client.Send(bytes);
  return client.ReadAll();
}

PageServerOptions Patient() {
  PageServerOptions limits;
  limits.server = PatientServer();
  return limits;
}

std::vector<Page> Livez() {
  return {{"/livez", [] { return Answer::Of(200, "text/plain", "ok\n"); }}};
}

// /livez at once, /metrics when the gate is open.
std::vector<Page> LivezAndMetricsBehind(Gate& gate) {
  std::vector<Page> pages = Livez();
  pages.push_back({"/metrics",
                   [&gate] {
                     gate.Pass();
                     return Answer::Of(200, "text/plain", "numbers\n");
                   },
                   true});
  return pages;
}

TEST(PageServer, AnswersOnAFreePortAndClosesWhereItIsAsked) {
  auto endpoint = PageServer::Start("127.0.0.1:0", Livez(), Patient()).value();
  EXPECT_THAT(endpoint->address(), AllOf(StartsWith("127.0.0.1:"), Not(EndsWith(":0"))));
  EXPECT_THAT(Ask(*endpoint, kGet), AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), HasSubstr("Content-Length: 3\r\n"),
                                          HasSubstr("Connection: close\r\n"), EndsWith("\r\n\r\nok\n")));
}

TEST(PageServer, HeadHasNoBody) {
  auto endpoint = PageServer::Start("127.0.0.1:0", Livez(), Patient()).value();
  EXPECT_THAT(Ask(*endpoint, "HEAD /livez HTTP/1.1\r\nConnection: close\r\n\r\n"),
              AllOf(HasSubstr("Content-Length: 3\r\n"), EndsWith("\r\n\r\n")));
}

TEST(PageServer, RefusesWhatItDoesNotServe) {
  auto endpoint = PageServer::Start("127.0.0.1:0", Livez(), Patient()).value();
  EXPECT_THAT(Ask(*endpoint, "GET /nothing HTTP/1.1\r\nConnection: close\r\n\r\n"),
              StartsWith("HTTP/1.1 404 Not Found\r\n"));
  EXPECT_THAT(Ask(*endpoint, "POST /livez HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"),
              AllOf(StartsWith("HTTP/1.1 405"), HasSubstr("Allow: GET, HEAD\r\n")));
  EXPECT_THAT(Ask(*endpoint, "get /livez HTTP/1.1\r\nConnection: close\r\n\r\n"), StartsWith("HTTP/1.1 405"));
  EXPECT_THAT(Ask(*endpoint, "GET /livez HTTP/1.1\r\nX: " + std::string(9000, 'x')), StartsWith("HTTP/1.1 431"));
}

TEST(PageServer, ReadsNoBodyAndEndsBehindOne) {
  std::vector<Page> pages = Livez();
  pages.push_back({"/metrics", [] { return Answer::Of(200, "text/plain", "numbers\n"); }, true});
  auto endpoint = PageServer::Start("127.0.0.1:0", pages, Patient()).value();
  for (const char* path : {"/livez", "/metrics"}) {
    EXPECT_THAT(
        Ask(*endpoint, absl::StrCat("GET ", path, " HTTP/1.1\r\nContent-Length: 20\r\n\r\nGET / HTTP/1.1\r\n\r\n")),
        AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("Connection: close\r\n"), Not(HasSubstr("HTTP/1.1 404"))));
  }
}

TEST(PageServer, BadAddressIsAnError) {
  EXPECT_EQ(PageServer::Start("127.0.0.1", Livez()).status().code(), absl::StatusCode::kInvalidArgument);
  auto endpoint = PageServer::Start("127.0.0.1:0", Livez(), Patient()).value();
  EXPECT_EQ(PageServer::Start(endpoint->address(), Livez()).status().code(), absl::StatusCode::kAlreadyExists);
}

TEST(PageServer, BlockedRouteKeepsNobodyElse) {
  Gate gate;
  auto endpoint = PageServer::Start("127.0.0.1:0", LivezAndMetricsBehind(gate), Patient()).value();
  Client scraper(endpoint->address());
  scraper.Send("GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(Ask(*endpoint, kGet), EndsWith("ok\n"));
  gate.Open();
  EXPECT_THAT(scraper.ReadAll(), EndsWith("numbers\n"));
}

TEST(PageServer, BlockedRouteIsGivenUpInTime) {
  Gate gate;
  PageServerOptions limits = Patient();
  limits.server.answer_timeout = absl::Milliseconds(50);
  auto endpoint = PageServer::Start("127.0.0.1:0",
                                    {{"/metrics",
                                      [&] {
                                        gate.Pass();
                                        return Answer();
                                      },
                                      true}},
                                    limits)
                      .value();
  EXPECT_THAT(Ask(*endpoint, "GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n"), StartsWith("HTTP/1.1 503"));
  gate.Open();
}

TEST(PageServer, ManyScrapersCostOneRunAndSeeNothingOlderThanTheirRequest) {
  Gate gate;
  std::atomic<int> runs{0};
  std::atomic<int> fact{0};
  PageServerOptions limits = Patient();
  limits.blocking_gap = absl::ZeroDuration();
  auto endpoint = PageServer::Start("127.0.0.1:0",
                                    {{"/metrics",
                                      [&] {
                                        int seen = fact;
                                        if (++runs == 1) gate.Pass();
                                        return Answer::Of(200, "text/plain", absl::StrCat(seen));
                                      },
                                      true}},
                                    limits)
                      .value();
  Client first(endpoint->address());
  first.Send("GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n");
  while (runs == 0) std::this_thread::yield();
  fact = 1;
  std::vector<std::unique_ptr<Client>> others;
  for (int i = 0; i < 50; ++i) {
    others.push_back(std::make_unique<Client>(endpoint->address()));
    others.back()->Send("GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n");
  }
  // A request that is answered by the serving thread shows that it has read those before it.
  EXPECT_THAT(Ask(*endpoint, "GET /none HTTP/1.1\r\nConnection: close\r\n\r\n"), StartsWith("HTTP/1.1 404"));
  gate.Open();
  EXPECT_THAT(first.ReadAll(), EndsWith("\r\n\r\n0"));
  for (auto& other : others) EXPECT_THAT(other->ReadAll(), EndsWith("\r\n\r\n1"));
  EXPECT_LE(runs, 5);
}

TEST(PageServer, APageThatIsAlwaysWantedKeepsNoOtherWaiting) {
  Gate gate;
  std::vector<std::string> made;  // the working thread's, until the server has ended
  const auto page = [&](const std::string& name) {
    return Page{"/" + name,
                [&made, &gate, name] {
                  made.push_back(name);
                  gate.Pass();
                  return Answer::Of(200, "text/plain", name);
                },
                true};
  };
  std::vector<Page> pages = Livez();
  pages.push_back(page("often"));
  pages.push_back(page("seldom"));
  PageServerOptions limits = Patient();
  limits.blocking_gap = absl::ZeroDuration();
  auto endpoint = PageServer::Start("127.0.0.1:0", pages, limits).value();
  Client first(endpoint->address()), again(endpoint->address()), seldom(endpoint->address());
  first.Send("GET /often HTTP/1.1\r\nConnection: close\r\n\r\n");
  gate.WaitEntered();
  again.Send("GET /often HTTP/1.1\r\nConnection: close\r\n\r\n");
  seldom.Send("GET /seldom HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(Ask(*endpoint, kGet), EndsWith("ok\n")) << "both wait by now";
  gate.Open();
  for (Client* client : {&first, &again, &seldom}) client->ReadAll();
  endpoint.reset();
  EXPECT_THAT(made, ElementsAre("often", "seldom", "often"));
}

TEST(PageServer, TrickleOfBytesBuysNoTime) {
  PageServerOptions limits = Patient();
  limits.server.request_timeout = absl::Milliseconds(100);
  auto endpoint = PageServer::Start("127.0.0.1:0", Livez(), limits).value();
  Client client(endpoint->address());
  std::atomic<bool> ended{false};
  std::thread trickle([&] {
    while (!ended) {
      client.Send("X");
      std::this_thread::yield();
    }
  });
  EXPECT_THAT(client.ReadAll(), Not(HasSubstr("still open")));
  ended = true;
  trickle.join();
}

TEST(PageServer, FloodOfIdleConnectionsEndsItsOwn) {
  PageServerOptions limits = Patient();
  limits.server.connections_max = 8;
  auto endpoint = PageServer::Start("127.0.0.1:0", Livez(), limits).value();
  std::vector<std::unique_ptr<Client>> idle;
  for (int i = 0; i < 200; ++i) idle.push_back(std::make_unique<Client>(endpoint->address()));
  EXPECT_THAT(Ask(*endpoint, kGet), EndsWith("ok\n"));
  EXPECT_EQ(idle.front()->ReadAll(), "") << "the oldest of the flood is still open";
}

TEST(PageServer, WhoseAnswerIsBeingMadeGivesWayToNoFlood) {
  Gate gate;
  PageServerOptions limits = Patient();
  limits.server.connections_max = 8;
  auto endpoint = PageServer::Start("127.0.0.1:0", LivezAndMetricsBehind(gate), limits).value();
  Client scraper(endpoint->address());
  scraper.Send("GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n");
  gate.WaitEntered();
  std::vector<std::unique_ptr<Client>> idle;
  for (int i = 0; i < 100; ++i) idle.push_back(std::make_unique<Client>(endpoint->address()));
  EXPECT_EQ(idle.front()->ReadAll(), "") << "the flood ends its own";
  gate.Open();
  EXPECT_THAT(scraper.ReadAll(), EndsWith("numbers\n"));
}

TEST(PageServer, WhoAsksForSlowPagesOnEveryPlaceLeavesRoomForOthers) {
  Gate gate;
  PageServerOptions limits = Patient();
  limits.server.connections_max = 8;
  auto endpoint = PageServer::Start("127.0.0.1:0", LivezAndMetricsBehind(gate), limits).value();
  std::vector<std::unique_ptr<Client>> slow;
  for (int i = 0; i < 8; ++i) {
    slow.push_back(std::make_unique<Client>(endpoint->address()));
    slow.back()->Send("GET /metrics HTTP/1.1\r\n\r\n");
  }
  gate.WaitEntered();
  Client probe(endpoint->address());
  // Fewer newcomers than half of the places do not end the probe that came before them.
  std::vector<std::unique_ptr<Client>> newcomers;
  for (int i = 0; i < 2; ++i) newcomers.push_back(std::make_unique<Client>(endpoint->address()));
  EXPECT_THAT(Ask(*endpoint, kGet), EndsWith("ok\n")) << "all that came before are served or ended by now";
  probe.Send("GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(probe.ReadAll(), EndsWith("ok\n"));
  gate.Open();
}

TEST(PageServer, ClientThatNeverReadsIsCut) {
  PageServerOptions limits = Patient();
  limits.server.answer_timeout = absl::Milliseconds(100);
  auto endpoint =
      PageServer::Start("127.0.0.1:0",
                        {{"/big", [] { return Answer::Of(200, "text/plain", std::string(64 << 20, 'x')); }}}, limits)
          .value();
  Client lazy(endpoint->address());
  lazy.Send("GET /big HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(lazy.IsCut());
}

TEST(PageServer, EndsAtOnceWithConnectionsOpen) {
  auto endpoint = PageServer::Start("127.0.0.1:0", Livez(), Patient()).value();
  Client idle(endpoint->address());
  endpoint.reset();
  EXPECT_EQ(idle.ReadAll(), "");
}

}  // namespace
}  // namespace meshca::http
