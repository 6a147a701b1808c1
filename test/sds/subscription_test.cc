// What a stream's answers prove, and what it is sent next.
#include "sds/subscription.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sds/discovery_request.h"

namespace meshca::sds {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr char kWeb[] = "spiffe://td.test/web";
const absl::Time kNow = absl::FromUnixSeconds(1767323045);

TrustDomain Own() { return *TrustDomain::Parse("td.test"); }

ResolvedName IdentityName(std::string name) { return {std::move(name), SecretKind::kIdentity, *SpiffeId::Parse(kWeb)}; }
ResolvedName BundleName(std::string name) { return {std::move(name), SecretKind::kBundle, {}}; }

SecretContent::Ptr Key(uint64_t generation, absl::Time not_after = kNow + absl::Hours(1)) {
  return SecretContent::OfIdentity({*SpiffeId::Parse(kWeb), absl::StrCat("0", generation),
                                    absl::StrCat("authority-", generation), not_after, generation},
                                   SecretBytes::CopyOf("key"), "chain");
}
Trust TrustAt(TrustVersion version) { return {version, {{Own(), {Der(absl::StrCat("root ", version))}, {}}}}; }
SecretContent::Ptr Bundle(TrustVersion version) {
  const Trust trust = TrustAt(version);
  return SecretContent::OfBundle(trust.domains.front(), version);
}

// A subscription with every name there, of which all was sent in the response 1.
class Sent {
 public:
  explicit Sent(const std::vector<std::pair<ResolvedName, SecretContent::Ptr>>& names) {
    for (const auto& [name, content] : names) subscription.Add(name, 0).Offer(content->Named(name.name));
    subscription.MarkSent(subscription.ComposeNext(kNow).resources, 1);
  }
  Subscription subscription;
};

std::vector<std::string> NamesOf(const Subscription::Next& next) {
  std::vector<std::string> names;
  for (const SecretSnapshot* resource : next.resources) names.push_back(resource->name());
  return names;
}

// --- What an acknowledgement proves
// -----------------------------------------------------------------------------------

struct ProofCase {
  const char* name;
  std::vector<std::pair<ResolvedName, SecretContent::Ptr>> sent;
  TrustVersion trust_version;
  uint64_t generation;     // 0: no key
  const char* version_of;  // the resource whose version_info stands for all
};

class SubscriptionProof : public testing::TestWithParam<ProofCase> {};

TEST_P(SubscriptionProof, IsOfWhatTheResponseHeld) {
  Sent sent(GetParam().sent);
  std::string version;
  for (const Subscription::Slot& slot : sent.subscription.slots()) {
    if (slot.name.name == GetParam().version_of) version = slot.sent->version();
  }
  const std::optional<Acknowledgement> held = sent.subscription.TakeAcknowledgement();
  ASSERT_TRUE(held.has_value());
  EXPECT_EQ(held->trust_version, GetParam().trust_version);
  EXPECT_EQ(held->generation, GetParam().generation);
  EXPECT_EQ(held->serial, GetParam().generation == 0 ? "" : absl::StrCat("0", GetParam().generation));
  EXPECT_EQ(held->authority_id, GetParam().generation == 0 ? "" : absl::StrCat("authority-", GetParam().generation));
  EXPECT_EQ(held->version_info, version);
  EXPECT_FALSE(sent.subscription.TakeAcknowledgement().has_value()) << "an answer counts once";
}

INSTANTIATE_TEST_SUITE_P(
    Subscription, SubscriptionProof,
    testing::Values(ProofCase{"ABundleProvesItsTrustVersion", {{BundleName("ROOTCA"), Bundle(7)}}, 7, 0, "ROOTCA"},
                    ProofCase{"AKeyProvesItsCertificate", {{IdentityName("default"), Key(3)}}, 0, 3, "default"},
                    ProofCase{"BothProveBothAndTheKeysVersionStands",
                              {{BundleName("ROOTCA"), Bundle(7)}, {IdentityName("default"), Key(3)}},
                              7,
                              3,
                              "default"},
                    ProofCase{"OfSeveralBundlesTheOlderCounts",
                              {{BundleName("ROOTCA"), Bundle(8)}, {BundleName("spiffe://td.test"), Bundle(7)}},
                              7,
                              0,
                              "spiffe://td.test"},
                    ProofCase{"OfSeveralKeysTheFirstCounts",
                              {{IdentityName("spiffe://td.test/web"), Key(3)},
                               {IdentityName("spiffe://td.test/api"), Key(4)}},
                              0,
                              3,
                              "spiffe://td.test/web"},
                    ProofCase{"DefaultCountsWhereverItStands",
                              {{IdentityName("spiffe://td.test/web"), Key(3)},
                               {IdentityName("default"), Key(4)},
                               {IdentityName("spiffe://td.test/api"), Key(5)}},
                              0,
                              4,
                              "default"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(Subscription, WhatWasNotSentIsNotAcknowledged) {
  Sent sent({{BundleName("ROOTCA"), Bundle(7)}});
  sent.subscription.OfferBundles(BundleSecrets(TrustAt(8)));
  const std::optional<Acknowledgement> held = sent.subscription.TakeAcknowledgement();
  ASSERT_TRUE(held.has_value());
  EXPECT_EQ(held->trust_version, 7u) << "8 waits to be sent";
}

TEST(Subscription, ARejectionLeavesNothingToAcknowledge) {
  Sent sent({{BundleName("ROOTCA"), Bundle(7)}});
  EXPECT_TRUE(sent.subscription.TakeRejection());
  EXPECT_FALSE(sent.subscription.TakeRejection());
  EXPECT_FALSE(sent.subscription.TakeAcknowledgement().has_value());
}

// --- Nonces
// -----------------------------------------------------------------------------------------------------------

struct NonceCase {
  const char* name;
  uint64_t last;  // 0: nothing was sent
  const char* nonce;
  Subscription::Answer answer;
};

class SubscriptionNonce : public testing::TestWithParam<NonceCase> {};

TEST_P(SubscriptionNonce, TellsWhatIsAnswered) {
  Subscription subscription;
  subscription.Add(BundleName("ROOTCA"), 0);
  if (GetParam().last != 0) subscription.MarkSent({}, GetParam().last);
  EXPECT_EQ(subscription.last_nonce(), GetParam().last);
  EXPECT_EQ(subscription.JudgeNonce(GetParam().nonce), GetParam().answer);
}

INSTANTIATE_TEST_SUITE_P(Subscription, SubscriptionNonce,
                         testing::Values(NonceCase{"NoneIsNoAnswer", 5, "", Subscription::Answer::kNone},
                                         NonceCase{"TheLastOneIsFresh", 5, "5", Subscription::Answer::kFresh},
                                         NonceCase{"AnEarlierOneIsStale", 5, "4", Subscription::Answer::kStale},
                                         NonceCase{"OneThatWasNeverSentIsStale", 5, "6", Subscription::Answer::kStale},
                                         NonceCase{"AnotherSpellingIsStale", 5, "05", Subscription::Answer::kStale},
                                         NonceCase{"OfAStreamBeforeThisOneIsNoAnswer", 0, "4",
                                                   Subscription::Answer::kNone}),
                         [](const auto& info) { return std::string(info.param.name); });

// --- What is sent next
// ------------------------------------------------------------------------------------------------

TEST(Subscription, TheFirstResponseWaitsUntilItIsWhole) {
  Subscription subscription;
  subscription.Add(BundleName("ROOTCA"), 0).Offer(Bundle(1)->Named("ROOTCA"));
  subscription.Add(IdentityName("default"), 0);
  EXPECT_TRUE(subscription.ComposeNext(kNow).waits);
  subscription.Find("default")->Offer(Key(1)->Named("default"));
  const Subscription::Next whole = subscription.ComposeNext(kNow);
  EXPECT_FALSE(whole.waits);
  EXPECT_TRUE(whole.due);
  EXPECT_THAT(NamesOf(whole), ElementsAre("ROOTCA", "default"));
}

TEST(Subscription, TheFirstResponseDoesNotWaitForAKeyThatCannotBeIssuedNow) {
  Subscription subscription;
  subscription.Add(BundleName("ROOTCA"), 0).Offer(Bundle(1)->Named("ROOTCA"));
  subscription.Add(IdentityName("default"), 0).may_wait = false;
  EXPECT_THAT(NamesOf(subscription.ComposeNext(kNow)), ElementsAre("ROOTCA"));
  EXPECT_FALSE(subscription.ComposeNext(kNow).waits);
}

TEST(Subscription, ALaterResponseWaitsForNothing) {
  Sent sent({{BundleName("ROOTCA"), Bundle(1)}});
  sent.subscription.Add(IdentityName("default"), 0);
  EXPECT_FALSE(sent.subscription.ComposeNext(kNow).waits);
}

TEST(Subscription, WhatWasSentAndIsUnansweredStandsInTheNextResponseInItsNewestForm) {
  Sent sent({{BundleName("ROOTCA"), Bundle(1)}, {IdentityName("default"), Key(1)}});
  EXPECT_FALSE(sent.subscription.ComposeNext(kNow).due) << "nothing is new";
  const auto newer = Key(2)->Named("default");
  sent.subscription.Find("default")->Offer(newer);
  const Subscription::Next next = sent.subscription.ComposeNext(kNow);
  EXPECT_TRUE(next.due);
  ASSERT_THAT(NamesOf(next), ElementsAre("ROOTCA", "default"));
  EXPECT_EQ(next.resources[1], newer.get());
}

TEST(Subscription, WhatWasAcknowledgedIsNotSentAgain) {
  Sent sent({{BundleName("ROOTCA"), Bundle(1)}, {IdentityName("default"), Key(1)}});
  sent.subscription.TakeAcknowledgement();
  EXPECT_THAT(NamesOf(sent.subscription.ComposeNext(kNow)), IsEmpty());
  sent.subscription.OfferBundles(BundleSecrets(TrustAt(2)));
  EXPECT_THAT(NamesOf(sent.subscription.ComposeNext(kNow)), ElementsAre("ROOTCA"));
}

TEST(Subscription, AKeyWhoseCertificateHasEndedIsNotSent) {
  Subscription subscription;
  subscription.Add(IdentityName("default"), 0).Offer(Key(1, kNow)->Named("default"));
  EXPECT_TRUE(subscription.ComposeNext(kNow - absl::Seconds(1)).due);
  const Subscription::Next next = subscription.ComposeNext(kNow);
  EXPECT_FALSE(next.due);
  EXPECT_FALSE(next.waits);
  EXPECT_THAT(NamesOf(next), IsEmpty());
}

TEST(Subscription, BundlesThatAreTheSameAreNotOfferedAgain) {
  const BundleSecrets bundles(TrustAt(1));
  Subscription subscription;
  subscription.Add(BundleName("ROOTCA"), 0).Offer(bundles.root_ca);
  subscription.MarkSent(subscription.ComposeNext(kNow).resources, 1);
  subscription.OfferBundles(bundles);
  EXPECT_FALSE(subscription.ComposeNext(kNow).due);
}

TEST(Subscription, AProxyWithoutAnythingIsOneThatHasNothingAndAwaitsNothing) {
  Subscription subscription;
  EXPECT_FALSE(subscription.HasOrAwaitsAnything());
  subscription.Add(IdentityName("default"), 0);
  EXPECT_TRUE(subscription.HasOrAwaitsAnything()) << "its key is being issued";
  subscription.Find("default")->may_wait = false;
  EXPECT_FALSE(subscription.HasOrAwaitsAnything());
  subscription.MarkSent({}, 1);
  EXPECT_TRUE(subscription.HasOrAwaitsAnything()) << "it was answered once";
}

// --- Names
// ------------------------------------------------------------------------------------------------------------

TEST(Subscription, CarriesWhatItHasSlotsFor) {
  Subscription subscription;
  subscription.Refuse("spiffe://td.test/other");
  EXPECT_FALSE(subscription.CarriesBundle() || subscription.CarriesKey()) << "what was refused is carried by nobody";
  subscription.Add(BundleName("ROOTCA"), 0);
  EXPECT_TRUE(subscription.CarriesBundle());
  EXPECT_FALSE(subscription.CarriesKey());
  subscription.Add(IdentityName("default"), 0);
  EXPECT_TRUE(subscription.CarriesKey());
}

TEST(Subscription, ANameThatEndsGivesBackItsCharge) {
  Subscription subscription;
  subscription.Add(BundleName("ROOTCA"), 700);
  subscription.Refuse("other");
  EXPECT_TRUE(subscription.IsRefused("other"));
  EXPECT_FALSE(subscription.IsRefused("ROOTCA"));
  EXPECT_EQ(subscription.Erase("never asked for"), 0u);
  EXPECT_EQ(subscription.Erase("other"), Subscription::kRefusedCharge);
  EXPECT_EQ(subscription.Erase("other"), 0u);
  EXPECT_EQ(subscription.Erase("ROOTCA"), 700u);
  EXPECT_EQ(subscription.Find("ROOTCA"), nullptr);
}

TEST(Subscription, NamesThatAreNotNamedAnyMoreEndAndGiveBackTheirCharge) {
  Subscription subscription;
  for (const char* name : {"a", "b", "c"}) subscription.Add(BundleName(name), 100);
  for (const char* name : {"x", "y", "z"}) subscription.Refuse(name);
  EXPECT_EQ(subscription.EraseOthers({"b", "y"}), 200 + 2 * Subscription::kRefusedCharge);
  ASSERT_EQ(subscription.slots().size(), 1u);
  EXPECT_EQ(subscription.slots().front().name.name, "b");
  EXPECT_EQ(subscription.refused(), 1u);
  EXPECT_TRUE(subscription.IsRefused("y"));
}

TEST(Subscription, NamesOfBothSortsCountForItsSize) {
  Subscription subscription;
  for (size_t i = 0; i < kNamesMax; ++i) {
    const std::string name = absl::StrCat("name-", i);
    i % 2 == 0 ? (void)subscription.Add(BundleName(name), 0) : subscription.Refuse(name);
  }
  EXPECT_TRUE(subscription.CheckSize().ok());
  subscription.Refuse("one more");
  EXPECT_TRUE(absl::IsInvalidArgument(subscription.CheckSize()));
  subscription.Erase("one more");
  subscription.Erase("name-0");
  EXPECT_TRUE(subscription.CheckSize().ok());
  subscription.Refuse(std::string(kNamesBytesMax, 'n'));
  EXPECT_TRUE(absl::IsInvalidArgument(subscription.CheckSize())) << "and their bytes";
}

TEST(Subscription, NewsOfALeaseFindTheSlotThatHoldsIt) {
  Subscription subscription;
  subscription.Add(BundleName("ROOTCA"), 0);
  subscription.Add(IdentityName("default"), 0).lease_number = 2;
  ASSERT_NE(subscription.FindLease(2), nullptr);
  EXPECT_EQ(subscription.FindLease(2)->name.name, "default");
  EXPECT_EQ(subscription.FindLease(1), nullptr) << "of a lease before";
}

}  // namespace
}  // namespace meshca::sds
