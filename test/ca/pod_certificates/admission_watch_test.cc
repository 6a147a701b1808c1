#include "ca/pod_certificates/admission_watch.h"

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/base/mutex.h"
#include "ca/base/serial_executor.h"
#include "ca/kubernetes/api_call.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/http/patience.h"
#include "test/ca/kubernetes/fake_api_server.h"
#include "test/fakes/fake_clock.h"

namespace meshca {
namespace {

using kubernetes::Answer;
using kubernetes::FakeApiServer;
using kubernetes::HangAfter;
using kubernetes::HttpAnswer;
using testing::HasSubstr;
using testing::SizeIs;

std::string GoodPolicy(const std::string& created = "2026-09-21T14:00:00Z") {
  return HttpAnswer(
      200,
      absl::StrCat(
          R"({"metadata":{"creationTimestamp":")", created,
          R"("},"spec":{"failurePolicy":"Fail","matchConstraints":{"resourceRules":[{"apiGroups":["*"],"apiVersions":["*"],)"
          R"("operations":["CREATE"],"resources":["podcertificaterequests"]}]},)"
          R"("validations":[{"expression":"'system:nodes' in request.userInfo.groups &&)"
          R"( request.userInfo.username == 'system:node:' + object.spec.nodeName"}]}})"));
}
std::string GoodBinding() {
  return HttpAnswer(200, R"({"metadata":{"creationTimestamp":"2026-09-21T14:00:00Z"},)"
                         R"("spec":{"policyName":"meshca-pod-certificate-requests","validationActions":["Deny"]}})");
}

// The clock stands still, so looks are made when a test lets time pass.
class AdmissionWatchTest : public testing::Test {
 protected:
  void Make(std::vector<FakeApiServer::Step> steps) {
    cluster_ = std::make_unique<FakeApiServer>(std::move(steps));
    server_ = kubernetes::ConnectTo(cluster_->server());
    watch_ = std::make_unique<AdmissionWatch>(
        AdmissionWatchOptions{.signer_name = "meshca.io/workload", .timeout = http::kPatience}, *server_, clock_,
        [this] {
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

  FakeClock clock_;
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

TEST_F(AdmissionWatchTest, AnObjectThatCannotBeReadIsSaidAtOnce) {
  Make({Answer(GoodPolicy()), Answer(GoodBinding()), Answer(GoodPolicy("yesterday")), Answer(GoodBinding())});
  SeeIt();
  watch_->Look();
  ASSERT_TRUE(AwaitChanges(2));
  EXPECT_THAT(std::string(watch_->verdict().message()), HasSubstr("a time of its metadata is none"));
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
