#include "ca/http/http_client.h"

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ca/base/clock.h"
#include "ca/base/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/http/patience.h"
#include "test/ca/http/scripted_server.h"
#include "test/fakes/closed_port.h"

namespace meshca::http {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

std::string AnswerOf(const std::string& body) {
  return absl::StrCat("HTTP/1.1 200 OK\r\nContent-Length: ", body.size(), "\r\n\r\n", body);
}

// Answers every request of every connection with `answer`.
ScriptedServer::Script Always(const std::string& answer) {
  return [answer](ScriptedPeer& peer, int) {
    while (!peer.ReadHead().empty()) peer.Send(answer);
  };
}

std::unique_ptr<Client> NewClient(ClientOptions options = {}) { return Client::Create(std::move(options)).value(); }

absl::StatusOr<Response> Get(Client& client, const Url& url, const CallOptions& options = PatientCall()) {
  ClientRequest request;
  request.url = url;
  return client.Fetch(std::move(request), options);
}

// A value that another thread gives.
template <typename T>
class Awaited {
 public:
  void Set(T value) {
    MutexLock lock(mutex_);
    value_ = std::move(value);
    changed_.NotifyAll();
  }
  T Get() {
    MutexLock lock(mutex_);
    while (!value_.has_value()) changed_.Wait(mutex_);
    return *value_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::optional<T> value_ ABSL_GUARDED_BY(mutex_);
};

TEST(HttpClient, UsesAConnectionAgain) {
  ScriptedServer server(Always(AnswerOf("keys")));
  const auto client = NewClient();
  for (int i = 0; i < 20; ++i) {
    const auto response = Get(*client, server.url());
    ASSERT_TRUE(response.ok()) << response.status();
    EXPECT_EQ(response->body, "keys");
  }
  EXPECT_EQ(server.connections(), 1);
}

TEST(HttpClient, SaysWhomItAsksForWhat) {
  Awaited<std::string> head;
  ScriptedServer server([&](ScriptedPeer& peer, int) {
    head.Set(peer.ReadHead());
    peer.Send(AnswerOf(""));
  });
  ClientRequest request;
  request.method = "PUT";
  request.url = server.url("/a?b=c");
  request.headers = {{"Authorization", "Bearer x"}};
  request.body = "body";
  const auto client = NewClient();
  ASSERT_TRUE(client->Fetch(request, PatientCall()).ok());
  EXPECT_THAT(head.Get(), AllOf(StartsWith(absl::StrCat("PUT /a?b=c HTTP/1.1\r\nHost: ", server.url().HostHeader())),
                                HasSubstr("Authorization: Bearer x\r\n"), HasSubstr("Content-Length: 4\r\n")));
}

TEST(HttpClient, RefusesAHeaderThatWouldEndItsLine) {
  ScriptedServer server(Always(AnswerOf("")));
  const auto client = NewClient();
  for (const Headers::Field& field : {Headers::Field{"A", "b\r\nC: d"}, Headers::Field{"A\nB", "c"},
                                      Headers::Field{"A: b", "c"}, Headers::Field{"", "c"}}) {
    ClientRequest request;
    request.url = server.url();
    request.headers = Headers({field});
    EXPECT_EQ(client->Fetch(request, PatientCall()).status().code(), absl::StatusCode::kInvalidArgument) << field.value;
  }
  EXPECT_EQ(server.connections(), 0);
}

TEST(HttpClient, LeavesAConnectionWhoseAnswerIsInDoubt) {
  for (const std::string& answer :
       {std::string("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"),
        std::string("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx"), absl::StrCat(AnswerOf("x"), AnswerOf("y"))}) {
    ScriptedServer server(Always(answer));
    const auto client = NewClient();
    for (int i = 0; i < 3; ++i) EXPECT_EQ(Get(*client, server.url())->body, "x");
    EXPECT_EQ(server.connections(), 3) << answer;
  }
}

// The first connection ends at the second request, as one does that the server has given up meanwhile.
ScriptedServer::Script EndsOnReuse() {
  return [](ScriptedPeer& peer, int number) {
    while (!peer.ReadHead().empty()) {
      peer.Send(AnswerOf("x"));
      if (number == 0) {
        peer.ReadHead();
        return;
      }
    }
  };
}

TEST(HttpClient, AsksAgainWhereAKeptConnectionHasEnded) {
  ScriptedServer server(EndsOnReuse());
  const auto client = NewClient();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Get(*client, server.url()).ok());
  EXPECT_EQ(server.connections(), 2);
}

TEST(HttpClient, DoesNotAskTwiceForWhatMayNotHappenTwice) {
  ScriptedServer server(EndsOnReuse());
  const auto client = NewClient();
  ClientRequest request;
  request.method = "POST";
  request.url = server.url();
  EXPECT_TRUE(client->Fetch(request, PatientCall()).ok());
  EXPECT_THAT(std::string(client->Fetch(request, PatientCall()).status().message()), HasSubstr("ended in the middle"));
  EXPECT_EQ(server.connections(), 1);
}

// Answers one request, and tells when the client has ended the connection.
ScriptedServer::Script OnceThenWatchesForTheEnd(Awaited<bool>& ended) {
  return [&ended](ScriptedPeer& peer, int) {
    peer.ReadHead();
    peer.Send(AnswerOf("x"));
    peer.AwaitEnd();
    ended.Set(true);
  };
}

TEST(HttpClient, KeepsNoMoreIdleConnectionsThanItMayAndEndsTheOldest) {
  Awaited<bool> ended, other_ended;
  ScriptedServer server(OnceThenWatchesForTheEnd(ended));
  ScriptedServer other(OnceThenWatchesForTheEnd(other_ended));
  ClientOptions options;
  options.idle_max = 1;
  const auto client = NewClient(options);
  EXPECT_TRUE(Get(*client, server.url()).ok());
  EXPECT_TRUE(Get(*client, other.url()).ok());
  EXPECT_TRUE(ended.Get());
}

TEST(HttpClient, KeepsNoMoreIdleConnectionsToOneOriginThanItMay) {
  Awaited<bool> first_asked, second_answered, ended;
  ScriptedServer server([&](ScriptedPeer& peer, int number) {
    peer.ReadHead();
    if (number == 0) {  // answers after the second has
      first_asked.Set(true);
      second_answered.Get();
    }
    peer.Send(AnswerOf("x"));
    peer.AwaitEnd();
    ended.Set(true);
  });
  ClientOptions options;
  options.idle_per_origin_max = 1;
  const auto client = NewClient(options);
  std::thread first([&] { EXPECT_TRUE(Get(*client, server.url()).ok()); });
  first_asked.Get();
  EXPECT_TRUE(Get(*client, server.url()).ok());
  second_answered.Set(true);
  first.join();
  EXPECT_TRUE(ended.Get());
}

TEST(HttpClient, EndsAnIdleConnectionInTime) {
  Awaited<bool> ended;
  ScriptedServer server(OnceThenWatchesForTheEnd(ended));
  ClientOptions options;
  options.idle_timeout = absl::Milliseconds(20);
  const auto client = NewClient(options);
  EXPECT_TRUE(Get(*client, server.url()).ok());
  EXPECT_TRUE(ended.Get());
}

TEST(HttpClient, BoundsEachPartOfTheTime) {
  ScriptedServer silent([](ScriptedPeer& peer, int) { peer.AwaitEnd(); });
  ScriptedServer stalls([](ScriptedPeer& peer, int) {
    peer.ReadHead();
    peer.Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx");
    peer.AwaitEnd();
  });
  const auto client = NewClient();
  CallOptions options;
  options.timeout = absl::Milliseconds(50);
  EXPECT_EQ(Get(*client, silent.url(), options).status(), absl::DeadlineExceededError("no whole answer within 50ms"));
  options.timeout = absl::InfiniteDuration();
  options.silence_timeout = absl::Milliseconds(40);
  EXPECT_EQ(Get(*client, silent.url(), options).status(), absl::DeadlineExceededError("nothing came within 40ms"));
  EXPECT_EQ(Get(*client, stalls.url(), options).status(), absl::DeadlineExceededError("nothing came within 40ms"));
  options.connect_timeout = absl::Milliseconds(30);
  Url tls = silent.url();
  tls.https = true;  // the handshake has no answer
  EXPECT_EQ(Get(*client, tls, options).status(), absl::DeadlineExceededError("no connection within 30ms"));
}

// A process that is stopped, or whose machine sleeps, goes on where it was.
TEST(HttpClient, SendsNothingOfACallWhoseTimeHasRunOut) {
  std::atomic<int> writes = 0;
  ScriptedServer server([&writes](ScriptedPeer& peer, int) {
    for (std::string head = peer.ReadHead(); !head.empty(); head = peer.ReadHead()) {
      if (absl::StartsWith(head, "PUT ")) ++writes;
      peer.Send(AnswerOf("done"));
    }
  });
  const auto client = NewClient();
  Awaited<bool> stopped;
  Awaited<bool> goes_on;
  ClientRequest first;
  first.url = server.url();
  client->Send(std::move(first), PatientCall(), [&](const absl::StatusOr<Response>&) {
    stopped.Set(true);
    goes_on.Get();
  });
  stopped.Get();
  ClientRequest write;
  write.method = "PUT";
  write.url = server.url();
  CallOptions options = PatientCall();
  options.timeout = absl::Milliseconds(20);
  Awaited<absl::Status> ended;
  client->Send(std::move(write), options, [&](const absl::StatusOr<Response>& answer) { ended.Set(answer.status()); });
  const absl::Duration until = SystemClock().SinceBoot() + 2 * options.timeout;
  while (SystemClock().SinceBoot() < until) absl::SleepFor(absl::Milliseconds(1));
  goes_on.Set(true);
  EXPECT_EQ(ended.Get().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(Get(*client, server.url()).ok());
  EXPECT_EQ(writes, 0);
}

TEST(HttpClient, ReadsTheErrorsOfAServerToo) {
  ScriptedServer server(Always("HTTP/1.1 410 Gone\r\nContent-Length: 4\r\n\r\ngone"));
  const auto client = NewClient();
  const auto response = Get(*client, server.url());
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->status, 410);
  EXPECT_EQ(response->body, "gone");
}

TEST(HttpClient, NoCallIsMoreThanItsShare) {
  ScriptedServer server([](ScriptedPeer& peer, int) { peer.AwaitEnd(); });
  ClientOptions options;
  options.calls_max = 2;
  const auto client = NewClient(options);
  ClientRequest request;
  request.url = server.url();
  Awaited<absl::Status> first, second;
  client->Send(request, PatientCall(), [&](absl::StatusOr<Response> response) { first.Set(response.status()); });
  client->Send(request, PatientCall(), [&](absl::StatusOr<Response> response) { second.Set(response.status()); });
  EXPECT_EQ(client->Fetch(request, PatientCall()).status().code(), absl::StatusCode::kResourceExhausted);
  client->Stop();
  EXPECT_EQ(first.Get().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(second.Get().code(), absl::StatusCode::kUnavailable);
}

// What a stream gave.
struct Seen {
  Awaited<int> status;
  Mutex mutex;
  CondVar changed;
  std::string body ABSL_GUARDED_BY(mutex);
  Awaited<absl::Status> end;

  StreamHandler Handler() {
    StreamHandler handler;
    handler.on_head = [this](const Response& head) { status.Set(head.status); };
    handler.on_piece = [this](absl::string_view piece) {
      MutexLock lock(mutex);
      absl::StrAppend(&body, piece);
      changed.NotifyAll();
      return absl::StrContains(piece, "stop") ? absl::AbortedError("stop was said") : absl::OkStatus();
    };
    handler.on_end = [this](absl::Status why) { end.Set(std::move(why)); };
    return handler;
  }
  void AwaitBody(const std::string& whole) {
    MutexLock lock(mutex);
    while (body != whole) changed.Wait(mutex);
  }
};

std::string ChunkOf(const std::string& text) { return absl::StrCat(absl::Hex(text.size()), "\r\n", text, "\r\n"); }

// Sends each line that the test says, and no end.
class Watch {
 public:
  Watch()
      : server_([this](ScriptedPeer& peer, int) {
          peer.ReadHead();
          peer.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
          for (;;) {
            MutexLock lock(mutex_);
            while (lines_.empty()) changed_.Wait(mutex_);
            const std::string line = std::move(lines_.front());
            lines_.erase(lines_.begin());
            if (line.empty()) return;
            peer.Send(ChunkOf(line));
          }
        }) {}
  ~Watch() { Say(""); }
  void Say(const std::string& line) {
    MutexLock lock(mutex_);
    lines_.push_back(line);
    changed_.NotifyAll();
  }
  Url url() const { return server_.url(); }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::vector<std::string> lines_ ABSL_GUARDED_BY(mutex_);
  ScriptedServer server_;
};

TEST(HttpClient, StreamsPiecesAsTheyComeUntilItIsCancelled) {
  Watch watch;
  const auto client = NewClient();
  ClientRequest request;
  request.url = watch.url();
  CallOptions options;
  options.timeout = absl::InfiniteDuration();
  Seen seen;
  const Client::CallId call = client->Stream(request, options, seen.Handler());
  EXPECT_EQ(seen.status.Get(), 200);
  watch.Say("{\"a\":1}\n");
  seen.AwaitBody("{\"a\":1}\n");
  watch.Say("{\"b\":2}\n");
  seen.AwaitBody("{\"a\":1}\n{\"b\":2}\n");
  client->Cancel(call);
  EXPECT_EQ(seen.end.Get().code(), absl::StatusCode::kCancelled);
}

TEST(HttpClient, AStreamEndsByItsHandlersWord) {
  Watch watch;
  const auto client = NewClient();
  ClientRequest request;
  request.url = watch.url();
  Seen seen;
  client->Stream(request, PatientCall(), seen.Handler());
  watch.Say("stop");
  EXPECT_EQ(seen.end.Get(), absl::AbortedError("stop was said"));
}

TEST(HttpClient, AStreamThatFallsSilentEnds) {
  Watch watch;
  const auto client = NewClient();
  ClientRequest request;
  request.url = watch.url();
  CallOptions options;
  options.timeout = absl::InfiniteDuration();
  options.silence_timeout = absl::Milliseconds(100);
  Seen seen;
  // Said beforehand and not waited for: a server that is held up for so long has been silent before it, too.
  watch.Say("x");
  client->Stream(request, options, seen.Handler());
  EXPECT_EQ(seen.end.Get(), absl::DeadlineExceededError("nothing came within 100ms"));
}

TEST(HttpClient, AStreamIsNotBoundBySizeAndEndsWithItsAnswer) {
  const std::string large(1'000'000, 'x');
  ScriptedServer server(Always(AnswerOf(large)));
  const auto client = NewClient();
  ClientRequest request;
  request.url = server.url();
  CallOptions options = PatientCall();
  options.body_bytes_max = 10;
  EXPECT_THAT(std::string(client->Fetch(request, options).status().message()), HasSubstr("longer than 10 bytes"));
  Seen seen;
  client->Stream(request, options, seen.Handler());
  EXPECT_EQ(seen.end.Get(), absl::OkStatus());
  MutexLock lock(seen.mutex);
  EXPECT_EQ(seen.body, large);
}

TEST(HttpClient, StopEndsEveryCallAndLaterOnesAtOnce) {
  ScriptedServer server([](ScriptedPeer& peer, int) { peer.AwaitEnd(); });
  const auto client = NewClient();
  std::vector<std::thread> callers;
  std::vector<Awaited<absl::Status>> ends(4);
  for (auto& end : ends) {
    callers.emplace_back([&] { end.Set(Get(*client, server.url()).status()); });
  }
  while (server.connections() < 4) std::this_thread::yield();
  client->Stop();
  for (std::thread& caller : callers) caller.join();
  for (auto& end : ends) EXPECT_EQ(end.Get().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Get(*client, server.url()).status(), absl::UnavailableError("the HTTP client is shutting down"));
}

TEST(HttpClient, ManyThreadsShareOne) {
  ScriptedServer server(Always(AnswerOf("x")));
  const auto client = NewClient();
  std::vector<std::thread> callers;
  std::atomic<int> good = 0;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&] {
      for (int j = 0; j < 50; ++j) good += Get(*client, server.url()).ok() ? 1 : 0;
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(good, 400);
}

TEST(HttpClient, SaysWhyItReachesNobody) {
  const ClosedPort closed;
  const auto client = NewClient();
  EXPECT_EQ(Get(*client, Url::Parse(absl::StrCat("http://", closed.address(), "/")).value()).status(),
            absl::UnavailableError("connect: Connection refused"));
  EXPECT_EQ(Get(*client, Url::Parse("http://no-such-host.invalid/").value()).status().code(),
            absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace meshca::http
