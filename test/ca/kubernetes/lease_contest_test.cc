#include "ca/kubernetes/lease_contest.h"

#include <gmock/gmock.h>

#include <cstdint>
#include <limits>
#include <utility>

#include "test/ca/kubernetes/fake_api_server.h"

namespace meshca::kubernetes {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr absl::Duration kBegin = absl::Hours(1);  // since boot
const absl::Time kWall = absl::FromUnixSeconds(1767323045);

LeaseTerms TermsOf(const std::string& identity, const std::string& process) {
  LeaseTerms terms;
  terms.identity = identity;
  terms.process = process;
  return terms;
}

// A Lease as the API server keeps it: a write goes through only where nobody has written since.
class LeaseShelf {
 public:
  bool Write(const LeaseRecord& record) {
    if (record.resource_version != now_.resource_version) return false;
    now_ = record;
    now_.resource_version = absl::StrCat(++version_);
    return true;
  }
  // What an operator can do besides.
  void Delete() { now_ = LeaseRecord(); }
  const LeaseRecord& now() const { return now_; }

 private:
  LeaseRecord now_;
  int version_ = 0;
};

// One server in the contest, with a clock of its own.
class Contender {
 public:
  Contender(LeaseShelf& shelf, const std::string& identity, const std::string& process = "1")
      : shelf_(shelf), contest_(TermsOf(identity, process)) {}

  // Does what is due until `until`; `reaches`: the API server answers.
  void Run(absl::Duration until, bool reaches = true) {
    for (LeaseContest::Step step = contest_.Next(now_); step.at <= until; step = contest_.Next(now_)) {
      now_ = step.at;
      if (!reaches) {
        contest_.Unknown(absl::Seconds(1), now_);
      } else if (!step.write) {
        contest_.Seen(shelf_.now(), now_);
      } else if (shelf_.Write(contest_.ToTake(kWall))) {
        contest_.Taken(shelf_.now(), now_, now_);
      } else {
        contest_.Unknown(absl::ZeroDuration(), now_);
      }
    }
    now_ = until;
  }
  void SleepUntil(absl::Duration time) { now_ = time; }
  bool Held() const { return contest_.Held(now_); }
  LeaseContest& contest() { return contest_; }

 private:
  LeaseShelf& shelf_;
  LeaseContest contest_;
  absl::Duration now_ = kBegin;
};

TEST(LeaseContestTest, TheFirstHasItAtOnceAndKeepsIt) {
  LeaseShelf shelf;
  Contender one(shelf, "one");
  one.Run(kBegin);
  EXPECT_TRUE(one.Held());
  EXPECT_EQ(shelf.now().holder, "one");
  for (int second = 1; second < 120; ++second) {
    one.Run(kBegin + absl::Seconds(second));
    EXPECT_TRUE(one.Held()) << second;
  }
  EXPECT_EQ(shelf.now().transitions, 0);
  EXPECT_EQ(shelf.now().acquired, kWall);
}

TEST(LeaseContestTest, TheSecondWaitsHoweverLong) {
  LeaseShelf shelf;
  Contender one(shelf, "one");
  Contender two(shelf, "two");
  for (int second = 0; second < 300; ++second) {
    one.Run(kBegin + absl::Seconds(second));
    two.Run(kBegin + absl::Seconds(second));
    EXPECT_TRUE(one.Held() && !two.Held()) << second;
  }
  EXPECT_TRUE(two.contest().IsAnothers());
}

// The margin that lets writes end: between the last moment at which the first one begins one and the second's first.
TEST(LeaseContestTest, OneThatFallsSilentStopsAWritesLengthBeforeTheOtherBegins) {
  LeaseShelf shelf;
  Contender one(shelf, "one");
  Contender two(shelf, "two");
  absl::Duration lost = absl::InfiniteDuration();
  absl::Duration gained = absl::InfiniteDuration();
  for (absl::Duration time = absl::ZeroDuration(); time < absl::Minutes(2); time += absl::Milliseconds(100)) {
    one.Run(kBegin + time, time < absl::Minutes(1));
    two.Run(kBegin + time);
    EXPECT_FALSE(one.Held() && two.Held()) << time;
    if (!one.Held()) lost = std::min(lost, time);
    if (two.Held()) gained = std::min(gained, time);
  }
  EXPECT_GE(gained - lost, kLeadersWriteMax);
  EXPECT_LE(gained, absl::Minutes(1) + LeaseTerms().duration);
  EXPECT_EQ(shelf.now().transitions, 1);
}

TEST(LeaseContestTest, OneThatWasAsleepHoldsNothingWhenItWakes) {
  LeaseShelf shelf;
  Contender one(shelf, "one");
  Contender two(shelf, "two");
  one.Run(kBegin);
  two.Run(kBegin + absl::Minutes(1));
  ASSERT_TRUE(two.Held());
  one.SleepUntil(kBegin + absl::Minutes(1));
  EXPECT_FALSE(one.Held()) << "before it has looked at anything";
  one.Run(kBegin + absl::Minutes(1));
  EXPECT_FALSE(one.Held());
  // And one that waited and slept does not take what was renewed meanwhile.
  LeaseShelf other;
  Contender three(other, "three");
  Contender four(other, "four");
  three.Run(kBegin);
  four.Run(kBegin);
  three.Run(kBegin + absl::Hours(1));
  const LeaseRecord before = other.now();
  four.SleepUntil(kBegin + absl::Hours(1));
  four.Run(kBegin + absl::Hours(1));
  EXPECT_FALSE(four.Held());
  EXPECT_EQ(other.now().holder, before.holder);
}

TEST(LeaseContestTest, TheNextProcessOfOneServerTakesItBackAtOnce) {
  LeaseShelf shelf;
  Contender one(shelf, "one", "first");
  one.Run(kBegin);
  Contender again(shelf, "one", "second");
  again.Run(kBegin);
  EXPECT_TRUE(again.Held());
  EXPECT_EQ(shelf.now().transitions, 0);
  // The one before it, did it live, would stop at its next renewal and wait as for anybody else.
  one.Run(kBegin + absl::Seconds(4));
  EXPECT_FALSE(one.Held());
  EXPECT_TRUE(one.contest().IsAnothers());
  again.Run(kBegin + absl::Seconds(4));
  EXPECT_TRUE(again.Held());
}

TEST(LeaseContestTest, WhatIsGivenBackIsHadAtTheNextLook) {
  LeaseShelf shelf;
  Contender one(shelf, "one");
  Contender two(shelf, "two");
  one.Run(kBegin);
  two.Run(kBegin);
  ASSERT_TRUE(shelf.Write(one.contest().ToRelease(kWall)));
  EXPECT_EQ(shelf.now().holder, "");
  two.Run(kBegin + LeaseTerms().look_every);
  EXPECT_TRUE(two.Held());
}

TEST(LeaseContestTest, SomebodyWhoTakesItAwayEndsItAtOnce) {
  LeaseShelf shelf;
  Contender one(shelf, "one");
  one.Run(kBegin);
  LeaseRecord theirs = shelf.now();
  theirs.holder = "somebody by hand";
  ASSERT_TRUE(shelf.Write(theirs));
  one.Run(kBegin + LeaseTerms().renew_every);
  EXPECT_FALSE(one.Held());
}

// Its holder learns of it at his next renewal, and writes until then.
TEST(LeaseContestTest, OneThatIsDeletedOrWhoseHolderIsStruckOutStaysItsHolders) {
  struct ByHand {
    std::string holder;  // that is written into it; "-": it is deleted
    std::string has_it_then;
  };
  for (const ByHand& by_hand : {ByHand{"-", "one"}, ByHand{"", "one"}, ByHand{"two", "two"}}) {
    LeaseShelf shelf;
    Contender one(shelf, "one");
    Contender two(shelf, "two", "2");
    one.Run(kBegin);
    for (absl::Duration time = absl::ZeroDuration(); time < absl::Minutes(2); time += absl::Milliseconds(100)) {
      if (time == absl::Minutes(1)) {
        LeaseRecord changed = shelf.now();
        changed.holder = by_hand.holder;
        by_hand.holder == "-" ? shelf.Delete() : (void)shelf.Write(changed);
      }
      // The second one is the first to see it.
      two.Run(kBegin + time);
      one.Run(kBegin + time);
      ASSERT_FALSE(one.Held() && two.Held()) << by_hand.holder << " " << time;
    }
    EXPECT_TRUE(one.Held() || two.Held()) << by_hand.holder;
    EXPECT_EQ(shelf.now().holder, by_hand.has_it_then) << by_hand.holder;
  }
}

TEST(LeaseContestTest, OneThatIsDeletedWhenItsHolderIsDeadIsHadAsIfItHadRunOut) {
  LeaseShelf shelf;
  Contender one(shelf, "one");
  Contender two(shelf, "two");
  one.Run(kBegin);
  two.Run(kBegin);
  shelf.Delete();
  two.Run(kBegin + LeaseTerms().duration - absl::Milliseconds(1));
  EXPECT_FALSE(two.Held());
  two.Run(kBegin + LeaseTerms().duration);
  EXPECT_TRUE(two.Held());
}

// The API server takes no acquireTime before the year 1, and no leaseTransitions above an int32.
TEST(LeaseContestTest, WhatSomebodyWroteIntoItKeepsNobodyFromRenewingOrTakingIt) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  for (const absl::Time acquired : {absl::InfinitePast(), absl::FromUnixSeconds(-62135596799)}) {
    LeaseShelf shelf;
    Contender one(shelf, "one");
    one.Run(kBegin);
    LeaseRecord edited = shelf.now();
    edited.acquired = acquired;
    edited.transitions = kMost;
    ASSERT_TRUE(shelf.Write(edited));
    one.Run(kBegin + LeaseTerms().renew_every);
    EXPECT_TRUE(one.Held());
    EXPECT_EQ(shelf.now().acquired, kWall);
    // And so does one that takes it from him.
    edited = shelf.now();
    edited.acquired = acquired;
    ASSERT_TRUE(shelf.Write(edited));
    Contender two(shelf, "two");
    two.Run(kBegin + LeaseTerms().duration + LeaseTerms().look_every);
    EXPECT_TRUE(two.Held());
    EXPECT_EQ(shelf.now().acquired, kWall);
    EXPECT_EQ(shelf.now().transitions, kMost);
    edited = shelf.now();
    edited.acquired = acquired;
    two.contest().Seen(edited, kBegin + absl::Minutes(1));
    EXPECT_EQ(two.contest().ToRelease(kWall).acquired, kWall);
  }
}

TEST(LeaseContestTest, AnAnnotationOfSomebodysTakesNothingAway) {
  LeaseShelf shelf;
  Contender one(shelf, "one");
  one.Run(kBegin);
  ASSERT_TRUE(shelf.Write(shelf.now()));  // another version, and the same in it
  one.Run(kBegin + LeaseTerms().renew_every);
  EXPECT_TRUE(one.Held());
  EXPECT_EQ(shelf.now().transitions, 0);
}

TEST(LeaseContestTest, ARenewalWhoseAnswerWasLostIsKnownAgain) {
  LeaseShelf shelf;
  Contender one(shelf, "one");
  one.Run(kBegin);
  const absl::Duration renewal = kBegin + LeaseTerms().renew_every;
  ASSERT_TRUE(shelf.Write(one.contest().ToTake(kWall)));
  one.contest().Unknown(absl::Seconds(1), renewal);
  one.Run(renewal + absl::Seconds(2));
  EXPECT_TRUE(one.Held());
}

TEST(LeaseContestTest, AnothersDurationIsKeptWithinReason) {
  for (const auto& [theirs, wait] : {std::pair{absl::Seconds(1), absl::Seconds(20)},
                                     {absl::ZeroDuration(), absl::Seconds(20)},
                                     {absl::Seconds(40), absl::Seconds(40)},
                                     {absl::Hours(24), absl::Minutes(5)}}) {
    LeaseContest contest(TermsOf("one", "1"));
    LeaseRecord record;
    record.resource_version = "7";
    record.holder = "another";
    record.duration = theirs;
    contest.Seen(record, kBegin);
    EXPECT_FALSE(contest.Next(kBegin + wait - absl::Milliseconds(1)).write) << theirs;
    EXPECT_TRUE(contest.Next(kBegin + wait).write) << theirs;
  }
}

TEST(LeaseRecordTest, NamesAreWhatKubernetesTakesAndTellTrustDomainsApart) {
  EXPECT_EQ(LeaseName("prod.example"), "meshca-prod.example");
  EXPECT_EQ(LeaseName("cluster.local"), "meshca-cluster.local");
  for (const std::string& odd :
       {std::string("a_b"), std::string("a..b"), std::string("-a"), std::string("a.-b"), std::string(201, 'a')}) {
    EXPECT_THAT(LeaseName(odd), testing::MatchesRegex("meshca-[0-9a-f]{32}")) << odd;
  }
  EXPECT_NE(LeaseName("a_b"), LeaseName("a..b"));
  // The chart's template makes the same of it: test/charts.
  EXPECT_EQ(LeaseName("mesh_1.test"), "meshca-97a72e269ba4fd4a8732281fd4c8b002");
}

TEST(LeaseRecordTest, WhatIsWrittenIsReadAgain) {
  RecordingApiServer recorder;
  const std::unique_ptr<ApiServer> server = ConnectTo(recorder.server());
  LeaseRecord record;
  record.resource_version = "41";
  record.holder = "meshca-system/meshca-0_1a2b";
  record.process = "77";
  record.acquired = kWall;
  record.renewed = kWall + absl::Microseconds(1500000);
  record.duration = absl::Seconds(20);
  record.transitions = 3;
  ASSERT_TRUE(Ask(*server, CallToWriteLease({"kube-system", "meshca-a.test", "a.test"}, record)).ok());
  const RecordingApiServer::Seen seen = recorder.last();
  EXPECT_THAT(seen.head, StartsWith("PUT /prefix/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/"
                                    "meshca-a.test?fieldManager=meshca HTTP/1.1\r\n"));
  EXPECT_THAT(seen.body, HasSubstr(R"("renewTime":"2026-01-02T03:04:06.500000Z")"));
  const absl::StatusOr<LeaseRecord> read = ReadLease(seen.body);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->resource_version, "41");
  EXPECT_EQ(read->holder, record.holder);
  EXPECT_EQ(read->process, "77");
  EXPECT_EQ(read->acquired, kWall);
  EXPECT_EQ(read->renewed, record.renewed);
  EXPECT_EQ(read->duration, absl::Seconds(20));
  EXPECT_EQ(read->transitions, 3);
  // A version is the condition of the write; without one the object is created, and must not be there.
  record.resource_version.clear();
  ASSERT_TRUE(Ask(*server, CallToWriteLease({"kube-system", "meshca-a.test", "a.test"}, record)).ok());
  EXPECT_THAT(recorder.last().body, Not(HasSubstr("resourceVersion")));
  EXPECT_TRUE(absl::IsUnavailable(ReadLease("{}").status()));
  EXPECT_TRUE(absl::IsUnavailable(ReadLease("no JSON").status()));
}

}  // namespace
}  // namespace meshca::kubernetes
