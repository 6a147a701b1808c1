// The keys of JWT-SVIDs as a server lives with them: made, published, waited for, signing, retired; through restarts
// and crashes at every commit, beside rotations of the root.
#include "ca/authority/jwt_key_driver.h"

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/authority/rotation_driver.h"
#include "ca/authority/settings.h"
#include "ca/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/fakes/counting_entropy.h"
#include "test/fakes/fake_clock.h"
#include "test/fakes/fake_key_store.h"
#include "test/fakes/forwarding_authority_store.h"
#include "test/fakes/memory_store.h"

namespace meshca {
namespace {

using testing::HasSubstr;

// Commits fail when told to: before they are applied, or after, when nobody hears of it.
class MortalStore final : public ForwardingAuthorityStore {
 public:
  absl::StatusOr<uint64_t> CommitAuthorities(const AuthorityChange& change) override {
    const std::string& action = change.audit.front().action;
    const bool dies = dead || action == dies_at;
    if (!dies) return memory().CommitAuthorities(change);
    const bool applied = !dead && applies;
    dead = true;
    if (applied) {
      EXPECT_TRUE(memory().CommitAuthorities(change).ok());
    }
    return absl::UnavailableError("the process died");
  }

  MemoryStore& memory() { return *memory_; }
  // What a meshca that knew no JWT keys would have stored.
  void BecomeOlder() {
    const AuthoritiesAndBundle stored = memory_->LoadAuthorities().value();
    memory_ = std::make_unique<MemoryStore>();
    AuthorityChange change;
    change.trust_domain = stored.trust_domain;
    change.authorities = stored.authorities;
    change.bundle = stored.bundle;
    change.bundle->jwt_keys_der.clear();
    change.audit.emplace_back();
    EXPECT_TRUE(memory_->CommitAuthorities(change).ok());
  }

  std::string dies_at;
  bool applies = false;
  bool dead = false;

 private:
  AuthorityStore& inner() override { return *memory_; }

  std::unique_ptr<MemoryStore> memory_ = std::make_unique<MemoryStore>();
};

class JwtConsumers final : public EvidenceSource, public KeyReissuer {
 public:
  std::vector<SubscriberRecord> List() const override { return records; }
  Progress Reissue(absl::FunctionRef<bool(absl::string_view)>, double) override { return {}; }

  // The reference is valid until the next is added.
  SubscriberRecord& Add(const std::string& instance, TrustVersion holds, bool takes_jwt_keys = true) {
    SubscriberRecord& record = records.emplace_back();
    record.instance = instance;
    record.spiffe_id = "spiffe://cluster.local/" + instance;
    record.connected = true;
    record.takes_bundle = true;
    record.takes_jwt_keys = takes_jwt_keys;
    record.trust_version = holds;
    return record;
  }

  std::vector<SubscriberRecord> records;
};

class JwtKeyDriverTest : public testing::Test {
 protected:
  JwtKeyDriverTest() { StartServer(); }

  void StartServer() {
    AuthorityOptions options;
    options.trust_domain = TrustDomain::Parse("cluster.local").value();
    EndServer();
    store_.dead = false;
    manager_ = AuthorityManager::Create(options, store_, keys_, clock_, entropy_).value();
    EXPECT_TRUE(manager_->Start().ok());
    driver_ = std::make_unique<JwtKeyDriver>(JwtKeyDriver::Parts{manager_.get(), &consumers_, {}});
    RotationDriver::Parts parts;
    parts.authorities = manager_.get();
    parts.store = &store_;
    parts.inventory = &store_.memory();
    parts.evidence = &consumers_;
    parts.reissuer = &consumers_;
    parts.sleep = [this](absl::Duration time) { clock_.Advance(time); };
    root_driver_ = std::make_unique<RotationDriver>(std::move(parts));
  }

  void EndServer() {
    root_driver_.reset();
    driver_.reset();
    manager_.reset();
  }

  // As the server's loops would.
  void Pass(absl::Duration time = absl::Seconds(3)) {
    clock_.Advance(time);
    manager_->Tick(clock_.Now());
    root_driver_->Tick(clock_.Now());
    driver_->Tick(clock_.Now());
  }
  std::shared_ptr<const AuthoritySnapshot> Now() const { return manager_->Current(); }
  std::string Signer() const { return Now()->jwt_signer == nullptr ? "" : Now()->jwt_signer->key_id; }
  std::string KeyIn(AuthorityState state) const {
    for (const JwtAuthority& key : Now()->jwt_authorities) {
      if (key.state == state) return key.key.key_id;
    }
    return "";
  }
  std::set<std::string> Trusted() const {
    std::set<std::string> keys;
    for (const JwtKey& key : Now()->bundle->jwt_keys) keys.insert(key.key_id);
    return keys;
  }
  TrustVersion Version() const { return Now()->bundle->sequence_number; }
  size_t Audited(absl::string_view action) {
    size_t count = 0;
    EXPECT_TRUE(store_.memory()
                    .ListAudit([&](const AuditEntry& entry) {
                      count += entry.action == action;
                      return true;
                    })
                    .ok());
    return count;
  }

  FakeClock clock_;
  CountingEntropy entropy_;
  FakeKeyStore keys_;
  MortalStore store_;
  JwtConsumers consumers_;
  std::unique_ptr<AuthorityManager> manager_;
  std::unique_ptr<JwtKeyDriver> driver_;
  std::unique_ptr<RotationDriver> root_driver_;
};

TEST_F(JwtKeyDriverTest, ATrustDomainBeginsWithAKeyInItsFirstBundle) {
  EXPECT_EQ(Version(), 1u);
  EXPECT_NE(Signer(), "");
  EXPECT_EQ(Trusted(), std::set<std::string>{Signer()});
  EXPECT_EQ(Now()->jwt_authorities[0].published_version, 1u);
  EXPECT_EQ(Now()->why_no_jwt, "");
  EXPECT_EQ(Audited("jwt.activate"), 1u);
  const std::string signer = Signer();
  Pass();
  StartServer();
  EXPECT_EQ(Signer(), signer);
  EXPECT_EQ(Version(), 1u);
  EXPECT_EQ(driver_->Report().next_rotation, Now()->jwt_authorities[0].activated_at + absl::Hours(24 * 30));
}

TEST_F(JwtKeyDriverTest, TheNextKeySignsWhenEverybodyHoldsItAndTheOldOneGoesWithItsLastToken) {
  consumers_.Add("proxy", 1, /*takes_jwt_keys=*/false);
  SubscriberRecord& consumer = consumers_.Add("api", 1);
  const std::string old = Signer();
  ASSERT_TRUE(driver_->Rotate("uid 0").ok());
  const std::string next = KeyIn(AuthorityState::kPrepared);
  EXPECT_EQ(Version(), 2u);
  EXPECT_EQ(Trusted(), (std::set<std::string>{old, next}));
  EXPECT_EQ(ReasonOf(driver_->Rotate("uid 0")), "JWT_ROTATION_RUNS");
  for (int look = 0; look < 20; ++look) Pass(absl::Minutes(1));
  EXPECT_EQ(Signer(), old) << "a consumer does not hold the next key yet";
  EXPECT_THAT(driver_->Report().waiting_for, HasSubstr("1 of 1 subscriber"));
  ASSERT_EQ(driver_->Report().evidence.laggards.size(), 1u);
  EXPECT_EQ(driver_->Report().evidence.laggards[0].instance, "api");

  consumer.trust_version = 2;
  Pass(absl::Seconds(1));
  EXPECT_EQ(Signer(), old);
  EXPECT_THAT(driver_->Report().waiting_for, HasSubstr("settling"));
  Pass();
  EXPECT_EQ(Signer(), next);
  EXPECT_EQ(Version(), 2u) << "what is trusted did not change, so nobody is told anything";
  EXPECT_EQ(KeyIn(AuthorityState::kOld), old);

  Pass(absl::Minutes(14));
  EXPECT_EQ(Trusted(), (std::set<std::string>{old, next})) << "a token of the old key may be shown still";
  Pass(absl::Minutes(2));
  EXPECT_EQ(Trusted(), std::set<std::string>{next});
  EXPECT_EQ(Version(), 3u);
  EXPECT_EQ(Audited("jwt.publish"), 1u);
  EXPECT_EQ(Audited("jwt.activate"), 2u);
  EXPECT_EQ(Audited("jwt.retire"), 1u);
  EXPECT_EQ(keys_.destroyed.size(), 1u);
}

TEST_F(JwtKeyDriverTest, KeysReplaceThemselvesEveryMonth) {
  std::set<std::string> signers;
  for (int hour = 0; hour < 24 * 91; hour += 6) {
    signers.insert(Signer());
    Pass(absl::Hours(6));
    Pass();
  }
  EXPECT_EQ(signers.size(), 4u);
  EXPECT_EQ(Trusted(), std::set<std::string>{Signer()});
}

TEST_F(JwtKeyDriverTest, WhoVanishesHoldsTheNextKeyUpForALeafsLifeAndWhoWasEvictedNotAtAll) {
  SubscriberRecord& gone = consumers_.Add("gone", 1);
  const std::string old = Signer();
  ASSERT_TRUE(driver_->Rotate("uid 0").ok());
  gone.connected = false;
  gone.last_seen = clock_.Now();
  Pass(absl::Hours(23));
  EXPECT_EQ(Signer(), old);
  Pass(absl::Hours(2));
  Pass();
  EXPECT_NE(Signer(), old);
  const std::string second = Signer();
  gone.connected = true;
  ASSERT_TRUE(driver_->Rotate("uid 0").ok());
  Pass();
  Pass();
  EXPECT_EQ(Signer(), second);
  gone.evicted_at = clock_.Now();
  Pass();
  Pass();
  EXPECT_NE(Signer(), second);
}

TEST_F(JwtKeyDriverTest, ATaintedKeyIsOutOfTrustAtOnceAndAnotherSigns) {
  consumers_.Add("api", 1);  // a theft does not wait for it
  const std::string stolen = Signer();
  ASSERT_TRUE(driver_->Taint(stolen.substr(0, 8), "uid 0").ok());
  EXPECT_NE(Signer(), stolen);
  EXPECT_NE(Signer(), "");
  EXPECT_EQ(Trusted(), std::set<std::string>{Signer()});
  EXPECT_EQ(Version(), 2u);
  EXPECT_EQ(ReasonOf(driver_->Taint(stolen, "uid 0")), "JWT_KEY_STATE");
  StartServer();
  EXPECT_NE(Signer(), stolen);
  EXPECT_FALSE(Trusted().contains(stolen));
  for (const JwtAuthority& key : Now()->jwt_authorities) EXPECT_EQ(key.tainted, key.key.key_id == stolen);
}

TEST_F(JwtKeyDriverTest, APreparedKeyTakesOverFromATaintedOne) {
  consumers_.Add("api", 1);
  ASSERT_TRUE(driver_->Rotate("uid 0").ok());
  const std::string next = KeyIn(AuthorityState::kPrepared);
  ASSERT_TRUE(driver_->Taint(Signer(), "uid 0").ok());
  EXPECT_EQ(Signer(), next);
  EXPECT_EQ(Trusted(), std::set<std::string>{next});
  EXPECT_TRUE(driver_->Report().waiting_for.empty());
}

TEST_F(JwtKeyDriverTest, ATaintNamesOneKey) {
  EXPECT_TRUE(absl::IsInvalidArgument(driver_->Taint("short", "uid 0")));
  EXPECT_TRUE(absl::IsNotFound(driver_->Taint("not-the-kid-of-anything", "uid 0")));
  EXPECT_EQ(Version(), 1u);
}

struct DeathCase {
  const char* name;
  const char* action;
  bool applied;
};

class JwtKeyDeath : public JwtKeyDriverTest, public testing::WithParamInterface<DeathCase> {};

// Dies at one commit, before or after it was applied, and starts again: the rotation ends as if nothing had happened.
TEST_P(JwtKeyDeath, AndARestartLeadToTheSameEnd) {
  const std::string first = Signer();
  store_.applies = GetParam().applied;
  store_.dies_at = GetParam().action;
  std::set<std::string> signers;
  for (int look = 0; look < 60; ++look) {
    if (look == 2) (void)driver_->Rotate("uid 0");
    Pass(absl::Minutes(1));
    if (store_.dead) {
      store_.dies_at.clear();
      StartServer();
      // The order that was not carried out is given again.
      if (KeyIn(AuthorityState::kPrepared).empty() && Signer() == first) (void)driver_->Rotate("uid 0");
    }
    ASSERT_NE(Signer(), "");
    ASSERT_TRUE(Trusted().contains(Signer()));
    signers.insert(Signer());
  }
  EXPECT_TRUE(store_.dies_at.empty()) << "it never came there";
  EXPECT_EQ(signers.size(), 2u);
  EXPECT_NE(Signer(), first);
  EXPECT_EQ(Trusted(), std::set<std::string>{Signer()});
  EXPECT_EQ(Now()->jwt_authorities.size(), 2u);
  EXPECT_TRUE(store_.memory().Check().ok());
}

INSTANTIATE_TEST_SUITE_P(Everywhere, JwtKeyDeath,
                         testing::Values(DeathCase{"BeforePublishing", "jwt.publish", false},
                                         DeathCase{"AfterPublishing", "jwt.publish", true},
                                         DeathCase{"BeforeActivation", "jwt.activate", false},
                                         DeathCase{"AfterActivation", "jwt.activate", true},
                                         DeathCase{"BeforeRetirement", "jwt.retire", false},
                                         DeathCase{"AfterRetirement", "jwt.retire", true}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_F(JwtKeyDriverTest, ATaintWhoseAnswerWasLostIsDone) {
  const std::string stolen = Signer();
  store_.dies_at = "jwt.taint";
  store_.applies = true;
  EXPECT_TRUE(absl::IsUnavailable(driver_->Taint(stolen, "uid 0")));
  store_.dies_at.clear();
  StartServer();
  EXPECT_NE(Signer(), stolen);
  EXPECT_FALSE(Trusted().contains(stolen));
}

TEST_F(JwtKeyDriverTest, ARestartSettlesAnew) {
  consumers_.Add("api", 9);
  ASSERT_TRUE(driver_->Rotate("uid 0").ok());
  const std::string old = Signer();
  clock_.Advance(absl::Hours(1));
  StartServer();
  driver_->Tick(clock_.Now());
  EXPECT_EQ(Signer(), old) << "this process has seen nothing hold for two seconds";
  Pass();
  EXPECT_NE(Signer(), old);
}

// A database of a meshca that knew no JWT keys.
TEST_F(JwtKeyDriverTest, TheFirstStartWithAnOlderDatabaseMakesTheFirstKeyAndPublishesIt) {
  EndServer();
  store_.BecomeOlder();
  StartServer();
  EXPECT_NE(Signer(), "");
  EXPECT_EQ(Version(), 2u);
  EXPECT_EQ(Trusted(), std::set<std::string>{Signer()});
  EXPECT_EQ(Audited("jwt.mend"), 1u);
  const std::string signer = Signer();
  StartServer();
  EXPECT_EQ(Signer(), signer);
  EXPECT_EQ(Version(), 2u);
}

// An earlier meshca published a bundle, which it knew no JWT keys to put in.
TEST_F(JwtKeyDriverTest, KeysThatABundleLacksArePublishedAgainAndTheNextOneWaitsAnew) {
  consumers_.Add("api", 2);
  const std::string old = Signer();
  ASSERT_TRUE(driver_->Rotate("uid 0").ok());
  const AuthoritiesAndBundle stored = store_.memory().LoadAuthorities().value();
  AuthorityChange theirs;
  theirs.expected_revision = stored.revision;
  theirs.trust_domain = stored.trust_domain;
  theirs.bundle = stored.bundle;
  theirs.bundle->sequence_number = 3;
  theirs.bundle->jwt_keys_der.clear();
  theirs.audit.emplace_back().action = "root.publish";
  ASSERT_TRUE(store_.memory().CommitAuthorities(theirs).ok());
  StartServer();
  EXPECT_EQ(Version(), 4u);
  EXPECT_EQ(Trusted().size(), 2u);
  EXPECT_EQ(Signer(), old);
  Pass();
  Pass();
  EXPECT_EQ(Signer(), old) << "who holds bundle 2 may have got bundle 3 since";
  consumers_.records[0].trust_version = 4;
  Pass();
  Pass();
  EXPECT_NE(Signer(), old);
}

TEST_F(JwtKeyDriverTest, ARestoreBringsTheNextKeyAndAsksEverybodyAnew) {
  consumers_.Add("api", 7);  // what it acknowledged of the lost database
  const std::string old = Signer();
  ASSERT_TRUE(store_.memory().PutSetting(kSettingRecovered, "1").ok());
  StartServer();
  const std::string next = KeyIn(AuthorityState::kPrepared);
  ASSERT_NE(next, "");
  EXPECT_EQ(Now()->jwt_authorities.back().published_version, Version());
  Pass();
  Pass();
  EXPECT_EQ(Signer(), old);
  consumers_.records[0].trust_version = Version();
  Pass();
  Pass();
  EXPECT_EQ(Signer(), next);
}

TEST_F(JwtKeyDriverTest, AClockThatIsNotBelievedMovesNothingButATaint) {
  ASSERT_TRUE(driver_->Rotate("uid 0").ok());
  const std::string old = Signer();
  clock_.JumpTo(clock_.Now() + absl::Hours(24 * 365));
  Pass();
  Pass();
  EXPECT_EQ(KeyIn(AuthorityState::kActive), old);
  EXPECT_NE(driver_->Report().frozen, "");
  EXPECT_EQ(ReasonOf(driver_->Rotate("uid 0")), "JWT_ROTATION_FROZEN");
  ASSERT_TRUE(driver_->Taint(old, "uid 0").ok());
  EXPECT_FALSE(Trusted().contains(old));
}

TEST_F(JwtKeyDriverTest, NothingIsSignedByAClockThatWentBackwards) {
  const absl::Time then = clock_.Now();
  Pass(absl::Hours(24));
  clock_.JumpTo(then);
  Pass();
  EXPECT_EQ(Now()->jwt_signer, nullptr);
  EXPECT_THAT(Now()->why_no_jwt, HasSubstr("the clock went backwards"));
  clock_.JumpTo(then + absl::Hours(24));
  Pass();
  EXPECT_NE(Now()->jwt_signer, nullptr);
}

TEST_F(JwtKeyDriverTest, AKeyThatDoesNotOpenIsNamedAndTheRestGoesOn) {
  const std::string signer = Signer();
  const AuthoritiesAndBundle stored = store_.memory().LoadAuthorities().value();
  AuthorityChange change;
  change.expected_revision = stored.revision;
  change.trust_domain = stored.trust_domain;
  change.jwt_authorities = stored.jwt_authorities;
  change.jwt_authorities[0].sealed_key = "garbage";
  change.audit.emplace_back();
  ASSERT_TRUE(store_.memory().CommitAuthorities(change).ok());
  StartServer();
  EXPECT_EQ(Signer(), "");
  EXPECT_NE(Now()->issuing, nullptr);
  EXPECT_THAT(manager_->LastError(), HasSubstr(signer));
  ASSERT_TRUE(driver_->Taint(signer, "uid 0").ok()) << "the operator's way out";
  EXPECT_NE(Signer(), "");
}

// ---- beside a rotation of the root ----

TEST_F(JwtKeyDriverTest, AChangeOfKeysAsksNobodyAnewWhoHoldsWhatTheRootsStepNeeds) {
  SubscriberRecord& proxy = consumers_.Add("proxy", 1, /*takes_jwt_keys=*/false);
  const std::string old_root = Now()->issuing->root_id;
  ASSERT_TRUE(root_driver_->Begin({}, "uid 0").ok());
  const TrustVersion both_roots = Version();
  ASSERT_TRUE(driver_->Rotate("uid 0").ok());
  EXPECT_EQ(Version(), both_roots + 1);
  EXPECT_EQ(Now()->bundle->roots.size(), 2u);
  Pass();
  Pass();
  EXPECT_EQ(Now()->issuing->root_id, old_root);
  proxy.trust_version = both_roots;
  Pass();
  Pass();
  EXPECT_NE(Now()->issuing->root_id, old_root) << "it holds both roots; that a key came later is nothing to it";
  EXPECT_EQ(Now()->bundle->jwt_keys.size(), 2u) << "the new order of roots keeps the keys";
}

TEST_F(JwtKeyDriverTest, BothRotationsEndWhicheverComesFirst) {
  const std::string old_root = Now()->issuing->root_id;
  const std::string old_key = Signer();
  ASSERT_TRUE(root_driver_->Begin({}, "uid 0").ok());
  ASSERT_TRUE(driver_->Rotate("uid 0").ok());
  for (int look = 0; look < 30; ++look) Pass(absl::Minutes(1));
  EXPECT_EQ(Now()->rotation->step, RotationStep::kDone);
  EXPECT_NE(Now()->issuing->root_id, old_root);
  EXPECT_NE(Signer(), old_key);
  EXPECT_EQ(Now()->bundle->roots.size(), 1u);
  EXPECT_EQ(Trusted(), std::set<std::string>{Signer()});
}

TEST_F(JwtKeyDriverTest, AnAbortedRotationOfTheRootKeepsTheKeys) {
  ASSERT_TRUE(root_driver_->Begin({}, "uid 0").ok());
  ASSERT_TRUE(driver_->Rotate("uid 0").ok());
  ASSERT_TRUE(root_driver_->Abort("uid 0").ok());
  EXPECT_EQ(Now()->bundle->roots.size(), 1u);
  EXPECT_EQ(Trusted().size(), 2u);
}

}  // namespace
}  // namespace meshca
