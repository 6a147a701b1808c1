#include "ca/kubernetes/lease_holder.h"

#include <gmock/gmock.h>

#include <atomic>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "ca/base/utc_text.h"
#include "ca/kubernetes/picked_fields.h"
#include "test/ca/kubernetes/fake_api_server.h"
#include "test/fakes/fake_clock.h"

namespace meshca::kubernetes {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const LeasePlace kPlace = {"kube-system", "meshca-a.test", "a.test"};

// An API server of one Lease alone, with its optimistic concurrency.
class LeaseServer {
 public:
  LeaseServer() : server_([this](http::ScriptedPeer& peer, int) { Serve(peer); }) {}

  std::unique_ptr<ApiServer> Connect() { return ConnectTo(server_); }

  // Every write ("": everything) is answered by this from now on; "": as it should be.
  void Refuse(const std::string& method, const std::string& answer) {
    MutexLock lock(mutex_);
    refusals_[method] = answer;
  }
  // The next write goes through after somebody else's.
  void LetSomebodyBeFirst() {
    MutexLock lock(mutex_);
    somebody_first_ = true;
  }
  LeaseRecord now() {
    MutexLock lock(mutex_);
    return object_.empty() ? LeaseRecord() : *ReadLease(object_);
  }
  void Put(LeaseRecord record) {
    MutexLock lock(mutex_);
    PutLocked(CallToWriteLease(kPlace, record).body);
  }
  void Delete() {
    MutexLock lock(mutex_);
    object_.clear();
  }
  int writes() {
    MutexLock lock(mutex_);
    return writes_;
  }
  int asked() {
    MutexLock lock(mutex_);
    return asked_;
  }

 private:
  void PutLocked(const std::string& body) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const std::string version = absl::StrCat(R"("metadata":{"resourceVersion":")", ++version_, "\",");
    std::string object = body;
    if (const size_t old = object.find(R"("resourceVersion":)"); old != std::string::npos) {
      object.erase(old, object.find(',', old) + 1 - old);
    }
    const std::string metadata = R"("metadata":{)";
    object_ = object.replace(object.find(metadata), metadata.size(), version);
  }
  void Serve(http::ScriptedPeer& peer) {
    for (std::string head = peer.ReadHead(); !head.empty(); head = peer.ReadHead()) {
      const std::string method = head.substr(0, head.find(' '));
      const std::string body = method == "PUT" ? peer.BodyOf(head) : "";
      MutexLock lock(mutex_);
      ++asked_;
      if (!refusals_[""].empty() || !refusals_[method].empty()) {
        peer.Send(refusals_[""].empty() ? refusals_[method] : refusals_[""]);
      } else if (method == "PUT") {
        Write(peer, body);
      } else if (object_.empty()) {
        peer.Send(HttpAnswer(404, StatusOf(404, "NotFound", "no such lease")));
      } else {
        peer.Send(HttpAnswer(200, object_));
      }
    }
  }
  void Write(http::ScriptedPeer& peer, const std::string& body) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (std::exchange(somebody_first_, false)) {
      LeaseRecord theirs;
      theirs.holder = "somebody";
      theirs.duration = absl::Seconds(20);
      PutLocked(CallToWriteLease(kPlace, theirs).body);
    }
    const std::string known = object_.empty() ? "" : ReadLease(object_)->resource_version;
    const std::string meant(PickFields(body, {"metadata.resourceVersion"})->Text(0));
    if (meant.empty() && !known.empty()) {
      return peer.Send(HttpAnswer(422, StatusOf(422, "Invalid", "must be specified for an update")));
    }
    if (meant != known) return peer.Send(HttpAnswer(409, StatusOf(409, "Conflict", "the object has been modified")));
    PutLocked(body);
    ++writes_;
    peer.Send(HttpAnswer(known.empty() ? 201 : 200, object_));
  }

  Mutex mutex_;
  std::map<std::string, std::string> refusals_ ABSL_GUARDED_BY(mutex_);
  std::string object_ ABSL_GUARDED_BY(mutex_);
  int version_ ABSL_GUARDED_BY(mutex_) = 0;
  int writes_ ABSL_GUARDED_BY(mutex_) = 0;
  int asked_ ABSL_GUARDED_BY(mutex_) = 0;
  bool somebody_first_ ABSL_GUARDED_BY(mutex_) = false;
  http::ScriptedServer server_;  // the last: its threads use the rest
};

class LeaseHolderTest : public testing::Test {
 protected:
  struct Server {
    std::unique_ptr<ApiServer> api;
    std::unique_ptr<LeaseHolder> holder;
    std::atomic<int> told = 0;
  };
  std::unique_ptr<Server> Start(const std::string& identity, const std::string& process = "1") {
    auto made = std::make_unique<Server>();
    made->api = leases.Connect();
    LeaseTerms terms;
    terms.identity = identity;
    terms.process = process;
    made->holder = std::make_unique<LeaseHolder>(kPlace, terms, *made->api, clock);
    made->holder->AddListener([told = &made->told] { ++*told; });
    made->holder->Start();
    return made;
  }
  static bool Await(const std::function<bool()>& done) {
    const absl::Time end = absl::Now() + absl::Minutes(1);
    while (absl::Now() < end) {
      if (done()) return true;
      absl::SleepFor(absl::Milliseconds(2));
    }
    return false;
  }
  static bool AwaitHeld(const Server& server, bool held = true) {
    return Await([&] { return server.holder->Held() == held; });
  }
  // Its writes were refused until now.
  void ExpectHeldOnceItIsNotRefused(const Server& server) {
    EXPECT_FALSE(server.holder->Held());
    leases.Refuse("PUT", "");
    clock.Advance(absl::Seconds(5));
    server.holder->Wake();
    ASSERT_TRUE(AwaitHeld(server));
    EXPECT_TRUE(server.holder->Status().error.ok());
  }

  LeaseServer leases;
  FakeClock clock;
};

TEST_F(LeaseHolderTest, IsHadRenewedAndGivenBack) {
  const auto one = Start("one");
  ASSERT_TRUE(AwaitHeld(*one));
  EXPECT_THAT(one->holder->WhyNot(), IsEmpty());
  ASSERT_TRUE(Await([&] { return one->told == 1; }));
  const LeaseRecord taken = leases.now();
  EXPECT_EQ(taken.holder, "one");
  EXPECT_EQ(taken.acquired, clock.Now());
  clock.Advance(absl::Seconds(4));
  one->holder->Wake();
  ASSERT_TRUE(Await([&] { return leases.now().renewed == taken.renewed + absl::Seconds(4); }));
  const LeaseStatus status = one->holder->Status();
  EXPECT_TRUE(status.held && status.error.ok());
  EXPECT_EQ(status.lease, "kube-system/meshca-a.test");
  EXPECT_EQ(status.since, taken.acquired);
  EXPECT_EQ(status.gained, 1u);
  one->holder->Shutdown();
  EXPECT_FALSE(one->holder->Held());
  EXPECT_EQ(leases.now().holder, "");
  one->holder->Shutdown();
}

TEST_F(LeaseHolderTest, TheSecondWaitsAndSaysWhoHasItUntilItIsGivenBack) {
  const auto one = Start("one");
  ASSERT_TRUE(AwaitHeld(*one));
  const auto two = Start("two");
  ASSERT_TRUE(Await([&] { return two->holder->WhyNot() == "one holds the Lease kube-system/meshca-a.test"; }));
  EXPECT_FALSE(two->holder->Held());
  EXPECT_EQ(two->holder->Status().holder, "one");
  EXPECT_EQ(two->told, 0);
  one->holder->Shutdown();
  clock.Advance(absl::Seconds(1));
  two->holder->Wake();
  ASSERT_TRUE(AwaitHeld(*two));
  EXPECT_EQ(leases.now().transitions, 1);
}

TEST_F(LeaseHolderTest, OneThatFallsSilentLosesItBeforeTheOtherGainsIt) {
  const auto one = Start("one");
  ASSERT_TRUE(AwaitHeld(*one));
  const auto two = Start("two");
  ASSERT_TRUE(Await([&] { return two->holder->Status().holder == "one"; }));
  one->api->Stop();  // it reaches nobody any more
  clock.Advance(absl::Seconds(9));
  EXPECT_TRUE(one->holder->Held());
  clock.Advance(absl::Seconds(2));
  EXPECT_FALSE(one->holder->Held()) << "by its own clock alone";
  one->holder->Wake();
  ASSERT_TRUE(Await([&] { return one->told == 2 && one->holder->Status().lost == 1; }));
  EXPECT_THAT(one->holder->WhyNot(), HasSubstr("cannot be had"));
  EXPECT_FALSE(two->holder->Held());
  clock.Advance(absl::Seconds(10));
  two->holder->Wake();
  ASSERT_TRUE(AwaitHeld(*two));
}

TEST_F(LeaseHolderTest, OneThatWentIsWaitedForAndItIsSaidUntilWhenAndWhy) {
  LeaseRecord theirs;
  theirs.holder = "somebody";
  theirs.duration = absl::Seconds(20);
  leases.Put(theirs);
  const auto server = Start("one");
  ASSERT_TRUE(Await([&] { return absl::StrContains(server->holder->WhyNot(), "somebody holds"); }));
  leases.Delete();
  clock.Advance(absl::Seconds(1));
  server->holder->Wake();
  ASSERT_TRUE(Await([&] { return absl::StrContains(server->holder->WhyNot(), "was deleted"); }));
  EXPECT_THAT(server->holder->WhyNot(),
              HasSubstr(absl::StrCat("may write until ", TimeOfDayText(clock.Now() + absl::Seconds(19)))));
  EXPECT_THAT(server->holder->WhyNot(), HasSubstr(server->holder->Status().gone));
  EXPECT_THAT(server->holder->Status().gone, HasSubstr("was deleted"));
  clock.Advance(absl::Seconds(19));
  server->holder->Wake();
  EXPECT_TRUE(AwaitHeld(*server));
  EXPECT_EQ(server->holder->Status().gone, "");
}

TEST_F(LeaseHolderTest, AWallClockThatJumpsChangesNothing) {
  const auto one = Start("one");
  ASSERT_TRUE(AwaitHeld(*one));
  const auto two = Start("two");
  ASSERT_TRUE(Await([&] { return two->holder->Status().holder == "one"; }));
  for (const absl::Duration jump : {absl::Hours(24 * 365), -absl::Hours(48)}) {
    clock.JumpTo(clock.Now() + jump);
    clock.Advance(absl::Seconds(4));
    one->holder->Wake();
    ASSERT_TRUE(Await([&] { return leases.now().renewed == clock.Now(); }));
    two->holder->Wake();
    EXPECT_TRUE(one->holder->Held());
    EXPECT_FALSE(two->holder->Held());
  }
}

TEST_F(LeaseHolderTest, WhoeverWasFirstHasIt) {
  leases.LetSomebodyBeFirst();
  const auto one = Start("one");
  ASSERT_TRUE(Await([&] { return one->holder->Status().holder == "somebody"; }));
  EXPECT_FALSE(one->holder->Held());
  EXPECT_TRUE(one->holder->Status().error.ok()) << "a race that was lost is no fault";
  // And one who is robbed of it stops at its next renewal.
  clock.Advance(absl::Seconds(20));
  one->holder->Wake();
  ASSERT_TRUE(AwaitHeld(*one));
  leases.LetSomebodyBeFirst();
  clock.Advance(absl::Seconds(3));
  one->holder->Wake();
  ASSERT_TRUE(AwaitHeld(*one, false));
  ASSERT_TRUE(Await([&] { return one->holder->Status().holder == "somebody"; }));
}

// The API server holds 1.5 MiB of an object, whoever wrote them.
TEST_F(LeaseHolderTest, OneThatSomebodyHasFilledIsReadAndHadWhenItHasRunOut) {
  LeaseRecord theirs;
  theirs.holder = std::string(1500000, 'x');
  theirs.duration = absl::Seconds(20);
  leases.Put(theirs);
  const auto one = Start("one");
  ASSERT_TRUE(Await([&] { return !one->holder->Status().holder.empty(); }));
  EXPECT_LE(one->holder->Status().holder.size(), 512u);
  clock.Advance(absl::Seconds(20));
  one->holder->Wake();
  EXPECT_TRUE(AwaitHeld(*one));
}

TEST_F(LeaseHolderTest, AKilledServerStartedAgainHasItAtOnce) {
  LeaseRecord earlier;
  earlier.holder = "one";
  earlier.process = "the killed one's";
  earlier.duration = absl::Seconds(20);
  leases.Put(earlier);
  const auto one = Start("one", "another");
  ASSERT_TRUE(AwaitHeld(*one));
  EXPECT_EQ(leases.now().process, "another");
}

TEST_F(LeaseHolderTest, WithoutTheRightItIsNotHeldAndTheRuleIsNamed) {
  leases.Refuse("PUT", HttpAnswer(403, StatusOf(403, "Forbidden",
                                                R"(User \"meshca\" cannot update resource \"leases\" in API group)")));
  const auto one = Start("one");
  ASSERT_TRUE(Await([&] { return !one->holder->Status().error.ok(); }));
  EXPECT_THAT(one->holder->WhyNot(), AllOf(HasSubstr("kube-system/meshca-a.test cannot be had"),
                                           HasSubstr("{apiGroups: [\"coordination.k8s.io\"], resources: [leases], "
                                                     "resourceNames: [\"meshca-a.test\"], verbs: [create, update]}")));
  ExpectHeldOnceItIsNotRefused(*one);
}

TEST_F(LeaseHolderTest, ARefusalThatLooksLikeALostRaceAndLastsIsNamedAndWaitedOut) {
  leases.Refuse("PUT", HttpAnswer(422, StatusOf(422, "Invalid", "denied request: no Leases here")));
  const auto one = Start("one");
  ASSERT_TRUE(Await([&] { return !one->holder->Status().error.ok(); }));
  EXPECT_THAT(one->holder->WhyNot(), HasSubstr("denied request: no Leases here"));
  ExpectHeldOnceItIsNotRefused(*one);
}

TEST_F(LeaseHolderTest, ANamespaceThatIsMissingIsNamed) {
  leases.Refuse("PUT", HttpAnswer(404, StatusOf(404, "NotFound", R"(namespaces \"kube-system\" not found)")));
  const auto one = Start("one");
  ASSERT_TRUE(Await([&] { return absl::IsNotFound(one->holder->Status().error); }));
  EXPECT_THAT(one->holder->WhyNot(), HasSubstr(R"(namespaces "kube-system" not found)"));
  EXPECT_FALSE(one->holder->Held());
}

TEST_F(LeaseHolderTest, AProxyThatHasLostTheApiServerTakesNothingAway) {
  const auto one = Start("one");
  ASSERT_TRUE(AwaitHeld(*one));
  leases.Refuse("", HttpAnswer(404, "404 page not found\n"));
  clock.Advance(absl::Seconds(3));
  one->holder->Wake();
  // The renewal, and the look after it.
  ASSERT_TRUE(Await([&] { return absl::IsNotFound(one->holder->Status().error); }));
  const int asked = leases.asked();
  clock.Advance(absl::Seconds(1));
  one->holder->Wake();
  ASSERT_TRUE(Await([&] { return leases.asked() > asked; }));
  leases.Refuse("", "");
  ASSERT_TRUE(Await([&] {
    clock.Advance(absl::Milliseconds(1));
    one->holder->Wake();
    return one->holder->Status().error.ok();
  }));
  EXPECT_TRUE(one->holder->Held());
  EXPECT_EQ(one->told, 1) << "it was held all the time";
}

TEST_F(LeaseHolderTest, AnApiServerThatIsAwayForAMomentTakesNothingAway) {
  const auto one = Start("one");
  ASSERT_TRUE(AwaitHeld(*one));
  leases.Refuse("", HttpAnswer(503, "away"));
  clock.Advance(absl::Seconds(3));
  one->holder->Wake();
  ASSERT_TRUE(Await([&] { return absl::IsUnavailable(one->holder->Status().error); }));
  EXPECT_TRUE(one->holder->Held());
  leases.Refuse("", "");
  clock.Advance(absl::Seconds(2));
  one->holder->Wake();
  ASSERT_TRUE(Await([&] { return one->holder->Status().error.ok(); }));
  EXPECT_TRUE(one->holder->Held());
  EXPECT_EQ(one->told, 1);
}

}  // namespace
}  // namespace meshca::kubernetes
