// What was acknowledged survives: power loss at any operation, a full or read-only disk, a failing fsync.
#include <gmock/gmock.h>

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "test/fakes/status_matchers.h"
#include "test/storage/conformance.h"
#include "test/storage/fault_vfs.h"
#include "test/storage/sqlite_harness.h"

namespace meshca::storage {
namespace {

using absl::StatusCode;
using Fault = FaultVfs::Fault;
using testing::HasSubstr;

// What a client of the store knows: which writes it was told are safe.
class Witness {
 public:
  // Sends `count` records at once, the first with `token`, and waits for every answer.
  void AppendWave(Store& store, RecordMaker& maker, int count, const std::string& token = "") {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      waiting_ += count;
    }
    for (int i = 0; i < count; ++i) {
      IssuanceRecord record = maker.Make(absl::StrCat("spiffe://cluster.local/w/", i % 3));
      if (i == 0) record.token_id = token;
      store.Append(record, [this, record](absl::Status status) {
        std::lock_guard<std::mutex> lock(mutex_);
        last_ = status;
        if (status.ok()) acknowledged_.push_back(record);
        --waiting_;
        answered_.notify_all();
      });
    }
    std::unique_lock<std::mutex> lock(mutex_);
    answered_.wait(lock, [this] { return waiting_ == 0; });
  }

  void ExpectAllIn(Store& store) const {
    for (const IssuanceRecord& record : acknowledged_) {
      auto found = store.Find(record.serial);
      ASSERT_THAT(found, IsOk()) << "acknowledged and lost";
      ExpectSame(*found, record);
    }
  }
  size_t acknowledged() const { return acknowledged_.size(); }
  const absl::Status& last() const { return last_; }

 private:
  std::mutex mutex_;
  std::condition_variable answered_;
  int waiting_ = 0;
  std::vector<IssuanceRecord> acknowledged_;
  absl::Status last_;
};

// A store on the fault layer. Its real folder only holds the lock file and an empty database file.
class FaultStore {
 public:
  FaultStore() : vfs_(std::make_unique<FaultVfs>()), harness_(false) {
    SqliteLimits& limits = harness_.options().limits;
    limits.checkpoint_pages = 12;
    limits.busy_timeout = absl::Milliseconds(50);
    // Nobody waits for the backoff here: Probe tries at once.
    limits.writer.retry_min = limits.writer.retry_max = absl::Hours(1);
    harness_.options().vfs = vfs_->name();
  }
  ~FaultStore() { harness_.Close(); }

  // A machine with an empty disk.
  void NewDisk() {
    harness_.Close();
    vfs_.reset();
    vfs_ = std::make_unique<FaultVfs>();
  }
  SqliteHarness& harness() { return harness_; }
  FaultVfs& vfs() { return *vfs_; }
  Store& store() { return harness_.store(); }

 private:
  std::unique_ptr<FaultVfs> vfs_;
  SqliteHarness harness_;
};

// A little of everything, until the end or until something fails. Notes what was acknowledged.
struct Life {
  Witness witness;
  uint64_t revision = 0;
  std::map<std::string, bool> tokens;  // id -> it was redeemed by an acknowledged issuance
  std::vector<std::string> instances;

  void Live(SqliteHarness& harness) {
    auto opened = OpenSqliteStore(harness.options());
    if (!opened.ok()) return;
    Store& store = **opened;
    AuthorityChange change;
    change.trust_domain = "cluster.local";
    change.authorities = {TestAuthority(kIssuingA)};
    change.bundle = TestBundle(1);
    change.audit = {TestAudit()};
    auto committed = store.CommitAuthorities(change);
    if (!committed.ok()) return;
    revision = *committed;
    RecordMaker maker;
    for (int round = 0; round < 4; ++round) {
      const std::string token = absl::StrCat("t", round);
      if (store.CreateToken(TestToken(token), TestAudit()).ok()) tokens[token] = false;
      const size_t before = witness.acknowledged();
      witness.AppendWave(store, maker, 1, token);
      if (witness.acknowledged() > before) tokens[token] = true;
      witness.AppendWave(store, maker, 5);
      const std::string instance = absl::StrCat("instance ", round);
      store.SaveSubscribers({TestSubscriber(instance)}, [&](absl::Status status) {
        if (status.ok()) instances.push_back(instance);
      });
      if (!store.Probe().ok()) return;
    }
  }

  void ExpectRemembered(Store& store) const {
    witness.ExpectAllIn(store);
    EXPECT_GE(store.LoadAuthorities()->revision, revision);
    EXPECT_GE(store.LoadSubscribers()->size(), instances.size());
    for (const auto& [id, redeemed] : tokens) {
      auto token = store.FindToken(TestToken(id).secret_sha256);
      ASSERT_THAT(token, IsOk()) << id;
      EXPECT_TRUE(!redeemed || !token->used_key_sha256.empty()) << id;
    }
    EXPECT_THAT(store.Check(), IsOk());
  }
};

TEST(PowerLoss, AtEveryOperation) {
  FaultStore machine;
  uint64_t end = 0;
  {
    Life whole;
    whole.Live(machine.harness());
    ASSERT_EQ(whole.witness.acknowledged(), 24u);
    end = machine.vfs().operations();
  }
  ASSERT_GT(end, 100u);
  size_t acknowledged_once = 0;
  for (uint64_t cut = 1; cut <= end; ++cut) {
    SCOPED_TRACE(absl::StrCat("power cut at operation ", cut, " of ", end));
    machine.NewDisk();
    machine.vfs().CutPowerAt(cut);
    Life life;
    life.Live(machine.harness());
    // How arrivals fall into batches differs from run to run, so a late cut may not have come yet.
    machine.vfs().CutPower();
    machine.vfs().Restart(static_cast<uint32_t>(cut % 5));
    ASSERT_TRUE(machine.harness().Reopen());
    life.ExpectRemembered(machine.store());
    // And it goes on: also across a second cut, at a quiet moment.
    if (life.revision != 0) {
      RecordMaker maker(1000);
      life.witness.AppendWave(machine.store(), maker, 2);
      ASSERT_THAT(life.witness.last(), IsOk());
      acknowledged_once += life.witness.acknowledged() > 2;
      machine.vfs().CutPower();
      machine.harness().Close();
      machine.vfs().Restart(0);
      ASSERT_TRUE(machine.harness().Reopen());
      life.witness.ExpectAllIn(machine.store());
    }
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(acknowledged_once, end / 4);
}

struct DiskCase {
  const char* name;
  Fault fault;
};

class DiskFault : public testing::TestWithParam<DiskCase> {};

TEST_P(DiskFault, AnswersUnavailableAndRecovers) {
  FaultStore machine;
  ASSERT_TRUE(machine.harness().Reopen());
  Store& store = machine.store();
  Activate(store);
  RecordMaker maker;
  Witness witness;
  witness.AppendWave(store, maker, 10);
  ASSERT_EQ(witness.acknowledged(), 10u);

  machine.vfs().Set(GetParam().fault);
  // A full disk still has room in the log's old pages, so the first writes may pass.
  for (int wave = 0; wave < 200 && witness.last().ok(); ++wave) witness.AppendWave(store, maker, 5);
  EXPECT_THAT(witness.last(), StatusIs(StatusCode::kUnavailable));
  const size_t acknowledged = witness.acknowledged();
  EXPECT_THAT(store.Probe(), StatusIs(StatusCode::kUnavailable));
  EXPECT_THAT(store.Health().writable, StatusIs(StatusCode::kUnavailable));
  EXPECT_THAT(store.CreateToken(TestToken("t"), TestAudit()), StatusIs(StatusCode::kUnavailable));
  // Reading goes on.
  witness.ExpectAllIn(store);
  EXPECT_THAT(store.LoadAuthorities(), IsOk());

  machine.vfs().Set(Fault::kNone);
  ASSERT_THAT(store.Probe(), IsOk());
  EXPECT_THAT(store.Health().writable, IsOk());
  witness.AppendWave(store, maker, 5);
  EXPECT_EQ(witness.acknowledged(), acknowledged + 5);
  witness.ExpectAllIn(store);
  EXPECT_THAT(store.Check(), IsOk());

  machine.vfs().CutPower();
  machine.harness().Close();
  machine.vfs().Restart(0);
  ASSERT_TRUE(machine.harness().Reopen());
  witness.ExpectAllIn(machine.store());
  EXPECT_THAT(machine.store().Check(), IsOk());
}

INSTANTIATE_TEST_SUITE_P(Design10, DiskFault,
                         testing::Values(DiskCase{"DiskFull", Fault::kDiskFull}, DiskCase{"ReadOnly", Fault::kReadOnly},
                                         DiskCase{"SyncFails", Fault::kSyncFails}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(FullDisk, IsNoReasonNotToSayWhoseLeafIsUnreplaced) {
  FaultStore machine;
  ASSERT_TRUE(machine.harness().Reopen());
  ActivateUnderTwoRoots(machine.store());
  RecordMaker maker;
  // What replaces others outgrows the 2 MiB that SQLite keeps in memory.
  constexpr int kReplaced = 5000;
  for (int i = 0; i <= kReplaced; ++i) {
    for (const char* authority : {kIssuingA, kIssuingB}) {
      IssuanceRecord record = maker.Make("spiffe://cluster.local/x", authority);
      record.instance = absl::StrCat(std::string(600, 'i'), i);
      if (i < kReplaced || authority == kIssuingA) machine.store().Append(record, [](absl::Status) {});
    }
  }
  ASSERT_THAT(machine.store().Probe(), IsOk());
  LeafQuery query;
  query.alive_at = kTestNow;
  query.root_id = "old";
  for (const Fault fault : {Fault::kNone, Fault::kDiskFull, Fault::kReadOnly}) {
    machine.vfs().Set(fault);
    const uint64_t operations = machine.vfs().operations();
    std::vector<std::string> instances;
    ASSERT_THAT(machine.store().VisitUnreplaced(query,
                                                [&](const LiveLeaf& leaf) {
                                                  instances.push_back(leaf.instance.substr(600));
                                                  return true;
                                                }),
                IsOk());
    EXPECT_THAT(instances, testing::ElementsAre(absl::StrCat(kReplaced)));
    EXPECT_GT(machine.vfs().operations(), operations) << "it went to a temporary file, or tried";
  }
}

TEST(Fsync, IsOneABatchHoweverManyRecordsItHas) {
  FaultStore machine;
  machine.harness().options().limits.checkpoint_pages = 100'000;  // its syncs are not counted here
  ASSERT_TRUE(machine.harness().Reopen());
  Activate(machine.store());
  RecordMaker maker;
  Witness witness;
  witness.AppendWave(machine.store(), maker, 1);  // names and pages that the first one needs
  for (const int records : {1, 2, 500}) {
    const uint64_t syncs = machine.vfs().syncs();
    const uint64_t batches = machine.store().Health().batches;
    witness.AppendWave(machine.store(), maker, records);
    EXPECT_EQ(machine.vfs().syncs() - syncs, machine.store().Health().batches - batches) << records << " records";
  }
}

TEST(FsyncFailure, UnknownCommitIsLookedUpAndMadeDurable) {
  FaultStore machine;
  ASSERT_TRUE(machine.harness().Reopen());
  Activate(machine.store());
  RecordMaker maker;
  Witness witness;
  // The commit's bytes are in the file, the fsync failed, and the kernel thinks they are on the disk: reading them back
  // proves nothing. An Ok may only come once they were written and synced again elsewhere.
  machine.vfs().Set(Fault::kOneSyncFails);
  witness.AppendWave(machine.store(), maker, 1);
  EXPECT_THAT(witness.last(), IsOk());
  machine.vfs().CutPower();
  machine.harness().Close();
  machine.vfs().Restart(0);
  ASSERT_TRUE(machine.harness().Reopen());
  witness.ExpectAllIn(machine.store());
  EXPECT_THAT(machine.store().Check(), IsOk());
}

TEST(FsyncFailure, RecoversByItself) {
  FaultStore machine;
  machine.harness().options().limits.writer.retry_min = absl::Milliseconds(1);
  machine.harness().options().limits.writer.retry_max = absl::Milliseconds(2);
  ASSERT_TRUE(machine.harness().Reopen());
  Activate(machine.store());
  RecordMaker maker;
  Witness witness;
  machine.vfs().Set(Fault::kSyncFails);
  witness.AppendWave(machine.store(), maker, 1);
  EXPECT_THAT(witness.last(), StatusIs(StatusCode::kUnavailable, HasSubstr("disk")));
  machine.vfs().Set(Fault::kNone);
  // Nobody calls Probe: appends come back Unavailable until the writer has found the database well.
  const absl::Time deadline = absl::Now() + absl::Minutes(1);
  while (!witness.last().ok() && absl::Now() < deadline) witness.AppendWave(machine.store(), maker, 1);
  EXPECT_THAT(witness.last(), IsOk());
}

}  // namespace
}  // namespace meshca::storage
