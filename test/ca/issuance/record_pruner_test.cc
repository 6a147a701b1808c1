#include "ca/issuance/record_pruner.h"

#include <algorithm>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/fakes/fake_clock.h"

namespace meshca {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Holds `rows` that ended long ago, and needs `batch_time` to delete a batch of them.
class SlowStore final : public StoreMaintenance {
 public:
  explicit SlowStore(FakeClock& clock) : clock_(clock) {}

  absl::StatusOr<uint64_t> Prune(absl::Time expired_before, uint64_t rows_max) override {
    asked.push_back(expired_before);
    clock_.Advance(batch_time);
    if (!broken.ok()) return broken;
    const uint64_t deleted = std::min(rows, rows_max);
    rows -= deleted;
    return deleted;
  }
  absl::Status Backup(const std::string&, const AuditEntry&) override { return absl::OkStatus(); }
  absl::Status Check() override { return absl::OkStatus(); }
  absl::Status Probe() override { return absl::OkStatus(); }
  StoreHealth Health() const override { return {}; }
  absl::Status RecordAudit(const AuditEntry&) override { return absl::OkStatus(); }
  absl::Status ListAudit(absl::FunctionRef<bool(const AuditEntry&)>) override { return absl::OkStatus(); }

  uint64_t rows = 0;
  absl::Duration batch_time = absl::Milliseconds(20);
  absl::Status broken;
  std::vector<absl::Time> asked;  // before which time rows had to have ended, of each batch

 private:
  FakeClock& clock_;
};

class RecordPrunerTest : public testing::Test {
 protected:
  FakeClock clock_;
  SlowStore store_{clock_};
  RecordPruner pruner_{store_, clock_, absl::Hours(24)};
};

TEST_F(RecordPrunerTest, RestsNineTimesAsLongAsABatchTookWhileThereIsMore) {
  store_.rows = 2500;
  EXPECT_EQ(pruner_.Tick(), absl::Milliseconds(180));
  EXPECT_EQ(store_.rows, 1500u);
  store_.batch_time = absl::Seconds(1);
  clock_.Advance(absl::Milliseconds(180));
  EXPECT_EQ(pruner_.Tick(), absl::Seconds(9)) << "a store that is busy is left alone for longer";
  EXPECT_EQ(store_.rows, 500u);
}

TEST_F(RecordPrunerTest, RestsTenMinutesWhenABatchWasNotFull) {
  store_.rows = 1000;
  clock_.Advance(pruner_.Tick());
  EXPECT_EQ(pruner_.Tick(), absl::Minutes(10));
  EXPECT_EQ(store_.rows, 0u);
}

TEST_F(RecordPrunerTest, LeavesTheStoreAloneWhenItIsCalledBeforeItsTime) {
  const absl::Duration wait = pruner_.Tick();
  clock_.Advance(wait - absl::Seconds(1));
  EXPECT_EQ(pruner_.Tick(), absl::Seconds(1));
  EXPECT_THAT(store_.asked, SizeIs(1));
}

TEST_F(RecordPrunerTest, TriesAgainInTenMinutesAfterAFailure) {
  store_.rows = 5000;
  store_.broken = absl::UnavailableError("disk full");
  EXPECT_EQ(pruner_.Tick(), absl::Minutes(10));
  store_.broken = absl::OkStatus();
  clock_.Advance(absl::Minutes(10));
  EXPECT_EQ(pruner_.Tick(), absl::Milliseconds(180));
}

TEST_F(RecordPrunerTest, DeletesNothingByAClockThatIsNotBelieved) {
  store_.rows = 10;
  clock_.JumpInDoubt(clock_.Now() + absl::Hours(24 * 365), /*may_make=*/true);
  EXPECT_EQ(pruner_.Tick(), absl::Minutes(10));
  EXPECT_THAT(store_.asked, IsEmpty());
  EXPECT_EQ(store_.rows, 10u);
  clock_.JumpBack();
  pruner_.Tick();
  EXPECT_EQ(store_.rows, 0u) << "it goes on as soon as it is called by a clock that is right";
}

TEST_F(RecordPrunerTest, KeepsWhatEndedWithinTheRetentionAndTakesAnotherOneFromTheNextBatchOn) {
  const absl::Time first = clock_.Now();
  clock_.Advance(pruner_.Tick());
  pruner_.SetRetention(absl::Hours(1));
  const absl::Time second = clock_.Now();
  pruner_.Tick();
  EXPECT_THAT(store_.asked, ElementsAre(first - absl::Hours(24), second - absl::Hours(1)));
}

TEST_F(RecordPrunerTest, IsNotHurriedByAWallClockThatIsSet) {
  pruner_.Tick();
  clock_.JumpTo(clock_.Now() + absl::Hours(24));
  EXPECT_EQ(pruner_.Tick(), absl::Minutes(10));
  EXPECT_THAT(store_.asked, SizeIs(1));
}

}  // namespace
}  // namespace meshca
