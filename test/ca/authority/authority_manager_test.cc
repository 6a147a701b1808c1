#include "ca/authority/authority_manager.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/authority/authority_rows.h"
#include "ca/authority/exported_authority.h"
#include "ca/authority/retire_not_before.h"
#include "ca/authority/rotation_change.h"
#include "ca/authority/settings.h"
#include "ca/authority/unrecorded_grace.h"
#include "ca/base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/authn/refuses.h"
#include "test/ca/authority/test_ca.h"
#include "test/fakes/counting_entropy.h"
#include "test/fakes/fake_clock.h"
#include "test/fakes/fake_key_store.h"
#include "test/fakes/forwarding_authority_store.h"
#include "test/fakes/memory_store.h"

namespace meshca {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr absl::Duration kDay = absl::Hours(24);
constexpr char kOwnId[] = "spiffe://cluster.local/meshca/server";

// A store that fails, lies or is overtaken at a moment the test chooses.
class FaultyStore final : public ForwardingAuthorityStore {
 public:
  absl::StatusOr<AuthoritiesAndBundle> LoadAuthorities() override {
    MESHCA_RETURN_IF_ERROR(load_error);
    MESHCA_ASSIGN_OR_RETURN(AuthoritiesAndBundle loaded, store.LoadAuthorities());
    if (tamper) tamper(loaded);
    return loaded;
  }
  absl::StatusOr<uint64_t> CommitAuthorities(const AuthorityChange& change) override {
    if (before_commit) std::exchange(before_commit, nullptr)();
    MESHCA_RETURN_IF_ERROR(commit_error);
    if (change.live_leaf_limit.has_value()) MESHCA_RETURN_IF_ERROR(CheckLimit(*change.live_leaf_limit));
    ++commits;
    auto revision = store.CommitAuthorities(change);
    if (crash_after_commit) return absl::UnavailableError("crashed");
    return revision;
  }
  absl::StatusOr<std::map<std::string, uint64_t>> CountLiveLeaves(absl::Time now) override {
    return live_leaves.empty() ? store.CountLiveLeaves(now) : live_leaves;
  }
  absl::Status PutSetting(absl::string_view name, absl::string_view value) override {
    ++settings_written;
    return store.PutSetting(name, value);
  }
  absl::Status PutSealedSetting(absl::string_view name, absl::string_view value) override {
    ++settings_written;
    return store.PutSealedSetting(name, value);
  }

  MemoryStore store;
  absl::Status load_error, commit_error;
  std::function<void(AuthoritiesAndBundle&)> tamper;
  std::function<void()> before_commit;
  std::map<std::string, uint64_t> live_leaves;
  std::map<std::string, uint64_t> own_leaves;  // how many of them have kOwnId
  bool crash_after_commit = false;
  int commits = 0;
  int settings_written = 0;

 private:
  // By `live_leaves`, where they are set.
  absl::Status CheckLimit(const LiveLeafLimit& limit) const {
    for (auto [id, count] : live_leaves) {
      const std::vector<std::string>& left_out = limit.not_counted;
      if (std::find(left_out.begin(), left_out.end(), id) != left_out.end()) continue;
      if (const auto own = own_leaves.find(id); limit.own_spiffe_id == kOwnId && own != own_leaves.end()) {
        count -= own->second;
      }
      if (count > 0) return WithReason(absl::FailedPreconditionError("alive"), kLeavesLive);
    }
    return absl::OkStatus();
  }

  AuthorityStore& inner() override { return store; }
};

class AuthorityManagerTest : public testing::Test {
 protected:
  AuthorityManagerTest() {
    options_.trust_domain = TrustDomain::Parse("cluster.local").value();
    options_.root_lifetime = 1000 * kDay;
    options_.issuing_lifetime = 80 * kDay;
    options_.leaf_lifetime_max = 20 * kDay;
  }

  std::unique_ptr<AuthorityManager> Make() {
    auto manager = AuthorityManager::Create(options_, store_, keys_, clock_, entropy_);
    EXPECT_TRUE(manager.ok()) << manager.status();
    (*manager)->AddListener([this](const std::shared_ptr<const AuthoritySnapshot>& s) { published_.push_back(s); });
    return *std::move(manager);
  }
  std::unique_ptr<AuthorityManager> MakeStarted() {
    auto manager = Make();
    absl::Status started = manager->Start();
    EXPECT_TRUE(started.ok()) << started;
    return manager;
  }
  absl::Time Tick(AuthorityManager& manager) { return manager.Tick(clock_.Now()); }
  // As the maintenance thread would: every six hours.
  void Pass(AuthorityManager& manager, absl::Duration duration) {
    for (absl::Duration done; done < duration; done += absl::Hours(6)) {
      clock_.Advance(absl::Hours(6));
      Tick(manager);
    }
  }
  // Of the newest entry of that action; "" for none.
  std::string DetailOf(absl::string_view action) {
    std::string detail;
    EXPECT_TRUE(store_.store
                    .ListAudit([&](const AuditEntry& entry) {
                      if (entry.action == action) detail = entry.detail;
                      return true;
                    })
                    .ok());
    return detail;
  }
  std::vector<std::string> AuditedActions() {
    std::vector<std::string> actions;
    EXPECT_TRUE(store_.store
                    .ListAudit([&](const AuditEntry& entry) {
                      actions.push_back(entry.action);
                      return true;
                    })
                    .ok());
    return actions;
  }

  FakeClock clock_;
  CountingEntropy entropy_;
  FaultyStore store_;
  FakeKeyStore keys_;
  AuthorityOptions options_;
  std::vector<std::shared_ptr<const AuthoritySnapshot>> published_;
};

// What must hold of every snapshot that signs.
void ExpectWhole(const AuthoritySnapshot& snapshot) {
  ASSERT_NE(snapshot.issuing, nullptr);
  ASSERT_NE(snapshot.issuing->key, nullptr);
  EXPECT_EQ(snapshot.issuing->key->public_key().sha256_hex(), snapshot.issuing->id);
  ASSERT_FALSE(snapshot.chain_tail.empty());
  EXPECT_EQ(snapshot.chain_tail.front(), snapshot.issuing->certificate);
  EXPECT_EQ(snapshot.chain_tail_pem.size(), snapshot.chain_tail.size());
  const Certificate& root = snapshot.bundle->roots.front();
  EXPECT_EQ(snapshot.issuing->root_id, root.spki_sha256_hex());
  EXPECT_TRUE(snapshot.chain_tail.back().VerifiesUnder(root).ok());
  EXPECT_EQ(snapshot.roots_pem, snapshot.bundle->ToPem());
  for (const SigningAuthority& authority : snapshot.authorities) EXPECT_EQ(authority.key, nullptr);
}

TEST_F(AuthorityManagerTest, FirstStartMakesRootAndIssuingAuthority) {
  auto manager = MakeStarted();
  auto snapshot = manager->Current();
  ExpectWhole(*snapshot);
  EXPECT_EQ(manager->LastError(), "");
  EXPECT_THAT(published_, ElementsAre(snapshot));
  EXPECT_EQ(snapshot->bundle->sequence_number, 1u);
  EXPECT_THAT(snapshot->authorities, SizeIs(2));
  const Certificate& root = snapshot->bundle->roots.front();
  EXPECT_TRUE(root.IsSelfSigned());
  EXPECT_EQ(root.path_len(), std::nullopt);
  EXPECT_EQ(root.spiffe_id()->uri(), "spiffe://cluster.local");
  EXPECT_EQ(root.validity().not_after, clock_.Now() + 1000 * kDay);
  EXPECT_EQ(snapshot->issuing->certificate.path_len(), 0);
  EXPECT_EQ(snapshot->issuing->certificate.validity().not_after, clock_.Now() + 80 * kDay);
  EXPECT_THAT(AuditedActions(), ElementsAre("authority.activate", "root.activate", "jwt.activate"));
}

TEST_F(AuthorityManagerTest, KeysAreSealedInTheStore) {
  MakeStarted();
  auto stored = store_.store.LoadAuthorities().value();
  ASSERT_THAT(stored.authorities, SizeIs(2));
  for (const StoredAuthority& row : stored.authorities) {
    EXPECT_EQ(row.key_reference, "sealed");
    EXPECT_EQ(OpenKey(keys_, row).value()->public_key().sha256_hex(), row.id);
    EXPECT_FALSE(SoftwareKey::FromPkcs8Der(row.sealed_key).ok());
    // Bound to its place: the same bytes under another role open nowhere.
    StoredAuthority moved = row;
    moved.role = row.role == AuthorityRole::kRoot ? AuthorityRole::kIssuing : AuthorityRole::kRoot;
    EXPECT_EQ(OpenKey(keys_, moved).status().code(), absl::StatusCode::kDataLoss);
  }
}

TEST_F(AuthorityManagerTest, RestartLoadsTheSame) {
  auto before = MakeStarted()->Current();
  clock_.Advance(kDay);
  auto manager = MakeStarted();
  ExpectWhole(*manager->Current());
  EXPECT_EQ(manager->Current()->issuing->id, before->issuing->id);
  EXPECT_EQ(manager->Current()->roots_pem, before->roots_pem);
  EXPECT_EQ(manager->Current()->revision, before->revision);
  EXPECT_EQ(store_.commits, 1);
}

TEST_F(AuthorityManagerTest, IssuingAuthorityIsRenewedWithANewKeyBeforeALeafCouldOutliveIt) {
  auto manager = MakeStarted();
  auto first = manager->Current();
  const absl::Time first_ends = first->issuing->certificate.validity().not_after;
  while (manager->Current()->issuing->id == first->issuing->id) {
    ASSERT_GE(first_ends - clock_.Now(), options_.leaf_lifetime_max) << "a leaf signed now would be cut short";
    Pass(*manager, absl::Hours(6));
  }
  auto second = manager->Current();
  ExpectWhole(*second);
  EXPECT_GT(second->revision, first->revision);
  EXPECT_EQ(second->bundle->sequence_number, 1u) << "the roots did not change, so nor may the bundle";
  EXPECT_THAT(published_, ElementsAre(first, second));
  std::map<std::string, AuthorityState> states;
  for (const SigningAuthority& authority : second->authorities) states[authority.id] = authority.state;
  EXPECT_EQ(states[first->issuing->id], AuthorityState::kOld);
  EXPECT_EQ(states[second->issuing->id], AuthorityState::kActive);

  Pass(*manager, first_ends - clock_.Now() + kDay);
  auto stored = store_.store.LoadAuthorities().value();
  for (const StoredAuthority& row : stored.authorities) {
    if (row.id != first->issuing->id) continue;
    EXPECT_EQ(row.state, AuthorityState::kRetired);
    EXPECT_EQ(row.sealed_key, "") << "a retired key is only something to steal";
  }
}

TEST_F(AuthorityManagerTest, EndsWithTheRootAndSaysSoInTime) {
  auto manager = MakeStarted();
  Pass(*manager, 890 * kDay);
  EXPECT_EQ(manager->LastError(), "");
  Pass(*manager, 50 * kDay);
  EXPECT_THAT(manager->LastError(), HasSubstr("meshca root rotate"));
  int commits = store_.commits;
  ASSERT_NE(manager->Current()->issuing, nullptr);
  Pass(*manager, 50 * kDay);
  EXPECT_LE(store_.commits, commits + 3) << "it renewed again and again at the root's end";
  Pass(*manager, 20 * kDay);
  EXPECT_EQ(manager->Current()->issuing, nullptr);
  EXPECT_THAT(manager->LastError(), HasSubstr("cannot sign"));
}

TEST_F(AuthorityManagerTest, CrashBetweenCommitAndPublicationIsMendedAtTheNextStart) {
  {
    auto manager = Make();
    store_.crash_after_commit = true;
    EXPECT_EQ(manager->Start().code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(manager->Current(), nullptr) << "published what was not known to be written";
  }
  store_.crash_after_commit = false;
  auto manager = MakeStarted();
  ExpectWhole(*manager->Current());
  EXPECT_EQ(store_.commits, 1) << "the second start made other authorities";
}

TEST_F(AuthorityManagerTest, LostAnswerToARenewalIsFoundByTheNextTick) {
  auto manager = MakeStarted();
  auto before = manager->Current();
  clock_.Advance(55 * kDay);
  store_.crash_after_commit = true;
  Tick(*manager);
  EXPECT_EQ(manager->Current()->issuing->id, before->issuing->id);
  EXPECT_THAT(manager->LastError(), HasSubstr("crashed"));
  store_.crash_after_commit = false;
  Tick(*manager);
  ExpectWhole(*manager->Current());
  EXPECT_NE(manager->Current()->issuing->id, before->issuing->id);
  EXPECT_EQ(manager->LastError(), "");
  EXPECT_EQ(store_.commits, 2) << "the renewal was done twice";
}

TEST_F(AuthorityManagerTest, OfTwoServersOnAFreshStoreOneMakesTheRoot) {
  auto first = Make();
  auto second = Make();
  store_.before_commit = [&] { ASSERT_TRUE(second->Start().ok()); };
  ASSERT_TRUE(first->Start().ok());
  ExpectWhole(*first->Current());
  EXPECT_EQ(first->Current()->issuing->id, second->Current()->issuing->id);
  EXPECT_EQ(first->Current()->roots_pem, second->Current()->roots_pem);
}

TEST_F(AuthorityManagerTest, OfTwoServersThatRenewOneWinsAndTheOtherFollows) {
  auto first = MakeStarted();
  auto second = MakeStarted();
  clock_.Advance(55 * kDay);
  store_.before_commit = [&] { Tick(*second); };
  Tick(*first);
  EXPECT_EQ(first->LastError(), "");
  EXPECT_EQ(first->Current()->issuing->id, second->Current()->issuing->id);
  EXPECT_EQ(first->Current()->revision, 2u);
}

TEST_F(AuthorityManagerTest, OtherTrustDomainIsRefusedWithBothNames) {
  MakeStarted();
  options_.trust_domain = TrustDomain::Parse("other.test").value();
  auto manager = Make();
  absl::Status status = manager->Start();
  EXPECT_THAT(status, Refuses(absl::StatusCode::kFailedPrecondition, "TRUST_DOMAIN_MISMATCH", "cluster.local"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("other.test"));
}

TEST_F(AuthorityManagerTest, WrongKeyEncryptionKeyIsDataLoss) {
  MakeStarted();
  keys_.UseLetter('x');
  auto manager = Make();
  EXPECT_THAT(manager->Start(), Refuses(absl::StatusCode::kDataLoss, "SEALED_KEY_BROKEN", "key-encryption key"));
}

struct TamperCase {
  const char* name;
  std::function<void(AuthoritiesAndBundle&)> tamper;
  const char* words;
};

StoredAuthority& RowOf(AuthoritiesAndBundle& state, AuthorityRole role) {
  for (StoredAuthority& row : state.authorities) {
    if (row.role == role) return row;
  }
  MESHCA_CHECK(false);
}

class TamperedStore : public AuthorityManagerTest, public testing::WithParamInterface<TamperCase> {};

TEST_P(TamperedStore, IsDataLoss) {
  MakeStarted();
  store_.tamper = GetParam().tamper;
  auto manager = Make();
  EXPECT_THAT(manager->Start(), Refuses(absl::StatusCode::kDataLoss, ReasonOf(manager->Start()), GetParam().words));
  EXPECT_EQ(manager->Current(), nullptr);
}

INSTANTIATE_TEST_SUITE_P(
    Rows, TamperedStore,
    testing::Values(
        TamperCase{"CertificateIsJunk",
                   [](AuthoritiesAndBundle& s) { RowOf(s, AuthorityRole::kRoot).chain_der = {"junk"}; },
                   "stored certificate"},
        TamperCase{"NoCertificate",
                   [](AuthoritiesAndBundle& s) { RowOf(s, AuthorityRole::kIssuing).chain_der.clear(); }, "not its own"},
        TamperCase{"AnothersCertificate",
                   [](AuthoritiesAndBundle& s) {
                     RowOf(s, AuthorityRole::kIssuing).chain_der = RowOf(s, AuthorityRole::kRoot).chain_der;
                   },
                   "not its own"},
        TamperCase{"SealedKeyChanged",
                   [](AuthoritiesAndBundle& s) { RowOf(s, AuthorityRole::kIssuing).sealed_key.back() ^= 1; },
                   "does not open"},
        TamperCase{"AnothersSealedKey",
                   [](AuthoritiesAndBundle& s) {
                     RowOf(s, AuthorityRole::kIssuing).sealed_key = RowOf(s, AuthorityRole::kRoot).sealed_key;
                   },
                   "does not open"},
        TamperCase{"NoBundle", [](AuthoritiesAndBundle& s) { s.bundle.reset(); }, "no trust bundle"},
        TamperCase{"ForeignRootInTheBundle",
                   [](AuthoritiesAndBundle& s) {
                     TestCertificate spec;
                     spec.not_before = absl::FromUnixSeconds(0);
                     spec.not_after = absl::FromUnixSeconds(4000000000);
                     s.bundle->roots_der = {MakeTestCa(spec).certificate().der().bytes()};
                   },
                   "not the first of trust bundle 1"},
        TamperCase{"TwoActive",
                   [](AuthoritiesAndBundle& s) { s.authorities.push_back(RowOf(s, AuthorityRole::kIssuing)); },
                   "two issuing authorities are active"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_F(AuthorityManagerTest, StoreAwayKeepsWhatWasPublished) {
  auto manager = MakeStarted();
  auto before = manager->Current();
  store_.load_error = absl::UnavailableError("disk full");
  store_.commit_error = store_.load_error;
  clock_.Advance(55 * kDay);
  absl::Time next = Tick(*manager);
  EXPECT_EQ(manager->Current(), before);
  EXPECT_THAT(manager->LastError(), HasSubstr("disk full"));
  EXPECT_LE(next, clock_.Now() + absl::Seconds(5));
  store_.load_error = store_.commit_error = absl::OkStatus();
  Tick(*manager);
  EXPECT_NE(manager->Current()->issuing->id, before->issuing->id);
  EXPECT_EQ(manager->LastError(), "");
}

TEST_F(AuthorityManagerTest, ClockThatWentBackwardsStopsSigningUntilItIsRight) {
  auto manager = MakeStarted();
  const absl::Time then = clock_.Now();
  Pass(*manager, kDay);
  clock_.JumpTo(then);
  Tick(*manager);
  EXPECT_EQ(manager->Current()->issuing, nullptr);
  EXPECT_NE(manager->Current()->bundle, nullptr) << "trust goes on without signing";
  EXPECT_THAT(manager->LastError(), HasSubstr("the clock went backwards: it is 24h behind"));
  EXPECT_FALSE(manager->clock().BelievedNow().has_value());

  auto restarted = MakeStarted();
  EXPECT_EQ(restarted->Current()->issuing, nullptr) << "the mark did not outlive the process";

  clock_.JumpTo(then + kDay);
  Tick(*manager);
  ExpectWhole(*manager->Current());
  EXPECT_EQ(manager->LastError(), "");
  EXPECT_TRUE(manager->clock().BelievedNow().has_value());
}

TEST_F(AuthorityManagerTest, ClockThatJumpedForwardRetiresNothing) {
  auto manager = MakeStarted();
  const absl::Time then = clock_.Now();
  Pass(*manager, 52 * kDay);
  clock_.JumpTo(then + 300 * kDay);
  Tick(*manager);
  EXPECT_FALSE(manager->clock().BelievedNow().has_value());
  EXPECT_THAT(manager->LastError(), HasSubstr("jumped forward"));
  EXPECT_EQ(manager->Current()->issuing, nullptr);
  EXPECT_THAT(manager->WhyNotSigning(), HasSubstr("jumped forward"));
  // If it stays so it may be right: it signs, and for that it needs a new authority.
  clock_.Advance(absl::Minutes(1));
  Tick(*manager);
  ExpectWhole(*manager->Current());
  EXPECT_TRUE(manager->Current()->issuing->certificate.validity().Contains(clock_.Now()));
  for (const SigningAuthority& authority : manager->Current()->authorities) {
    EXPECT_NE(authority.state, AuthorityState::kRetired);
  }
  // Back again: the jump left no mark that would stop it now.
  clock_.JumpTo(then + 52 * kDay + absl::Minutes(2));
  Tick(*manager);
  EXPECT_TRUE(manager->clock().BelievedNow().has_value());
  ExpectWhole(*manager->Current());
  EXPECT_TRUE(manager->Current()->issuing->certificate.validity().Contains(clock_.Now()));
}

TEST_F(AuthorityManagerTest, NoAuthorityMadeByAJumpedClockStays) {
  auto manager = MakeStarted();
  const absl::Time then = clock_.Now();
  const std::string before = manager->Current()->issuing->id;
  // What signs now can go on: nothing is made, though it would be due.
  clock_.JumpTo(then + 52 * kDay);
  Tick(*manager);
  EXPECT_EQ(manager->Current()->issuing, nullptr);
  clock_.Advance(absl::Minutes(1));
  Tick(*manager);
  ASSERT_NE(manager->Current()->issuing, nullptr);
  EXPECT_EQ(manager->Current()->issuing->id, before);
  // It has ended: a new one is made, in case the clock is right.
  clock_.JumpTo(then + 90 * kDay);
  Tick(*manager);
  const std::string ahead = manager->Current()->issuing->id;
  EXPECT_NE(ahead, before);
  clock_.JumpTo(then + absl::Minutes(1));
  Tick(*manager);
  ExpectWhole(*manager->Current());
  EXPECT_NE(manager->Current()->issuing->id, ahead);
  EXPECT_TRUE(manager->Current()->issuing->certificate.validity().Contains(clock_.Now()));
}

TEST_F(AuthorityManagerTest, TheOperatorsWordHealsAMarkThatIsAhead) {
  auto manager = MakeStarted();
  clock_.JumpTo(clock_.Now() + kDay);
  ASSERT_TRUE(manager->AcceptClock("uid 0").ok()) << "the word of somebody who was mistaken";
  ASSERT_TRUE(
      store_.PutSetting(kSettingRetireNotBefore, absl::StrCat(absl::ToUnixSeconds(clock_.Now() + 90 * kDay))).ok());
  clock_.JumpTo(clock_.Now() - kDay);
  Tick(*manager);
  EXPECT_EQ(manager->Current()->issuing, nullptr);
  ASSERT_TRUE(manager->AcceptClock("uid 0").ok());
  EXPECT_TRUE(manager->Current()->issuing->certificate.validity().Contains(clock_.Now()));
  EXPECT_EQ(store_.GetSetting(kSettingRetireNotBefore).value(),
            absl::StrCat(absl::ToUnixSeconds(clock_.Now() + manager->options().leaf_lifetime_max)));
}

TEST_F(AuthorityManagerTest, NoTrustDomainBeginsBeforeTheClockIsSet) {
  options_.earliest_first_start = clock_.Now() + absl::Seconds(1);
  const absl::Status refused = Make()->Start();
  EXPECT_EQ(ReasonOf(refused), "CLOCK_NOT_SET");
  EXPECT_THAT(std::string(refused.message()), HasSubstr("timedatectl set-ntp true"));
  EXPECT_TRUE(store_.LoadAuthorities()->authorities.empty()) << "nothing is left that would stop the next start";
  clock_.Advance(absl::Seconds(1));
  MakeStarted();
  // A store that is there is opened whatever the clock says: it has a mark of its own.
  options_.earliest_first_start = clock_.Now() + kDay;
  MakeStarted();
}

TEST_F(AuthorityManagerTest, MarkIsWrittenAtMostEveryMinute) {
  auto manager = MakeStarted();
  int before = store_.settings_written;
  for (int i = 0; i < 100; ++i) {
    clock_.Advance(absl::Seconds(6));
    Tick(*manager);
  }
  EXPECT_GE(store_.settings_written - before, 9);
  EXPECT_LE(store_.settings_written - before, 10);
}

TEST_F(AuthorityManagerTest, RestoreMakesANewIssuingKeyAndRaisesTheBundle) {
  auto before = MakeStarted()->Current();
  ASSERT_TRUE(store_.PutSetting(kSettingRecovered, "1").ok());
  clock_.Advance(absl::Minutes(5));
  auto after = MakeStarted()->Current();
  ExpectWhole(*after);
  EXPECT_NE(after->issuing->id, before->issuing->id);
  EXPECT_EQ(after->roots_pem, before->roots_pem);
  EXPECT_EQ(after->bundle->sequence_number,
            std::max(1 + (uint64_t{1} << 32), static_cast<uint64_t>(absl::ToUnixSeconds(clock_.Now()))));
  EXPECT_EQ(store_.GetSetting(kSettingRecovered).value(), "");
  EXPECT_EQ(store_.GetSetting(kSettingRetireNotBefore).value(),
            absl::StrCat(absl::ToUnixSeconds(clock_.Now() + options_.leaf_lifetime_max)));
  EXPECT_EQ(MakeStarted()->Current()->issuing->id, after->issuing->id) << "recovered twice";
}

struct LifetimeCase {
  const char* name;
  absl::Duration root, issuing, leaf;
  const char* words;
};

class LifetimesReject : public AuthorityManagerTest, public testing::WithParamInterface<LifetimeCase> {};

TEST_P(LifetimesReject, NamesBoth) {
  options_.root_lifetime = GetParam().root;
  options_.issuing_lifetime = GetParam().issuing;
  options_.leaf_lifetime_max = GetParam().leaf;
  EXPECT_THAT(AuthorityManager::Create(options_, store_, keys_, clock_, entropy_),
              Refuses(absl::StatusCode::kInvalidArgument, "LIFETIME_INVALID", GetParam().words));
}

INSTANTIATE_TEST_SUITE_P(
    Lifetimes, LifetimesReject,
    testing::Values(LifetimeCase{"IssuingTooShort", 100 * kDay, 13 * kDay, 7 * kDay,
                                 "issuing authority's lifetime 312h is less than twice the longest leaf lifetime 168h"},
                    LifetimeCase{"RootTooShort", 10 * kDay, 20 * kDay, 7 * kDay, "root's lifetime 240h"},
                    LifetimeCase{"NoLeaf", 10 * kDay, 20 * kDay, absl::ZeroDuration(), "longest leaf lifetime 0"},
                    LifetimeCase{"Negative", 10 * kDay, 20 * kDay, -kDay, "longest leaf lifetime -24h"}),
    [](const auto& info) { return std::string(info.param.name); });

// A plugged-in set on disk, and managers that watch it.
class PluggedInManager : public AuthorityManagerTest {
 protected:
  PluggedInManager() { options_.plugged_in_folder = folder_.path(); }

  TestCertificate Spec(const std::string& name, absl::Duration lifetime = 500 * kDay) {
    TestCertificate spec;
    spec.name = name;
    spec.not_before = clock_.Now() - kDay;
    spec.not_after = clock_.Now() + lifetime;
    return spec;
  }
  void Write(const TestCa& issuing, const TestCa& root) {
    folder_.Write("ca-cert.pem", issuing.pem());
    folder_.Write("ca-key.pem", issuing.key_pem());
    folder_.Write("cert-chain.pem", issuing.pem());
    folder_.Write("root-cert.pem", root.pem());
  }

  TestFolder folder_;
  TestCa root_ = MakeTestCa(Spec("root"));
  TestCa issuing_ = MakeTestCa(Spec("issuing"), &root_);
};

TEST_F(PluggedInManager, FirstStartAdoptsTheSetAndKeepsTheKeyWhereItIs) {
  Write(issuing_, root_);
  auto manager = MakeStarted();
  ExpectWhole(*manager->Current());
  EXPECT_EQ(manager->Current()->issuing->id, issuing_.id());
  EXPECT_EQ(manager->LastError(), "");
  AuthoritiesAndBundle stored = store_.store.LoadAuthorities().value();
  for (const StoredAuthority& row : stored.authorities) EXPECT_EQ(row.sealed_key, "");
  EXPECT_EQ(MakeStarted()->Current()->issuing->id, issuing_.id());
  EXPECT_EQ(store_.commits, 1);
}

TEST_F(PluggedInManager, FirstStartOnABrokenSetFailsByName) {
  EXPECT_THAT(Make()->Start(), Refuses(absl::StatusCode::kInvalidArgument, "PLUGGED_IN_CA_INVALID", folder_.path()));
  EXPECT_EQ(store_.commits, 0);
}

TEST_F(PluggedInManager, ChangedSetUnderTheSameRootIsTakenAtOnce) {
  Write(issuing_, root_);
  auto manager = MakeStarted();
  TestCa next = MakeTestCa(Spec("next"), &root_);
  Write(next, root_);
  clock_.Advance(absl::Seconds(10));
  Tick(*manager);
  ExpectWhole(*manager->Current());
  EXPECT_EQ(manager->Current()->issuing->id, next.id());
  EXPECT_EQ(manager->Current()->bundle->sequence_number, 1u);
  EXPECT_EQ(manager->LastError(), "");
}

TEST_F(PluggedInManager, RenewedCertificateOfTheSameKeyIsTaken) {
  Write(issuing_, root_);
  auto manager = MakeStarted();
  TestCa renewed = MakeTestCa(Spec("issuing", 400 * kDay), &root_, EvpPkeyPtr(EVP_PKEY_dup(issuing_.key.get())));
  Write(renewed, root_);
  Tick(*manager);
  ExpectWhole(*manager->Current());
  EXPECT_EQ(manager->Current()->issuing->certificate, renewed.certificate());
  EXPECT_THAT(manager->Current()->authorities, SizeIs(2));
}

TEST_F(PluggedInManager, OneMoreRootIsTrustedAtOnceAndALostOneStays) {
  Write(issuing_, root_);
  auto manager = MakeStarted();
  TestCa more = MakeTestCa(Spec("more"));
  folder_.Write("root-cert.pem", more.pem() + root_.pem());
  Tick(*manager);
  EXPECT_THAT(manager->Current()->bundle->roots, ElementsAre(root_.certificate(), more.certificate()));
  EXPECT_EQ(manager->Current()->bundle->sequence_number, 2u);
  folder_.Write("root-cert.pem", root_.pem());
  Tick(*manager);
  EXPECT_THAT(manager->Current()->bundle->roots, SizeIs(2)) << "trust was withdrawn without evidence";
}

TEST_F(PluggedInManager, BrokenSetIsRefusedAndTheOldGoesOn) {
  Write(issuing_, root_);
  auto manager = MakeStarted();
  folder_.Write("ca-cert.pem", "junk");
  Tick(*manager);
  ExpectWhole(*manager->Current());
  EXPECT_THAT(manager->LastError(), HasSubstr("/ca-cert.pem: "));
  Write(issuing_, root_);
  Tick(*manager);
  EXPECT_EQ(manager->LastError(), "");
}

TEST_F(PluggedInManager, BrokenSetAtARestartStillServesTrust) {
  Write(issuing_, root_);
  MakeStarted();
  folder_.Remove("ca-key.pem");
  auto manager = MakeStarted();
  EXPECT_EQ(manager->Current()->issuing, nullptr);
  EXPECT_THAT(manager->Current()->bundle->roots, SizeIs(1));
  EXPECT_THAT(manager->LastError(), HasSubstr("/ca-key.pem: is missing"));
  Write(issuing_, root_);
  Tick(*manager);
  ExpectWhole(*manager->Current());
}

TEST_F(PluggedInManager, NewRootBeginsARotationAndThePresentKeyIsKept) {
  Write(issuing_, root_);
  auto manager = MakeStarted();
  TestCa other_root = MakeTestCa(Spec("other root"));
  TestCa other = MakeTestCa(Spec("other"), &other_root);
  Write(other, other_root);
  Tick(*manager);
  EXPECT_EQ(manager->LastError(), "");
  auto snapshot = manager->Current();
  EXPECT_EQ(snapshot->issuing->id, issuing_.id());
  EXPECT_EQ(snapshot->bundle->sequence_number, 1u);
  ASSERT_TRUE(snapshot->rotation.has_value());
  EXPECT_EQ(snapshot->rotation->step, RotationStep::kPrepare);
  EXPECT_EQ(snapshot->rotation->old_root_id, root_.id());
  EXPECT_EQ(snapshot->rotation->new_root_id, other_root.id());
  EXPECT_TRUE(snapshot->rotation->automatic);
  Tick(*manager);
  EXPECT_EQ(manager->Current(), snapshot) << "the same set again is no other rotation";
  // Its files hold the other set by now: what signs until the activation is in the database.
  auto restarted = MakeStarted();
  ASSERT_NE(restarted->Current()->issuing, nullptr);
  EXPECT_EQ(restarted->Current()->issuing->id, issuing_.id());
  EXPECT_EQ(restarted->Current()->issuing->key_reference, "sealed");
}

// https://istio.io: root A, then A and B trusted, then B signs, then B alone.
TEST_F(PluggedInManager, IstiosPublishedRootRotationGoesThrough) {
  const TestCa b_root = MakeTestCa(Spec("root b"));
  const TestCa b = MakeTestCa(Spec("issuing b"), &b_root);
  Write(issuing_, root_);
  auto manager = MakeStarted();
  folder_.Write("root-cert.pem", root_.pem() + b_root.pem());
  Tick(*manager);
  EXPECT_EQ(manager->LastError(), "");
  EXPECT_THAT(manager->Current()->bundle->roots, ElementsAre(root_.certificate(), b_root.certificate()));
  EXPECT_EQ(manager->Current()->issuing->id, issuing_.id());

  Write(b, b_root);
  folder_.Write("root-cert.pem", root_.pem() + b_root.pem() + b_root.pem());
  Tick(*manager);
  EXPECT_EQ(manager->LastError(), "");
  ASSERT_TRUE(manager->Current()->rotation.has_value());
  EXPECT_EQ(manager->Current()->rotation->new_root_id, b_root.id());
  // The driver's steps, as they are taken when the evidence is there.
  const auto change = [&](auto step) {
    const absl::Status changed = manager->Change(step);
    ASSERT_TRUE(changed.ok()) << changed;
  };
  const ChangeReason reason = {"test", "", clock_.Now()};
  const TrustDomain& domain = options_.trust_domain;
  change([&](const AuthoritiesAndBundle& s) { return PublishRotation(s, domain, reason); });
  change([&](const AuthoritiesAndBundle& s) {
    return ActivateRotation(s, domain, *UsableIssuing(s, b_root.id(), clock_.Now()), LeafChains::kWithCross, "",
                            reason);
  });
  EXPECT_EQ(manager->Current()->issuing->id, b.id());
  EXPECT_EQ(manager->LastError(), "");
  change([&](const AuthoritiesAndBundle& s) { return DrainRotation(s, domain, reason); });
  change([&](const AuthoritiesAndBundle& s) { return RetireRotation(s, domain, "", reason); });
  change([&](const AuthoritiesAndBundle& s) { return FinishRotation(s, domain, "", reason); });
  EXPECT_THAT(manager->Current()->bundle->roots, ElementsAre(b_root.certificate()));

  // The files still name A: a restart reads them anew and must not bring it back.
  auto restarted = MakeStarted();
  EXPECT_THAT(restarted->Current()->bundle->roots, ElementsAre(b_root.certificate()));
  folder_.Write("root-cert.pem", b_root.pem());
  Tick(*restarted);
  EXPECT_EQ(restarted->LastError(), "");
  EXPECT_EQ(restarted->Current()->issuing->id, b.id());
}

TEST_F(PluggedInManager, RetiringARootTakesEveryCertificateOfItsKeyOutOfTheBundle) {
  Write(issuing_, root_);
  auto manager = MakeStarted();
  const TestCa renewed = MakeTestCa(Spec("root", 700 * kDay), nullptr, SameKey(root_));
  folder_.Write("root-cert.pem", renewed.pem());
  Tick(*manager);
  EXPECT_THAT(manager->Current()->bundle->roots, ElementsAre(renewed.certificate(), root_.certificate()));
  const TestCa b_root = MakeTestCa(Spec("root b"));
  Write(MakeTestCa(Spec("issuing b"), &b_root), b_root);
  Tick(*manager);
  const ChangeReason reason = {"test", "", clock_.Now()};
  const TrustDomain& domain = options_.trust_domain;
  for (const auto& step : std::vector<std::function<absl::StatusOr<AuthorityChange>(const AuthoritiesAndBundle&)>>{
           [&](const auto& s) { return PublishRotation(s, domain, reason); },
           [&](const auto& s) {
             return ActivateRotation(s, domain, *UsableIssuing(s, b_root.id(), clock_.Now()), LeafChains::kWithCross,
                                     "", reason);
           },
           [&](const auto& s) { return RetireRotation(s, domain, "", reason); }}) {
    const absl::Status changed = manager->Change(step);
    ASSERT_TRUE(changed.ok()) << changed;
  }
  EXPECT_THAT(manager->Current()->bundle->roots, ElementsAre(b_root.certificate()));
}

TEST_F(PluggedInManager, EmptiedFolderAtARestartStillServesTrustAndSaysWhatIsMissing) {
  Write(issuing_, root_);
  MakeStarted();
  std::filesystem::remove_all(folder_.path());
  for (const bool gone : {true, false}) {
    if (!gone) std::filesystem::create_directory(folder_.path());
    auto manager = MakeStarted();
    EXPECT_EQ(manager->Current()->issuing, nullptr) << "the key was in the folder";
    EXPECT_THAT(manager->Current()->bundle->roots, ElementsAre(root_.certificate()));
    EXPECT_THAT(manager->LastError(), AllOf(HasSubstr(folder_.path()), HasSubstr("holds no CA: expected ca-cert.pem")));
    EXPECT_TRUE(manager->PluggedInRefused());
  }
  auto manager = MakeStarted();
  Write(issuing_, root_);
  Tick(*manager);
  ExpectWhole(*manager->Current());
  EXPECT_EQ(manager->LastError(), "");
}

TEST_F(PluggedInManager, EmptiedFolderAtARestartStopsNoSigningWhereTheKeyIsHeld) {
  // The root's key made an issuing authority, whose own key is in the database.
  folder_.Write("ca-cert.pem", root_.pem());
  folder_.Write("ca-key.pem", root_.key_pem());
  const std::string issuing = MakeStarted()->Current()->issuing->id;
  std::filesystem::remove_all(folder_.path());
  auto manager = MakeStarted();
  ExpectWhole(*manager->Current());
  EXPECT_EQ(manager->Current()->issuing->id, issuing);
  EXPECT_THAT(manager->LastError(), HasSubstr("holds no CA"));
}

TEST_F(PluggedInManager, AThirdRootIsHeldWhileARotationRuns) {
  Write(issuing_, root_);
  auto manager = MakeStarted();
  TestCa second_root = MakeTestCa(Spec("second root"));
  Write(MakeTestCa(Spec("second"), &second_root), second_root);
  Tick(*manager);
  TestCa third_root = MakeTestCa(Spec("third root"));
  Write(MakeTestCa(Spec("third"), &third_root), third_root);
  Tick(*manager);
  EXPECT_EQ(manager->Current()->rotation->new_root_id, second_root.id());
  EXPECT_THAT(manager->LastError(),
              AllOf(HasSubstr(third_root.id().substr(0, 16)), HasSubstr("the set is held until")));
  EXPECT_TRUE(manager->PluggedInRefused());
}

TEST_F(PluggedInManager, SetThatEndsIsWarnedOf) {
  issuing_ = MakeTestCa(Spec("issuing", 40 * kDay), &root_);
  Write(issuing_, root_);
  auto manager = MakeStarted();
  EXPECT_EQ(manager->LastError(), "");
  Pass(*manager, 15 * kDay);
  EXPECT_THAT(manager->LastError(), HasSubstr("put a new set"));
  ASSERT_NE(manager->Current()->issuing, nullptr);
  Pass(*manager, 30 * kDay);
  EXPECT_EQ(manager->Current()->issuing, nullptr);
}

TEST_F(PluggedInManager, RootWithItsKeyGetsAnIssuingAuthorityThatRenewsItself) {
  folder_.Write("ca-cert.pem", root_.pem());
  folder_.Write("ca-key.pem", root_.key_pem());
  auto manager = MakeStarted();
  auto first = manager->Current();
  ExpectWhole(*first);
  EXPECT_EQ(first->issuing->root_id, root_.id());
  EXPECT_EQ(first->issuing->key_reference, "sealed");
  Tick(*manager);
  MakeStarted();
  EXPECT_EQ(store_.commits, 1);
  Pass(*manager, 55 * kDay);
  EXPECT_NE(manager->Current()->issuing->id, first->issuing->id);
}

class ImportTest : public PluggedInManager {
 protected:
  ImportTest() { options_.plugged_in_folder.clear(); }

  // As meshca imports where it has one live certificate of its own, which authority `id` signed.
  ImportOptions Own(const std::string& id, bool force = false) {
    store_.own_leaves = {{id, 1}};
    ImportOptions options;
    options.force = force;
    options.own_leaves = {kOwnId, store_.own_leaves};
    return options;
  }

  void ExpectTaintEndsGrace(const std::string& id) {
    auto manager = MakeStarted();
    Write(issuing_, root_);
    ASSERT_TRUE(manager->Import(SetFiles(folder_.path()), "uid 0", {.renew_unrecorded = true}).ok());
    ASSERT_TRUE(manager->Current()->unrecorded.has_value());
    const absl::Status tainted = manager->Change([&](const AuthoritiesAndBundle& state) {
      return TaintAuthority(state, options_.trust_domain, id, {"uid 0", "stolen", clock_.Now()});
    });
    ASSERT_TRUE(tainted.ok()) << tainted;
    EXPECT_FALSE(manager->Current()->unrecorded.has_value());
    EXPECT_FALSE(MakeStarted()->Current()->unrecorded.has_value()) << "it ended for good";
    EXPECT_NE(DetailOf("unrecorded.end"), "");
  }
};

TEST_F(ImportTest, ReplacesAFreshRootWhole) {
  auto manager = MakeStarted();
  std::string first = manager->Current()->issuing->id;
  store_.live_leaves = {{first, 1}};
  Write(issuing_, root_);
  ASSERT_TRUE(manager->Import(SetFiles(folder_.path()), "uid 0", Own(manager->Current()->issuing->id)).ok());
  ExpectWhole(*manager->Current());
  EXPECT_EQ(manager->Current()->issuing->id, issuing_.id());
  EXPECT_EQ(manager->Current()->issuing->key_reference, "sealed");
  EXPECT_THAT(manager->Current()->bundle->roots, ElementsAre(root_.certificate()));
  EXPECT_EQ(manager->Current()->bundle->sequence_number, 2u) << "in one commit";
  for (const SigningAuthority& authority : manager->Current()->authorities) {
    if (authority.root_id != root_.id()) {
      EXPECT_EQ(authority.state, AuthorityState::kRetired);
    }
  }
  std::filesystem::remove_all(folder_.path());
  ExpectWhole(*MakeStarted()->Current());
}

TEST_F(ImportTest, BeginsARotationWhereTheOldRootSignsMeanwhile) {
  auto manager = MakeStarted();
  auto before = manager->Current();
  Write(issuing_, root_);
  // Signed after the count, recorded before the change.
  store_.before_commit = [&] { store_.live_leaves = {{before->issuing->id, 1}}; };
  ASSERT_TRUE(manager->Import(SetFiles(folder_.path()), "uid 0").ok());
  auto snapshot = manager->Current();
  EXPECT_EQ(snapshot->issuing->id, before->issuing->id) << "whoever lives under the old root holds that one alone";
  ASSERT_TRUE(snapshot->rotation.has_value());
  EXPECT_EQ(snapshot->rotation->new_root_id, root_.id());
  EXPECT_THAT(DetailOf("root.prepare"), HasSubstr("certificates were signed under the present root meanwhile"));
}

TEST_F(ImportTest, ForcedTheOldRootStaysTrustedForWhatItSignsMeanwhile) {
  auto manager = MakeStarted();
  auto before = manager->Current();
  Write(issuing_, root_);
  store_.before_commit = [&] { store_.live_leaves = {{before->issuing->id, 1}}; };
  ASSERT_TRUE(manager->Import(SetFiles(folder_.path()), "uid 0", {.force = true}).ok());
  EXPECT_FALSE(manager->Current()->rotation.has_value());
  EXPECT_EQ(manager->Current()->issuing->id, issuing_.id());
  EXPECT_THAT(manager->Current()->bundle->roots, ElementsAre(root_.certificate(), before->bundle->roots.front()));
}

// An own certificate under the imported root is no room for somebody else's under the root before it.
TEST_F(ImportTest, OwnCertificatesUnderTheImportedRootHideNobody) {
  auto manager = MakeStarted();
  const std::string first = manager->Current()->issuing->id;
  Write(issuing_, root_);
  store_.live_leaves = {{first, 1}};
  ASSERT_TRUE(manager->Import(SetFiles(folder_.path()), "uid 0", {.force = true}).ok());
  TestCa next_root = MakeTestCa(Spec("next root"));
  TestCa next = MakeTestCa(Spec("next"), &next_root);
  Write(next, next_root);
  ASSERT_TRUE(manager->Import(SetFiles(folder_.path()), "uid 0", {.force = true}).ok());
  // One own certificate under each of the last two roots, and one workload's under the last.
  store_.live_leaves = {{issuing_.id(), 1}, {next.id(), 2}};
  store_.own_leaves = {{issuing_.id(), 1}, {next.id(), 1}};
  Write(issuing_, root_);
  ImportOptions options;
  options.own_leaves = {kOwnId, store_.own_leaves};
  ASSERT_TRUE(manager->Import(SetFiles(folder_.path()), "uid 0", options).ok());
  EXPECT_THAT(manager->Current()->bundle->roots, Contains(next_root.certificate()));
  ASSERT_TRUE(manager->Current()->rotation.has_value());
  EXPECT_THAT(DetailOf("root.prepare"), HasSubstr("1 certificates live under the present root"));
}

TEST_F(ImportTest, OfANewRootUnderLiveCertificatesBeginsARotationToIt) {
  auto manager = MakeStarted();
  auto before = manager->Current();
  store_.live_leaves = {{before->issuing->id, 8}};
  Write(issuing_, root_);
  absl::Status imported = manager->Import(SetFiles(folder_.path()), "uid 0", Own(manager->Current()->issuing->id));
  ASSERT_TRUE(imported.ok()) << imported;
  auto snapshot = manager->Current();
  EXPECT_EQ(snapshot->issuing->id, before->issuing->id) << "nobody holds the new root yet";
  ASSERT_TRUE(snapshot->rotation.has_value());
  EXPECT_EQ(snapshot->rotation->step, RotationStep::kPrepare);
  EXPECT_EQ(snapshot->rotation->old_root_id, before->issuing->root_id);
  EXPECT_EQ(snapshot->rotation->new_root_id, root_.id());
  EXPECT_EQ(snapshot->rotation->actor, "uid 0");
  EXPECT_TRUE(snapshot->rotation->automatic);
  EXPECT_THAT(DetailOf("root.prepare"), HasSubstr("7 certificates live under the present root"));
  const AuthoritiesAndBundle stored = store_.store.LoadAuthorities().value();
  const StoredAuthority* imported_issuing = FindById(stored, issuing_.id());
  ASSERT_NE(imported_issuing, nullptr);
  EXPECT_EQ(imported_issuing->key_reference, "sealed") << "the folder may go away";
  EXPECT_EQ(OpenKey(keys_, *imported_issuing).value()->public_key().sha256_hex(), issuing_.id());
  EXPECT_EQ(imported_issuing->chain_der.size(), 2u)
      << "certified by the root before it, which holders of that one need";

  // The same again is the same rotation; another root is not.
  EXPECT_TRUE(manager->Import(SetFiles(folder_.path()), "uid 0", Own(manager->Current()->issuing->id)).ok());
  EXPECT_EQ(manager->Current(), snapshot);
  TestCa third = MakeTestCa(Spec("third root"));
  Write(MakeTestCa(Spec("third"), &third), third);
  EXPECT_THAT(manager->Import(SetFiles(folder_.path()), "uid 0", Own(manager->Current()->issuing->id)),
              Refuses(absl::StatusCode::kFailedPrecondition, "ROTATION_RUNS", "meshca root abort"));
}

// Two imports one after the other: what istiod signed before the first one is on nobody's record.
TEST_F(ImportTest, OfANewRootWhileCertificatesWithoutARecordMayRenewBeginsARotationToIt) {
  auto manager = MakeStarted();
  Write(issuing_, root_);
  ASSERT_TRUE(manager->Import(SetFiles(folder_.path()), "uid 0", {.renew_unrecorded = true}).ok());
  ASSERT_THAT(manager->Current()->bundle->roots, ElementsAre(root_.certificate()));
  const TestCa second_root = MakeTestCa(Spec("second root"));
  Write(MakeTestCa(Spec("second"), &second_root), second_root);
  const absl::Status imported = manager->Import(SetFiles(folder_.path()), "uid 0");
  ASSERT_TRUE(imported.ok()) << imported;
  ASSERT_TRUE(manager->Current()->rotation.has_value()) << "the first root was dropped at once";
  EXPECT_EQ(manager->Current()->rotation->new_root_id, second_root.id());
  EXPECT_EQ(manager->Current()->issuing->id, issuing_.id());
  EXPECT_TRUE(manager->Current()->unrecorded.has_value());
}

TEST_F(ImportTest, NoRootIsRetiredWhileWhatWasSignedUnderItElsewhereMayRenew) {
  auto manager = MakeStarted();
  Write(issuing_, root_);
  ASSERT_TRUE(manager->Import(SetFiles(folder_.path()), "uid 0", {.renew_unrecorded = true}).ok());
  RootRotation rotation;
  const auto not_before = [&] { return *RetireNotBeforeOf(rotation, *manager->Current(), store_); };
  rotation.old_root_id = root_.id();
  EXPECT_EQ(not_before(), manager->Current()->unrecorded->until);
  rotation.old_root_id = "another root";
  EXPECT_EQ(not_before(), absl::InfinitePast());
  const absl::Time later = manager->Current()->unrecorded->until + absl::Hours(1);
  ASSERT_TRUE(WriteRetireNotBefore(store_, later).ok());
  EXPECT_EQ(not_before(), later) << "after a restore, of any root";
  rotation.old_root_id = root_.id();
  EXPECT_EQ(not_before(), later);
}

TEST_F(ImportTest, OfANewRootAfterARestoreBeginsARotationToIt) {
  auto manager = MakeStarted();
  ASSERT_TRUE(WriteRetireNotBefore(store_, clock_.Now() + absl::Hours(1)).ok());
  Write(issuing_, root_);
  ASSERT_TRUE(manager->Import(SetFiles(folder_.path()), "uid 0").ok());
  ASSERT_TRUE(manager->Current()->rotation.has_value());
  EXPECT_EQ(manager->Current()->rotation->new_root_id, root_.id());
}

TEST_F(ImportTest, ForcedAfterARestoreLeavesTheOldRootTrusted) {
  auto manager = MakeStarted();
  ASSERT_TRUE(WriteRetireNotBefore(store_, clock_.Now() + absl::Hours(1)).ok());
  Write(issuing_, root_);
  ASSERT_TRUE(manager->Import(SetFiles(folder_.path()), "uid 0", {.force = true}).ok());
  EXPECT_EQ(manager->Current()->issuing->root_id, root_.id());
  EXPECT_THAT(manager->Current()->bundle->roots, SizeIs(2)) << "what is not on record stays verifiable";
  EXPECT_THAT(DetailOf("root.activate"), HasSubstr("forced though certificates without a record may live"));
}

// The contents of a Secret: no file of them is ever made, and errors name where they come from.
TEST_F(ImportTest, TakesContentsAsItTakesFiles) {
  auto manager = MakeStarted();
  const auto secret = [&](const std::string& key_pem) {
    SetFiles::Contents contents;
    contents.emplace("ca-cert.pem", SecretBytes::CopyOf(root_.pem()));
    contents.emplace("ca-key.pem", SecretBytes::CopyOf(key_pem));
    contents.emplace("cert-chain.pem", SecretBytes());
    contents.emplace("root-cert.pem", SecretBytes());
    return SetFiles("secret istio-system/istio-ca-secret", std::move(contents));
  };
  EXPECT_THAT(manager->Import(secret(issuing_.key_pem()), "uid 0"),
              Refuses(absl::StatusCode::kInvalidArgument, "PLUGGED_IN_CA_INVALID",
                      "secret istio-system/istio-ca-secret/ca-key.pem: is not the key of ca-cert.pem"));
  ASSERT_TRUE(manager->Import(secret(root_.key_pem()), "uid 0").ok());
  ExpectWhole(*manager->Current());
  EXPECT_EQ(manager->Current()->issuing->root_id, root_.id());
  EXPECT_THAT(manager->Current()->bundle->roots, ElementsAre(root_.certificate()));
  EXPECT_EQ(DetailOf("root.activate"), "import secret istio-system/istio-ca-secret: nothing used the root before");
  const AuthoritiesAndBundle stored = store_.store.LoadAuthorities().value();
  EXPECT_EQ(FindById(stored, root_.id())->key_reference, "sealed");
  EXPECT_TRUE(manager->Import(secret(root_.key_pem()), "uid 0").ok()) << "again, and nothing happens";
  EXPECT_EQ(store_.store.LoadAuthorities().value().revision, stored.revision);
}

// The same root, first without its key and then with it.
TEST_F(ImportTest, TheKeyOfARootThatWasHereWithoutItIsTaken) {
  Write(issuing_, root_);
  auto manager = MakeStarted();
  ASSERT_TRUE(manager->Import(SetFiles(folder_.path()), "uid 0").ok());
  SetFiles::Contents contents;
  contents.emplace("ca-cert.pem", SecretBytes::CopyOf(root_.pem()));
  contents.emplace("ca-key.pem", SecretBytes::CopyOf(root_.key_pem()));
  ASSERT_TRUE(manager->Import(SetFiles("secret a/b", std::move(contents)), "uid 0").ok());
  EXPECT_EQ(FindById(store_.store.LoadAuthorities().value(), root_.id())->key_reference, "sealed");
}

class ExportTest : public ImportTest {
 protected:
  absl::StatusOr<ExportedSet> Export(AuthorityManager& manager, absl::Duration lifetime = absl::ZeroDuration()) {
    return manager.Export({SoftwareKey::Generate(KeyType::kEcP256).value()->public_key(), lifetime}, "uid 0");
  }
};

TEST_F(ExportTest, IsRecordedUnderThePresentRootAndSignsNothingHere) {
  auto manager = MakeStarted();
  const auto before = manager->Current();
  const auto exported = Export(*manager);
  ASSERT_TRUE(exported.ok()) << exported.status();
  const Certificate& certificate = exported->authority.certificate;
  EXPECT_TRUE(certificate.VerifiesUnder(before->bundle->roots.front()).ok());
  EXPECT_EQ(certificate.path_len(), 0);
  EXPECT_EQ(certificate.validity().not_after, clock_.Now() + options_.issuing_lifetime);
  EXPECT_THAT(exported->roots, ElementsAre(before->bundle->roots.front()));
  ExpectWhole(*manager->Current());
  EXPECT_EQ(manager->Current()->issuing->id, before->issuing->id);
  EXPECT_EQ(manager->Current()->bundle->sequence_number, before->bundle->sequence_number) << "no news to anybody";
  EXPECT_THAT(DetailOf("authority.export"), HasSubstr(before->issuing->root_id));

  const AuthoritiesAndBundle stored = store_.store.LoadAuthorities().value();
  const StoredAuthority* row = FindById(stored, exported->authority.id);
  ASSERT_NE(row, nullptr);
  EXPECT_EQ(row->state, AuthorityState::kOld);
  EXPECT_EQ(row->key_reference, kExportedKey);
  EXPECT_TRUE(row->exported);
  EXPECT_EQ(row->sealed_key, "");
  EXPECT_EQ(OpenKey(keys_, *row).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(UsableIssuing(stored, row->root_id, clock_.Now()), row);
  ExpectWhole(*MakeStarted()->Current());

  // It is renewed by nobody, and known until it ends.
  Pass(*manager, 79 * kDay);
  EXPECT_EQ(FindById(store_.store.LoadAuthorities().value(), row->id)->state, AuthorityState::kOld);
  Pass(*manager, 2 * kDay);
  EXPECT_EQ(FindById(store_.store.LoadAuthorities().value(), row->id)->state, AuthorityState::kRetired);
}

TEST_F(ExportTest, ALifetimeHasToLeaveRoomForLeavesAndToEndWithTheRoot) {
  auto manager = MakeStarted();
  EXPECT_THAT(Export(*manager, 39 * kDay).status(),
              Refuses(absl::StatusCode::kInvalidArgument, "LIFETIME_INVALID", "give 960h or more"));
  EXPECT_THAT(Export(*manager, 1001 * kDay).status(),
              Refuses(absl::StatusCode::kInvalidArgument, "LIFETIME_INVALID", "longer than the root lives"));
  const auto exported = Export(*manager, 40 * kDay);
  ASSERT_TRUE(exported.ok()) << exported.status();
  EXPECT_EQ(exported->authority.certificate.validity().not_after, clock_.Now() + 40 * kDay);
  Pass(*manager, 960 * kDay);
  const auto clipped = Export(*manager);
  ASSERT_TRUE(clipped.ok()) << clipped.status();
  EXPECT_EQ(clipped->authority.certificate.validity().not_after,
            manager->Current()->bundle->roots.front().validity().not_after);
}

TEST_F(ExportTest, IsRefusedWithoutTheRootsKeyUnderATaintAndDuringARotation) {
  Write(issuing_, root_);
  auto manager = MakeStarted();
  const PublicKey known = manager->Current()->issuing->certificate.public_key();
  EXPECT_EQ(manager->Export({known, {}}, "uid 0").status().code(), absl::StatusCode::kAlreadyExists);
  store_.live_leaves = {{manager->Current()->issuing->id, 1}};
  ASSERT_TRUE(manager->Import(SetFiles(folder_.path()), "uid 0").ok());
  EXPECT_THAT(Export(*manager).status(),
              Refuses(absl::StatusCode::kFailedPrecondition, "ROTATION_RUNS", "meshca root status"));
  ASSERT_TRUE(manager
                  ->Change([&](const AuthoritiesAndBundle& state) {
                    return AbortRotation(state, options_.trust_domain, {"uid 0", "", clock_.Now()});
                  })
                  .ok());
  ASSERT_TRUE(Export(*manager).ok());
  const std::string root = manager->Current()->issuing->root_id;
  ASSERT_TRUE(manager
                  ->Change([&](const AuthoritiesAndBundle& state) {
                    return TaintAuthority(state, options_.trust_domain, root, {"uid 0", "stolen", clock_.Now()});
                  })
                  .ok());
  EXPECT_THAT(Export(*manager).status(),
              Refuses(absl::StatusCode::kFailedPrecondition, "ROOT_TAINTED", "meshca root rotate"));
  ASSERT_TRUE(manager->Import(SetFiles(folder_.path()), "uid 0", {.force = true}).ok());
  EXPECT_THAT(Export(*manager).status(),
              Refuses(absl::StatusCode::kFailedPrecondition, "ROOT_KEY_ELSEWHERE", "without its own key"));
}

// Nothing is recorded under the root, and somebody signs under it all the same.
TEST_F(ExportTest, AnImportOfANewRootDoesNotDropTheRootOfAnExportedAuthority) {
  auto manager = MakeStarted();
  ASSERT_TRUE(Export(*manager).ok());
  Write(issuing_, root_);
  ASSERT_TRUE(manager->Import(SetFiles(folder_.path()), "uid 0").ok());
  ASSERT_TRUE(manager->Current()->rotation.has_value());
  EXPECT_EQ(manager->Current()->rotation->new_root_id, root_.id());
  EXPECT_NE(manager->Current()->issuing->root_id, root_.id());
}

// Whoever was given it may sign with it on, whether or not its key is here as well.
TEST_F(ExportTest, WhatComesBackSignsHereAndStaysExported) {
  auto manager = MakeStarted();
  const std::string root = manager->Current()->bundle->roots.front().pem().text();
  const std::unique_ptr<SoftwareKey> key = SoftwareKey::Generate(KeyType::kEcP256).value();
  const auto exported = manager->Export({key->public_key(), absl::ZeroDuration()}, "uid 0");
  ASSERT_TRUE(exported.ok()) << exported.status();
  SetFiles::Contents contents;
  contents.emplace("ca-cert.pem", SecretBytes::CopyOf(exported->authority.certificate.pem().text()));
  contents.emplace("ca-key.pem", key->ToPkcs8Pem());
  contents.emplace("cert-chain.pem", SecretBytes());
  contents.emplace("root-cert.pem", SecretBytes::CopyOf(root));
  ASSERT_TRUE(manager->Import(SetFiles("secret istio-system/cacerts", std::move(contents)), "uid 0").ok());
  ExpectWhole(*manager->Current());
  EXPECT_EQ(manager->Current()->issuing->id, exported->authority.id);
  EXPECT_TRUE(manager->Current()->issuing->exported);
  EXPECT_THAT(AuthoritiesBeforeRestore(manager->Current()->authorities), Contains(exported->authority.id))
      << "what it signed here was recorded here";
  const AuthoritiesAndBundle stored = store_.store.LoadAuthorities().value();
  EXPECT_EQ(CountExportedOutside(stored, root_.id()), 1u);
  ExpectWhole(*MakeStarted()->Current());
}

TEST_F(ImportTest, ForcedChangesOverAtOnceAndTheOldRootStaysTrusted) {
  auto manager = MakeStarted();
  auto before = manager->Current();
  store_.live_leaves = {{before->issuing->id, 8}};
  Write(issuing_, root_);
  ASSERT_TRUE(manager->Import(SetFiles(folder_.path()), "uid 0", Own(manager->Current()->issuing->id, true)).ok());
  ExpectWhole(*manager->Current());
  EXPECT_EQ(manager->Current()->issuing->id, issuing_.id());
  EXPECT_THAT(manager->Current()->bundle->roots, ElementsAre(root_.certificate(), before->bundle->roots.front()))
      << "the certificates alive under the old root must stay verifiable";
  EXPECT_THAT(DetailOf("root.activate"), HasSubstr("forced with 7 certificates"));
}

TEST_F(ImportTest, RetiredRootDoesNotComeBack) {
  auto manager = MakeStarted();
  Write(issuing_, root_);
  ASSERT_TRUE(manager->Import(SetFiles(folder_.path()), "uid 0").ok());
  TestCa next_root = MakeTestCa(Spec("next root"));
  TestCa next = MakeTestCa(Spec("next"), &next_root);
  Write(next, next_root);
  ASSERT_TRUE(manager->Import(SetFiles(folder_.path()), "uid 0").ok());
  EXPECT_THAT(manager->Current()->bundle->roots, ElementsAre(next_root.certificate()));
  // Neither as one of several roots of a set, nor as the set's own, whoever lives and however it is asked for.
  folder_.Write("root-cert.pem", next_root.pem() + root_.pem());
  ASSERT_TRUE(manager->Import(SetFiles(folder_.path()), "uid 0").ok());
  EXPECT_THAT(manager->Current()->bundle->roots, ElementsAre(next_root.certificate()));
  Write(issuing_, root_);
  for (const uint64_t alive : {0, 3}) {
    for (const bool force : {false, true}) {
      SCOPED_TRACE(absl::StrCat(alive, force ? " alive, forced" : " alive"));
      store_.live_leaves = {{next.id(), alive}};
      EXPECT_THAT(manager->Import(SetFiles(folder_.path()), "uid 0", {.force = force}),
                  Refuses(absl::StatusCode::kFailedPrecondition, "ROOT_RETIRED", "a retired root does not come back"));
    }
  }
  EXPECT_EQ(manager->Current()->issuing->id, next.id());
  EXPECT_THAT(manager->Current()->bundle->roots, ElementsAre(next_root.certificate()));
}

// --- certificates without a record ---

TEST_F(ImportTest, RenewUnrecordedCoversTheImportedAuthorityForOneLongestLeaf) {
  auto manager = MakeStarted();
  Write(issuing_, root_);
  ASSERT_TRUE(manager->Import(SetFiles(folder_.path()), "uid 0").ok());
  EXPECT_FALSE(manager->Current()->unrecorded.has_value()) << "nobody asked for it";
  const absl::Time until = clock_.Now() + options_.leaf_lifetime_max;
  // The authority is active already: asking for it afterwards is no other import.
  ASSERT_TRUE(manager->Import(SetFiles(folder_.path()), "uid 0", {.renew_unrecorded = true}).ok());
  ASSERT_TRUE(manager->Current()->unrecorded.has_value());
  EXPECT_THAT(manager->Current()->unrecorded->authority_ids, ElementsAre(issuing_.id())) << "not all under the root";
  EXPECT_EQ(manager->Current()->unrecorded->until, until);
  EXPECT_EQ(manager->Current()->unrecorded->why, absl::StrCat("import ", folder_.path()));
  EXPECT_THAT(DetailOf("unrecorded.allow"), HasSubstr("may renew until "));
  // A second import without it neither ends nor prolongs it, and it outlives the process.
  clock_.Advance(absl::Hours(1));
  ASSERT_TRUE(manager->Import(SetFiles(folder_.path()), "uid 0").ok());
  EXPECT_EQ(manager->Current()->unrecorded->until, until);
  EXPECT_EQ(MakeStarted()->Current()->unrecorded, manager->Current()->unrecorded);

  Pass(*manager, options_.leaf_lifetime_max);
  EXPECT_FALSE(manager->Current()->unrecorded.has_value());
  EXPECT_NE(DetailOf("unrecorded.end"), "");
}

TEST_F(ImportTest, RenewUnrecordedWithASelfSignedCaCoversTheRootThatSignedLeavesItself) {
  auto manager = MakeStarted();
  folder_.Write("ca-cert.pem", root_.pem());
  folder_.Write("ca-key.pem", root_.key_pem());
  ASSERT_TRUE(manager->Import(SetFiles(folder_.path()), "uid 0", {.renew_unrecorded = true}).ok());
  EXPECT_THAT(manager->Current()->unrecorded->authority_ids, ElementsAre(root_.id()));
}

TEST_F(ImportTest, RenewUnrecordedStandsWhileARotationToTheImportedRootRuns) {
  auto manager = MakeStarted();
  store_.live_leaves = {{manager->Current()->issuing->id, 8}};
  Write(issuing_, root_);
  ASSERT_TRUE(manager->Import(SetFiles(folder_.path()), "uid 0", {.renew_unrecorded = true}).ok());
  EXPECT_TRUE(manager->Current()->rotation.has_value());
  EXPECT_THAT(manager->Current()->unrecorded->authority_ids, ElementsAre(issuing_.id()));
}

TEST_F(ImportTest, AnEndedGraceDoesNotComeBackWhenTheClockGoesBackwards) {
  auto manager = MakeStarted();
  Write(issuing_, root_);
  ASSERT_TRUE(manager->Import(SetFiles(folder_.path()), "uid 0", {.renew_unrecorded = true}).ok());
  Pass(*manager, options_.leaf_lifetime_max);
  ASSERT_FALSE(manager->Current()->unrecorded.has_value());
  clock_.JumpTo(clock_.Now() - 2 * options_.leaf_lifetime_max);
  Tick(*manager);
  EXPECT_FALSE(manager->Current()->unrecorded.has_value());
  auto restarted = MakeStarted();
  EXPECT_FALSE(restarted->Current()->unrecorded.has_value());
  EXPECT_TRUE(restarted->AcceptClock("uid 0").ok());
  EXPECT_FALSE(restarted->Current()->unrecorded.has_value());
}

TEST_F(ImportTest, AClockThatJumpsAheadEndsNoGrace) {
  auto manager = MakeStarted();
  Write(issuing_, root_);
  ASSERT_TRUE(manager->Import(SetFiles(folder_.path()), "uid 0", {.renew_unrecorded = true}).ok());
  clock_.JumpTo(clock_.Now() + 2 * options_.leaf_lifetime_max);
  Tick(*manager);
  clock_.JumpTo(clock_.Now() - 2 * options_.leaf_lifetime_max);
  Tick(*manager);
  EXPECT_TRUE(manager->Current()->unrecorded.has_value());
}

TEST_F(ImportTest, ATaintOfTheAuthorityEndsItsGrace) { ExpectTaintEndsGrace(issuing_.id()); }

TEST_F(ImportTest, ATaintOfItsRootEndsItsGrace) { ExpectTaintEndsGrace(root_.id()); }

TEST_F(AuthorityManagerTest, ARestoreCoversTheAuthoritiesThatStoodBeforeIt) {
  auto manager = MakeStarted();
  const std::string before = manager->Current()->issuing->id;
  ASSERT_TRUE(store_.PutSealedSetting(kSettingRecovered, "1").ok());
  auto restored = MakeStarted();
  EXPECT_NE(restored->Current()->issuing->id, before);
  ASSERT_TRUE(restored->Current()->unrecorded.has_value());
  EXPECT_THAT(restored->Current()->unrecorded->authority_ids, ElementsAre(before)) << "not the one made since";
  EXPECT_EQ(restored->Current()->unrecorded->until, clock_.Now() + options_.leaf_lifetime_max);
  EXPECT_EQ(restored->Current()->unrecorded->why, "restored from a backup");
}

TEST_F(AuthorityManagerTest, WhoeverWritesTheDatabaseCannotGrantRenewalWithoutARecord) {
  auto manager = MakeStarted();
  const std::string issuing = manager->Current()->issuing->id;
  UnrecordedGrace forged;
  forged.until = clock_.Now() + kDay;
  forged.authority_ids = {issuing};
  ASSERT_TRUE(store_.PutSetting(kSettingUnrecordedGrace, UnrecordedGraceToText(forged)).ok());
  EXPECT_EQ(Make()->Start().code(), absl::StatusCode::kDataLoss);
  ASSERT_TRUE(store_.PutSealedSetting(kSettingUnrecordedGrace, "").ok());
  // A mark that pretends a restore makes a new issuing authority, and grants nothing.
  ASSERT_TRUE(store_.PutSetting(kSettingRecovered, "1").ok());
  auto restarted = MakeStarted();
  EXPECT_NE(restarted->Current()->issuing->id, issuing);
  EXPECT_FALSE(restarted->Current()->unrecorded.has_value());
}

TEST_F(ImportTest, SameSetAgainChangesNothing) {
  auto manager = MakeStarted();
  Write(issuing_, root_);
  ASSERT_TRUE(manager->Import(SetFiles(folder_.path()), "uid 0").ok());
  int commits = store_.commits;
  ASSERT_TRUE(manager->Import(SetFiles(folder_.path()), "uid 0").ok());
  EXPECT_EQ(store_.commits, commits);
}

TEST_F(ImportTest, BrokenSetIsNamedAndNothingChanges) {
  auto manager = MakeStarted();
  auto before = manager->Current();
  EXPECT_THAT(manager->Import(SetFiles(folder_.path()), "uid 0", {.force = true}),
              Refuses(absl::StatusCode::kInvalidArgument, "PLUGGED_IN_CA_INVALID", folder_.path()));
  EXPECT_EQ(manager->Current(), before);
}

TEST_F(ImportTest, TaintedAuthorityIsNotTakenBack) {
  auto manager = MakeStarted();
  Write(issuing_, root_);
  ASSERT_TRUE(manager->Import(SetFiles(folder_.path()), "uid 0").ok());
  TestCa next = MakeTestCa(Spec("next"), &root_);
  TestFolder other;
  Write(next, root_);
  ASSERT_TRUE(manager->Import(SetFiles(folder_.path()), "uid 0").ok());
  AuthoritiesAndBundle stored = store_.store.LoadAuthorities().value();
  AuthorityChange taint;
  taint.expected_revision = stored.revision;
  taint.trust_domain = stored.trust_domain;
  taint.authorities = {*FindById(stored, issuing_.id())};
  taint.authorities[0].tainted = true;
  taint.audit.emplace_back();
  ASSERT_TRUE(store_.store.CommitAuthorities(taint).ok());
  Write(issuing_, root_);
  EXPECT_THAT(manager->Import(SetFiles(folder_.path()), "uid 0", {.force = true}),
              Refuses(absl::StatusCode::kFailedPrecondition, "", "is tainted"));
}

}  // namespace
}  // namespace meshca
