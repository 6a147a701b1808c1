// What every store answers when a rotation asks whose leaf has not been replaced yet.
#include <gmock/gmock.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "test/fakes/status_matchers.h"
#include "test/storage/conformance.h"

namespace meshca::storage {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

constexpr absl::string_view kOld = kIssuingA;  // under root "old"
constexpr absl::string_view kNew = kIssuingB;  // under root "new"

// One leaf of a case, in words. Its name is the last part of its SPIFFE ID's path and what `wanted` calls it by.
struct Leaf {
  const char* name;
  absl::string_view authority;
  std::string instance;
  int parent = -1;                               // index of an earlier leaf of the case
  absl::Duration issued = absl::ZeroDuration();  // after kTestNow
  absl::Duration ends = absl::Hours(24);
  std::string odd_parent = {};  // in place of `parent`
};

struct InventoryCase {
  const char* name;
  std::vector<Leaf> leaves;
  LeafQuery query;
  // Names, with the index of the leaf: "0 web".
  std::set<std::string> wanted;
};

LeafQuery ByRoot(const char* root) {
  LeafQuery query;
  query.alive_at = kTestNow;
  query.root_id = root;
  return query;
}

LeafQuery IssuedBefore(absl::Duration after_now) {
  LeafQuery query;
  query.alive_at = kTestNow;
  query.issued_before = kTestNow + after_now;
  return query;
}

std::vector<InventoryCase> InventoryCases() {
  const absl::Duration later = absl::Minutes(5);
  LeafQuery except = ByRoot("old");
  except.except_spiffe_id = "spiffe://cluster.local/ca";
  LeafQuery old_and_early = ByRoot("old");
  old_and_early.issued_before = kTestNow + later;
  LeafQuery half_second = ByRoot("old");
  half_second.alive_at = kTestNow + absl::Seconds(60) + absl::Milliseconds(1);
  return {
      {"NoLeafAtAll", {}, ByRoot("old"), {}},
      {"RootFilter", {{"web", kOld, ""}, {"db", kNew, ""}}, ByRoot("old"), {"0 web"}},
      {"TheOtherRoot", {{"web", kOld, ""}, {"db", kNew, ""}}, ByRoot("new"), {"1 db"}},
      {"UnknownRoot", {{"web", kOld, ""}}, ByRoot("none"), {}},
      {"AnyRootAnyTime",
       {{"web", kOld, "i"}, {"web", kNew, "i", 0}},
       IssuedBefore(absl::InfiniteDuration()),
       {"1 web"}},

      {"ByParent", {{"web", kOld, ""}, {"web", kNew, "", 0}}, ByRoot("old"), {}},
      {"ByParentOfAnotherId", {{"web", kOld, ""}, {"renamed", kNew, "", 0}}, ByRoot("old"), {"0 web"}},
      {"ByParentUnderTheSameRoot", {{"web", kOld, ""}, {"web", kOld, "", 0}}, ByRoot("old"), {"1 web"}},
      {"ByParentOfAParent", {{"web", kOld, ""}, {"web", kOld, "", 0}, {"web", kNew, "", 1}}, ByRoot("old"), {}},
      {"ParentThatIsNoSerial",
       {{"web", kOld, ""}, {"web", kNew, "", -1, {}, absl::Hours(1), "not hex"}},
       ByRoot("old"),
       {"0 web"}},

      {"ByInstanceAndId", {{"web", kOld, "pod-1"}, {"web", kNew, "pod-1"}}, ByRoot("old"), {}},
      {"EveryLeafOfTheInstance",
       {{"web", kOld, "pod-1"}, {"web", kOld, "pod-1"}, {"web", kNew, "pod-1"}},
       ByRoot("old"),
       {}},
      {"OlderOneOfTheInstanceUnderTheOtherRoot",
       {{"web", kNew, "pod-1"}, {"web", kOld, "pod-1", -1, later}},
       ByRoot("old"),
       {}},
      {"SameInstanceOtherId", {{"web", kOld, "pod-1"}, {"db", kNew, "pod-1"}}, ByRoot("old"), {"0 web"}},
      {"SameIdOtherInstance", {{"web", kOld, "pod-1"}, {"web", kNew, "pod-2"}}, ByRoot("old"), {"0 web"}},
      {"UnknownInstanceReplacesNothing", {{"web", kOld, ""}, {"web", kNew, ""}}, ByRoot("old"), {"0 web"}},
      {"KnownInstanceAndUnknown",
       {{"web", kOld, "pod-1"}, {"db", kOld, ""}, {"web", kNew, ""}, {"db", kNew, "pod-1"}},
       ByRoot("old"),
       {"0 web", "1 db"}},

      {"EndedLeafIsNotAskedFor", {{"web", kOld, "", -1, {}, -absl::Seconds(1)}}, ByRoot("old"), {}},
      {"AliveInItsLastSecond", {{"web", kOld, "", -1, {}, absl::ZeroDuration()}}, ByRoot("old"), {"0 web"}},
      {"EndsWithinTheSecond",
       {{"web", kOld, "", -1, {}, absl::Seconds(60)}, {"db", kOld, "", -1, {}, absl::Seconds(61)}},
       half_second,
       {"1 db"}},
      {"EndedReplacementByParent", {{"web", kOld, ""}, {"web", kNew, "", 0, {}, -absl::Seconds(1)}}, ByRoot("old"), {}},
      {"EndedReplacementByInstance",
       {{"web", kOld, "i"}, {"web", kNew, "i", -1, {}, -absl::Seconds(1)}},
       ByRoot("old"),
       {"0 web"}},

      {"IssuedBefore", {{"web", kOld, ""}, {"db", kNew, "", -1, later}}, IssuedBefore(later), {"0 web"}},
      {"IssuedBeforeToTheMicrosecond",
       {{"web", kOld, "", -1, later}, {"db", kOld, "", -1, later + absl::Microseconds(1)}},
       IssuedBefore(later + absl::Nanoseconds(500)),
       {"0 web"}},
      {"IssuedBeforeRenewedUnderTheSameRoot",
       {{"web", kOld, "i"}, {"web", kOld, "i", -1, later}, {"db", kOld, ""}, {"db", kOld, "", 2, later}},
       IssuedBefore(later),
       {}},
      {"IssuedBeforeRenewedTooEarly",
       {{"web", kOld, "i"}, {"web", kNew, "i", 0, later - absl::Microseconds(1)}},
       IssuedBefore(later),
       {"1 web"}},
      {"RootAndTime", {{"web", kOld, ""}, {"db", kOld, "", -1, later}}, old_and_early, {"0 web"}},
      {"RootAndTimeReplacedByParentAndByInstance",
       {{"web", kOld, "i"}, {"web", kOld, "i", 0, later}, {"db", kOld, "i"}, {"db", kNew, "i"}},
       old_and_early,
       {}},

      {"ExceptOneId", {{"ca", kOld, ""}, {"web", kOld, ""}}, except, {"1 web"}},
  };
}

// Appends the leaves of `c`, and answers what VisitUnreplaced visits.
std::vector<std::pair<std::string, LiveLeaf>> Visit(Store& store, const InventoryCase& c) {
  RecordMaker maker;
  std::vector<IssuanceRecord> records;
  for (const Leaf& leaf : c.leaves) {
    IssuanceRecord record = maker.Make(absl::StrCat("spiffe://cluster.local/", leaf.name), leaf.authority, leaf.ends);
    record.not_before = kTestNow - absl::Hours(1);
    record.issued_at = kTestNow + leaf.issued;
    record.instance = leaf.instance;
    record.node = "node-1";
    record.parent_serial = leaf.parent < 0 ? leaf.odd_parent : records[leaf.parent].serial.ToHex();
    EXPECT_THAT(AppendAndWait(store, record), IsOk());
    records.push_back(std::move(record));
  }
  std::vector<std::pair<std::string, LiveLeaf>> visited;
  EXPECT_THAT(store.VisitUnreplaced(c.query,
                                    [&](const LiveLeaf& leaf) {
                                      size_t index = 0;
                                      while (records.at(index).serial.ToHex() != leaf.serial) ++index;
                                      const std::string name = leaf.spiffe_id.substr(23);
                                      visited.emplace_back(absl::StrCat(index, " ", name), leaf);
                                      return true;
                                    }),
              IsOk());
  return visited;
}

TEST_P(StoreConformance, VisitsLeavesThatNothingReplaced) {
  for (const InventoryCase& c : InventoryCases()) {
    SCOPED_TRACE(c.name);
    harness_ = GetParam().make();
    ActivateUnderTwoRoots(store());
    std::set<std::string> names;
    for (const auto& [name, leaf] : Visit(store(), c)) EXPECT_TRUE(names.insert(name).second) << name << " twice";
    EXPECT_EQ(names, c.wanted);
  }
}

TEST_P(StoreConformance, AnUnreplacedLeafIsToldWhole) {
  ActivateUnderTwoRoots(store());
  const auto visited = Visit(store(), {"", {{"web", kOld, "pod-1"}}, ByRoot("old"), {}});
  ASSERT_THAT(visited, SizeIs(1));
  const LiveLeaf& leaf = visited[0].second;
  EXPECT_EQ(leaf.spiffe_id, "spiffe://cluster.local/web");
  EXPECT_EQ(leaf.instance, "pod-1");
  EXPECT_EQ(leaf.node, "node-1");
  EXPECT_EQ(leaf.caller, "jwt https://issuer.test sub=web");
  EXPECT_EQ(leaf.authority_id, kOld);
  EXPECT_EQ(leaf.issued_at, kTestNow);
  EXPECT_EQ(leaf.not_after, kTestNow + absl::Hours(24));
}

TEST_P(StoreConformance, AVisitedLeafSaysHowItsHolderProvedItselfAndWhatGaveItTheRight) {
  ActivateUnderTwoRoots(store());
  RecordMaker maker;
  IssuanceRecord record = maker.Make();
  record.method = AuthMethod::kPodCertificate;
  record.origin = {OriginKind::kPod, "web/front account-uid pod-uid pod-certificate-request"};
  record.instance = "pod web/front-1";
  ASSERT_THAT(AppendAndWait(store(), record), IsOk());
  std::vector<LiveLeaf> leaves;
  ASSERT_THAT(store().VisitUnreplaced(ByRoot("old"),
                                      [&](const LiveLeaf& leaf) {
                                        leaves.push_back(leaf);
                                        return true;
                                      }),
              IsOk());
  ASSERT_THAT(leaves, SizeIs(1));
  EXPECT_EQ(leaves[0].serial, record.serial.ToHex());
  EXPECT_EQ(leaves[0].method, AuthMethod::kPodCertificate);
  EXPECT_EQ(leaves[0].origin, record.origin);
  EXPECT_EQ(leaves[0].caller, record.caller);
  EXPECT_EQ(leaves[0].authority_id, record.authority_id);
  EXPECT_EQ(leaves[0].not_before, record.not_before);
  EXPECT_EQ(leaves[0].issued_at, record.issued_at);
  EXPECT_EQ(leaves[0].not_after, record.not_after);
}

TEST_P(StoreConformance, TheVisitStopsWhereItIsTold) {
  ActivateUnderTwoRoots(store());
  RecordMaker maker;
  for (int i = 0; i < 3; ++i) ASSERT_THAT(AppendAndWait(store(), maker.Make()), IsOk());
  int visited = 0;
  ASSERT_THAT(store().VisitUnreplaced(ByRoot("old"), [&](const LiveLeaf&) { return ++visited < 2; }), IsOk());
  EXPECT_EQ(visited, 2);
}

TEST_P(StoreConformance, AVisitMayWriteAndVisitAgain) {
  ActivateUnderTwoRoots(store());
  RecordMaker maker;
  const IssuanceRecord first = maker.Make();
  ASSERT_THAT(AppendAndWait(store(), first), IsOk());
  int inner = 0;
  ASSERT_THAT(store().VisitUnreplaced(ByRoot("old"),
                                      [&](const LiveLeaf&) {
                                        IssuanceRecord next = maker.Make(first.spiffe_id.uri(), kNew);
                                        next.parent_serial = first.serial.ToHex();
                                        EXPECT_THAT(AppendAndWait(store(), next), IsOk());
                                        EXPECT_THAT(store().VisitUnreplaced(ByRoot("old"),
                                                                            [&](const LiveLeaf&) { return ++inner; }),
                                                    IsOk());
                                        return true;
                                      }),
              IsOk());
  EXPECT_EQ(inner, 0) << "the one that came meanwhile is seen by the next visit";
}

}  // namespace
}  // namespace meshca::storage
