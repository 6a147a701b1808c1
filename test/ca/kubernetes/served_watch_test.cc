#include "ca/kubernetes/served_watch.h"

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ca/base/entropy.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/kubernetes/fake_api_server.h"
#include "test/fakes/fake_clock.h"

namespace meshca::kubernetes {
namespace {

// Serves some versions of an API, and says of all others what a proxy that has lost its backend says of everything.
class VersionedApi {
 public:
  ~VersionedApi() { Serve({}); }

  void Serve(std::set<std::string> versions) {
    MutexLock lock(mutex_);
    served_ = std::move(versions);
    changed_.NotifyAll();
  }
  const http::ScriptedServer& server() const { return server_; }
  // Lists that were asked for in this version.
  int asked(const std::string& version) {
    MutexLock lock(mutex_);
    return static_cast<int>(asked_.count(version));
  }

 private:
  void Answer(http::ScriptedPeer& peer) {
    for (std::string head = peer.ReadHead(); !head.empty(); head = peer.ReadHead()) {
      const std::string version = absl::StrContains(head, "/v1/") ? "v1" : "v1beta1";
      MutexLock lock(mutex_);
      if (!served_.contains(version)) {
        asked_.insert(version);
        peer.Send(HttpAnswer(404, "404 page not found\n"));
      } else if (!absl::StrContains(head, "watch=true")) {
        asked_.insert(version);
        peer.Send(HttpAnswer(200, PageOf({"a"}, "10")));
      } else {
        peer.Send(kChunkedHead);
        while (served_.contains(version)) changed_.Wait(mutex_);
        return;
      }
    }
  }

  Mutex mutex_;
  CondVar changed_;
  std::set<std::string> served_ ABSL_GUARDED_BY(mutex_);
  std::multiset<std::string> asked_ ABSL_GUARDED_BY(mutex_);
  http::ScriptedServer server_{[this](http::ScriptedPeer& peer, int) { Answer(peer); }};  // the last: it uses the rest
};

class DeafSink final : public ObjectSink {
 public:
  void OnListBegin() override {}
  void OnListEnd() override {}
  void OnObject(const PickedFields&) override {}
  void OnGone(const PickedFields&) override {}
};

class ServedWatchTest : public testing::Test {
 protected:
  static constexpr absl::Duration kLookAgain = absl::Minutes(10);

  static std::vector<ListWatchOptions> Versions() {
    std::vector<ListWatchOptions> all;
    for (const char* version : {"v1", "v1beta1"}) {
      ListWatchOptions& options = all.emplace_back();
      options.resource = {"certificates.k8s.io", version, "podcertificaterequests"};
      options.paths = {"metadata.name"};
      options.retry_first = options.retry_last = absl::Milliseconds(2);
    }
    return all;
  }
  // Looks again and again until `done`, for a minute at most. The clock goes `step` further each time.
  bool LookUntil(const std::function<bool()>& done, absl::Duration step = absl::Milliseconds(20)) {
    const absl::Time end = absl::Now() + http::kPatience;
    while (!done()) {
      if (absl::Now() > end) return false;
      clock.Advance(step);
      watch.Look();
      absl::SleepFor(absl::Milliseconds(1));
    }
    return true;
  }
  bool Follows(size_t version) {
    return LookUntil([this, version] { return watch.version() == version && watch.LastError().ok() && IsWatched(); });
  }
  bool IsWatched() { return watch.Age() < absl::Minutes(1) && !watch.unserved(); }

  VersionedApi api;
  FakeClock clock;
  DeafSink sink;
  std::unique_ptr<ApiServer> server = ConnectTo(api.server());
  ServedWatch watch{Versions(), kLookAgain, *server, sink, clock, SystemEntropy()};
};

TEST_F(ServedWatchTest, FollowsTheFirstVersionThatIsServed) {
  api.Serve({"v1beta1"});
  watch.Start();
  EXPECT_TRUE(Follows(1));
}

TEST_F(ServedWatchTest, WhatIsNotServedIsLookedForAgainAfterAWhile) {
  watch.Start();
  ASSERT_TRUE(LookUntil([this] { return watch.unserved(); }));
  EXPECT_EQ(watch.Age(), absl::InfiniteDuration());
  api.Serve({"v1"});
  const int before = api.asked("v1");
  // More than enough for a list, were one asked for.
  int looks = 0;
  ASSERT_TRUE(LookUntil([&looks] { return ++looks > 100; }));
  EXPECT_EQ(api.asked("v1"), before);
  EXPECT_TRUE(watch.unserved());
  clock.Advance(kLookAgain);
  EXPECT_TRUE(Follows(0));
}

TEST_F(ServedWatchTest, WhatIsNotServedYetIsLookedForSoonerAtFirst) {
  watch.Start();
  ASSERT_TRUE(LookUntil([this] { return watch.unserved(); }));
  absl::Duration last = absl::ZeroDuration();
  for (int look = 0; look < 10; ++look) {
    const int before = api.asked("v1beta1");
    const absl::Duration begun = clock.SinceBoot();
    ASSERT_TRUE(LookUntil([&] { return api.asked("v1beta1") > before; }, absl::Milliseconds(500)));
    const absl::Duration pause = clock.SinceBoot() - begun;
    EXPECT_TRUE(look > 0 || pause < absl::Seconds(20)) << pause;
    EXPECT_TRUE(pause > last || pause >= kLookAgain) << pause << " after " << last;
    last = pause;
  }
  EXPECT_GE(last, kLookAgain);
}

TEST_F(ServedWatchTest, AVersionThatWasListedIsServedWhateverAProxyAnswers) {
  api.Serve({"v1"});
  watch.Start();
  ASSERT_TRUE(Follows(0));
  api.Serve({});
  // The other version is tried once, and then this one for as long as it takes.
  ASSERT_TRUE(LookUntil([this] { return api.asked("v1beta1") > 0 && watch.version() == 0; }));
  const int before = api.asked("v1beta1");
  const int own = api.asked("v1");
  ASSERT_TRUE(LookUntil([this, own] { return api.asked("v1") > own + 5; }));
  EXPECT_EQ(api.asked("v1beta1"), before);
  EXPECT_FALSE(watch.unserved());
  EXPECT_FALSE(watch.LastError().ok());
  EXPECT_LT(watch.Age(), absl::Hours(1)) << "what it told before it was left is as old as it is";
  EXPECT_GT(watch.Age(), absl::ZeroDuration());
  api.Serve({"v1"});
  EXPECT_TRUE(Follows(0));
}

TEST_F(ServedWatchTest, AVersionThatIsNotFoundForAMomentIsNotLeft) {
  api.Serve({"v1", "v1beta1"});
  watch.Start();
  ASSERT_TRUE(Follows(0));
  const int own = api.asked("v1");
  api.Serve({"v1beta1"});
  // So long as that, and not as long as it would have to be.
  ASSERT_TRUE(LookUntil([&] { return api.asked("v1") > own + 5; }, absl::Milliseconds(1)));
  api.Serve({"v1", "v1beta1"});
  ASSERT_TRUE(Follows(0));
  EXPECT_EQ(api.asked("v1beta1"), 0);
}

TEST_F(ServedWatchTest, ThePreferredVersionIsFollowedAgainAfterAWhile) {
  api.Serve({"v1beta1"});
  watch.Start();
  ASSERT_TRUE(Follows(1));
  clock.Advance(kLookAgain);
  const int before = api.asked("v1");
  ASSERT_TRUE(LookUntil([&] { return api.asked("v1") > before; }));
  int looks = 0;
  ASSERT_TRUE(LookUntil([&looks] { return ++looks > 50; }));
  ASSERT_EQ(watch.version(), 1u) << "it was asked for, and is not served";
  api.Serve({"v1", "v1beta1"});
  clock.Advance(kLookAgain);
  EXPECT_TRUE(Follows(0));
}

TEST_F(ServedWatchTest, AnApiServerThatWasUpgradedIsFollowedByItsNewVersion) {
  api.Serve({"v1beta1"});
  watch.Start();
  ASSERT_TRUE(Follows(1));
  api.Serve({"v1"});
  EXPECT_TRUE(Follows(0));
}

}  // namespace
}  // namespace meshca::kubernetes
