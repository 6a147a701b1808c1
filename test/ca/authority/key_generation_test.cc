// A key is generated before the transaction that needs it: once, however often that transaction is judged again.
#include <memory>
#include <string>
#include <vector>

#include "ca/authority/authority_manager.h"
#include "ca/authority/rotation_driver.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/fakes/counting_entropy.h"
#include "test/fakes/fake_clock.h"
#include "test/fakes/fake_key_store.h"
#include "test/fakes/memory_store.h"
#include "test/fakes/overtaken_store.h"

namespace meshca {
namespace {

class NobodySubscribes final : public EvidenceSource, public KeyReissuer {
 public:
  std::vector<SubscriberRecord> List() const override { return {}; }
  Progress Reissue(absl::FunctionRef<bool(absl::string_view)>, double) override { return {}; }
};

class KeyGenerationTest : public testing::Test {
 protected:
  KeyGenerationTest() {
    AuthorityOptions options;
    options.trust_domain = TrustDomain::Parse("cluster.local").value();
    manager_ = AuthorityManager::Create(options, store_, keys_, clock_, entropy_).value();
    EXPECT_TRUE(manager_->Start().ok());
    RotationDriver::Parts parts;
    parts.authorities = manager_.get();
    parts.store = &store_;
    parts.inventory = &store_.memory;
    parts.evidence = &nobody_;
    parts.reissuer = &nobody_;
    parts.sleep = [this](absl::Duration time) { clock_.Advance(time); };
    driver_ = std::make_unique<RotationDriver>(std::move(parts));
    keys_.generated = 0;
  }
  // Two changes of another server come first, from here on.
  void OvertakeTwice() {
    store_.conflicts = 2;
    keys_.generated = 0;
  }
  void ExpectOneKey() const {
    EXPECT_EQ(store_.conflicts, 0) << "nothing was judged again, so nothing was shown";
    EXPECT_EQ(keys_.generated, 1);
  }

  FakeClock clock_;
  CountingEntropy entropy_;
  FakeKeyStore keys_;
  OvertakenStore store_;
  NobodySubscribes nobody_;
  std::unique_ptr<AuthorityManager> manager_;
  std::unique_ptr<RotationDriver> driver_;
};

TEST_F(KeyGenerationTest, ARenewalThatIsOvertakenTwiceMakesOneKey) {
  const std::string before = manager_->Current()->issuing->id;
  OvertakeTwice();
  // The clock is looked at every day, as it must be to be believed; the renewal is due after 20 of 30 days.
  for (int day = 0; day < 20; ++day) {
    clock_.Advance(absl::Hours(24));
    manager_->Tick(clock_.Now());
  }
  EXPECT_NE(manager_->Current()->issuing->id, before);
  ExpectOneKey();
}

TEST_F(KeyGenerationTest, ARotationThatIsOvertakenTwiceMakesOneKeyAtItsBeginningAndOneWhenItActivates) {
  RotationOptions by_hand;
  by_hand.automatic = false;
  OvertakeTwice();
  ASSERT_TRUE(driver_->Begin(by_hand, "uid 0").ok());
  ExpectOneKey();
  OvertakeTwice();
  ASSERT_TRUE(driver_->Activate(false, "uid 0").ok());
  ExpectOneKey();
  OvertakeTwice();
  ASSERT_TRUE(driver_->Rollback("uid 0").ok());
  ExpectOneKey();
}

TEST_F(KeyGenerationTest, ARotationThatIsRefusedMakesNoKey) {
  ASSERT_TRUE(driver_->Begin({}, "uid 0").ok());
  keys_.generated = 0;
  EXPECT_FALSE(driver_->Begin({}, "uid 0").ok());
  EXPECT_EQ(keys_.generated, 0);
}

TEST_F(KeyGenerationTest, TheKeysOfARetiredRootAreDestroyedOnceItsRowsAreWritten) {
  const AuthoritiesAndBundle before = store_.memory.LoadAuthorities().value();
  keys_.destroy_error = absl::UnavailableError("the device is away");
  ASSERT_TRUE(driver_->Begin({}, "uid 0").ok());
  for (int look = 0; look < 6; ++look) {
    clock_.Advance(absl::Seconds(3));
    manager_->Tick(clock_.Now());
    driver_->Tick(clock_.Now());
  }
  ASSERT_TRUE(manager_->Current()->rotation->Ended()) << "a key that cannot be destroyed holds nothing up";
  for (const StoredAuthority& row : before.authorities) {
    EXPECT_THAT(keys_.destroyed, testing::Contains(StoredKey{row.key_reference, row.sealed_key}));
  }
}

}  // namespace
}  // namespace meshca
