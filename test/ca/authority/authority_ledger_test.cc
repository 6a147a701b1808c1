// The stored authorities and the one way in which they change.
#include "ca/authority/authority_ledger.h"

#include <cstdint>
#include <vector>

#include "ca/authority/authority_change.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/fakes/fake_key_store.h"
#include "test/fakes/overtaken_store.h"

namespace meshca {
namespace {

class AuthorityLedgerTest : public testing::Test {
 protected:
  AuthorityLedgerTest() { EXPECT_TRUE(Change().ok()); }

  // A change that says nothing but that somebody was here.
  absl::Status Change() {
    judged_on_.clear();
    return ledger_.Change([this](const AuthoritiesAndBundle& state) {
      judged_on_.push_back(state.revision);
      AuthorityChange change = StartChange(state, ledger_.trust_domain());
      change.audit.push_back(MakeAudit("test", "", {kMeshcaItself, "", absl::UnixEpoch()}));
      return change;
    });
  }

  OvertakenStore store_;
  FakeKeyStore keys_;
  AuthorityLedger ledger_{TrustDomain::Parse("cluster.local").value(), store_, keys_};
  std::vector<uint64_t> judged_on_;  // by the last Change
};

TEST_F(AuthorityLedgerTest, AChangeThatIsOvertakenIsJudgedAgainOnWhatTheStoreHoldsThen) {
  const uint64_t before = ledger_.state().revision;
  store_.conflicts = AuthorityLedger::kAttemptsMax - 1;
  EXPECT_TRUE(Change().ok());
  EXPECT_THAT(judged_on_, testing::ElementsAre(before, before + 1, before + 2, before + 3, before + 4));
  EXPECT_EQ(ledger_.state().revision, before + 5) << "what the store made of it was read back";
}

TEST_F(AuthorityLedgerTest, AChangeThatIsOvertakenEveryTimeIsGivenUp) {
  store_.conflicts = AuthorityLedger::kAttemptsMax;
  EXPECT_TRUE(absl::IsAborted(Change()));
  EXPECT_EQ(judged_on_.size(), static_cast<size_t>(AuthorityLedger::kAttemptsMax));
}

TEST_F(AuthorityLedgerTest, ARefusalOfTheChangeItselfIsNotTriedAgain) {
  int judged = 0;
  const absl::Status refused = ledger_.Change([&](const AuthoritiesAndBundle&) -> absl::StatusOr<AuthorityChange> {
    ++judged;
    return absl::AbortedError("no");
  });
  EXPECT_EQ(refused.message(), "no");
  EXPECT_EQ(judged, 1);
}

}  // namespace
}  // namespace meshca
