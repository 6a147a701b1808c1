#include "ca/authority/rotation_driver.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/authority/cross_certificate.h"
#include "ca/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/fakes/counting_entropy.h"
#include "test/fakes/fake_clock.h"
#include "test/fakes/fake_key_store.h"
#include "test/fakes/memory_store.h"

namespace meshca {
namespace {

using testing::HasSubstr;

class Subscribers final : public EvidenceSource, public KeyReissuer {
 public:
  std::vector<SubscriberRecord> List() const override { return records; }
  Progress Reissue(absl::FunctionRef<bool(absl::string_view)>, double) override { return {left}; }

  std::vector<SubscriberRecord> records;
  uint64_t left = 0;  // keys to be replaced
};

// Takes bundle and key, and has never acknowledged anything.
SubscriberRecord Silent(absl::Time now) {
  SubscriberRecord record;
  record.instance = "5117";
  record.spiffe_id = "spiffe://cluster.local/silent";
  record.node = "node-7";
  record.kind = "sds-unix";
  record.connected = true;
  record.first_seen = record.last_seen = now;
  record.takes_bundle = record.takes_key = true;
  return record;
}

class RotationDriverTest : public testing::Test {
 protected:
  RotationDriverTest() { StartServer(); }

  void StartServer() {
    AuthorityOptions options;
    options.trust_domain = TrustDomain::Parse("cluster.local").value();
    driver_.reset();
    manager_ = AuthorityManager::Create(options, store_, keys_, clock_, entropy_).value();
    EXPECT_TRUE(manager_->Start().ok());
    StartDriver();
  }

  void StartDriver() {
    RotationDriver::Parts parts;
    parts.authorities = manager_.get();
    parts.store = &store_;
    parts.inventory = &store_;
    parts.evidence = &subscribers_;
    parts.reissuer = &subscribers_;
    parts.reissue_per_second = 10;
    parts.sleep = [this](absl::Duration time) { clock_.Advance(time); };
    driver_ = std::make_unique<RotationDriver>(std::move(parts));
  }

  // As the server's two loops would.
  void Pass(absl::Duration time = absl::Seconds(3)) {
    clock_.Advance(time);
    Look();
  }
  void Look() {
    manager_->Tick(clock_.Now());
    driver_->Tick(clock_.Now());
  }
  RotationStep Step() { return manager_->Current()->rotation->step; }
  // How long it stays at the step it is at, in looks of ten seconds; an hour at most.
  absl::Duration TimeAtStep() {
    const RotationStep before = Step();
    absl::Duration time;
    for (; Step() == before && time < absl::Hours(1); time += absl::Seconds(10)) Pass(absl::Seconds(10));
    return time;
  }
  static RotationOptions Emergency() {
    RotationOptions options;
    options.emergency = true;
    return options;
  }
  size_t ChainOfIssuing() { return manager_->Current()->chain_tail.size(); }

  FakeClock clock_;
  CountingEntropy entropy_;
  FakeKeyStore keys_;
  MemoryStore store_;
  Subscribers subscribers_;
  std::unique_ptr<AuthorityManager> manager_;
  std::unique_ptr<RotationDriver> driver_;
};

TEST_F(RotationDriverTest, GoesFromStepToStepAndKeepsTheChainsOfEach) {
  const std::string old_root = manager_->Current()->issuing->root_id;
  ASSERT_TRUE(driver_->Begin({}, "uid 0").ok());
  EXPECT_EQ(Step(), RotationStep::kDistribute);
  EXPECT_EQ(manager_->Current()->bundle->roots.size(), 2u);
  EXPECT_EQ(manager_->Current()->bundle->roots[0].spki_sha256_hex(), old_root);
  EXPECT_EQ(ChainOfIssuing(), 1u);
  Look();
  EXPECT_THAT(driver_->Report().waiting_for, HasSubstr("settling"));
  Pass();
  EXPECT_NE(manager_->Current()->issuing->root_id, old_root);
  EXPECT_EQ(manager_->Current()->bundle->roots[1].spki_sha256_hex(), old_root);
  EXPECT_EQ(ChainOfIssuing(), 1u) << "everybody holds the new root: nobody needs the way round by the old one";
  for (int look = 0; look < 5; ++look) Pass();
  EXPECT_EQ(Step(), RotationStep::kDone);
  EXPECT_EQ(manager_->Current()->bundle->roots.size(), 1u);
  EXPECT_EQ(ChainOfIssuing(), 1u);
}

TEST_F(RotationDriverTest, LeavesCarryTheCrossCertificateWhereSomebodyMayNeedIt) {
  SubscriberRecord reads_a_file = Silent(clock_.Now());
  reads_a_file.takes_bundle = false;
  subscribers_.records = {reads_a_file};
  ASSERT_TRUE(driver_->Begin({}, "uid 0").ok());
  EXPECT_THAT(driver_->Report().warnings, testing::IsEmpty());
  Look();
  Pass();
  EXPECT_NE(Step(), RotationStep::kDistribute);
  EXPECT_EQ(ChainOfIssuing(), 2u) << "the issuing authority, and the new root certified by the old one";
  EXPECT_TRUE(LeavesCarryCross(*manager_->Current()));
  EXPECT_THAT(driver_->Report().warnings, testing::ElementsAre(HasSubstr("may hold the old root alone")));
  // Whatever signs next under this root stands like the one that it follows.
  ASSERT_TRUE(driver_->Rollback("uid 0").ok());
  EXPECT_EQ(ChainOfIssuing(), 1u);
  ASSERT_TRUE(driver_->Rollback("uid 0").ok());
  EXPECT_EQ(ChainOfIssuing(), 2u);
  subscribers_.records.clear();
  for (int look = 0; look < 8; ++look) Pass();
  EXPECT_EQ(Step(), RotationStep::kDone);
  EXPECT_EQ(ChainOfIssuing(), 1u);
  EXPECT_THAT(FindCross(*manager_->Current()), testing::IsEmpty());
}

TEST_F(RotationDriverTest, AfterARollbackTheChainsStayAsShortAsTheyWere) {
  ASSERT_TRUE(driver_->Begin({}, "uid 0").ok());
  subscribers_.left = 1;  // so that it stays where it can be rolled back
  Look();
  Pass();
  ASSERT_EQ(Step(), RotationStep::kReissue);
  ASSERT_EQ(ChainOfIssuing(), 1u);
  ASSERT_TRUE(driver_->Rollback("uid 0").ok());
  ASSERT_TRUE(driver_->Rollback("uid 0").ok());
  EXPECT_EQ(ChainOfIssuing(), 1u);
  EXPECT_THAT(FindCross(*manager_->Current()), testing::SizeIs(1)) << "for the CA's own certificate";
}

TEST_F(RotationDriverTest, AnEmergencysLeavesCarryTheCrossCertificate) {
  subscribers_.left = 1;
  ASSERT_TRUE(driver_->Begin(Emergency(), "uid 0").ok());
  Look();
  Pass();
  ASSERT_EQ(Step(), RotationStep::kReissue);
  EXPECT_EQ(ChainOfIssuing(), 2u) << "it asked nobody who has left";
}

TEST_F(RotationDriverTest, AForcedActivationsLeavesCarryTheCrossCertificate) {
  subscribers_.records = {Silent(clock_.Now())};
  RotationOptions by_hand;
  by_hand.automatic = false;
  ASSERT_TRUE(driver_->Begin(by_hand, "uid 0").ok());
  ASSERT_TRUE(driver_->Activate(/*force=*/true, "uid 0").ok());
  EXPECT_EQ(ChainOfIssuing(), 2u) << "somebody has not acknowledged the new root";
}

TEST_F(RotationDriverTest, ASecondOneIsRefusedAndOneByHandIsTakenOver) {
  RotationOptions by_hand;
  by_hand.automatic = false;
  ASSERT_TRUE(driver_->Begin(by_hand, "uid 0").ok());
  EXPECT_EQ(ReasonOf(driver_->Begin(by_hand, "uid 0")), "ROTATION_RUNS");
  for (int look = 0; look < 5; ++look) Pass();
  EXPECT_EQ(Step(), RotationStep::kDistribute);
  EXPECT_THAT(driver_->Report().waiting_for, HasSubstr("meshca root activate"));
  ASSERT_TRUE(driver_->Begin({}, "uid 0").ok());
  EXPECT_EQ(ReasonOf(driver_->Begin({}, "uid 0")), "ROTATION_RUNS");
  for (int look = 0; look < 6; ++look) Pass();
  EXPECT_EQ(Step(), RotationStep::kDone);
}

TEST_F(RotationDriverTest, ARefusalNamesAsManyAsAnErrorsTextHasRoomForAndCountsTheRest) {
  for (int i = 0; i < 300; ++i) {
    subscribers_.records.push_back(Silent(clock_.Now()));
    subscribers_.records.back().instance = absl::StrCat(i);
    subscribers_.records.back().node = absl::StrCat("node-", i, std::string(200, 'x'));
  }
  RotationOptions by_hand;
  by_hand.automatic = false;
  ASSERT_TRUE(driver_->Begin(by_hand, "uid 0").ok());
  for (int look = 0; look < 5; ++look) Pass();
  const std::string refusal(driver_->Activate(/*force=*/false, "uid 0").message());
  EXPECT_THAT(refusal, HasSubstr("300 subscribers"));
  EXPECT_THAT(refusal, HasSubstr("node-0"));
  EXPECT_THAT(refusal, testing::ContainsRegex("\n  and 29[0-9] more; 'meshca root status' names more of them"));
  EXPECT_LE(refusal.size(), 3000U) << "above that it would be shortened on its way";
}

TEST_F(RotationDriverTest, AClockAYearAheadFreezesItUntilTheOperatorSpeaks) {
  ASSERT_TRUE(driver_->Begin({}, "uid 0").ok());
  clock_.JumpTo(clock_.Now() + absl::Hours(24 * 365));
  for (int look = 0; look < 5; ++look) Pass();
  EXPECT_EQ(Step(), RotationStep::kDistribute);
  EXPECT_THAT(driver_->Report().frozen, HasSubstr("jumped forward"));
  const absl::Status refused = driver_->Activate(/*force=*/true, "uid 0");
  EXPECT_EQ(ReasonOf(refused), "ROTATION_FROZEN");
  EXPECT_THAT(std::string(refused.message()), HasSubstr("meshca check --accept-clock"));
  ASSERT_TRUE(manager_->AcceptClock("uid 0").ok());
  EXPECT_EQ(driver_->Report().frozen, "");
  for (int look = 0; look < 6; ++look) Pass();
  EXPECT_EQ(Step(), RotationStep::kDone);
}

TEST_F(RotationDriverTest, AClockAYearBehindFreezesItUntilItIsRight) {
  ASSERT_TRUE(driver_->Begin({}, "uid 0").ok());
  const absl::Time then = clock_.Now();
  clock_.JumpTo(then - absl::Hours(24 * 365));
  for (int look = 0; look < 5; ++look) Pass();
  EXPECT_EQ(Step(), RotationStep::kDistribute);
  EXPECT_THAT(driver_->Report().frozen, HasSubstr("went backwards"));
  clock_.JumpTo(then + absl::Seconds(15));
  for (int look = 0; look < 6; ++look) Pass();
  EXPECT_EQ(Step(), RotationStep::kDone);
}

TEST_F(RotationDriverTest, AJumpBetweenTwoLooksOfTheAuthoritiesMovesNothing) {
  RotationOptions emergency;
  emergency.deadline = clock_.Now() + absl::Hours(1);
  ASSERT_TRUE(driver_->Begin(emergency, "uid 0").ok());
  const absl::Time then = clock_.Now();
  clock_.JumpTo(then + absl::Hours(2));
  // The authorities have not looked since: the driver asks for itself.
  for (int look = 0; look < 5; ++look) driver_->Tick(clock_.Now());
  EXPECT_EQ(Step(), RotationStep::kDistribute);
  EXPECT_EQ(ReasonOf(driver_->Begin(emergency, "uid 0")), "ROTATION_FROZEN");
  EXPECT_EQ(ReasonOf(driver_->Rollback("uid 0")), "ROTATION_FROZEN");
  clock_.JumpTo(then);
  for (int look = 0; look < 6; ++look) Pass();
  EXPECT_EQ(Step(), RotationStep::kDone);
}

TEST_F(RotationDriverTest, ARootThatHasEndedStillServesTrustAndARotationReplacesIt) {
  const std::string old_root = manager_->Current()->issuing->root_id;
  clock_.Reboot(clock_.Now() + absl::Hours(24 * 365 * 11));
  StartServer();
  EXPECT_EQ(manager_->Current()->issuing, nullptr);
  EXPECT_EQ(manager_->Current()->bundle->roots.size(), 1u) << "what is trusted goes on being served";
  EXPECT_THAT(manager_->WhyNotSigning(), HasSubstr("ended"));
  EXPECT_THAT(manager_->LastError(), HasSubstr("meshca root rotate"));
  EXPECT_EQ(ReasonOf(driver_->Begin({}, "uid 0")), "ROTATION_FROZEN") << "eleven years take the operator's word";
  ASSERT_TRUE(manager_->AcceptClock("uid 0").ok());
  ASSERT_TRUE(driver_->Begin({}, "uid 0").ok());
  for (int look = 0; look < 8; ++look) Pass();
  EXPECT_EQ(Step(), RotationStep::kDone);
  ASSERT_NE(manager_->Current()->issuing, nullptr);
  EXPECT_NE(manager_->Current()->issuing->root_id, old_root);
  EXPECT_TRUE(manager_->Current()->issuing->certificate.validity().Contains(clock_.Now()));
  EXPECT_EQ(manager_->LastError(), "");
}

TEST_F(RotationDriverTest, AFullDiskIsSaidAndWaitedOutAtEveryStep) {
  ASSERT_TRUE(driver_->Begin({}, "uid 0").ok());
  for (int commits = 0; Step() != RotationStep::kDone && commits < 10; ++commits) {
    const RotationStep before = Step();
    store_.FailWrites(absl::UnavailableError("disk full"));
    for (int look = 0; look < 3; ++look) Pass();
    EXPECT_EQ(Step(), before);
    EXPECT_THAT(driver_->Report().error, HasSubstr("disk full")) << RotationStepName(before);
    store_.FailWrites(absl::OkStatus());
    Pass();
    EXPECT_NE(Step(), before);
    EXPECT_EQ(driver_->Report().error, "");
  }
  EXPECT_EQ(Step(), RotationStep::kDone);
}

constexpr absl::Duration kGrace = absl::Minutes(5);  // EvidencePolicy's default
constexpr absl::Duration kOneLook = absl::Seconds(10);

TEST_F(RotationDriverTest, AnEmergencyNamesTheSilentAndGoesOnAtEveryStep) {
  subscribers_.records = {Silent(clock_.Now())};
  ASSERT_TRUE(driver_->Begin(Emergency(), "uid 0").ok());
  EXPECT_EQ(driver_->Report().emergency_grace, kGrace);
  EXPECT_EQ(driver_->Report().grace_ends, clock_.Now() + kGrace);
  EXPECT_THAT(driver_->Report().waiting_for, HasSubstr("hold an emergency up until"));
  EXPECT_EQ(TimeAtStep(), kGrace);
  std::string forced = manager_->Current()->rotation->forced;
  EXPECT_THAT(forced, HasSubstr("the emergency grace forced activation"));
  EXPECT_THAT(forced, HasSubstr("1 of 1 subscriber behind: spiffe://cluster.local/silent on node-7 (5117)"));
  EXPECT_EQ(Step(), RotationStep::kDrain) << "no key is held here, so there was nothing to replace";
  EXPECT_EQ(TimeAtStep(), kGrace);
  EXPECT_EQ(Step(), RotationStep::kRetire);
  EXPECT_EQ(manager_->Current()->bundle->roots.size(), 1u) << "the stolen root has left";
  EXPECT_EQ(TimeAtStep(), kGrace);
  EXPECT_EQ(Step(), RotationStep::kDone);
  forced = manager_->Current()->rotation->forced;
  EXPECT_THAT(forced, HasSubstr("the emergency grace forced retirement"));
  EXPECT_THAT(forced, HasSubstr("the emergency grace forced the end"));
}

TEST_F(RotationDriverTest, WhoLeftSilentlyHoldsUpAnEmergencysRetirementNoLongerEither) {
  subscribers_.records = {Silent(clock_.Now())};
  subscribers_.records[0].connected = false;
  subscribers_.records[0].certificate_expires = clock_.Now() + absl::Hours(24);
  ASSERT_TRUE(driver_->Begin(Emergency(), "uid 0").ok());
  EXPECT_LE(TimeAtStep(), kOneLook) << "who has left verifies by the cross-certificate";
  EXPECT_EQ(Step(), RotationStep::kDrain);
  EXPECT_EQ(TimeAtStep(), kGrace);
  EXPECT_THAT(manager_->Current()->rotation->forced, HasSubstr("spiffe://cluster.local/silent"));
}

TEST_F(RotationDriverTest, APlainRotationWaitsForTheSilentWithoutEnd) {
  subscribers_.records = {Silent(clock_.Now())};
  ASSERT_TRUE(driver_->Begin({}, "uid 0").ok());
  EXPECT_EQ(TimeAtStep(), absl::Hours(1));
  EXPECT_EQ(Step(), RotationStep::kDistribute);
  EXPECT_EQ(driver_->Report().emergency_grace, absl::InfiniteDuration());
}

TEST_F(RotationDriverTest, AnEmergencyWithWaitWaitsForTheSilentWithoutEnd) {
  subscribers_.records = {Silent(clock_.Now())};
  RotationOptions wait = Emergency();
  wait.waits_for_silent = true;
  ASSERT_TRUE(driver_->Begin(wait, "uid 0").ok());
  EXPECT_EQ(TimeAtStep(), absl::Hours(1));
  StartDriver();
  EXPECT_EQ(TimeAtStep(), absl::Hours(1)) << "a restart keeps it";
  EXPECT_EQ(Step(), RotationStep::kDistribute);
  EXPECT_EQ(driver_->Report().emergency_grace, absl::InfiniteDuration());
}

TEST_F(RotationDriverTest, AServerThatWasDownGivesTheWholeGraceAgain) {
  subscribers_.records = {Silent(clock_.Now())};
  ASSERT_TRUE(driver_->Begin(Emergency(), "uid 0").ok());
  clock_.Advance(absl::Minutes(20));  // nobody looks, and nobody can acknowledge
  StartDriver();
  EXPECT_EQ(TimeAtStep(), kGrace + kOneLook) << "the first look begins it";
}

TEST_F(RotationDriverTest, AFrozenClockStopsAnEmergencyHoweverLongItsGraceIsOver) {
  subscribers_.records = {Silent(clock_.Now())};
  ASSERT_TRUE(driver_->Begin(Emergency(), "uid 0").ok());
  clock_.JumpTo(clock_.Now() + absl::Hours(24 * 365));
  EXPECT_EQ(TimeAtStep(), absl::Hours(1));
  EXPECT_EQ(Step(), RotationStep::kDistribute);
}

TEST_F(RotationDriverTest, AnEmergencyTakesOverAPlainRotationThatSomebodySilentHoldsUp) {
  subscribers_.records = {Silent(clock_.Now())};
  ASSERT_TRUE(driver_->Begin({}, "uid 0").ok());
  EXPECT_EQ(TimeAtStep(), absl::Hours(1));
  ASSERT_TRUE(driver_->Begin(Emergency(), "uid 0").ok());
  EXPECT_TRUE(manager_->Current()->rotation->emergency);
  for (const SigningAuthority& authority : manager_->Current()->authorities) {
    EXPECT_EQ(authority.tainted, authority.root_id == manager_->Current()->rotation->old_root_id) << authority.id;
  }
  Pass();
  EXPECT_EQ(Step(), RotationStep::kDrain) << "it had its grace before anybody asked for an emergency";
  EXPECT_EQ(ReasonOf(driver_->Begin(Emergency(), "uid 0")), "ROTATION_RUNS");
}

TEST_F(RotationDriverTest, AKeyThatIsNeverReplacedHoldsUpAnEmergencyForItsTurnAndTheGrace) {
  subscribers_.left = 100;
  ASSERT_TRUE(driver_->Begin(Emergency(), "uid 0").ok());
  while (Step() == RotationStep::kDistribute) Pass(absl::Seconds(1));
  EXPECT_EQ(Step(), RotationStep::kReissue);
  EXPECT_EQ(TimeAtStep(), kGrace + absl::Seconds(10)) << "100 keys at 10 a second";
}

}  // namespace
}  // namespace meshca
