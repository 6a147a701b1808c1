#include "ca/publishing/publisher.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "ca/base/entropy.h"
#include "test/ca/kubernetes/fake_leadership.h"
#include "test/ca/kubernetes/kept_events.h"
#include "test/ca/publishing/small_cluster.h"
#include "test/fakes/fake_clock.h"

namespace meshca {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

using Contents = std::map<std::string, std::string>;

std::function<bool(const Contents&)> Shows(Contents wanted) {
  return [wanted = std::move(wanted)](const Contents& there) { return there == wanted; };
}

class PublisherTest : public testing::Test {
 protected:
  static PublishedKind ConfigMapOf(const std::string& version) {
    PublishedKind kind = RootsConfigMap("istio-ca-root-cert", "root-cert.pem");
    kind.resource.version = version;
    return kind;
  }
  void Start(const std::vector<std::string>& versions = {"v1"}, kubernetes::Leadership* leadership = nullptr,
             const kubernetes::OutageTerms& outage = kubernetes::WithoutProbes()) {
    PublisherOptions options;
    for (const std::string& version : versions) options.kinds.push_back(ConfigMapOf(version));
    options.namespaces = NamespaceChoice({}, {"kube-public"});
    server = cluster.Connect(outage);
    publisher = std::make_unique<Publisher>(std::move(options), *server, clock, SystemEntropy(), leadership, &events);
    publisher->Start();
  }
  // Until `done` says so of the publisher's records, a minute long.
  bool Await(const std::function<bool(const std::vector<SubscriberRecord>&)>& done) {
    const absl::Time end = absl::Now() + absl::Minutes(1);
    while (absl::Now() < end) {
      if (done(publisher->List())) return true;
      absl::SleepFor(absl::Milliseconds(5));
    }
    return false;
  }
  bool AwaitHeld(size_t places, TrustVersion version) {
    return Await([&](const auto& records) {
      return records.size() == places && std::all_of(records.begin(), records.end(), [&](const SubscriberRecord& one) {
               return one.trust_version == version;
             });
    });
  }

  // Time in which the cluster tells that nothing has happened.
  void Pass(absl::Duration time) {
    clock.Advance(time);
    cluster.Bookmark();
  }
  // Every object shows `version`, and the publisher has seen it.
  bool AwaitShown(size_t places, TrustVersion version) {
    return Await([&](const auto& records) {
      return records.size() == places && std::all_of(records.begin(), records.end(), [&](const SubscriberRecord& one) {
               return absl::StartsWith(one.version_info, absl::StrCat("shows version ", version));
             });
    });
  }

  static kubernetes::OutageTerms Probed() {
    kubernetes::OutageTerms outage;
    outage.probe_every = absl::Milliseconds(5);
    return outage;
  }
  // The API server is away, and that is known.
  bool GoAway() {
    cluster.GoAway(true);
    EXPECT_FALSE(kubernetes::Ask(*server, kubernetes::ListOfPods()).ok());
    return Await([this](const auto&) { return server->reachability().away(); });
  }

  SmallCluster cluster;
  kubernetes::FakeLeadership leadership;
  kubernetes::KeptEvents events;
  FakeClock clock;
  std::unique_ptr<kubernetes::ApiServer> server;
  std::unique_ptr<Publisher> publisher;
};

TEST_F(PublisherTest, PublishesInEveryNamespaceAndIsHeldOnceAllHadTheTimeToReadIt) {
  for (const char* name : {"web", "db", "kube-public"}) cluster.AddNamespace(name);
  cluster.AddNamespace("old", "Terminating");
  Start();
  publisher->SetRoots(3, "three");
  ASSERT_TRUE(cluster.Await(Shows({{"web", "three"}, {"db", "three"}})));
  ASSERT_TRUE(AwaitShown(2, 3));
  EXPECT_THAT(publisher->List().front().version_info, HasSubstr("counts as held at 03:06:05"));
  EXPECT_EQ(publisher->List().front().trust_version, 0u);
  Pass(absl::Minutes(2));
  EXPECT_TRUE(AwaitHeld(2, 3));
  const SubscriberRecord record = publisher->List().front();
  EXPECT_EQ(record.instance, "ConfigMap db/istio-ca-root-cert");
  EXPECT_EQ(record.kind, kPublishedKind);
  EXPECT_TRUE(record.connected && record.takes_bundle && !record.takes_key);
  cluster.AddNamespace("new");
  ASSERT_TRUE(cluster.Await(Shows({{"web", "three"}, {"db", "three"}, {"new", "three"}})));
  EXPECT_EQ(publisher->Status().failed, 0u);
}

TEST_F(PublisherTest, RepairsWhatSomebodyEditsOrDeletes) {
  cluster.AddNamespace("web");
  Start();
  publisher->SetRoots(1, "one");
  ASSERT_TRUE(AwaitShown(1, 1));
  Pass(absl::Minutes(2));
  ASSERT_TRUE(AwaitHeld(1, 1));
  clock.Advance(absl::Hours(1));
  const int before = cluster.applies();
  cluster.SetConfigMap("web", "a stranger's root");
  ASSERT_TRUE(cluster.Await(Shows({{"web", "one"}})));
  EXPECT_EQ(cluster.applies(), before + 1);
  ASSERT_TRUE(AwaitHeld(1, 0)) << "it counts anew";
}

TEST_F(PublisherTest, PutsLabelsBackThatSomebodyTakesAway) {
  cluster.AddNamespace("web");
  Start();
  publisher->SetRoots(1, "one");
  ASSERT_TRUE(AwaitShown(1, 1));
  Pass(absl::Minutes(2));
  ASSERT_TRUE(AwaitHeld(1, 1));
  const std::string marks = cluster.Marks("configmaps", "web");
  EXPECT_THAT(marks,
              AllOf(HasSubstr(R"("app.kubernetes.io/managed-by":"meshca")"), HasSubstr(R"("istio.io/config":"true")")));
  const int before = cluster.applies();
  cluster.Unmark("configmaps", "web");
  ASSERT_TRUE(Await([&](const auto&) { return cluster.applies() > before; }));
  EXPECT_EQ(cluster.Marks("configmaps", "web"), marks);
  EXPECT_EQ(publisher->Status().behind, 0u);
  EXPECT_TRUE(AwaitHeld(1, 1)) << "the roots were there all the time";
}

// A ConfigMap that somebody made immutable or filled is not mended by writing, and meshca may delete nothing.
TEST_F(PublisherTest, WhatIsThereAndTakesNoRootsIsToBeDeleted) {
  cluster.AddNamespace("old");
  cluster.AddNamespace("new");
  cluster.SetConfigMap("old", "a stranger's root");
  cluster.RefuseWrites(kubernetes::HttpAnswer(
      422,
      R"({"kind":"Status","reason":"Invalid","message":"data: Forbidden: field is immutable when `immutable` is set"})"));
  Start();
  publisher->SetRoots(1, "one");
  ASSERT_TRUE(Await([](const auto& records) {
    return records.size() == 2 && !records.front().rejected.empty() && !records.back().rejected.empty();
  }));
  const std::vector<SubscriberRecord> records = publisher->List();
  EXPECT_EQ(records.back().instance, "ConfigMap old/istio-ca-root-cert");
  EXPECT_THAT(records.back().rejected,
              AllOf(HasSubstr("field is immutable"), HasSubstr("delete it, and it is made anew")));
  EXPECT_THAT(records.front().rejected, Not(HasSubstr("delete it"))) << "there is nothing to delete";
}

TEST_F(PublisherTest, WhatCannotBeWrittenIsNamedWithTheReasonAndTriedAgain) {
  cluster.AddNamespace("web");
  cluster.RefuseWrites(kubernetes::HttpAnswer(
      403,
      R"({"kind":"Status","reason":"Forbidden","message":"User \"meshca\" cannot patch resource \"configmaps\""})"));
  Start();
  publisher->SetRoots(1, "one");
  ASSERT_TRUE(Await([](const auto& records) { return records.size() == 1 && !records.front().rejected.empty(); }));
  const SubscriberRecord record = publisher->List().front();
  EXPECT_EQ(record.instance, "ConfigMap web/istio-ca-root-cert");
  EXPECT_EQ(record.trust_version, 0u);
  EXPECT_THAT(record.rejected, AllOf(HasSubstr("configmaps"), HasSubstr("verbs: [create, patch]")));
  ASSERT_THAT(events.all(), SizeIs(1)) << "the same failure again is no news";
  EXPECT_EQ(events.all().front().reason, "RootsNotPublished");
  EXPECT_EQ(events.all().front().regarding,
            (kubernetes::ObjectReference{"v1", "ConfigMap", "web", "istio-ca-root-cert", ""}));
  EXPECT_THAT(events.all().front().note, HasSubstr("verbs: [create, patch]"));
  cluster.RefuseWrites("");
  // Nobody waits for the clock of a test: it goes on until the next attempt is due.
  ASSERT_TRUE(Await([this](const auto& records) {
    Pass(absl::Minutes(1));
    return records.size() == 1 && records.front().trust_version == 1;
  }));
}

// This clock stands still, so that no pause ends by itself.
TEST_F(PublisherTest, WritesAsSoonAsAnApiServerThatWasAwayIsBack) {
  for (const char* name : {"web", "db"}) cluster.AddNamespace(name);
  Start({"v1"}, nullptr, Probed());
  publisher->SetRoots(1, "one");
  ASSERT_TRUE(AwaitShown(2, 1));
  cluster.RefuseWrites(kubernetes::HttpAnswer(503, "<html>no backend</html>"));
  publisher->SetRoots(2, "two");
  ASSERT_TRUE(Await([this](const auto&) { return publisher->Status().failed == 2; }));
  ASSERT_TRUE(GoAway());
  cluster.RefuseWrites("");
  const int after = cluster.asked_in_vain();
  ASSERT_TRUE(Await([&](const auto&) { return cluster.asked_in_vain() > after + 3; })) << "the probes";
  EXPECT_EQ(publisher->Status().failed, 2u);
  cluster.GoAway(false);
  ASSERT_TRUE(cluster.Await(Shows({{"web", "two"}, {"db", "two"}})));
}

TEST_F(PublisherTest, WritesNothingWhileTheApiServerIsKnownToBeAway) {
  cluster.AddNamespace("web");
  Start({"v1"}, nullptr, Probed());
  publisher->SetRoots(1, "one");
  ASSERT_TRUE(AwaitShown(1, 1));
  ASSERT_TRUE(GoAway());
  publisher->SetRoots(2, "two");
  const int after = cluster.asked_in_vain();
  ASSERT_TRUE(Await([&](const auto&) { return cluster.asked_in_vain() > after + 10; })) << "the probes";
  EXPECT_EQ(publisher->Status().failed, 0u);
  cluster.GoAway(false);
  ASSERT_TRUE(cluster.Await(Shows({{"web", "two"}})));
}

TEST_F(PublisherTest, BeforeAllIsListedOneRecordStandsForThemAllAndNothingIsWritten) {
  cluster.AddNamespace("web");
  cluster.HoldLists(true);
  Start();
  publisher->SetRoots(1, "one");
  const std::vector<SubscriberRecord> records = publisher->List();
  ASSERT_THAT(records, SizeIs(1));
  EXPECT_EQ(records.front().instance, "every ConfigMap istio-ca-root-cert");
  EXPECT_EQ(records.front().trust_version, 0u);
  EXPECT_TRUE(records.front().takes_bundle) << "a rotation waits for it";
  EXPECT_EQ(cluster.applies(), 0);
  cluster.HoldLists(false);
  ASSERT_TRUE(cluster.Await(Shows({{"web", "one"}})));
}

TEST_F(PublisherTest, TakesTheFirstVersionThatTheApiServerServes) {
  cluster.AddNamespace("web");
  Start({"v3", "v2", "v1"});
  publisher->SetRoots(1, "one");
  ASSERT_TRUE(cluster.Await(Shows({{"web", "one"}})));
  EXPECT_FALSE(publisher->Status().unserved);
}

TEST_F(PublisherTest, WhatNoApiServesHoldsNothingUpAndIsLookedForAgain) {
  cluster.AddNamespace("web");
  Start({"v3", "v2"});
  publisher->SetRoots(1, "one");
  EXPECT_THAT(publisher->List(), SizeIs(1)) << "it may be there";
  ASSERT_TRUE(Await([](const auto& records) { return records.empty(); }));
  EXPECT_TRUE(publisher->Status().unserved);
  clock.Advance(absl::Minutes(11));
  const int before = cluster.not_served();
  ASSERT_TRUE(Await([&](const auto&) { return cluster.not_served() >= before + 2; }));
}

TEST_F(PublisherTest, ObjectsThatWereThereGoOnCountingWhateverAProxyAnswers) {
  cluster.AddNamespace("web");
  Start();
  publisher->SetRoots(1, "one");
  ASSERT_TRUE(AwaitShown(1, 1));
  const int before = cluster.not_served();
  cluster.Break(true);
  publisher->SetRoots(2, "two");
  ASSERT_TRUE(Await([&](const auto&) {
    clock.Advance(absl::Seconds(1));
    return cluster.not_served() >= before + 3 && !publisher->Status().watching.ok();
  }));
  ASSERT_THAT(publisher->List(), SizeIs(1));
  EXPECT_EQ(publisher->List().front().trust_version, 0u);
  EXPECT_FALSE(publisher->Status().unserved);
  // What ran out while nobody told of it does not count either.
  clock.Advance(absl::Minutes(5));
  EXPECT_EQ(publisher->List().front().trust_version, 0u);
  cluster.Break(false);
  ASSERT_TRUE(Await([&](const auto& records) {
    Pass(absl::Seconds(30));
    return records.size() == 1 && records.front().trust_version == 2;
  }));
}

TEST_F(PublisherTest, WritesNothingWhileAnotherLeadsAndCountsWhatThatOneWrites) {
  cluster.AddNamespace("web");
  cluster.AddNamespace("db");
  cluster.SetConfigMap("web", "another CA's");
  Start({"v1"}, &leadership);
  publisher->SetRoots(1, "one");
  ASSERT_TRUE(Await([](const auto& records) { return records.size() == 2; }));
  EXPECT_THAT(publisher->List().front().version_info, HasSubstr("another holds the Lease kube-system/meshca-a.test"));
  // A replica of the same CA writes the same.
  cluster.SetConfigMap("db", "one");
  ASSERT_TRUE(
      Await([](const auto& records) { return absl::StartsWith(records.front().version_info, "shows version 1"); }));
  Pass(absl::Minutes(2));
  ASSERT_TRUE(Await([](const auto& records) { return records.front().trust_version == 1; }));
  EXPECT_EQ(publisher->Status().behind, 1u);
  EXPECT_EQ(cluster.applies(), 0);

  leadership.Set(true);
  ASSERT_TRUE(cluster.Await(Shows({{"web", "one"}, {"db", "one"}})));
  ASSERT_TRUE(AwaitShown(2, 1));
  // That of the other one lacks the label, which is put there.
  ASSERT_TRUE(Await([&](const auto&) { return cluster.applies() == 2; }));
  const int before = cluster.applies();
  leadership.Set(false);
  cluster.SetConfigMap("web", "a stranger's");
  ASSERT_TRUE(Await([&](const auto&) { return publisher->Status().behind == 1; }));
  clock.Advance(absl::Minutes(1));
  leadership.Set(true);
  ASSERT_TRUE(cluster.Await(Shows({{"web", "one"}, {"db", "one"}})));
  EXPECT_EQ(cluster.applies(), before + 1);
}

TEST_F(PublisherTest, TellsOfAnObjectThatSomebodyElseWritesToo) {
  cluster.AddNamespace("web");
  Start();
  publisher->SetRoots(1, "one");
  ASSERT_TRUE(AwaitShown(1, 1));
  for (int edit = 1; edit <= 3; ++edit) {
    cluster.SetConfigMap("web", absl::StrCat("a stranger's ", edit));
    ASSERT_TRUE(Await([&](const auto&) { return publisher->Status().behind == 1 || cluster.applies() > edit; }));
    // Later each time, and this clock stands still by itself.
    ASSERT_TRUE(Await([&](const auto& records) {
      clock.Advance(absl::Milliseconds(500));
      return cluster.applies() > edit && absl::StartsWith(records.front().version_info, "shows version 1");
    }));
  }
  const std::vector<kubernetes::ObjectEvent> told = events.all();
  ASSERT_THAT(told, SizeIs(testing::Ge(1u)));
  for (const kubernetes::ObjectEvent& event : told) {
    EXPECT_EQ(event.reason, "RootsContested");
    EXPECT_EQ(event, told.front()) << "it is counted as one";
  }
}

TEST_F(PublisherTest, EndsWhileAWriteIsUnderWay) {
  cluster.AddNamespace("web");
  cluster.RefuseWrites("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{");
  Start();
  publisher->SetRoots(1, "one");
  ASSERT_TRUE(Await([this](const auto&) { return cluster.applies() > 0; }));
  publisher->Shutdown();
  publisher->Shutdown();
  EXPECT_EQ(publisher->Status().failed, 1u);
}

}  // namespace
}  // namespace meshca
