// The agent's own certificate: renewed in time, saved before it is used.
#include "cli/agent/own_renewal.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "ca/x509/csr.h"
#include "test/cli/agent/agent_fixture.h"
#include "test/fakes/counting_entropy.h"
#include "test/fakes/fake_clock.h"
#include "test/fakes/status_matchers.h"
#include "test/fakes/temp_folder.h"

namespace meshca::agent {
namespace {

using ::testing::HasSubstr;

class OwnRenewalTest : public testing::Test {
 protected:
  OwnRenewalTest() {
    EXPECT_THAT(trust_.Adopt(authority_.keys().Trust()), IsOk());
    EXPECT_THAT(state_->SaveIdentity(*first_), IsOk());
    identity_.Set(first_);
    executor_.Start();
  }
  ~OwnRenewalTest() override { executor_.Shutdown(); }

  // Both clocks have moved on, and the duty has seen it.
  void Pass(absl::Duration time) {
    clock_.Advance(time);
    Settle();
  }
  void Settle() {
    for (int i = 0; i < 2; ++i) {
      Awaited<bool> settled;
      executor_.Run([set = settled.Setter()] { set(true); });
      settled.Get();
    }
  }
  // What the CA answers to the renewal under way; dated by the test's clock.
  void Grant() {
    const auto request = ca_.Read<v1::SignRequest>();
    const PublicKey key = Csr::Parse(request.requests(0).csr())->public_key();
    v1::SignResponse response;
    v1::CertificateResult& result = *response.add_results();
    for (std::string& der :
         authority_.keys().Leaf(key, request.requests(0).spiffe_id(), {}, absl::Hours(24), clock_.Now())) {
      result.add_chain(std::move(der));
    }
    Answer(response.SerializeAsString());
  }
  void Answer(absl::StatusOr<std::string> response) {
    executor_.Run([this, response = std::move(response)] { ca_.Answer(response); });
    Settle();
  }
  std::string Serial() const { return identity_.Current()->serial; }
  std::string SavedSerial() const { return (*state_->LoadIdentity())->serial; }

  const TempFolder temp_;
  const std::string folder_ = temp_ / "agent";
  const std::unique_ptr<AgentState> state_ = *AgentState::Open(folder_);
  AgentAuthority authority_;
  FakeClock clock_{absl::Now()};
  CountingEntropy entropy_;
  // Valid from an hour ago, for 25 hours.
  const OwnIdentityPtr first_ = MakeAgent(authority_.keys(), "node-1", absl::Hours(24), clock_.Now());
  ToldTrust trust_{*state_};
  OwnIdentityHolder identity_;
  HandCaller ca_;
  SerialExecutor executor_{clock_};
  int renewed_ = 0;  // the executor's; read once it has settled
  OwnRenewal renewal_{{}, {ca_, trust_, *state_, identity_}, [this] { ++renewed_; }, clock_, entropy_, executor_};
};

TEST_F(OwnRenewalTest, ComesAtHalfOfTheLifeByATenthEarlierOrLater) {
  Pass(absl::Hours(8));
  EXPECT_EQ(ca_.open(), 0u);
  Pass(absl::Hours(7));  // 16 of 25 hours
  ASSERT_EQ(ca_.open(), 1u);
  const auto request = ca_.Read<v1::SignRequest>();
  ASSERT_EQ(request.requests_size(), 1);
  EXPECT_EQ(request.requests(0).spiffe_id(), first_->id.uri());
  EXPECT_EQ(request.requests(0).parent_serial(), first_->serial);
  EXPECT_EQ(request.requests(0).entry_id(), "");
  Grant();
  EXPECT_EQ(renewed_, 1);
  EXPECT_NE(Serial(), first_->serial);
  EXPECT_EQ(SavedSerial(), Serial());
  EXPECT_FALSE(identity_.Current()->key->public_key() == first_->key->public_key());
  EXPECT_EQ(identity_.Current()->node, "node-1");
  Pass(absl::Hours(1));
  EXPECT_EQ(ca_.open(), 0u);
  EXPECT_THAT(renewal_.last_failure(), IsOk());
}

TEST_F(OwnRenewalTest, TriesAgainWithPatienceAndNeverBeyondTheEnd) {
  Pass(absl::Hours(15));
  ASSERT_EQ(ca_.open(), 1u);
  Answer(absl::UnavailableError("the CA is away"));
  EXPECT_THAT(renewal_.last_failure(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("the CA is away")));
  EXPECT_EQ(Serial(), first_->serial);
  Pass(absl::Minutes(2));
  ASSERT_EQ(ca_.open(), 1u);
  Answer("garbage");
  Pass(absl::Hours(10));
  EXPECT_EQ(ca_.open(), 0u);
}

TEST_F(OwnRenewalTest, KeepsTheKeyOfALostAnswerThatTheCaMayKnow) {
  const auto asked_for = [this] { return Csr::Parse(ca_.Read<v1::SignRequest>().requests(0).csr())->public_key(); };
  Pass(absl::Hours(15));
  const PublicKey lost = asked_for();
  EXPECT_TRUE((*state_->JoiningKey())->public_key() == lost) << "by it the agent could join again";
  Answer(absl::UnavailableError("the CA is away"));
  Pass(absl::Minutes(2));
  ASSERT_EQ(ca_.open(), 1u);
  EXPECT_TRUE(asked_for() == lost);
  Grant();
  EXPECT_TRUE(identity_.Current()->key->public_key() == lost);
  EXPECT_FALSE((*state_->JoiningKey())->public_key() == lost) << "it is the agent's own now";
}

TEST_F(OwnRenewalTest, UsesNoCertificateThatItCouldNotSaveAndAsksForNoOther) {
  Pass(absl::Hours(15));
  std::filesystem::rename(folder_, folder_ + ".away");
  Grant();
  EXPECT_EQ(Serial(), first_->serial);
  EXPECT_EQ(renewed_, 0);
  EXPECT_FALSE(renewal_.last_failure().ok());
  Pass(absl::Minutes(2));
  EXPECT_EQ(ca_.open(), 0u);
  std::filesystem::rename(folder_ + ".away", folder_);
  EXPECT_EQ(SavedSerial(), first_->serial);
  Pass(absl::Minutes(2));
  EXPECT_NE(Serial(), first_->serial);
  EXPECT_EQ(SavedSerial(), Serial());
  EXPECT_EQ(renewed_, 1);
  EXPECT_THAT(renewal_.last_failure(), IsOk());
}

TEST_F(OwnRenewalTest, UsesAnUnsavedOneRatherThanNone) {
  Pass(absl::Hours(15));
  std::filesystem::rename(folder_, folder_ + ".away");
  Grant();
  Pass(absl::Hours(9) + absl::Minutes(1));
  EXPECT_NE(Serial(), first_->serial);
  EXPECT_EQ(renewed_, 1);
  std::filesystem::rename(folder_ + ".away", folder_);
  Pass(absl::Minutes(2));
  EXPECT_EQ(SavedSerial(), Serial());
  EXPECT_EQ(renewed_, 1);
}

TEST_F(OwnRenewalTest, NeverTakesThePlaceOfACertificateThatTheAgentJoinedWithMeanwhile) {
  const auto join_anew = [&] {
    const OwnIdentityPtr joined = MakeAgent(authority_.keys(), "node-1", absl::Hours(24), clock_.Now());
    identity_.Set(joined);
    return joined->serial;
  };
  Pass(absl::Hours(15));
  std::string joined = join_anew();
  Grant();  // of what was asked for before
  EXPECT_EQ(Serial(), joined);
  EXPECT_EQ(SavedSerial(), first_->serial);

  Pass(absl::Hours(15));
  std::filesystem::rename(folder_, folder_ + ".away");
  Grant();
  joined = join_anew();
  std::filesystem::rename(folder_ + ".away", folder_);
  Pass(absl::Minutes(2));
  EXPECT_EQ(Serial(), joined);
  EXPECT_EQ(SavedSerial(), first_->serial);
  EXPECT_EQ(renewed_, 0);
}

TEST_F(OwnRenewalTest, ComesSoonWhereItIsOrdered) {
  renewal_.RenewSoon();
  Settle();
  ASSERT_EQ(ca_.open(), 1u);
  Grant();
  EXPECT_EQ(renewed_, 1);
  Settle();
  EXPECT_EQ(ca_.open(), 0u);
}

TEST_F(OwnRenewalTest, DoesNothingWhileTheClockIsNotBelieved) {
  clock_.JumpInDoubt(clock_.Now() + absl::Hours(20));
  Settle();
  EXPECT_EQ(ca_.open(), 0u);
}

TEST_F(OwnRenewalTest, BelievesNoCertificateOfAnother) {
  Pass(absl::Hours(15));
  v1::SignResponse response;
  v1::CertificateResult& result = *response.add_results();
  const PublicKey key = Csr::Parse(ca_.Read<v1::SignRequest>().requests(0).csr())->public_key();
  for (std::string& der : authority_.keys().Leaf(key, "spiffe://cluster.local/meshca/agent/node-2")) {
    result.add_chain(std::move(der));
  }
  Answer(response.SerializeAsString());
  EXPECT_EQ(renewed_, 0);
  EXPECT_THAT(renewal_.last_failure(), StatusIs(absl::StatusCode::kInternal, HasSubstr("node-2")));
}

}  // namespace
}  // namespace meshca::agent
