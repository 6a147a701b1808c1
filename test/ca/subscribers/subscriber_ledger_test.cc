// Who holds which trust, as tables: what happened, and what the ledger makes of it.
#include "ca/subscribers/subscriber_ledger.h"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meshca {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAreArray;

const absl::Time kStart = absl::UnixEpoch() + absl::Hours(480'000);
constexpr absl::Duration kLeafLifetime = absl::Hours(24);

SubscriberRecord ProxyInfo(const std::string& instance, const std::string& kind = "sds-unix") {
  SubscriberRecord info;
  info.instance = instance;
  info.spiffe_id = "spiffe://td.test/web";
  info.node = "node-1";
  info.kind = kind;
  info.peer = "pid 1 uid 2";
  return info;
}

// A ledger and the time as it passes for it. What is not said otherwise concerns the instance "i".
class Mesh {
 public:
  explicit Mesh(InstanceRoom::Limits limits = {1 << 20, 1 << 20})
      : ledger_(std::make_unique<SubscriberLedger>(kLeafLifetime, limits)), limits_(limits) {}

  SubscriberLedger& ledger() { return *ledger_; }
  Moment now() const { return now_; }
  void Pass(absl::Duration time) {
    now_.time += time;
    now_.since_boot += time;
  }
  // The server restarts: all it has is what was saved.
  void Restart() {
    ledger_->ChangeAcknowledged();
    for (SubscriberRecord& row : ledger_->TakeChanges(1000, now_.since_boot)) rows_[row.instance] = std::move(row);
    ledger_ = std::make_unique<SubscriberLedger>(kLeafLifetime, limits_);
    std::vector<SubscriberRecord> rows;
    for (const auto& [name, row] : rows_) rows.push_back(row);
    ledger_->Restore(std::move(rows));
    now_.since_boot = absl::Hours(1);
  }

  // A stream that was sent something.
  StreamId Stream(bool bundle, bool key, const std::string& instance = "i") {
    const StreamId id = *ledger_->Join(ProxyInfo(instance), nullptr, now_);
    ledger_->Send(id, absl::InfinitePast());
    ledger_->Carry(id, bundle, key);
    return id;
  }
  StreamId OfBundle() { return Stream(true, false); }
  StreamId OfKey() { return Stream(false, true); }
  void AckBundle(StreamId id, TrustVersion version) { ledger_->Acknowledge(id, {version, 0, "", "", "v"}, now_.time); }
  void AckKey(StreamId id, uint64_t generation, const std::string& authority) {
    ledger_->Acknowledge(id, {0, generation, std::to_string(generation), authority, "v"}, now_.time);
  }
  void Break(StreamId id) { ledger_->Leave(id, /*broken=*/true, now_); }
  void GiveUp(StreamId id) { ledger_->Leave(id, /*broken=*/false, now_); }
  void Fetch(std::optional<TrustVersion> bundle, uint64_t generation, const std::string& authority,
             const std::string& id = "spiffe://td.test/web", absl::Duration life = kLeafLifetime) {
    ASSERT_TRUE(ledger_->BeginFetch(ProxyInfo("i", "sds-fetch-unix"), now_).ok());
    Delivery delivery;
    delivery.trust_version = bundle;
    if (generation > 0) {
      delivery.keys = {{id, generation, std::to_string(generation), authority, "v", now_.time + life}};
    }
    ledger_->Deliver("i", delivery, now_.time);
    ledger_->EndFetch("i", now_.since_boot);
  }
  SubscriberLedger::Evictions Evict(const std::string& instance = "i") {
    return ledger_->Evict([&](const SubscriberRecord& record) { return record.instance == instance; }, now_);
  }
  // Takes everything that is to be saved; whose rows.
  std::vector<std::string> Save() {
    std::vector<std::string> names;
    for (const SubscriberRecord& row : ledger_->TakeChanges(1000, now_.since_boot)) names.push_back(row.instance);
    return names;
  }

 private:
  std::unique_ptr<SubscriberLedger> ledger_;
  const InstanceRoom::Limits limits_;
  Moment now_{kStart, absl::Hours(1)};
  std::map<std::string, SubscriberRecord> rows_;
};

using Story = std::function<void(Mesh&)>;

// What is known of the instance "i" after a story.
struct HoldingCase {
  const char* name;
  Story story;
  TrustVersion trust_version;
  std::string authority;
  bool takes_bundle;
  bool takes_key;
  bool connected;
  bool evicted;
};

class LedgerHolding : public testing::TestWithParam<HoldingCase> {};

TEST_P(LedgerHolding, IsWhatTheStorySays) {
  Mesh mesh;
  GetParam().story(mesh);
  const std::optional<SubscriberRecord> record = mesh.ledger().Find("i", mesh.now().since_boot);
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(record->trust_version, GetParam().trust_version);
  EXPECT_EQ(record->authority_id, GetParam().authority);
  EXPECT_EQ(record->takes_bundle, GetParam().takes_bundle);
  EXPECT_EQ(record->takes_key, GetParam().takes_key);
  EXPECT_EQ(record->connected, GetParam().connected);
  EXPECT_EQ(record->IsEvicted(), GetParam().evicted);
}

// Columns: trust version, authority of the key; takes a bundle, a key; connected, evicted.
INSTANTIATE_TEST_SUITE_P(Acknowledged, LedgerHolding,
                         testing::Values(HoldingCase{"NothingYet", [](Mesh& m) { m.OfBundle(); }, 0, "", true, false,
                                                     true, false},
                                         HoldingCase{"ByItsOnlyStream", [](Mesh& m) { m.AckBundle(m.OfBundle(), 5); },
                                                     5, "", true, false, true, false},
                                         HoldingCase{"BySlowestOfTwo",
                                                     [](Mesh& m) {
                                                       m.AckBundle(m.OfBundle(), 5);
                                                       m.AckBundle(m.OfBundle(), 4);
                                                     },
                                                     4, "", true, false, true, false},
                                         HoldingCase{"NotWhileOneOfTwoIsSilent",
                                                     [](Mesh& m) {
                                                       m.OfBundle();
                                                       m.AckBundle(m.OfBundle(), 5);
                                                     },
                                                     0, "", true, false, true, false},
                                         HoldingCase{"KeyOfTheSlowest",
                                                     [](Mesh& m) {
                                                       m.AckKey(m.OfKey(), 2, "new");
                                                       m.AckKey(m.OfKey(), 1, "old");
                                                     },
                                                     0, "old", false, true, true, false},
                                         HoldingCase{"BundleAndKeyEachByItsOwnStream",
                                                     [](Mesh& m) {
                                                       m.AckBundle(m.OfBundle(), 5);
                                                       m.AckKey(m.OfKey(), 1, "old");
                                                     },
                                                     5, "old", true, true, true, false},
                                         HoldingCase{"PartsLeftOutStayAsTheyWere",
                                                     [](Mesh& m) {
                                                       const StreamId both = m.Stream(true, true);
                                                       m.AckBundle(both, 5);
                                                       m.AckKey(both, 1, "old");
                                                     },
                                                     5, "old", true, true, true, false},
                                         HoldingCase{"WhatItNoLongerCarriesItNoLongerTakes",
                                                     [](Mesh& m) {
                                                       const StreamId both = m.Stream(true, true);
                                                       m.AckBundle(both, 5);
                                                       m.ledger().Carry(both, true, false);
                                                     },
                                                     5, "", true, false, true, false}),
                         [](const auto& info) { return std::string(info.param.name); });

INSTANTIATE_TEST_SUITE_P(Delivered, LedgerHolding,
                         testing::Values(HoldingCase{"BundleAndKey", [](Mesh& m) { m.Fetch(7, 1, "old"); }, 7, "old",
                                                     true, true, false, false},
                                         HoldingCase{"TheLastBundle",
                                                     [](Mesh& m) {
                                                       m.Fetch(7, 1, "old");
                                                       m.Fetch(8, 0, "");
                                                     },
                                                     8, "old", true, true, false, false},
                                         HoldingCase{"TheLastKeyOfAnIdentity",
                                                     [](Mesh& m) {
                                                       m.Fetch(7, 1, "old");
                                                       m.Fetch({}, 2, "new");
                                                     },
                                                     7, "new", true, true, false, false},
                                         HoldingCase{"TheOldestKeyOfSeveralIdentities",
                                                     [](Mesh& m) {
                                                       m.Fetch({}, 1, "old", "spiffe://td.test/api");
                                                       m.Fetch({}, 2, "new");
                                                     },
                                                     0, "old", false, true, false, false},
                                         HoldingCase{"NoKeyThatHasEnded",
                                                     [](Mesh& m) {
                                                       m.Fetch({}, 1, "old", "spiffe://td.test/api", absl::Hours(1));
                                                       m.Fetch({}, 2, "new");
                                                       m.Pass(absl::Hours(2));
                                                       m.ledger().ForgetEnded(m.now().time);
                                                     },
                                                     0, "new", false, true, false, false},
                                         HoldingCase{"AfterARestartTheSuccessorOfItsOwnKey",
                                                     [](Mesh& m) {
                                                       m.Fetch({}, 1, "old");
                                                       m.Restart();
                                                       m.Fetch({}, 1, "new");
                                                     },
                                                     0, "new", false, true, false, false},
                                         HoldingCase{"AfterARestartNoSuccessorOfAKeyThatMayBeAnothers",
                                                     [](Mesh& m) {
                                                       m.Fetch({}, 1, "old", "spiffe://td.test/api");
                                                       m.Restart();
                                                       m.Fetch({}, 1, "new");
                                                     },
                                                     0, "old", false, true, false, false}),
                         [](const auto& info) { return std::string(info.param.name); });

INSTANTIATE_TEST_SUITE_P(Remembered, LedgerHolding,
                         testing::Values(HoldingCase{"AsTheSlowestWhoseConnectionBroke",
                                                     [](Mesh& m) {
                                                       const StreamId fast = m.OfBundle(), slow = m.OfBundle();
                                                       m.AckBundle(fast, 5);
                                                       m.AckBundle(slow, 3);
                                                       m.Break(slow);
                                                       m.Break(fast);
                                                     },
                                                     3, "", true, false, false, false},
                                         HoldingCase{"ABrokenStreamCountsBesideTheOnesThatStand",
                                                     [](Mesh& m) {
                                                       const StreamId fast = m.OfKey(), slow = m.OfKey();
                                                       m.AckKey(fast, 2, "new");
                                                       m.AckKey(slow, 1, "old");
                                                       m.Break(slow);
                                                     },
                                                     0, "old", false, true, true, false},
                                         HoldingCase{"ASubscriptionGivenUpCountsNoMore",
                                                     [](Mesh& m) {
                                                       const StreamId fast = m.OfBundle(), slow = m.OfBundle();
                                                       m.AckBundle(fast, 5);
                                                       m.AckBundle(slow, 3);
                                                       m.GiveUp(slow);
                                                     },
                                                     5, "", true, false, true, false},
                                         HoldingCase{"TheLastOneGivenUpHasLeftWithWhatItHeld",
                                                     [](Mesh& m) {
                                                       const StreamId only = m.OfBundle();
                                                       m.AckBundle(only, 5);
                                                       m.GiveUp(only);
                                                       m.Pass(absl::Hours(1));
                                                     },
                                                     5, "", true, false, false, false},
                                         HoldingCase{"OverARestart",
                                                     [](Mesh& m) {
                                                       const StreamId both = m.Stream(true, true);
                                                       m.AckBundle(both, 5);
                                                       m.AckKey(both, 1, "old");
                                                       m.Restart();
                                                       m.Pass(absl::Hours(1));
                                                     },
                                                     5, "old", true, true, false, false}),
                         [](const auto& info) { return std::string(info.param.name); });

// A bundle stream and a key stream break, and the first of them is back.
StreamId BackWithOneOfTwo(Mesh& m) {
  const StreamId bundle = m.OfBundle(), key = m.OfKey();
  m.AckBundle(bundle, 5);
  m.AckKey(key, 1, "old");
  m.Break(bundle);
  m.Break(key);
  m.Pass(absl::Hours(1));
  return m.OfBundle();
}

INSTANTIATE_TEST_SUITE_P(Doubtful, LedgerHolding,
                         testing::Values(HoldingCase{"TheOtherStreamMayBeOnTheWay",
                                                     [](Mesh& m) {
                                                       BackWithOneOfTwo(m);
                                                       m.Pass(SubscriberInstance::kComeBack - absl::Seconds(1));
                                                     },
                                                     0, "old", true, true, true, false},
                                         HoldingCase{"ItHasHadTheTimeToComeBack",
                                                     [](Mesh& m) {
                                                       m.AckBundle(BackWithOneOfTwo(m), 6);
                                                       m.Pass(SubscriberInstance::kComeBack);
                                                     },
                                                     6, "old", true, false, true, false},
                                         HoldingCase{"ItCameBackAndCountsAsWhatItAcknowledges",
                                                     [](Mesh& m) {
                                                       m.AckBundle(BackWithOneOfTwo(m), 6);
                                                       m.AckKey(m.OfKey(), 2, "new");
                                                       m.Pass(SubscriberInstance::kComeBack);
                                                     },
                                                     6, "new", true, true, true, false},
                                         HoldingCase{"ASecondStreamDoesNotBeginTheMinuteAnew",
                                                     [](Mesh& m) {
                                                       BackWithOneOfTwo(m);
                                                       m.Pass(SubscriberInstance::kComeBack - absl::Seconds(1));
                                                       m.OfBundle();
                                                       m.Pass(absl::Seconds(1));
                                                     },
                                                     0, "old", true, false, true, false}),
                         [](const auto& info) { return std::string(info.param.name); });

// An instance that holds bundle 8 and a key, and is evicted; its stream does not know yet.
StreamId EvictedWhileConnected(Mesh& m) {
  const StreamId both = m.Stream(true, true);
  m.AckBundle(both, 8);
  m.AckKey(both, 1, "old");
  m.Evict();
  m.Pass(absl::Seconds(1));
  return both;
}

INSTANTIATE_TEST_SUITE_P(
    Evicted, LedgerHolding,
    testing::Values(HoldingCase{"HoldsNothing", [](Mesh& m) { EvictedWhileConnected(m); }, 0, "", true, true, false,
                                true},
                    HoldingCase{"WhatItsStreamStillSaysIsEvidenceOfNothing",
                                [](Mesh& m) {
                                  const StreamId stream = EvictedWhileConnected(m);
                                  m.AckBundle(stream, 9);
                                  m.AckKey(stream, 2, "new");
                                  m.ledger().Reject(stream, "no room", m.now().time);
                                  m.ledger().Carry(stream, false, false);
                                  m.Break(stream);
                                },
                                0, "", true, true, false, true},
                    HoldingCase{"WhoComesBackHasAcknowledgedNothing",
                                [](Mesh& m) {
                                  EvictedWhileConnected(m);
                                  m.OfBundle();
                                },
                                0, "", true, true, true, false},
                    HoldingCase{"AndCountsAsWhatItAcknowledgesThen",
                                [](Mesh& m) {
                                  EvictedWhileConnected(m);
                                  m.AckBundle(m.OfBundle(), 9);
                                },
                                9, "", true, true, true, false},
                    HoldingCase{"ADeliveryBringsItBackToo",
                                [](Mesh& m) {
                                  m.Fetch(7, 1, "old");
                                  m.Evict();
                                  m.Fetch(8, 0, "");
                                },
                                8, "", true, true, false, false},
                    HoldingCase{"AFetchThatBroughtNothingDoesNot",
                                [](Mesh& m) {
                                  m.Fetch(7, 1, "old");
                                  m.Evict();
                                  ASSERT_TRUE(m.ledger().BeginFetch(ProxyInfo("i", "sds-fetch-unix"), m.now()).ok());
                                  m.ledger().EndFetch("i", m.now().since_boot);
                                },
                                0, "", true, true, false, true},
                    HoldingCase{"StaysEvictedOverARestart",
                                [](Mesh& m) {
                                  EvictedWhileConnected(m);
                                  m.Restart();
                                },
                                0, "", true, true, false, true},
                    HoldingCase{"OneThatDidNotBecomeDurableIsTakenBack",
                                [](Mesh& m) {
                                  EvictedWhileConnected(m);
                                  EXPECT_EQ(m.ledger().TakeBackEvictions({"i", "nobody"}, kStart), 1u);
                                },
                                0, "", true, true, false, false},
                    HoldingCase{"OneThatWasSavedIsNotTakenBack",
                                [](Mesh& m) {
                                  EvictedWhileConnected(m);
                                  m.Save();
                                  EXPECT_EQ(m.ledger().TakeBackEvictions({"i"}, kStart), 0u);
                                },
                                0, "", true, true, false, true}),
    [](const auto& info) { return std::string(info.param.name); });

// Whose rows are to be saved after a story; what came before `then` is saved already.
struct ChangeCase {
  const char* name;
  Story before;
  Story then;
  std::vector<std::string> rows;
};

class LedgerChanges : public testing::TestWithParam<ChangeCase> {};

TEST_P(LedgerChanges, AreWhatIsToBeSavedAtOnce) {
  Mesh mesh;
  GetParam().before(mesh);
  mesh.ledger().ChangeAcknowledged();
  mesh.Save();
  ASSERT_FALSE(mesh.ledger().HasChanges());
  GetParam().then(mesh);
  EXPECT_EQ(mesh.ledger().HasChanges(), !GetParam().rows.empty());
  EXPECT_THAT(mesh.Save(), UnorderedElementsAreArray(GetParam().rows));
  EXPECT_THAT(mesh.Save(), IsEmpty()) << "each once";
}

// Streams are numbered in the order in which they begin.
constexpr StreamId kFirst{1};

INSTANTIATE_TEST_SUITE_P(
    Rows, LedgerChanges,
    testing::Values(ChangeCase{"NoneOfOneThatWasSentNothing",
                               [](Mesh&) {},
                               [](Mesh& m) {
                                 m.ledger().Carry(*m.ledger().Join(ProxyInfo("i"), nullptr, m.now()), true, true);
                               },
                               {}},
                    ChangeCase{"OneThatMayHoldSomething",
                               [](Mesh& m) { ASSERT_TRUE(m.ledger().Join(ProxyInfo("i"), nullptr, m.now()).ok()); },
                               [](Mesh& m) { m.ledger().Send(kFirst, absl::InfinitePast()); },
                               {"i"}},
                    ChangeCase{"NoneForWhatIsSentToOneThatMayHoldSomething",
                               [](Mesh& m) { m.OfBundle(); },
                               [](Mesh& m) { m.ledger().Send(kFirst, absl::InfinitePast()); },
                               {}},
                    ChangeCase{"ACertificateThatEndsLater",
                               [](Mesh& m) { m.OfBundle(); },
                               [](Mesh& m) { m.ledger().Send(kFirst, m.now().time); },
                               {"i"}},
                    ChangeCase{"NoneForWhatItCarriesAlready",
                               [](Mesh& m) { m.OfBundle(); },
                               [](Mesh& m) { m.ledger().Carry(kFirst, true, false); },
                               {}},
                    ChangeCase{"WhatItCarries",
                               [](Mesh& m) { m.OfBundle(); },
                               [](Mesh& m) { m.ledger().Carry(kFirst, true, true); },
                               {"i"}},
                    ChangeCase{"NoneForAnAcknowledgementAlone",
                               [](Mesh& m) { m.OfBundle(); },
                               [](Mesh& m) { m.AckBundle(kFirst, 5); },
                               {}},
                    ChangeCase{"AnAcknowledgementWhenItIsTime",
                               [](Mesh& m) { m.OfBundle(); },
                               [](Mesh& m) {
                                 m.AckBundle(kFirst, 5);
                                 m.ledger().ChangeAcknowledged();
                               },
                               {"i"}},
                    ChangeCase{"NoAcknowledgementTwice",
                               [](Mesh& m) { m.OfBundle(); },
                               [](Mesh& m) {
                                 m.AckBundle(kFirst, 5);
                                 m.ledger().Change({"i"});
                                 EXPECT_THAT(m.Save(), ElementsAre("i"));
                                 m.ledger().ChangeAcknowledged();
                               },
                               {}},
                    ChangeCase{"ARejection",
                               [](Mesh& m) { m.OfBundle(); },
                               [](Mesh& m) { m.ledger().Reject(kFirst, "no", m.now().time); },
                               {"i"}},
                    ChangeCase{"WhoLeaves", [](Mesh& m) { m.OfBundle(); }, [](Mesh& m) { m.Break(kFirst); }, {"i"}},
                    ChangeCase{"NoneOfAStreamThatHasLeft",
                               [](Mesh& m) {
                                 m.OfBundle();
                                 m.Break(kFirst);
                               },
                               [](Mesh& m) {
                                 m.AckBundle(kFirst, 9);
                                 m.Break(kFirst);
                                 m.ledger().ChangeAcknowledged();
                               },
                               {}},
                    ChangeCase{"ADelivery", [](Mesh&) {}, [](Mesh& m) { m.Fetch(7, 0, ""); }, {"i"}},
                    ChangeCase{"AnEvictionAndNobodyElse",
                               [](Mesh& m) {
                                 m.OfBundle();
                                 m.Stream(true, false, "other");
                               },
                               [](Mesh& m) { m.Evict(); },
                               {"i"}},
                    ChangeCase{"NoSecondEviction",
                               [](Mesh& m) {
                                 m.OfBundle();
                                 m.Evict();
                               },
                               [](Mesh& m) { EXPECT_THAT(m.Evict().instances, IsEmpty()); },
                               {}},
                    ChangeCase{"CertificatesThatEndSooner",
                               [](Mesh& m) { m.Fetch({}, 1, "old"); },
                               [](Mesh& m) { m.ledger().EndCertificates("i", m.now().time); },
                               {"i"}},
                    ChangeCase{"NoneForCertificatesThatEndLater",
                               [](Mesh& m) { m.Fetch({}, 1, "old"); },
                               [](Mesh& m) { m.ledger().EndCertificates("i", m.now().time + 2 * kLeafLifetime); },
                               {}},
                    ChangeCase{"WhatCouldNotBeSaved",
                               [](Mesh& m) { m.OfBundle(); },
                               [](Mesh& m) {
                                 m.ledger().Change({"i", "nobody"});
                               },
                               {"i"}},
                    ChangeCase{"NoneOfOneThatIsForgotten",
                               [](Mesh& m) { m.OfBundle(); },
                               [](Mesh& m) {
                                 m.Break(kFirst);
                                 m.Pass(kLeafLifetime);
                                 EXPECT_THAT(m.ledger().ForgetEnded(m.now().time), ElementsAre("i"));
                                 EXPECT_THAT(m.Save(), IsEmpty());
                               },
                               {}}),
    [](const auto& info) { return std::string(info.param.name); });

// Whether the instance "i" is forgotten after a story.
struct ForgettingCase {
  const char* name;
  Story story;
  bool forgotten;
};

class LedgerForgetting : public testing::TestWithParam<ForgettingCase> {};

TEST_P(LedgerForgetting, IsOfThoseWhoLeftAndHoldNothingThatLives) {
  Mesh mesh;
  GetParam().story(mesh);
  const std::vector<std::string> forgotten = mesh.ledger().ForgetEnded(mesh.now().time);
  EXPECT_EQ(forgotten.size(), GetParam().forgotten ? 1u : 0u);
  EXPECT_EQ(mesh.ledger().Knows("i"), !GetParam().forgotten);
}

// One that left with a certificate which ends an hour from its beginning.
void LeftWithACertificate(Mesh& m) {
  const StreamId stream = m.OfKey();
  m.ledger().Send(stream, m.now().time + absl::Hours(1));
  m.Break(stream);
}

INSTANTIATE_TEST_SUITE_P(Instances, LedgerForgetting,
                         testing::Values(ForgettingCase{"ConnectedNever",
                                                        [](Mesh& m) {
                                                          m.ledger().Send(m.OfKey(), m.now().time + absl::Hours(1));
                                                          m.Pass(absl::Hours(1000));
                                                        },
                                                        false},
                                         ForgettingCase{"WhileACertificateLives",
                                                        [](Mesh& m) {
                                                          LeftWithACertificate(m);
                                                          m.Pass(absl::Hours(1) - absl::Seconds(1));
                                                        },
                                                        false},
                                         ForgettingCase{"WhenItHasEnded",
                                                        [](Mesh& m) {
                                                          LeftWithACertificate(m);
                                                          m.Pass(absl::Hours(1));
                                                        },
                                                        true},
                                         ForgettingCase{"WhenItWasRevoked",
                                                        [](Mesh& m) {
                                                          LeftWithACertificate(m);
                                                          m.ledger().EndCertificates("i", absl::InfinitePast());
                                                        },
                                                        true},
                                         ForgettingCase{"WithoutOneWithinALifetime",
                                                        [](Mesh& m) {
                                                          m.Break(m.OfBundle());
                                                          m.Pass(kLeafLifetime - absl::Seconds(1));
                                                        },
                                                        false},
                                         ForgettingCase{"WithoutOneAfterALifetime",
                                                        [](Mesh& m) {
                                                          m.Break(m.OfBundle());
                                                          m.Pass(kLeafLifetime);
                                                        },
                                                        true},
                                         ForgettingCase{"NotWhileItFetches",
                                                        [](Mesh& m) {
                                                          LeftWithACertificate(m);
                                                          ASSERT_TRUE(
                                                              m.ledger().BeginFetch(ProxyInfo("i"), m.now()).ok());
                                                          m.Pass(absl::Hours(1000));
                                                        },
                                                        false},
                                         ForgettingCase{"EvictedWithItsCertificateToo",
                                                        [](Mesh& m) {
                                                          LeftWithACertificate(m);
                                                          m.Evict();
                                                          m.Pass(absl::Hours(1));
                                                        },
                                                        true}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(SubscriberLedger, OneThatWasSentNothingIsForgottenWhenItLeaves) {
  Mesh mesh;
  const StreamId stream = *mesh.ledger().Join(ProxyInfo("i"), nullptr, mesh.now());
  EXPECT_TRUE(mesh.ledger().Knows("i"));
  mesh.Break(stream);
  ASSERT_TRUE(mesh.ledger().BeginFetch(ProxyInfo("f", "sds-fetch-unix"), mesh.now()).ok());
  mesh.ledger().EndFetch("f", mesh.now().since_boot);
  EXPECT_THAT(mesh.ledger().List(mesh.now().since_boot), IsEmpty());
}

TEST(SubscriberLedger, WhoIsEvictedGetsItsNoticesBackAndNobodyElse) {
  Mesh mesh;
  std::multiset<std::string> told;
  for (const char* name : {"i", "i", "other"}) {
    ASSERT_TRUE(mesh.ledger()
                    .Join(
                        ProxyInfo(name), [&told, name] { told.insert(name); }, mesh.now())
                    .ok());
  }
  SubscriberLedger::Evictions evictions = mesh.Evict();
  EXPECT_THAT(told, IsEmpty()) << "the ledger calls nobody";
  for (EvictionNotice& notice : evictions.notices) std::move(notice)();
  EXPECT_THAT(told, ElementsAre("i", "i"));
  EXPECT_THAT(evictions.instances, ElementsAre("i"));
  EXPECT_EQ(evictions.were_connected, 1u);
  EXPECT_EQ(mesh.ledger().Stats().streams, 1u);
}

TEST(SubscriberLedger, AnEvictionIsWaitingThenTakenThenNeither) {
  Mesh mesh;
  mesh.OfBundle();
  mesh.Evict();
  const auto rows = [&](absl::Time evicted_at) { return mesh.ledger().RowsOf({"i", "nobody"}, evicted_at); };
  EXPECT_TRUE(rows(kStart).waiting);
  EXPECT_FALSE(rows(kStart - absl::Seconds(1)).waiting) << "that was another eviction";
  mesh.Save();
  EXPECT_FALSE(rows(kStart).waiting);
  EXPECT_TRUE(rows(kStart).taken_last);
  mesh.Stream(true, false, "other");
  mesh.Save();
  EXPECT_FALSE(rows(kStart).taken_last);
}

TEST(SubscriberLedger, RowsAreTakenInTheOrderOfTheirKeysOnceAcknowledgementsAreAmongThem) {
  Mesh mesh;
  std::vector<StreamId> streams;
  for (const char* name : {"c", "a", "b"}) streams.push_back(mesh.Stream(true, false, name));
  mesh.Save();
  for (const StreamId stream : streams) mesh.AckBundle(stream, 5);
  mesh.ledger().ChangeAcknowledged();
  const std::vector<SubscriberRecord> first = mesh.ledger().TakeChanges(2, mesh.now().since_boot);
  ASSERT_EQ(first.size(), 2u);
  EXPECT_EQ(first[0].instance, "a");
  EXPECT_EQ(first[1].instance, "b");
  EXPECT_THAT(mesh.Save(), ElementsAre("c"));
}

TEST(SubscriberLedger, UntilWhenItIsRememberedIsSavedBeforeItCanLeave) {
  Mesh mesh;
  const StreamId stream = mesh.Stream(true, true);
  mesh.ledger().Send(stream, mesh.now().time + absl::Hours(1));
  mesh.Save();
  mesh.ledger().Send(stream, mesh.now().time + absl::Hours(1));
  EXPECT_THAT(mesh.Save(), IsEmpty()) << "it is known already";
  mesh.ledger().Send(stream, mesh.now().time + absl::Hours(2));
  EXPECT_THAT(mesh.Save(), ElementsAre("i"));
}

// Limits: InstanceRoom has their numbers; here is who takes room.
TEST(SubscriberLedger, EvictedOnesTakeNoRoomAndNeedSomeToComeBack) {
  Mesh mesh({.per_principal = 8, .per_id = 2});
  const auto join = [&](const std::string& instance) {
    const absl::StatusOr<StreamId> stream = mesh.ledger().Join(ProxyInfo(instance), nullptr, mesh.now());
    if (stream.ok()) mesh.ledger().Send(*stream, absl::InfinitePast());
    return stream.status();
  };
  EXPECT_TRUE(join("a").ok());
  EXPECT_TRUE(join("b").ok());
  EXPECT_EQ(ReasonOf(join("c")), "TOO_MANY_INSTANCES");
  EXPECT_TRUE(join("a").ok()) << "one that is known has its room";
  EXPECT_EQ(ReasonOf(mesh.ledger().BeginFetch(ProxyInfo("f", "sds-fetch-unix"), mesh.now())), "TOO_MANY_INSTANCES");
  mesh.Evict("a");
  mesh.Pass(absl::Minutes(1));
  EXPECT_TRUE(join("c").ok());
  EXPECT_EQ(ReasonOf(join("a")), "TOO_MANY_INSTANCES");
  EXPECT_EQ(mesh.ledger().TakeBackEvictions({"a"}, kStart), 1u);
  EXPECT_TRUE(join("a").ok()) << "its eviction was none";
}

TEST(SubscriberLedger, AFetchHasItsRoomFromTheBeginning) {
  Mesh mesh({.per_principal = 8, .per_id = 1});
  ASSERT_TRUE(mesh.ledger().BeginFetch(ProxyInfo("f", "sds-fetch-unix"), mesh.now()).ok());
  EXPECT_FALSE(mesh.ledger().Join(ProxyInfo("i"), nullptr, mesh.now()).ok());
  mesh.ledger().EndFetch("f", mesh.now().since_boot);
  EXPECT_TRUE(mesh.ledger().Join(ProxyInfo("i"), nullptr, mesh.now()).ok()) << "it was given nothing";
}

// ---- Streams that cannot acknowledge: what was written to them counts when they are still open a minute later.

StreamId WorkloadStream(Mesh& mesh, Carried takes, DeliveryCheck check = nullptr, const std::string& instance = "i") {
  const StreamId id =
      *mesh.ledger().Join(ProxyInfo(instance, std::string(kWorkloadApiKind)), nullptr, mesh.now(), std::move(check));
  mesh.ledger().Send(id, absl::InfinitePast());
  mesh.ledger().Carry(id, takes);
  return id;
}
void WriteTrust(Mesh& mesh, StreamId id, TrustVersion version) {
  mesh.ledger().Write(id, {version, version, std::to_string(version), "authority", ""}, mesh.now().since_boot);
}
TrustVersion TrustOf(Mesh& mesh) { return mesh.ledger().Find("i", mesh.now().since_boot)->trust_version; }

TEST(Deliveries, WhatWasWrittenCountsOnceItIsDueAndNotBefore) {
  Mesh mesh;
  const StreamId id = WorkloadStream(mesh, {.bundle = true, .key = true});
  WriteTrust(mesh, id, 4);
  EXPECT_EQ(mesh.ledger().TakeDue(mesh.now()).next, mesh.now().since_boot + absl::Minutes(1));
  mesh.Pass(absl::Seconds(59));
  mesh.ledger().TakeDue(mesh.now());
  EXPECT_EQ(TrustOf(mesh), 0u);
  mesh.Pass(absl::Seconds(1));
  EXPECT_EQ(mesh.ledger().TakeDue(mesh.now()).next, absl::InfiniteDuration());
  const SubscriberRecord record = *mesh.ledger().Find("i", mesh.now().since_boot);
  EXPECT_EQ(record.trust_version, 4u);
  EXPECT_EQ(record.authority_id, "authority");
  EXPECT_EQ(record.delivered_at, mesh.now().time);
  EXPECT_EQ(record.acknowledged_at, absl::InfinitePast());
  EXPECT_EQ(mesh.ledger().Stats().delivered, 1u);
  EXPECT_EQ(mesh.ledger().Stats().acknowledged, 0u);
}

TEST(Deliveries, AStreamWithACheckIsAskedOnceAndCountsWhenItSaysSo) {
  Mesh mesh;
  int asked = 0;
  const StreamId id = WorkloadStream(mesh, {.bundle = true}, [&asked] { ++asked; });
  WriteTrust(mesh, id, 4);
  mesh.Pass(absl::Minutes(1));
  for (const DeliveryCheck& check : mesh.ledger().TakeDue(mesh.now()).checks) check();
  EXPECT_EQ(mesh.ledger().TakeDue(mesh.now()).checks.size(), 0u);
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(TrustOf(mesh), 0u);
  mesh.ledger().ConfirmDelivery(id, mesh.now().time);
  EXPECT_EQ(TrustOf(mesh), 4u);
  mesh.ledger().ConfirmDelivery(id, mesh.now().time);  // nothing more was written
  EXPECT_EQ(mesh.ledger().Stats().delivered, 1u);
}

TEST(Deliveries, AStreamThatIsWrittenToAllTheTimeComesToHoldSomethingAllTheSame) {
  Mesh mesh;
  const StreamId id = WorkloadStream(mesh, {.bundle = true});
  TrustVersion version = 0;
  for (int second = 0; second < 300; ++second) {
    WriteTrust(mesh, id, ++version);
    mesh.Pass(absl::Seconds(1));
    mesh.ledger().TakeDue(mesh.now());
    // Never what was written less than a minute ago, and from the second minute on something that was.
    if (TrustOf(mesh) > 0) {
      EXPECT_LE(TrustOf(mesh) + 60, version + 1);
    }
    if (second >= 60) {
      EXPECT_GE(TrustOf(mesh) + 121, version);
    }
  }
}

TEST(Deliveries, AStreamThatEndsOrIsEvictedHoldsNothingOfWhatWasNotDue) {
  Mesh mesh;
  const StreamId broken = WorkloadStream(mesh, {.bundle = true}, nullptr, "broken");
  const StreamId evicted = WorkloadStream(mesh, {.bundle = true}, nullptr, "evicted");
  WriteTrust(mesh, broken, 4);
  WriteTrust(mesh, evicted, 4);
  mesh.Break(broken);
  mesh.Evict("evicted");
  mesh.Pass(absl::Minutes(2));
  EXPECT_EQ(mesh.ledger().TakeDue(mesh.now()).next, absl::InfiniteDuration());
  mesh.ledger().ConfirmAllDeliveries(broken, mesh.now().time);
  for (const char* instance : {"broken", "evicted"}) {
    EXPECT_EQ(mesh.ledger().Find(instance, mesh.now().since_boot)->trust_version, 0u) << instance;
  }
}

TEST(Deliveries, WhoTookItAndLeftByItselfHoldsIt) {
  Mesh mesh;
  const StreamId id = WorkloadStream(mesh, {.bundle = true});
  WriteTrust(mesh, id, 4);
  WriteTrust(mesh, id, 5);
  mesh.ledger().ConfirmAllDeliveries(id, mesh.now().time);
  mesh.GiveUp(id);
  EXPECT_EQ(TrustOf(mesh), 5u);
  EXPECT_TRUE(mesh.ledger().Find("i", mesh.now().since_boot)->takes_bundle);
}

TEST(Deliveries, TheSlowestOfSeveralStreamsCountsAlsoOfThoseThatTakeJwtKeysAlone) {
  Mesh mesh;
  const StreamId one = WorkloadStream(mesh, {.jwt_keys = true}), two = WorkloadStream(mesh, {.jwt_keys = true});
  WriteTrust(mesh, one, 5);
  WriteTrust(mesh, two, 4);
  mesh.Pass(absl::Minutes(1));
  mesh.ledger().TakeDue(mesh.now());
  EXPECT_EQ(TrustOf(mesh), 4u);
  const SubscriberRecord record = *mesh.ledger().Find("i", mesh.now().since_boot);
  EXPECT_TRUE(record.takes_jwt_keys && !record.takes_bundle && !record.takes_key);
  mesh.Break(two);
  EXPECT_EQ(TrustOf(mesh), 4u) << "it still runs with what it had";
}

// ---- Processes that end.

constexpr ProcessName kProcess = {42, 7};

SubscriberRecord OfProcess(const std::string& instance, const std::string& kind = "sds-unix") {
  SubscriberRecord info = ProxyInfo(instance, kind);
  info.process = kProcess;
  return info;
}

class EndedProcess : public testing::Test {
 protected:
  StreamId Stream(const std::string& instance = "i") {
    const StreamId id = *mesh_.ledger().Join(OfProcess(instance), nullptr, mesh_.now());
    mesh_.ledger().Send(id, mesh_.now().time + absl::Hours(24));
    mesh_.ledger().Carry(id, true, true);
    return id;
  }
  void Leave(StreamId id) { mesh_.ledger().Leave(id, /*broken=*/true, mesh_.now()); }
  void End() { mesh_.ledger().EndProcess(kProcess, mesh_.now().since_boot); }
  std::vector<std::string> Known() {
    std::vector<std::string> names;
    for (const SubscriberRecord& record : mesh_.ledger().List(mesh_.now().since_boot)) names.push_back(record.instance);
    return names;
  }
  Mesh mesh_;
};

TEST_F(EndedProcess, ItsInstancesAreGoneAtOnce) {
  Leave(Stream("i"));
  Leave(Stream("other-node-id"));
  const StreamId other = *mesh_.ledger().Join(ProxyInfo("another-process"), nullptr, mesh_.now());
  mesh_.ledger().Send(other, absl::InfinitePast());
  EXPECT_THAT(Known(), SizeIs(3));
  EXPECT_TRUE(mesh_.ledger().HasProcess(kProcess));
  End();
  EXPECT_THAT(Known(), ElementsAre("another-process"));
  EXPECT_FALSE(mesh_.ledger().HasProcess(kProcess));
  EXPECT_THAT(mesh_.ledger().TakeForgotten(), testing::UnorderedElementsAre("i", "other-node-id"));
  EXPECT_THAT(mesh_.ledger().TakeForgotten(), IsEmpty());
  EXPECT_THAT(mesh_.ledger().TakeChanges(10, mesh_.now().since_boot), SizeIs(1)) << "none is saved again";
}

TEST_F(EndedProcess, TheEndOfItsStreamMayComeAMomentLater) {
  const StreamId first = Stream(), second = Stream();
  End();
  EXPECT_THAT(Known(), ElementsAre("i"));
  Leave(first);
  mesh_.Pass(SubscriberLedger::kLastWords);
  EXPECT_THAT(Known(), ElementsAre("i")) << "an open stream counts";
  Leave(second);
  EXPECT_THAT(Known(), IsEmpty());
  EXPECT_THAT(mesh_.ledger().TakeForgotten(), ElementsAre("i"));
}

TEST_F(EndedProcess, WhoHasItsConnectionCountsLikeAnyOther) {
  const StreamId stream = Stream();
  End();
  mesh_.Pass(SubscriberLedger::kLastWords + absl::Seconds(1));
  mesh_.ledger().Acknowledge(stream, {7, 1, "0a", "authority", "v"}, mesh_.now().time);
  Leave(stream);
  EXPECT_THAT(Known(), ElementsAre("i")) << "its holder may live on with what it has";
  End();
  EXPECT_THAT(Known(), ElementsAre("i"));
  EXPECT_THAT(mesh_.ledger().TakeForgotten(), IsEmpty());
}

TEST_F(EndedProcess, WhoComesByItsConnectionAfterwardsCountsLikeAnyOther) {
  const StreamId stream = Stream();
  End();
  const StreamId heir = *mesh_.ledger().Join(ProxyInfo("i"), nullptr, mesh_.now());  // whose process is not known
  mesh_.ledger().Send(heir, absl::InfinitePast());
  Leave(stream);
  Leave(heir);
  EXPECT_THAT(Known(), ElementsAre("i"));
}

TEST_F(EndedProcess, WhoFetchesInItsNameAfterItsLastWordsCountsLikeAnyOther) {
  const auto fetch = [&] {
    ASSERT_TRUE(mesh_.ledger().BeginFetch(OfProcess("f", "sds-fetch-unix"), mesh_.now()).ok());
    End();
    mesh_.ledger().Deliver("f", {.trust_version = 3, .version_info = "v", .keys = {}}, mesh_.now().time);
    mesh_.ledger().EndFetch("f", mesh_.now().since_boot);
  };
  fetch();
  EXPECT_THAT(Known(), IsEmpty());
  mesh_.Pass(SubscriberLedger::kLastWords);
  fetch();
  EXPECT_THAT(Known(), IsEmpty());
  mesh_.Pass(absl::Seconds(1));
  fetch();
  EXPECT_THAT(Known(), ElementsAre("f"));
}

TEST_F(EndedProcess, WhatItFetchedCountsNoMore) {
  for (const bool during_the_call : {false, true}) {
    ASSERT_TRUE(mesh_.ledger().BeginFetch(OfProcess("f", "sds-fetch-unix"), mesh_.now()).ok());
    mesh_.ledger().Deliver("f", {.trust_version = 3, .version_info = "v", .keys = {}}, mesh_.now().time);
    if (during_the_call) End();
    mesh_.ledger().EndFetch("f", mesh_.now().since_boot);
    if (!during_the_call) {
      EXPECT_THAT(Known(), ElementsAre("f"));
      End();
    }
    EXPECT_THAT(Known(), IsEmpty());
    EXPECT_THAT(mesh_.ledger().TakeForgotten(), ElementsAre("f"));
  }
}

TEST_F(EndedProcess, AfterARestartItIsKnownWhenItIsBack) {
  Leave(Stream());
  mesh_.Restart();
  End();
  EXPECT_THAT(Known(), ElementsAre("i")) << "the row does not say when its process began";
  Leave(Stream());
  End();
  EXPECT_THAT(Known(), IsEmpty());
}

TEST_F(EndedProcess, GivesItsRoomBack) {
  Mesh mesh({.per_principal = 8, .per_id = 1});
  const StreamId stream = *mesh.ledger().Join(OfProcess("i"), nullptr, mesh.now());
  mesh.ledger().Send(stream, absl::InfinitePast());
  mesh.ledger().Leave(stream, true, mesh.now());
  EXPECT_FALSE(mesh.ledger().Join(OfProcess("j"), nullptr, mesh.now()).ok());
  mesh.ledger().EndProcess(kProcess, mesh.now().since_boot);
  EXPECT_TRUE(mesh.ledger().Join(OfProcess("j"), nullptr, mesh.now()).ok());
}

}  // namespace
}  // namespace meshca
