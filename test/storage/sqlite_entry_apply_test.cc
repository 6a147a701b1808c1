// An apply of many entries in SQLite: in steps, beside issuance that goes on, and through crashes.
#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "storage/sqlite/database.h"
#include "test/fakes/status_matchers.h"
#include "test/storage/conformance.h"
#include "test/storage/sqlite_harness.h"

namespace meshca::storage {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

std::vector<GivenEntry> Many(int count, absl::Duration ttl = absl::Hours(1)) {
  std::vector<GivenEntry> given;
  for (int i = 0; i < count; ++i) {
    given.push_back({TestEntry(absl::StrCat("e", i), absl::StrCat("unix:uid:", i)), false});
    given.back().entry.ttl = ttl;
  }
  return given;
}

void Stage(Store& store, const std::vector<GivenEntry>& given, uint64_t& apply) {
  apply = *store.BeginApply();
  size_t at = 0;
  ASSERT_THAT(store.StageEntries(apply, given, &at), IsOk());
}

TEST(SqliteEntryApply, WhatACrashLeftBeforeTheEndIsClearedAway) {
  SqliteHarness harness;
  uint64_t apply = 0;
  Stage(harness.store(), Many(500), apply);
  harness.Reopen();
  EXPECT_THAT(*harness.store().ListEntries(), IsEmpty());
  EXPECT_THAT(harness.store().Check(), IsOk());
  ASSERT_THAT(harness.store().Prune(kTestNow, 1000), IsOk());
  EXPECT_EQ(Count(harness.path(), "entry"), 0);
  EXPECT_EQ(Count(harness.path(), "entry_apply"), 0);
  EXPECT_EQ(Count(harness.path(), "audit"), 0);
}

TEST(SqliteEntryApply, WhatCountedBeforeACrashCountsAfterItAndGetsItsLines) {
  SqliteHarness harness;
  ASSERT_THAT(harness.store().CreateEntry(TestEntry("e1", "unix:uid:77"), TestAudit("entry.create")), IsOk());
  ASSERT_THAT(harness.store().CreateEntry(TestEntry("gone", "unix:uid:7800"), TestAudit("entry.create")), IsOk());
  uint64_t apply = 0;
  Stage(harness.store(), Many(450), apply);
  harness.Close();
  // As the activation leaves it, when the process ends right behind it.
  Exec(harness.path(), absl::StrCat("UPDATE entry SET until = ", apply, " WHERE since = 0"));
  Exec(harness.path(), absl::StrCat("UPDATE entry_apply SET done = 1, actor = 'uid 7', applied_at = 1000000"));
  harness.Reopen();
  ASSERT_THAT(*harness.store().ListEntries(), SizeIs(450));
  // A single change in between stands on its own.
  EXPECT_THAT(harness.store().CreateEntry(TestEntry("e1", "unix:uid:9999"), TestAudit("entry.create")),
              StatusIs(absl::StatusCode::kAlreadyExists));
  ASSERT_THAT(harness.store().DeleteEntry("e2", TestAudit("entry.delete")), IsOk());
  ASSERT_THAT(harness.store().CreateEntry(TestEntry("gone", "unix:uid:7800"), TestAudit("entry.create")), IsOk());
  ASSERT_THAT(harness.store().Prune(kTestNow, 1000), IsOk());
  EXPECT_THAT(*harness.store().ListEntries(), SizeIs(450));
  EXPECT_EQ(Count(harness.path(), "entry"), 450);
  EXPECT_EQ(Count(harness.path(), "entry WHERE since <> 0 OR until <> 0"), 0);
  EXPECT_EQ(Count(harness.path(), "entry_apply"), 0);
  EXPECT_EQ(Count(harness.path(), "audit WHERE action = 'entry.apply' AND actor = 'uid 7'"), 449);
  EXPECT_EQ(Count(harness.path(), "audit WHERE action = 'entry.delete' AND target = 'gone' AND actor = 'uid 7'"), 1);
  EXPECT_THAT(harness.store().Check(), IsOk());
}

TEST(SqliteEntryApply, ItIsSeenWholeOrNotAtAllWhileItEnds) {
  SqliteHarness harness;
  uint64_t apply = 0;
  Stage(harness.store(), Many(1000), apply);
  std::atomic<bool> stop = false;
  std::atomic<int> half = 0;
  std::atomic<int> looks = 0;
  std::thread reader([&] {
    while (!stop) {
      const auto entries = harness.store().ListEntries();
      EXPECT_THAT(entries, IsOk());
      if (entries.ok() && !entries->empty() && entries->size() != 1000) ++half;
      ++looks;
    }
  });
  while (looks == 0) std::this_thread::yield();  // It is on its way before the end begins.
  uint64_t at = 0;
  const auto visit = [](EntryVerdict, const std::string&) {};
  const auto counts =
      harness.store().FinishApply(apply, {}, TestAudit("entry.apply"), {visit, [](uint64_t, uint64_t) {}}, &at);
  stop = true;
  reader.join();
  ASSERT_THAT(counts, IsOk());
  EXPECT_EQ(counts->created, 1000u);
  EXPECT_EQ(half, 0);
  EXPECT_GT(looks, 0);
}

TEST(SqliteEntryApply, ManyChangesHaveALineThatSaysHowMany) {
  SqliteHarness harness;
  uint64_t apply = 0;
  Stage(harness.store(), Many(300), apply);
  uint64_t at = 0;
  std::vector<uint64_t> done;
  const auto visit = [](EntryVerdict, const std::string&) {};
  ASSERT_THAT(harness.store().FinishApply(apply, {}, TestAudit("entry.apply"),
                                          {visit,
                                           [&](uint64_t now, uint64_t of) {
                                             EXPECT_EQ(of, 600u);
                                             done.push_back(now);
                                           }},
                                          &at),
              IsOk());
  EXPECT_EQ(Count(harness.path(), "audit WHERE action = 'entry.apply' AND target = '300 entries'"), 1);
  EXPECT_EQ(Count(harness.path(), "audit"), 301);
  EXPECT_TRUE(std::is_sorted(done.begin(), done.end()));
  EXPECT_EQ(done.back(), 600u);
}

TEST(SqliteEntryApply, AFewAreAtRestWhenItEnds) {
  SqliteHarness harness;
  uint64_t apply = 0;
  Stage(harness.store(), Many(20), apply);
  uint64_t at = 0;
  const auto visit = [](EntryVerdict, const std::string&) {};
  ASSERT_THAT(harness.store().FinishApply(apply, {}, TestAudit("entry.apply"), {visit, [](uint64_t, uint64_t) {}}, &at),
              IsOk());
  EXPECT_EQ(Count(harness.path(), "entry WHERE since = 0 AND until = 0"), 20);
  EXPECT_EQ(Count(harness.path(), "entry_apply"), 0);
  EXPECT_EQ(Count(harness.path(), "audit"), 20);
}

TEST(SqliteEntryApply, OneThatNobodyWentOnWithGivesWayAndIsToldSo) {
  SqliteHarness harness;
  harness.options().apply_silence_max = absl::ZeroDuration();
  ASSERT_TRUE(harness.Reopen());
  std::vector<uint64_t> open;
  for (int i = 0; i < 9; ++i) {
    const auto begun = harness.store().BeginApply();
    ASSERT_THAT(begun, IsOk()) << i;
    open.push_back(*begun);
  }
  size_t at = 0;
  EXPECT_THAT(harness.store().StageEntries(open.front(), Many(1), &at),
              StatusIs(absl::StatusCode::kAborted, testing::HasSubstr("nothing was changed")));
  EXPECT_THAT(harness.store().StageEntries(open.back(), Many(1), &at), IsOk());
}

TEST(SqliteEntryApply, NoMoreAreOpenThanOneServerCanHold) {
  SqliteHarness harness;
  std::vector<uint64_t> open;
  for (int i = 0; i < 8; ++i) open.push_back(*harness.store().BeginApply());
  EXPECT_THAT(harness.store().BeginApply(), StatusIs(absl::StatusCode::kResourceExhausted));
  harness.store().DropApply(open.front());
  EXPECT_THAT(harness.store().BeginApply(), IsOk());
}

}  // namespace
}  // namespace meshca::storage
