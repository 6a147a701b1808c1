// Which entries a node's agent gets, and what it is told when they change.
#include "ca/agents/node_entries.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/agents/entries_feed.h"

namespace meshca {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::IsNull;
using ::testing::NotNull;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

RegistrationEntry EntryFor(const std::string& id, std::vector<std::string> nodes, const std::string& path = "/web") {
  RegistrationEntry entry;
  entry.id = id;
  entry.spiffe_id = *SpiffeId::Parse(absl::StrCat("spiffe://td.test", path));
  entry.selectors = {"unix:uid:1000"};
  entry.nodes = std::move(nodes);
  return entry;
}

std::shared_ptr<const NodeEntries> State(uint64_t revision, NodeEntries::List list) {
  return std::make_shared<const NodeEntries>(revision, std::make_shared<const NodeEntries::List>(std::move(list)));
}

std::vector<std::string> Ids(const std::vector<const RegistrationEntry*>& entries) {
  std::vector<std::string> ids;
  for (const RegistrationEntry* entry : entries) ids.push_back(entry->id);
  return ids;
}

struct NodeCase {
  const char* name;
  std::vector<std::string> nodes;
  const char* node;
  bool served;
};

class EntryOfNode : public testing::TestWithParam<NodeCase> {};

TEST_P(EntryOfNode, IsServedWhereItNamesTheNode) {
  const auto state = State(1, {EntryFor("e", GetParam().nodes)});
  EXPECT_EQ(state->EntriesOf(GetParam().node).size(), GetParam().served ? 1u : 0u);
}

INSTANTIATE_TEST_SUITE_P(Table, EntryOfNode,
                         testing::Values(NodeCase{"WithoutNodesItIsTheCasOwn", {}, "web-1", false},
                                         NodeCase{"Named", {"web-1"}, "web-1", true},
                                         NodeCase{"Another", {"web-1"}, "web-10", false},
                                         NodeCase{"OneOfMany", {"db-1", "web-1"}, "web-1", true},
                                         NodeCase{"Pattern", {"web-*"}, "web-1", true},
                                         NodeCase{"PatternOfAnother", {"web-?"}, "web-10", false},
                                         NodeCase{"PatternBesideAName", {"db-*", "web-1"}, "web-1", true},
                                         NodeCase{"Everywhere", {"*"}, "web-1", true}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(NodeEntries, FindsByIdOnlyWhatAgentsServe) {
  const auto state = State(1, {EntryFor("own", {}), EntryFor("b", {"n"}), EntryFor("a", {"*"})});
  EXPECT_THAT(state->Find("own"), IsNull());
  EXPECT_THAT(state->Find("c"), IsNull());
  ASSERT_THAT(state->Find("b"), NotNull());
  EXPECT_EQ(state->Find("b")->id, "b");
  EXPECT_THAT(Ids(state->EntriesOf("n")), ElementsAre("a", "b"));
}

TEST(WholeOf, IsOnePartAlsoWhereThereIsNothing) {
  const EntriesUpdate update = WholeOf(State(7, {EntryFor("e", {"other"})}), "n");
  EXPECT_EQ(update.revision, 7u);
  ASSERT_THAT(update.parts, SizeIs(1));
  EXPECT_TRUE(update.parts[0].whole);
  EXPECT_TRUE(update.parts[0].complete);
  EXPECT_THAT(update.parts[0].put, IsEmpty());
}

TEST(WholeOf, SplitsALongListAndMarksItsEnds) {
  NodeEntries::List list;
  for (int i = 0; i < 50; ++i) list.push_back(EntryFor(absl::StrCat("e", i), {"n"}));
  const EntriesUpdate update = WholeOf(State(1, list), "n", /*part_bytes_max=*/1000);
  ASSERT_GT(update.parts.size(), 3u);
  std::set<std::string> seen;
  for (size_t i = 0; i < update.parts.size(); ++i) {
    EXPECT_EQ(update.parts[i].whole, i == 0);
    EXPECT_EQ(update.parts[i].complete, i + 1 == update.parts.size());
    EXPECT_LE(update.parts[i].put.size(), 1000u / 64);
    for (const RegistrationEntry* entry : update.parts[i].put) seen.insert(entry->id);
  }
  EXPECT_THAT(seen, SizeIs(50));
}

struct ChangeCase {
  const char* name;
  std::vector<RegistrationEntry> before;
  std::vector<RegistrationEntry> after;
  std::vector<std::string> put;
  std::vector<std::string> deleted;
};

RegistrationEntry WithHint(RegistrationEntry entry) {
  entry.hint = "internal";
  return entry;
}

class ChangeForNode : public testing::TestWithParam<ChangeCase> {};

TEST_P(ChangeForNode, IsWhatItsAgentIsTold) {
  const ChangeCase& param = GetParam();
  NodeEntriesChange change(State(1, param.before), State(2, param.after));
  const auto update = change.For("n");
  if (param.put.empty() && param.deleted.empty()) {
    EXPECT_THAT(update, IsNull());
    return;
  }
  ASSERT_THAT(update, NotNull());
  EXPECT_EQ(update->revision, 2u);
  ASSERT_THAT(update->parts, SizeIs(1));
  EXPECT_FALSE(update->parts[0].whole);
  EXPECT_TRUE(update->parts[0].complete);
  EXPECT_EQ(Ids(update->parts[0].put), param.put);
  EXPECT_EQ(update->parts[0].deleted, param.deleted);
}

INSTANTIATE_TEST_SUITE_P(
    Table, ChangeForNode,
    testing::Values(ChangeCase{"Nothing", {EntryFor("e", {"n"})}, {EntryFor("e", {"n"})}, {}, {}},
                    ChangeCase{"Created", {}, {EntryFor("e", {"n"})}, {"e"}, {}},
                    ChangeCase{"CreatedForAnother", {}, {EntryFor("e", {"m"})}, {}, {}},
                    ChangeCase{"CreatedByPattern", {}, {EntryFor("e", {"*"})}, {"e"}, {}},
                    ChangeCase{"Deleted", {EntryFor("e", {"n"})}, {}, {}, {"e"}},
                    ChangeCase{"Changed", {EntryFor("e", {"n"})}, {WithHint(EntryFor("e", {"n"}))}, {"e"}, {}},
                    ChangeCase{"AnotherNodeJoins", {EntryFor("e", {"n"})}, {EntryFor("e", {"m", "n"})}, {}, {}},
                    ChangeCase{"NamedInPlaceOfAPattern", {EntryFor("e", {"*"})}, {EntryFor("e", {"n"})}, {}, {}},
                    ChangeCase{"MovesAway", {EntryFor("e", {"n"})}, {EntryFor("e", {"m"})}, {}, {"e"}},
                    ChangeCase{"MovesHere", {EntryFor("e", {"m"})}, {EntryFor("e", {"n"})}, {"e"}, {}},
                    ChangeCase{"BecomesTheCasOwn", {EntryFor("e", {"n"})}, {EntryFor("e", {})}, {}, {"e"}},
                    ChangeCase{"Several",
                               {EntryFor("a", {"n"}), EntryFor("b", {"n"}), EntryFor("d", {"n"})},
                               {EntryFor("b", {"n"}), EntryFor("c", {"*"}), WithHint(EntryFor("d", {"n"}))},
                               // Those that are found by a pattern come after those that name the node.
                               {"d", "c"},
                               {"a"}}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(NodeEntriesChange, IsComputedOnceForNodesThatItAffectsAlike) {
  NodeEntriesChange change(State(1, {}), State(2, {EntryFor("all", {"web-*"}), EntryFor("one", {"web-7"})}));
  const auto first = change.For("web-1");
  EXPECT_EQ(first, change.For("web-2"));
  EXPECT_NE(first, change.For("web-7"));
  EXPECT_THAT(change.For("db-1"), IsNull());
}

class Told final : public EntriesFeed::Listener {
 public:
  void OnEntries(std::shared_ptr<const EntriesUpdate> update) override { updates.push_back(std::move(update)); }
  std::vector<std::shared_ptr<const EntriesUpdate>> updates;
};

TEST(EntriesFeed, TellsSubscribersOfAffectedNodesUntilTheyLeave) {
  EntriesFeed feed(absl::FromUnixMicros(1000));
  std::shared_ptr<const NodeEntries> state;
  const auto web = std::make_shared<Told>();
  const auto db = std::make_shared<Told>();
  EntriesFeed::Subscription web_subscription = feed.Subscribe("web-1", web, &state);
  EXPECT_EQ(state->revision(), 1000u);
  const EntriesFeed::Subscription db_subscription = feed.Subscribe("db-1", db, &state);
  feed.Update([] { return std::make_shared<const NodeEntries::List>(NodeEntries::List{EntryFor("e", {"web-1"})}); });
  ASSERT_THAT(web->updates, SizeIs(1));
  EXPECT_EQ(web->updates[0]->revision, 1001u);
  EXPECT_THAT(db->updates, IsEmpty());
  EXPECT_THAT(Ids(feed.Current()->EntriesOf("web-1")), UnorderedElementsAre("e"));
  web_subscription = {};
  feed.Update([] { return std::make_shared<const NodeEntries::List>(); });
  EXPECT_THAT(web->updates, SizeIs(1));
}

}  // namespace
}  // namespace meshca
