#include "ca/edge/connection_judge.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <ctime>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ca/authority/authority_standing.h"
#include "ca/authority/trust_withdrawal.h"
#include "ca/service/certificate_standing.h"
#include "test/ca/x509/test_files.h"
#include "test/fakes/fake_clock.h"
#include "test/fakes/status_matchers.h"

namespace meshca {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

// Says of each serial what a test set; everything else is recorded.
class Inventory final : public IssuanceStore {
 public:
  void Say(const std::string& serial, absl::Status verdict) {
    MutexLock lock(mutex_);
    verdicts_[serial] = std::move(verdict);
  }
  void SayOfAll(absl::Status verdict) {
    MutexLock lock(mutex_);
    of_all_ = std::move(verdict);
  }
  int asked() const {
    MutexLock lock(mutex_);
    return asked_;
  }

  absl::StatusOr<IssuanceRecord> JudgePresented(const PresentedCertificate& shown,
                                                const std::shared_ptr<const TrustedOrigins>&) override {
    MutexLock lock(mutex_);
    ++asked_;
    if (!of_all_.ok()) return of_all_;
    const auto found = verdicts_.find(shown.serial);
    if (found != verdicts_.end() && !found->second.ok()) return found->second;
    IssuanceRecord record;
    record.spiffe_id = shown.spiffe_id;
    return record;
  }
  void Append(std::shared_ptr<const IssuanceRecord>, AppendDone done) override {
    std::move(done)(absl::UnimplementedError("Append"));
  }
  absl::StatusOr<IssuanceRecord> Find(const SerialNumber&) override { return absl::UnimplementedError("Find"); }
  absl::Status List(const IssuanceFilter&, absl::FunctionRef<bool(const IssuanceRecord&)>) override {
    return absl::UnimplementedError("List");
  }
  absl::StatusOr<uint64_t> CountIssuances() override { return 0; }

 private:
  mutable Mutex mutex_;
  std::map<std::string, absl::Status> verdicts_ ABSL_GUARDED_BY(mutex_);
  absl::Status of_all_ ABSL_GUARDED_BY(mutex_);
  int asked_ ABSL_GUARDED_BY(mutex_) = 0;
};

class Authorities final : public AuthoritySnapshots {
 public:
  std::shared_ptr<const AuthoritySnapshot> Current() const override {
    MutexLock lock(mutex_);
    return current_;
  }
  void AddListener(Listener listener) override { listener_ = std::move(listener); }
  void Publish(AuthoritySnapshot snapshot) {
    std::shared_ptr<const AuthoritySnapshot> next;
    {
      MutexLock lock(mutex_);
      snapshot.revision = current_ == nullptr ? 1 : current_->revision + 1;
      next = current_ = std::make_shared<const AuthoritySnapshot>(std::move(snapshot));
    }
    if (listener_ != nullptr) listener_(next);
  }

 private:
  mutable Mutex mutex_;
  std::shared_ptr<const AuthoritySnapshot> current_ ABSL_GUARDED_BY(mutex_);
  Listener listener_;
};

class ConnectionJudgeTest : public testing::Test {
 protected:
  ConnectionJudgeTest() {
    clock.Advance(TestNow() - clock.Now());
    authorities.Publish(Snapshot());
    judge.Start();
  }

  AuthoritySnapshot Snapshot() const {
    AuthoritySnapshot snapshot;
    snapshot.bundle = std::make_shared<TrustBundle>(TrustBundle{TestDomain(), 1, {ca.root}});
    for (const Certificate& certificate : {ca.root, ca.issuing}) {
      SigningAuthority row;
      row.id = certificate.spki_sha256_hex();
      row.state = AuthorityState::kActive;
      row.root_id = ca.root.spki_sha256_hex();
      snapshot.authorities.push_back(std::move(row));
    }
    return snapshot;
  }

  Certificate Leaf() const {
    return Make({.subject = "web",
                 .issuer = &ca.issuing,
                 .signer = ca.issuing_key.get(),
                 .key = leaf_key.get(),
                 .extensions = {{"subjectAltName", "URI:spiffe://cluster.local/ns/default/sa/web"}}});
  }

  // A connection with `leaf`, as a handshake leaves it.
  uint64_t Connect(const Certificate& leaf) {
    auto verified = std::make_shared<VerifiedPeer>();
    verified->spiffe_id = *leaf.spiffe_id();
    verified->leaf = leaf;
    verified->authority_ids = {ca.issuing.spki_sha256_hex(), ca.root.spki_sha256_hex()};
    verified->root_id = verified->authority_ids.back();
    verified->path_ends = leaf.validity().not_after;
    return Add(std::move(verified));
  }
  uint64_t Add(std::shared_ptr<const VerifiedPeer> verified) {
    auto peer = std::make_shared<rpc::Peer>();
    peer->transport = rpc::Transport::kTls;
    peer->certificate_chain_der = {"as it was sent"};
    peer->identity = std::move(verified);
    MutexLock lock(mutex);
    peer->connection_id = ++connections;
    peers[peer->connection_id] = peer;
    return peer->connection_id;
  }

  void Wait(const std::function<bool()>& done, absl::string_view what) {
    const absl::Time end = absl::Now() + absl::Minutes(1);
    MutexLock lock(mutex);
    while (!done()) {
      ASSERT_LT(absl::Now(), end) << "never came: " << what;
      changed.WaitFor(mutex, absl::Milliseconds(5));
    }
  }
  void WaitForRuns(uint64_t runs) {
    Wait([&] { return judge.stats().runs >= runs; }, "a run");
  }
  std::set<uint64_t> open() const {
    MutexLock lock(mutex);
    std::set<uint64_t> ids;
    for (const auto& [id, peer] : peers) ids.insert(id);
    return ids;
  }

  const TestAuthorities ca = NewAuthorities();
  const std::unique_ptr<SoftwareKey> leaf_key = NewKey();
  FakeClock clock;
  Authorities authorities;
  Inventory inventory;
  const AuthorityStanding path_standing{authorities};
  const ClientCertificateAuthenticator authenticator{TestDomain(), path_standing};
  CertificateStanding standing{authorities, authenticator, inventory};

  mutable Mutex mutex;
  CondVar changed;
  uint64_t connections = 0;
  std::map<uint64_t, std::shared_ptr<const rpc::Peer>> peers;
  std::vector<std::string> reasons;
  ConnectionJudge judge{{&standing,
                         [this] {
                           MutexLock lock(mutex);
                           std::vector<std::shared_ptr<const rpc::Peer>> all;
                           for (const auto& [id, peer] : peers) all.push_back(peer);
                           return all;
                         },
                         [this](std::vector<uint64_t> ids, std::string why) {
                           MutexLock lock(mutex);
                           for (const uint64_t id : ids) peers.erase(id);
                           reasons.push_back(std::move(why));
                           changed.NotifyAll();
                         },
                         &clock}};
};

TEST_F(ConnectionJudgeTest, CutsTheConnectionsOfARevokedCertificateAndNoOther) {
  const Certificate revoked = Leaf();
  const uint64_t first = Connect(revoked);
  const uint64_t second = Connect(revoked);
  const uint64_t other = Connect(Leaf());
  inventory.Say(revoked.serial_hex(), absl::UnauthenticatedError("certificate is revoked"));
  judge.JudgeEverybody();
  WaitForRuns(1);
  EXPECT_THAT(open(), ElementsAre(other));
  EXPECT_NE(first, second);
  EXPECT_THAT(reasons, ElementsAre(HasSubstr("revoked")));
  EXPECT_EQ(judge.stats().cut, 2u);
  EXPECT_EQ(judge.stats().judged, 3u);
  EXPECT_EQ(inventory.asked(), 2) << "two connections with one certificate are one question";
}

TEST_F(ConnectionJudgeTest, CutsWhoseRightIsGone) {
  const Certificate leaf = Leaf();
  Connect(leaf);
  inventory.Say(leaf.serial_hex(), absl::PermissionDeniedError("entry 5f0c is gone"));
  judge.JudgeEverybody();
  WaitForRuns(1);
  EXPECT_THAT(open(), ElementsAre());
}

TEST_F(ConnectionJudgeTest, CutsWhoHasNoVerifiedPath) {
  Add(nullptr);
  judge.JudgeEverybody();
  WaitForRuns(1);
  EXPECT_THAT(open(), ElementsAre());
}

struct ChangeCase {
  std::string name;
  std::function<void(AuthoritySnapshot&)> change;
  bool judges;
  bool cuts;  // a certificate that the inventory holds
};

class AuthorityChangeJudges : public ConnectionJudgeTest, public testing::WithParamInterface<ChangeCase> {};

TEST_P(AuthorityChangeJudges, WhoeverIsConnectedWhenTrustIsTakenAway) {
  Connect(Leaf());
  AuthoritySnapshot after = Snapshot();
  GetParam().change(after);
  EXPECT_EQ(TakesTrustAway(Snapshot(), after), GetParam().judges);
  authorities.Publish(after);
  if (!GetParam().judges) judge.JudgeEverybody();  // so that there is a run to wait for
  WaitForRuns(1);
  EXPECT_EQ(open().empty(), GetParam().cuts);
}

INSTANTIATE_TEST_SUITE_P(
    Changes, AuthorityChangeJudges,
    testing::Values(
        ChangeCase{"NothingOfTrust", [](AuthoritySnapshot&) {}, false, false},
        ChangeCase{"RootAdded",
                   [](AuthoritySnapshot& s) {
                     TrustBundle bundle = *s.bundle;
                     bundle.roots.push_back(NewAuthorities().root);
                     s.bundle = std::make_shared<TrustBundle>(std::move(bundle));
                   },
                   false, false},
        ChangeCase{"RootTainted", [](AuthoritySnapshot& s) { s.authorities[0].tainted = true; }, true, false},
        ChangeCase{"IssuingTainted", [](AuthoritySnapshot& s) { s.authorities[1].tainted = true; }, true, false},
        ChangeCase{"IssuingRetired", [](AuthoritySnapshot& s) { s.authorities[1].state = AuthorityState::kRetired; },
                   true, true},
        ChangeCase{"RootGone",
                   [](AuthoritySnapshot& s) {
                     s.bundle = std::make_shared<TrustBundle>(TrustBundle{TestDomain(), 2, {NewAuthorities().root}});
                   },
                   true, true}),
    [](const auto& info) { return info.param.name; });

TEST_F(ConnectionJudgeTest, ATaintCutsWhomTheInventoryDoesNotKnow) {
  AuthoritySnapshot grace = Snapshot();
  grace.unrecorded = UnrecordedGrace{TestNow() + absl::Hours(1), {ca.root.spki_sha256_hex()}, "restored"};
  authorities.Publish(grace);
  const Certificate forged = Leaf();
  const uint64_t honest = Connect(Leaf());
  Connect(forged);
  inventory.Say(forged.serial_hex(), absl::UnauthenticatedError("this CA has no record of it"));
  grace.authorities[0].tainted = true;
  authorities.Publish(grace);
  Wait([&] { return peers.size() == 1; }, "the cut");
  EXPECT_THAT(open(), ElementsAre(honest));
}

TEST_F(ConnectionJudgeTest, JudgesAgainWhenTheTimeWithoutRecordsEnds) {
  AuthoritySnapshot grace = Snapshot();
  grace.unrecorded = UnrecordedGrace{TestNow() + absl::Seconds(2), {ca.root.spki_sha256_hex()}, "restored"};
  authorities.Publish(grace);
  const Certificate unrecorded = Leaf();
  Connect(unrecorded);
  inventory.Say(unrecorded.serial_hex(), absl::UnauthenticatedError("this CA has no record of it"));
  clock.Advance(absl::Seconds(3));
  Wait([&] { return peers.empty(); }, "the cut");
}

TEST_F(ConnectionJudgeTest, AsksAgainUntilTheDatabaseIsBack) {
  const Certificate revoked = Leaf();
  Connect(revoked);
  inventory.SayOfAll(absl::UnavailableError("database: away"));
  judge.JudgeEverybody();
  WaitForRuns(2);
  EXPECT_EQ(open().size(), 1u) << "an error is no verdict";
  EXPECT_GE(judge.stats().failed, 2u);
  inventory.Say(revoked.serial_hex(), absl::UnauthenticatedError("certificate is revoked"));
  inventory.SayOfAll(absl::OkStatus());
  Wait([&] { return peers.empty(); }, "the cut");
}

TEST_F(ConnectionJudgeTest, ThousandsAreJudgedWithinASecond) {
  const Certificate good = Leaf();
  std::vector<Certificate> bad;
  for (int i = 0; i < 20; ++i) bad.push_back(Leaf());
  for (int i = 0; i < 4000; ++i) Connect(i % 2 == 0 ? good : bad[static_cast<size_t>(i / 2) % bad.size()]);
  for (const Certificate& leaf : bad) inventory.Say(leaf.serial_hex(), absl::UnauthenticatedError("revoked"));
  const std::clock_t begun = std::clock();  // of the processor: how long this waits for one is not the judge's
  judge.JudgeEverybody();
  WaitForRuns(1);
  EXPECT_LT(std::clock() - begun, CLOCKS_PER_SEC);
  EXPECT_EQ(inventory.asked(), 21) << "once for each certificate";
  EXPECT_EQ(open().size(), 2000u);
}

TEST(ConnectionJudge, RunsWhatElseIsToBeJudgedWithEveryRunAndTriesItAgain) {
  FakeClock clock;
  Authorities authorities;
  Inventory inventory;
  const AuthorityStanding path_standing(authorities);
  const ClientCertificateAuthenticator authenticator(TestDomain(), path_standing);
  CertificateStanding standing(authorities, authenticator, inventory);
  Mutex mutex;
  CondVar changed;
  int calls = 0;
  ConnectionJudge judge({&standing, [] { return std::vector<std::shared_ptr<const rpc::Peer>>(); },
                         [](std::vector<uint64_t>, std::string) {}, &clock});
  judge.AlsoJudge([&]() -> absl::Status {
    MutexLock lock(mutex);
    changed.NotifyAll();
    return ++calls == 1 ? absl::UnavailableError("database: away") : absl::OkStatus();
  });
  judge.Start();
  judge.JudgeEverybody();
  MutexLock lock(mutex);
  while (calls < 2) ASSERT_TRUE(changed.WaitFor(mutex, absl::Minutes(1)));
}

}  // namespace
}  // namespace meshca
