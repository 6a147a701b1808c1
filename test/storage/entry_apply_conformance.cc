// Many registration entries at once: all of them or none, whatever they were before.
#include <gmock/gmock.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "test/fakes/status_matchers.h"
#include "test/storage/conformance.h"

namespace meshca::storage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

using Verdicts = std::map<std::string, EntryVerdict>;

struct Applied {
  absl::StatusOr<EntryApplyCounts> counts = EntryApplyCounts();
  Verdicts verdicts;
  uint64_t at = 99;
};

GivenEntry Given(absl::string_view id, absl::string_view selector, bool id_made = false) {
  return {TestEntry(id, selector), id_made};
}

Applied Apply(Store& store, const std::vector<GivenEntry>& given, EntryApplyOptions options = {}) {
  Applied applied;
  const absl::StatusOr<uint64_t> apply = store.BeginApply();
  EXPECT_THAT(apply, IsOk());
  size_t at = 0;
  const absl::Status staged = store.StageEntries(*apply, given, &at);
  if (!staged.ok()) {
    store.DropApply(*apply);
    applied.counts = staged;
    applied.at = at;
    return applied;
  }
  const auto visit = [&](EntryVerdict verdict, const std::string& id) { applied.verdicts[id] = verdict; };
  applied.counts =
      store.FinishApply(*apply, options, TestAudit("entry.apply"), {visit, [](uint64_t, uint64_t) {}}, &applied.at);
  return applied;
}

std::map<std::string, std::string> SelectorsOf(Store& store) {
  std::map<std::string, std::string> selectors;
  const auto entries = store.ListEntries();
  EXPECT_THAT(entries, IsOk());
  for (const RegistrationEntry& entry : *entries) selectors[entry.id] = entry.selectors[0];
  return selectors;
}

std::vector<std::string> Actions(Store& store) {
  std::vector<std::string> actions;
  EXPECT_THAT(store.ListAudit([&](const AuditEntry& entry) {
    actions.push_back(absl::StrCat(entry.action, " ", entry.target));
    return true;
  }),
              IsOk());
  return actions;
}

using Selectors = std::map<std::string, std::string>;

TEST_P(StoreConformance, AnApplyCreatesReplacesLeavesAloneAndDeletes) {
  for (const auto& [id, selector] :
       Selectors{{"same", "unix:uid:1"}, {"changed", "unix:uid:2"}, {"gone", "unix:uid:3"}}) {
    ASSERT_THAT(store().CreateEntry(TestEntry(id, selector), TestAudit("entry.create")), IsOk());
  }
  const std::vector<GivenEntry> given = {Given("same", "unix:uid:1"), Given("changed", "unix:uid:22"),
                                         Given("new", "unix:uid:4")};
  const Applied dry = Apply(store(), given, {.prune = true, .dry_run = true});
  ASSERT_THAT(dry.counts, IsOk());
  EXPECT_EQ(SelectorsOf(store()),
            (Selectors{{"same", "unix:uid:1"}, {"changed", "unix:uid:2"}, {"gone", "unix:uid:3"}}));

  const Applied applied = Apply(store(), given, {.prune = true});
  ASSERT_THAT(applied.counts, IsOk());
  EXPECT_EQ(applied.verdicts, (Verdicts{{"same", EntryVerdict::kUnchanged},
                                        {"changed", EntryVerdict::kReplaced},
                                        {"new", EntryVerdict::kCreated},
                                        {"gone", EntryVerdict::kDeleted}}));
  EXPECT_EQ(dry.verdicts, applied.verdicts);
  EXPECT_EQ(applied.counts->created + applied.counts->replaced + applied.counts->unchanged + applied.counts->deleted,
            4u);
  harness_->Reopen();
  EXPECT_EQ(SelectorsOf(store()),
            (Selectors{{"same", "unix:uid:1"}, {"changed", "unix:uid:22"}, {"new", "unix:uid:4"}}));
  std::vector<std::string> actions = Actions(store());
  actions.erase(actions.begin(), actions.begin() + 3);
  EXPECT_THAT(actions, testing::UnorderedElementsAre("entry.apply changed", "entry.apply new", "entry.delete gone"));
  EXPECT_THAT(store().Check(), IsOk());
}

TEST_P(StoreConformance, AnApplyWhoseIdsAreMadeKeepsTheIdsThatAreThere) {
  ASSERT_THAT(store().CreateEntry(TestEntry("mine", "unix:uid:1"), TestAudit("entry.create")), IsOk());
  GivenEntry given = Given("made", "unix:uid:1", /*id_made=*/true);
  EXPECT_EQ(Apply(store(), {given}).verdicts, (Verdicts{{"mine", EntryVerdict::kUnchanged}}));
  given.entry.ttl = absl::Minutes(7);
  EXPECT_EQ(Apply(store(), {given}).verdicts, (Verdicts{{"mine", EntryVerdict::kReplaced}}));
  ASSERT_THAT(*store().ListEntries(), SizeIs(1));
  EXPECT_EQ(store().ListEntries()->front().ttl, absl::Minutes(7));
}

TEST_P(StoreConformance, TwoEntriesOfAnApplyMayExchangeTheirRights) {
  ASSERT_THAT(Apply(store(), {Given("a", "unix:uid:1"), Given("b", "unix:uid:2")}).counts, IsOk());
  ASSERT_THAT(Apply(store(), {Given("a", "unix:uid:2"), Given("b", "unix:uid:1")}).counts, IsOk());
  EXPECT_EQ(SelectorsOf(store()), (Selectors{{"a", "unix:uid:2"}, {"b", "unix:uid:1"}}));
}

TEST_P(StoreConformance, AnApplyThatGivesRightsTwiceChangesNothingAndSaysWhich) {
  ASSERT_THAT(store().CreateEntry(TestEntry("there", "unix:uid:1"), TestAudit("entry.create")), IsOk());
  const Applied same_id = Apply(store(), {Given("x", "unix:uid:5"), Given("x", "unix:uid:6")});
  EXPECT_THAT(same_id.counts, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"x\"")));
  EXPECT_EQ(same_id.at, 1u);
  const Applied same_rights = Apply(store(), {Given("x", "unix:uid:5"), Given("y", "unix:uid:5")});
  EXPECT_THAT(same_rights.counts, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("same selectors")));
  EXPECT_EQ(same_rights.at, 1u);
  const Applied held = Apply(store(), {Given("x", "unix:uid:5"), Given("y", "unix:uid:1")});
  EXPECT_THAT(held.counts, StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("there")));
  EXPECT_EQ(held.at, 1u);
  EXPECT_EQ(SelectorsOf(store()), (Selectors{{"there", "unix:uid:1"}}));
  EXPECT_THAT(Apply(store(), {Given("y", "unix:uid:1")}, {.prune = true}).counts, IsOk()) << "its holder goes";
  EXPECT_EQ(SelectorsOf(store()), (Selectors{{"y", "unix:uid:1"}}));
}

TEST_P(StoreConformance, AnApplyThatIsDroppedOrBrokenOffLeavesNothing) {
  size_t at = 0;
  const uint64_t dropped = *store().BeginApply();
  ASSERT_THAT(store().StageEntries(dropped, std::vector<GivenEntry>{Given("a", "unix:uid:1")}, &at), IsOk());
  EXPECT_THAT(*store().ListEntries(), IsEmpty());
  store().DropApply(dropped);
  const uint64_t broken_off = *store().BeginApply();
  ASSERT_THAT(store().StageEntries(broken_off, std::vector<GivenEntry>{Given("a", "unix:uid:1")}, &at), IsOk());
  harness_->Reopen();
  EXPECT_THAT(*store().ListEntries(), IsEmpty());
  EXPECT_THAT(store().CreateEntry(TestEntry("a", "unix:uid:1"), TestAudit("entry.create")), IsOk());
  EXPECT_THAT(store().Prune(kTestNow, 1000), IsOk());
  EXPECT_EQ(SelectorsOf(store()), (Selectors{{"a", "unix:uid:1"}}));
}

TEST_P(StoreConformance, AnApplyOfThousandsIsWhole) {
  std::vector<GivenEntry> given;
  for (int i = 0; i < 3000; ++i) given.push_back(Given(absl::StrCat("e", i), absl::StrCat("unix:uid:", i)));
  EXPECT_EQ(Apply(store(), given).counts->created, 3000u);
  EXPECT_THAT(*store().ListEntries(), SizeIs(3000));
  for (GivenEntry& one : given) one.entry.ttl = absl::Minutes(3);
  given.resize(2500);
  EXPECT_EQ(Apply(store(), given, {.prune = true}).counts->deleted, 500u);
  const Applied again = Apply(store(), given);
  EXPECT_EQ(again.counts->unchanged, 2500u);
  EXPECT_EQ(again.counts->changes(), 0u);
  ASSERT_THAT(*store().ListEntries(), SizeIs(2500));
  const std::vector<RegistrationEntry> listed = *store().ListEntries();
  for (const RegistrationEntry& entry : listed) EXPECT_EQ(entry.ttl, absl::Minutes(3));
  EXPECT_THAT(store().Check(), IsOk());
}

}  // namespace
}  // namespace meshca::storage
