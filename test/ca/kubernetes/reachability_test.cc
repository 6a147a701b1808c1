#include "ca/kubernetes/reachability.h"

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "ca/base/clock.h"
#include "ca/base/entropy.h"
#include "ca/kubernetes/list_watch.h"
#include "ca/kubernetes/open_calls.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/kubernetes/fake_api_server.h"
#include "test/fakes/awaited_counter.h"

namespace meshca::kubernetes {
namespace {

OutageTerms QuickTerms() {
  OutageTerms terms;
  terms.probe_every = absl::Milliseconds(5);
  terms.returns_apart_first = terms.returns_apart_last = absl::ZeroDuration();
  return terms;
}

class ReachabilityTest : public testing::Test {
 protected:
  using Kind = ProbeEnd::Kind;

  void Probe(Reachability::ProbeDone done) {
    if (!hangs) {
      std::move(done)({end, "no route"});
    } else {
      MutexLock lock(mutex);
      hanging.push_back(std::move(done));
    }
    probes.Add();
  }
  bool AwaitHanging(size_t count) {
    const absl::Time patience = absl::Now() + http::kPatience;
    while (absl::Now() < patience) {
      {
        MutexLock lock(mutex);
        if (hanging.size() >= count) return true;
      }
      absl::SleepFor(absl::Milliseconds(1));
    }
    return false;
  }
  // The first probe that hangs has failed.
  void EndOneThatHangs() {
    Reachability::ProbeDone done;
    {
      MutexLock lock(mutex);
      ASSERT_FALSE(hanging.empty());
      done = std::move(hanging.front());
      hanging.pop_front();
    }
    std::move(done)({Kind::kFailed});
  }

  AwaitedCounter probes, told;
  std::atomic<Kind> end = Kind::kFailed;
  std::atomic<bool> hangs = false;
  Mutex mutex;
  std::deque<Reachability::ProbeDone> hanging ABSL_GUARDED_BY(mutex);
  Reachability reachability{QuickTerms(), [this](Reachability::ProbeDone done) { Probe(std::move(done)); }};
};

TEST_F(ReachabilityTest, ListenersAreToldOnceOfEachReturn) {
  const ReturnListener listener(reachability, [this] { told.Add(); });
  const ReturnListener other(reachability, [this] { told.Add(); });
  for (int returns = 1; returns <= 2; ++returns) {
    end = Kind::kFailed;
    const int before = probes.count();
    reachability.NoteUnanswered(SystemClock().SinceBoot());
    ASSERT_TRUE(probes.Await(before + 3)) << "it goes on";
    EXPECT_TRUE(reachability.away());
    EXPECT_EQ(reachability.WhyAway(), "no route");
    EXPECT_EQ(told.count(), 2 * (returns - 1));
    end = Kind::kAnswered;
    ASSERT_TRUE(told.Await(2 * returns));
    EXPECT_EQ(reachability.returns(), static_cast<uint64_t>(returns));
    EXPECT_FALSE(reachability.away());
    EXPECT_EQ(reachability.WhyAway(), "");
  }
}

TEST_F(ReachabilityTest, AnAnswerToAnybodyTellsThemToo) {
  const ReturnListener listener(reachability, [this] { told.Add(); });
  reachability.NoteUnanswered(SystemClock().SinceBoot());
  ASSERT_TRUE(probes.Await(2));
  reachability.NoteAnswered();
  EXPECT_TRUE(told.Await(1));
}

TEST_F(ReachabilityTest, WhereNobodyListensNobodyIsAsked) {
  {
    const ReturnListener listener(reachability, [this] { told.Add(); });
  }
  reachability.NoteUnanswered(SystemClock().SinceBoot());
  // Another one, with the same pauses, and somebody who listens.
  AwaitedCounter probes_of_other;
  Reachability other(QuickTerms(), [&probes_of_other](Reachability::ProbeDone done) {
    std::move(done)({Kind::kFailed});
    probes_of_other.Add();
  });
  const ReturnListener listener(other, [] {});
  other.NoteUnanswered(SystemClock().SinceBoot());
  ASSERT_TRUE(probes_of_other.Await(5));
  EXPECT_EQ(probes.count(), 0);
}

TEST_F(ReachabilityTest, AProbeThatHangsHoldsUpNobodyAndIsNotBelievedAfterAnAnswer) {
  const ReturnListener listener(reachability, [this] { told.Add(); });
  reachability.NoteUnanswered(SystemClock().SinceBoot());
  ASSERT_TRUE(probes.Await(2));
  ASSERT_TRUE(reachability.away());
  hangs = true;
  ASSERT_TRUE(AwaitHanging(1));
  reachability.NoteAnswered();
  EXPECT_TRUE(told.Await(1)) << "the probe hangs still";
  reachability.NoteUnanswered(SystemClock().SinceBoot());
  ASSERT_TRUE(AwaitHanging(2)) << "it is not waited for either";
  EndOneThatHangs();
  EXPECT_FALSE(reachability.away());
  EndOneThatHangs();
  EXPECT_TRUE(reachability.away());
}

TEST_F(ReachabilityTest, AProbeThatCouldNotBeMadeSaysNothing) {
  end = Kind::kUnknown;
  const ReturnListener listener(reachability, [this] { told.Add(); });
  reachability.NoteUnanswered(SystemClock().SinceBoot());
  ASSERT_TRUE(probes.Await(3)) << "it is made again";
  EXPECT_FALSE(reachability.away());
  end = Kind::kFailed;
  ASSERT_TRUE(probes.Await(probes.count() + 2));
  EXPECT_TRUE(reachability.away());
  end = Kind::kUnknown;
  ASSERT_TRUE(probes.Await(probes.count() + 3));
  EXPECT_TRUE(reachability.away());
  EXPECT_EQ(told.count(), 0);
}

TEST_F(ReachabilityTest, AListenerThatHasEndedIsNotCalledNorTheOthersMissed) {
  // The first one is called while it ends: its end waits for that.
  AwaitedCounter entered, left;
  std::atomic<bool> may_leave = false;
  std::optional<ReturnListener> slow;
  slow.emplace(reachability, [&] {
    entered.Add();
    while (!may_leave) absl::SleepFor(absl::Milliseconds(1));
    left.Add();
  });
  const ReturnListener other(reachability, [this] { told.Add(); });
  reachability.NoteUnanswered(SystemClock().SinceBoot());
  ASSERT_TRUE(probes.Await(2));
  end = Kind::kAnswered;
  ASSERT_TRUE(entered.Await(1));
  std::thread ending([&] {
    slow.reset();
    EXPECT_EQ(left.count(), 1);
  });
  may_leave = true;
  ending.join();
  EXPECT_TRUE(told.Await(1));
}

// An API server that answers each request as the test says at that time, and counts them.
class SwitchedApiServer {
 public:
  // Every request from now on; "": the connection ends without an answer.
  void AnswerBy(const std::string& list, const std::string& probe) {
    MutexLock lock(mutex_);
    list_ = list;
    probe_ = probe;
  }
  std::unique_ptr<ApiServer> Connect() {
    ApiServerOptions options;
    options.url = server_.url("/");
    options.outage = QuickTerms();
    return ApiServer::Create(std::move(options)).value();
  }

  AwaitedCounter probes;
  AwaitedCounter lists;     // of pods, and of a call on a kept connection that was dead its repetition too
  AwaitedCounter accounts;  // lists of service accounts

 private:
  void Serve(http::ScriptedPeer& peer) {
    for (std::string head = peer.ReadHead(); !head.empty(); head = peer.ReadHead()) {
      const bool is_probe = absl::StrContains(head, " /readyz ");
      std::string answer;
      {
        MutexLock lock(mutex_);
        answer = is_probe ? probe_ : list_;
      }
      (is_probe ? probes : absl::StrContains(head, "/serviceaccounts") ? accounts : lists).Add();
      if (answer.empty()) return;
      peer.Send(answer);
    }
  }

  Mutex mutex_;
  std::string list_ ABSL_GUARDED_BY(mutex_);
  std::string probe_ ABSL_GUARDED_BY(mutex_);
  http::ScriptedServer server_{[this](http::ScriptedPeer& peer, int) { Serve(peer); }};  // the last: it uses the rest
};

const char* const kOk = "ok";

struct Verdict {
  const char* name;
  std::string answer;
  bool is_back;
};

class ApiServerReturn : public testing::TestWithParam<Verdict> {};

TEST_P(ApiServerReturn, IsToldByAProperAnswerAlone) {
  SwitchedApiServer api;
  const auto server = api.Connect();
  AwaitedCounter told;
  const ReturnListener listener(server->reachability(), [&told] { told.Add(); });
  ASSERT_FALSE(Ask(*server, ListOfPods()).ok());
  ASSERT_TRUE(api.probes.Await(2));
  // To a probe.
  api.AnswerBy("", GetParam().answer);
  ASSERT_TRUE(GetParam().is_back ? told.Await(1) : api.probes.Await(api.probes.count() + 3));
  EXPECT_EQ(told.count(), GetParam().is_back ? 1 : 0);
  // To a call.
  api.AnswerBy("", "");
  ASSERT_FALSE(Ask(*server, ListOfPods()).ok());
  ASSERT_TRUE(api.probes.Await(api.probes.count() + 3));
  api.AnswerBy(GetParam().answer, "");
  (void)Ask(*server, ListOfPods());
  ASSERT_TRUE(GetParam().is_back ? told.Await(2) : api.probes.Await(api.probes.count() + 3));
  EXPECT_EQ(told.count(), GetParam().is_back ? 2 : 0);
}

INSTANTIATE_TEST_SUITE_P(
    Answers, ApiServerReturn,
    testing::Values(Verdict{"Good", HttpAnswer(200, kOk), true},
                    Verdict{"RefusedByRbac", HttpAnswer(403, StatusOf(403, "Forbidden", "no")), true},
                    Verdict{"NotBelieved", HttpAnswer(401, StatusOf(401, "Unauthorized", "no")), true},
                    Verdict{"NoAnswer", "", false},
                    Verdict{"LoadBalancer", HttpAnswer(503, "<html>no backend</html>"), false},
                    Verdict{"ProxyThatLostIt", HttpAnswer(404, "404 page not found\n"), false},
                    Verdict{"NotReady", HttpAnswer(500, "[-]poststarthook/rbac failed"), false},
                    Verdict{"Throttled", HttpAnswer(429, StatusOf(429, "TooManyRequests", "later")), false},
                    Verdict{"Overloaded", HttpAnswer(503, StatusOf(503, "ServiceUnavailable", "later")), false}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(ApiServerProbe, ABrokenCallBesideAGoodProbeIsNoOutage) {
  SwitchedApiServer api;
  api.AnswerBy("", HttpAnswer(200, kOk));
  const auto server = api.Connect();
  const ReturnListener listener(server->reachability(), [] {});
  const absl::Time end = absl::Now() + http::kPatience;
  while (api.probes.count() < 3 && absl::Now() < end) {
    ASSERT_FALSE(Ask(*server, ListOfPods()).ok());
    absl::SleepFor(absl::Milliseconds(1));
  }
  EXPECT_GE(api.probes.count(), 3);
  EXPECT_EQ(server->reachability().returns(), 0u) << "whatever breaks off each time waits for its own pause";
  EXPECT_THAT(server->CallCounts(), testing::SizeIs(1)) << "probes are nobody's calls";
}

TEST(ApiServerProbe, OurOwnCallsThatFillTheClientAreNoOutage) {
  FakeApiServer api({});  // whatever is asked hangs
  const auto server = ConnectTo(api.server(), "", QuickTerms());
  const ReturnListener listener(server->reachability(), [] {});
  OpenCalls calls(*server, 2 * http::kPatience);
  std::atomic<bool> full = false;
  for (int call = 0; call < 2000 && !full; ++call) {
    calls.Send(ListOfPods(), 1024, [&full](const absl::StatusOr<std::string>& answer) {
      if (absl::IsResourceExhausted(answer.status())) full = true;
    });
  }
  const absl::Time end = absl::Now() + http::kPatience;
  while (!full && absl::Now() < end) absl::SleepFor(absl::Milliseconds(1));
  ASSERT_TRUE(full);
  server->reachability().NoteUnanswered(SystemClock().SinceBoot());
  const uint64_t before = server->reachability().probes();
  while (server->reachability().probes() < before + 5 && absl::Now() < end) absl::SleepFor(absl::Milliseconds(1));
  EXPECT_GE(server->reachability().probes(), before + 5)
      << "none of them could be sent, and the next is due all the same";
  EXPECT_FALSE(server->reachability().away());
}

class QuietSink final : public ObjectSink {
 public:
  void OnListBegin() override {}
  void OnListEnd() override {}
  void OnObject(const PickedFields&) override {}
  void OnGone(const PickedFields&) override {}
};

ListWatchOptions FollowWithLongPauses(Resource resource) {
  ListWatchOptions options;
  options.resource = std::move(resource);
  options.paths = {"metadata.name"};
  options.retry_first = options.retry_last = absl::Hours(1000);
  options.return_spread = absl::ZeroDuration();
  return options;
}

TEST(ListWatchReturn, APauseForAnAbsentServerEndsWhenItIsBack) {
  SwitchedApiServer api;
  const auto server = api.Connect();
  QuietSink sink;
  ListWatch watch(FollowWithLongPauses(Pods()), *server, sink, SystemClock(), SystemEntropy());
  ASSERT_TRUE(api.lists.Await(1));
  ASSERT_TRUE(api.probes.Await(2));
  EXPECT_EQ(api.lists.count(), 1) << "it is the probe that asks again";
  api.AnswerBy("", HttpAnswer(200, kOk));
  EXPECT_TRUE(api.lists.Await(2));
}

TEST(ListWatchReturn, APauseForARefusalDoesNot) {
  for (const std::string& refusal :
       {HttpAnswer(403, StatusOf(403, "Forbidden", "no")), HttpAnswer(429, "", "Retry-After: 100\r\n"),
        HttpAnswer(503, "", "Retry-After: 100\r\n")}) {
    SwitchedApiServer api;
    const auto server = api.Connect();
    api.AnswerBy(refusal, "");
    QuietSink sink;
    ListWatch refused(FollowWithLongPauses(ServiceAccounts()), *server, sink, SystemClock(), SystemEntropy());
    ASSERT_TRUE(api.accounts.Await(1));
    // Another call finds it away, and it comes back.
    api.AnswerBy("", "");
    ASSERT_FALSE(Ask(*server, ListOfPods()).ok());
    AwaitedCounter told;
    const ReturnListener listener(server->reachability(), [&told] { told.Add(); });
    const int before = api.lists.count();
    ListWatch absent(FollowWithLongPauses(Pods()), *server, sink, SystemClock(), SystemEntropy());
    ASSERT_TRUE(api.lists.Await(before + 1));
    ASSERT_TRUE(api.probes.Await(2));
    api.AnswerBy("", HttpAnswer(200, kOk));
    ASSERT_TRUE(told.Await(1));
    ASSERT_TRUE(api.lists.Await(before + 2)) << "the one that got no answer";
    refused.Stop();
    absent.Stop();
    EXPECT_EQ(api.accounts.count(), 1) << "but not the one that was refused";
  }
}

}  // namespace
}  // namespace meshca::kubernetes
