#include "ca/pod_certificates/admission_watch.h"

#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/base/file.h"
#include "ca/base/mutex.h"
#include "ca/base/serial_executor.h"
#include "ca/kubernetes/api_call.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/http/patience.h"
#include "test/ca/kubernetes/fake_api_server.h"
#include "test/fakes/fake_clock.h"
#include "test/fakes/temp_folder.h"

namespace meshca {
namespace {

using kubernetes::Answer;
using kubernetes::FakeApiServer;
using kubernetes::HangAfter;
using kubernetes::HttpAnswer;
using testing::HasSubstr;
using testing::SizeIs;

constexpr char kCreated[] = "2026-09-21T14:00:00Z";

std::string GoodPolicy(const std::string& created = kCreated, int generation = 1) {
  return HttpAnswer(
      200,
      absl::StrCat(
          R"({"metadata":{"uid":"u","generation":)", generation, R"(,"creationTimestamp":")", created,
          R"("},"spec":{"failurePolicy":"Fail","matchConstraints":{"resourceRules":[{"apiGroups":["*"],"apiVersions":["*"],)"
          R"("operations":["CREATE"],"resources":["podcertificaterequests"]}]},)"
          R"("validations":[{"expression":"'system:nodes' in request.userInfo.groups &&)"
          R"( request.userInfo.username == 'system:node:' + object.spec.nodeName"}]}})"));
}
std::string GoodBinding() {
  return HttpAnswer(200, R"({"metadata":{"uid":"v","generation":1,"creationTimestamp":"2026-09-21T14:00:00Z"},)"
                         R"("spec":{"policyName":"meshca-pod-certificate-requests","validationActions":["Deny"]}})");
}

// The clock stands still, so looks are made when a test lets time pass.
class AdmissionWatchTest : public testing::Test {
 protected:
  void Make(std::vector<FakeApiServer::Step> steps, const std::string& memory_file = "") {
    if (watch_ != nullptr) watch_->Shutdown();
    watch_.reset();
    {
      MutexLock lock(mutex_);
      changes_ = 0;
    }
    cluster_ = std::make_unique<FakeApiServer>(std::move(steps));
    server_ = kubernetes::ConnectTo(cluster_->server());
    watch_ = std::make_unique<AdmissionWatch>(
        AdmissionWatchOptions{
            .signer_name = "meshca.io/workload", .timeout = http::kPatience, .memory_file = memory_file},
        *server_, clock_, [this] {
          MutexLock lock(mutex_);
          ++changes_;
          changed_.NotifyAll();
        });
  }
  ~AdmissionWatchTest() override {
    if (watch_ != nullptr) watch_->Shutdown();
  }
  bool AwaitChanges(int count) {
    MutexLock lock(mutex_);
    while (changes_ < count && changed_.WaitFor(mutex_, http::kPatience)) {
    }
    return changes_ >= count;
  }
  // A look has ended of which nothing is told; how long it is until the next one.
  absl::Duration AwaitEndOfLook() {
    const absl::Time end = absl::Now() + http::kPatience;
    while (absl::Now() < end) {
      if (const absl::Duration next = watch_->Look(); next != SerialExecutor::kLook) return next;
      absl::SleepFor(absl::Milliseconds(1));
    }
    ADD_FAILURE() << "the look did not end";
    return absl::ZeroDuration();
  }
  // The policy is there, and the next look is due.
  void SeeIt() {
    watch_->Look();
    ASSERT_TRUE(AwaitChanges(1));
    ASSERT_TRUE(watch_->verdict().ok());
    clock_.Advance(AdmissionWatchOptions().every);
  }

  FakeClock clock_{absl::FromUnixSeconds(1'790'010'000)};  // after kCreated
  Mutex mutex_;
  CondVar changed_;
  int changes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unique_ptr<FakeApiServer> cluster_;
  std::unique_ptr<kubernetes::ApiServer> server_;
  std::unique_ptr<AdmissionWatch> watch_;
};

TEST_F(AdmissionWatchTest, ALookSpeaksForWhatCameBeforeItBeganAndAnotherForWhatCameDuringIt) {
  std::atomic<bool> released = false;
  const auto held = [&](http::ScriptedPeer& peer) {
    while (!released) absl::SleepFor(absl::Milliseconds(1));
    peer.Send(GoodBinding());
  };
  Make({Answer(GoodPolicy()), held, Answer(GoodPolicy()), Answer(GoodBinding())});
  const uint64_t before = watch_->looks();
  watch_->Look();
  ASSERT_THAT(cluster_->Await(2), SizeIs(2));
  const uint64_t during = watch_->looks();
  EXPECT_FALSE(watch_->Covers(during));
  clock_.Advance(absl::Seconds(5));
  watch_->Look();
  EXPECT_EQ(watch_->looks(), during) << "one at a time";
  released = true;
  ASSERT_TRUE(AwaitChanges(1));
  EXPECT_TRUE(watch_->verdict().ok()) << watch_->verdict();
  EXPECT_TRUE(watch_->Covers(before));
  EXPECT_EQ(watch_->Look(), AdmissionWatchOptions().every);
  EXPECT_FALSE(watch_->Covers(during));
  EXPECT_EQ(watch_->Look(), AdmissionWatchOptions().asked) << "asked for, and not at once";
  clock_.Advance(AdmissionWatchOptions().asked);
  watch_->Look();
  ASSERT_TRUE(AwaitChanges(2));
  EXPECT_TRUE(watch_->Covers(during));
}

TEST_F(AdmissionWatchTest, LooksThatHangAreSaidAfterAWhile) {
  std::atomic<bool> hangs = true;
  std::vector<FakeApiServer::Step> steps = {Answer(GoodPolicy()), Answer(GoodBinding())};
  // The client itself tries once more where a connection that it had before breaks off.
  steps.resize(20, [&hangs](http::ScriptedPeer& peer) {
    while (hangs) absl::SleepFor(absl::Milliseconds(1));
    peer.Break();
  });
  Make(std::move(steps));
  SeeIt();
  watch_->Look();
  const uint64_t looks = watch_->looks();
  clock_.Advance(absl::Seconds(5));
  hangs = false;
  clock_.Advance(AwaitEndOfLook());
  hangs = true;
  EXPECT_TRUE(watch_->verdict().ok()) << "one alone says nothing";
  EXPECT_FALSE(watch_->Covers(looks - 1)) << "but speaks for nobody";
  watch_->Look();
  ASSERT_EQ(watch_->looks(), looks + 1);
  clock_.Advance(AdmissionWatchOptions().unseen);
  hangs = false;
  ASSERT_TRUE(AwaitChanges(2));
  EXPECT_TRUE(absl::IsUnavailable(watch_->verdict()));
  EXPECT_THAT(std::string(watch_->verdict().message()), HasSubstr("ValidatingAdmissionPolicy"));
}

TEST_F(AdmissionWatchTest, AnAnswerThatIsTooLongIsSaidAfterAWhile) {
  const std::string too_long = absl::StrCat("HTTP/1.1 200 X\r\nContent-Length: ", kubernetes::kObjectBytesMax + 1,
                                            "\r\n\r\n", R"({"metadata":{)");
  std::vector<FakeApiServer::Step> steps = {Answer(GoodPolicy()), Answer(GoodBinding())};
  for (int i = 0; i < 100; ++i) steps.push_back(HangAfter(too_long));
  Make(std::move(steps));
  SeeIt();
  const absl::Duration seen = clock_.SinceBoot();
  while (watch_->verdict().ok() && clock_.SinceBoot() < seen + absl::Minutes(1)) {
    watch_->Look();
    clock_.Advance(AwaitEndOfLook());
  }
  EXPECT_TRUE(absl::IsUnavailable(watch_->verdict())) << watch_->verdict();
  EXPECT_THAT(std::string(watch_->verdict().message()), HasSubstr("longer than"));
}

// Whoever answers by these says nothing of the policy.
TEST_F(AdmissionWatchTest, WhatAnOverloadedServerOrAProxySaysIsNoWordOfThePolicy) {
  for (const std::string& answer :
       {HttpAnswer(404, "404 page not found\n"), HttpAnswer(500, kubernetes::StatusOf(500, "InternalError", "etcd")),
        HttpAnswer(503, kubernetes::StatusOf(503, "ServiceUnavailable", "later"), "Retry-After: 2\r\n"),
        HttpAnswer(429, kubernetes::StatusOf(429, "TooManyRequests", "later"))}) {
    for (const bool of_binding : {false, true}) {
      std::vector<FakeApiServer::Step> steps = {Answer(GoodPolicy()), Answer(GoodBinding())};
      if (of_binding) steps.push_back(Answer(GoodPolicy()));
      steps.push_back(Answer(answer));
      Make(std::move(steps));
      SeeIt();
      const absl::Time since = watch_->guarded_since();
      watch_->Look();
      const uint64_t looks = watch_->looks();
      clock_.Advance(AwaitEndOfLook());
      EXPECT_TRUE(watch_->verdict().ok()) << watch_->verdict();
      EXPECT_FALSE(watch_->Covers(looks - 1)) << answer;
      EXPECT_EQ(watch_->guarded_since(), since) << answer;
    }
  }
}

TEST_F(AdmissionWatchTest, LooksNoSoonerThanTheApiServerAsks) {
  Make({Answer(HttpAnswer(429, kubernetes::StatusOf(429, "TooManyRequests", "later"), "Retry-After: 7\r\n"))});
  watch_->Look();
  ASSERT_TRUE(AwaitChanges(1));
  EXPECT_FALSE(watch_->Covers(watch_->looks()));
  EXPECT_EQ(AwaitEndOfLook(), absl::Seconds(7));
}

TEST_F(AdmissionWatchTest, AnObjectThatCannotBeReadIsSaidAtOnce) {
  Make({Answer(GoodPolicy()), Answer(GoodBinding()), Answer(GoodPolicy("yesterday")), Answer(GoodBinding())});
  SeeIt();
  watch_->Look();
  ASSERT_TRUE(AwaitChanges(2));
  EXPECT_THAT(std::string(watch_->verdict().message()), HasSubstr("a time of its metadata is none"));
}

// What a process sees first of the policy in this generation: since when requests are refused.
class AdmissionMemoryTest : public AdmissionWatchTest {
 protected:
  absl::Time GuardedAfterStart(int generation) {
    Make({Answer(GoodPolicy(kCreated, generation)), Answer(GoodBinding())}, file_);
    SeeIt();
    watch_->Look();  // which keeps what was seen
    return watch_->guarded_since();
  }
  absl::Time FromNowOn() const { return clock_.Now() - AdmissionWatchOptions().every + kPolicyTakesHold; }

  TempFolder folder_;
  std::string file_ = folder_ / "seen";
};

TEST_F(AdmissionMemoryTest, WhatNobodyHasEverEditedIsAsOldAsTheApiServerSays) {
  absl::Time created;
  ASSERT_TRUE(absl::ParseTime(absl::RFC3339_full, kCreated, &created, nullptr));
  EXPECT_EQ(GuardedAfterStart(1), created + kPolicyTakesHold);
}

TEST_F(AdmissionMemoryTest, WhatWasEditedWhileNobodyLookedSpeaksForNothingFromBeforeTheStart) {
  GuardedAfterStart(3);
  EXPECT_EQ(watch_->guarded_since(), FromNowOn());
  clock_.Advance(absl::Hours(1));
  GuardedAfterStart(5);
  EXPECT_EQ(watch_->guarded_since(), FromNowOn());
}

FakeApiServer::Step Dated(std::string answer, const char* date) {
  return Answer(answer.insert(answer.find("\r\n") + 2, absl::StrCat("Date: ", date, "\r\n")));
}

TEST_F(AdmissionMemoryTest, OneOfSeveralApiServersThatIsBehindTakesNothingBack) {
  const char* const kAhead = "Fri, 15 Jan 2027 08:00:40 GMT";
  const char* const kBehind = "Fri, 15 Jan 2027 08:00:00 GMT";
  const std::string none = HttpAnswer(404, kubernetes::StatusOf(404, "NotFound", "there is none"));
  Make({Dated(GoodPolicy(), kBehind), Dated(GoodBinding(), kBehind), Dated(none, kAhead), Dated(GoodPolicy(), kAhead),
        Dated(GoodBinding(), kAhead), Dated(GoodPolicy(), kBehind), Dated(GoodBinding(), kBehind)});
  SeeIt();
  for (int look = 2; look <= 4; ++look) {
    clock_.Advance(AdmissionWatchOptions().every);
    watch_->Look();
    ASSERT_TRUE(AwaitChanges(look));
    if (look < 3) continue;
    EXPECT_GE(watch_->guarded_since(), absl::FromUnixSeconds(1'800'000'040) + kPolicyTakesHold) << look;
  }
}

TEST_F(AdmissionMemoryTest, TheApiServersClockCountsAndNotOurs) {
  const auto begin = [&](const char* date) {
    Make({Dated(GoodPolicy(kCreated, 3), date), Dated(GoodBinding(), date)}, file_);
    SeeIt();
    watch_->Look();
    return watch_->guarded_since();
  };
  const absl::Time there = absl::FromUnixSeconds(1'800'000'000);
  const absl::Time guarded = begin("Fri, 15 Jan 2027 08:00:00 GMT");
  EXPECT_GE(guarded, there + kPolicyTakesHold);
  EXPECT_LT(guarded, there + kPolicyTakesHold + http::kPatience);
  // It was wrong: what was kept may be of a time that is still to come.
  const absl::Time again = begin("Fri, 15 Jan 2027 07:00:00 GMT");
  EXPECT_GE(again, there + kPolicyTakesHold - absl::Hours(1));
  EXPECT_LT(again, there + kPolicyTakesHold - absl::Hours(1) + http::kPatience);
}

TEST_F(AdmissionMemoryTest, WhatWasSeenBeforeTheStartIsKnown) {
  const absl::Time guarded = GuardedAfterStart(3);
  clock_.Advance(absl::Hours(1));
  EXPECT_EQ(GuardedAfterStart(3), guarded);
}

TEST_F(AdmissionMemoryTest, AFileThatIsLostOrDamagedLetsNobodyIn) {
  for (const std::string& text :
       {std::string(), std::string("yesterday\nu 3, v 1\n"), std::string("1800000000000000000"),
        std::string("1800000000000000000\n\n"), std::string(10000, 'x')}) {
    GuardedAfterStart(3);
    clock_.Advance(absl::Hours(1));
    if (text.empty()) {
      ASSERT_EQ(unlink(file_.c_str()), 0);
    } else {
      ASSERT_TRUE(ReplacePrivateFile(file_, text).ok());
    }
    GuardedAfterStart(3);
    EXPECT_EQ(watch_->guarded_since(), FromNowOn()) << text;
  }
}

TEST_F(AdmissionMemoryTest, APolicyThatWasWeakWhenItWasSeenFirstIsNotTheOneOfBefore) {
  GuardedAfterStart(1);
  clock_.Advance(absl::Hours(1));
  const std::string none = HttpAnswer(404, kubernetes::StatusOf(404, "NotFound", "there is none"));
  Make({Answer(none), Answer(GoodPolicy()), Answer(GoodBinding())}, file_);
  watch_->Look();
  ASSERT_TRUE(AwaitChanges(1));
  EXPECT_TRUE(absl::IsFailedPrecondition(watch_->verdict()));
  clock_.Advance(absl::Minutes(1));
  watch_->Look();
  ASSERT_TRUE(AwaitChanges(2));
  EXPECT_EQ(watch_->guarded_since(), clock_.Now() + kPolicyTakesHold);
}

TEST_F(AdmissionMemoryTest, AFolderThatIsNotThereKeepsNobodyFromSigning) {
  file_ = folder_ / "none/seen";
  GuardedAfterStart(1);
  EXPECT_TRUE(watch_->verdict().ok());
}

TEST_F(AdmissionWatchTest, LooksThatDoNotFindItAreMadeLaterAndLaterWhateverIsAskedFor) {
  const std::string none = HttpAnswer(404, kubernetes::StatusOf(404, "NotFound", "there is none"));
  Make(std::vector<FakeApiServer::Step>(9, Answer(none)));
  absl::Duration last = absl::ZeroDuration();
  for (int i = 1; i <= 9; ++i) {
    watch_->Look();
    ASSERT_TRUE(AwaitChanges(i));
    EXPECT_FALSE(watch_->Covers(watch_->looks()));
    const absl::Duration next = watch_->Look();
    EXPECT_TRUE(next > last || next == AdmissionWatchOptions().retry) << next;
    last = next;
    clock_.Advance(next);
  }
  EXPECT_EQ(last, AdmissionWatchOptions().retry);
}

}  // namespace
}  // namespace meshca
