#include "ca/issuance/readiness.h"

#include <memory>
#include <string>
#include <vector>

#include "ca/authority/authority_manager.h"
#include "ca/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/fakes/counting_entropy.h"
#include "test/fakes/fake_clock.h"
#include "test/fakes/fake_key_store.h"
#include "test/fakes/memory_store.h"

namespace meshca {
namespace {

using ::testing::HasSubstr;

class ReadinessTest : public testing::Test {
 protected:
  ReadinessTest() {
    AuthorityOptions options;
    options.trust_domain = TrustDomain::Parse("cluster.local").value();
    manager_ = AuthorityManager::Create(options, store_, keys_, clock_, entropy_).value();
  }
  void Start() { ASSERT_TRUE(manager_->Start().ok()); }

  // Collects what the listener hears, for a test that waits for it.
  Readiness::Listener Hear() {
    return [this](const absl::Status& status) {
      MutexLock lock(mutex_);
      heard_.push_back(status);
      changed_.NotifyAll();
    };
  }
  absl::Status WaitForAnswer(size_t number) {
    MutexLock lock(mutex_);
    while (heard_.size() <= number) {
      if (!changed_.WaitFor(mutex_, absl::Minutes(1))) return absl::DeadlineExceededError("no answer");
    }
    return heard_[number];
  }

  FakeClock clock_;
  CountingEntropy entropy_;
  MemoryStore store_;
  FakeKeyStore keys_;
  std::unique_ptr<AuthorityManager> manager_;
  Mutex mutex_;
  CondVar changed_;
  std::vector<absl::Status> heard_;
};

TEST_F(ReadinessTest, SignsAndCommitsOutsideTheInventory) {
  Start();
  EXPECT_TRUE(TrySignAndCommit(*manager_, store_, clock_.Now()).ok());
  EXPECT_EQ(store_.CountIssuances().value(), 0u);
}

TEST_F(ReadinessTest, NotReadyBeforeThereIsAnAuthority) {
  EXPECT_EQ(TrySignAndCommit(*manager_, store_, clock_.Now()).code(), absl::StatusCode::kUnavailable);
}

TEST_F(ReadinessTest, NotReadyWhileTheStoreDoesNotCommit) {
  Start();
  store_.FailWrites(absl::UnavailableError("disk full"));
  absl::Status status = TrySignAndCommit(*manager_, store_, clock_.Now());
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("trial commit: disk full"));
}

TEST_F(ReadinessTest, NotReadyWhileWhatSignsIsNotValidNow) {
  Start();
  Readiness readiness(*manager_, store_, clock_, Hear(), absl::Hours(1));
  ASSERT_TRUE(WaitForAnswer(0).ok());
  const absl::Time then = clock_.Now();
  // Nobody has looked at the clock since: asked at the moment, it is no.
  clock_.JumpTo(then + absl::Hours(24 * 31));
  EXPECT_THAT(std::string(readiness.Ready().message()), HasSubstr("the issuing authority"));
  EXPECT_THAT(std::string(readiness.Ready().message()), HasSubstr("ended"));
  clock_.JumpTo(then - absl::Hours(2));
  EXPECT_THAT(std::string(readiness.Ready().message()), HasSubstr("is not valid before"));
  EXPECT_EQ(TrySignAndCommit(*manager_, store_, clock_.Now()).code(), absl::StatusCode::kUnavailable);
  clock_.JumpTo(then);
  EXPECT_TRUE(readiness.Ready().ok());
}

TEST_F(ReadinessTest, SaysWhyNothingSigns) {
  Start();
  Readiness readiness(*manager_, store_, clock_, Hear(), absl::Milliseconds(1),
                      [this] { return manager_->WhyNotSigning(); });
  ASSERT_TRUE(WaitForAnswer(0).ok());
  clock_.JumpTo(clock_.Now() - absl::Minutes(30));
  manager_->Tick(clock_.Now());
  EXPECT_THAT(std::string(WaitForAnswer(1).message()), HasSubstr("the clock went backwards"));
  EXPECT_THAT(std::string(readiness.Ready().message()), HasSubstr("check --accept-clock"));
}

TEST_F(ReadinessTest, FollowsTheStoreDownAndUpAgain) {
  Start();
  Readiness readiness(*manager_, store_, clock_, Hear(), absl::Milliseconds(1));
  EXPECT_TRUE(WaitForAnswer(0).ok());
  EXPECT_TRUE(readiness.Ready().ok());
  store_.FailWrites(absl::UnavailableError("disk full"));
  EXPECT_EQ(WaitForAnswer(1).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(readiness.Ready().code(), absl::StatusCode::kUnavailable);
  store_.FailWrites(absl::OkStatus());
  EXPECT_TRUE(WaitForAnswer(2).ok());
  EXPECT_TRUE(readiness.Ready().ok());
}

TEST_F(ReadinessTest, AnOldAnswerIsNoAnswer) {
  Start();
  Readiness readiness(*manager_, store_, clock_, Hear(), absl::Hours(1));
  ASSERT_TRUE(WaitForAnswer(0).ok());
  clock_.Advance(absl::Minutes(119));
  EXPECT_TRUE(readiness.Ready().ok());
  clock_.Advance(absl::Minutes(2));
  EXPECT_EQ(readiness.Ready().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(readiness.Ready().message()), HasSubstr("does not answer"));
}

TEST_F(ReadinessTest, EndsAtOnceInTheMiddleOfAnInterval) {
  Start();
  for (int i = 0; i < 20; ++i) Readiness(*manager_, store_, clock_, nullptr, absl::Hours(1));
}

}  // namespace
}  // namespace meshca
