#include "ca/server_secrets/server_secret_keeper.h"

#include <gmock/gmock.h>

#include <functional>
#include <future>

#include "absl/strings/str_replace.h"
#include "test/ca/kubernetes/fake_leadership.h"
#include "test/ca/publishing/small_cluster.h"
#include "test/ca/server_secrets/signed_leaf.h"
#include "test/fakes/fake_clock.h"

namespace meshca {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kIstiodTls[] = "istio-system/istiod-tls";

std::string RefusedByRbac(const std::string& verb) {
  return kubernetes::HttpAnswer(
      403, absl::StrCat(R"({"kind":"Status","reason":"Forbidden","message":"User \"meshca\" cannot )", verb,
                        R"( resource \"secrets\""})"));
}

class ServerSecretKeeperTest : public testing::Test {
 protected:
  ~ServerSecretKeeperTest() override { Stop(); }

  void Start() { StartOn(store_); }
  void StartOn(IssuanceStore& store) {
    pipeline_ = std::make_unique<IssuancePipeline>(profile_, PipelineOptions{.threads = 1}, authorities_, store, clock_,
                                                   SystemEntropy());
    server_ = cluster_.Connect(outage_);
    leadership_ = std::make_unique<kubernetes::FakeLeadership>();
    ServerSecretOptions options;
    options.secret = {"istio-system", "istiod-tls"};
    options.pods = pods_;
    options.names = IstiodNames();
    keeper_ = std::make_unique<ServerSecretKeeper>(
        std::move(options), ServerSecretKeeper::Parts{*server_, authorities_, store, *pipeline_, clock_,
                                                      SystemEntropy(), leadership_.get()});
    keeper_->SetRoots(version_, RootsOf(*authorities_.Current()));
    keeper_->Start();
    if (leads_) leadership_->Set(true);
  }
  void Stop() {
    if (keeper_ != nullptr) keeper_->Shutdown();
    if (pipeline_ != nullptr) pipeline_->Shutdown();
    keeper_.reset();
    server_.reset();
  }
  static std::string RootsOf(const AuthoritySnapshot& authorities) { return authorities.bundle->ToPem(); }
  // As KubernetesSide tells it.
  void Publish(const std::shared_ptr<const AuthoritySnapshot>& authorities) {
    authorities_.Publish(authorities);
    keeper_->SetRoots(++version_, RootsOf(*authorities));
  }

  // Until `done` says so, a minute long.
  bool Await(const std::function<bool(const ServerSecretStatus&)>& done) {
    const absl::Time end = absl::Now() + absl::Minutes(1);
    while (absl::Now() < end) {
      if (done(keeper_->Status())) return true;
      absl::SleepFor(absl::Milliseconds(5));
    }
    return false;
  }
  bool AwaitShown() {
    return Await([](const ServerSecretStatus& status) { return status.listed && !status.behind; });
  }
  bool AwaitRecord(const std::function<bool(const SubscriberRecord&)>& done) {
    return Await([&](const ServerSecretStatus&) {
      const std::vector<SubscriberRecord> records = keeper_->List();
      return records.size() == 1 && done(records.front());
    });
  }
  // Until the cluster has a Secret of which `done` says so.
  bool AwaitSecret(const std::function<bool(const SecretContent&)>& done) {
    return cluster_.Await([&](const std::map<std::string, std::string>& there) {
      const auto secret = there.find(kIstiodTls);
      return secret != there.end() && done(Read(secret->second));
    });
  }
  SecretContent Secret() {
    SecretContent content;
    EXPECT_TRUE(AwaitSecret([&](const SecretContent& there) {
      content = {there.chain_pem, there.key_pem.Clone(), there.roots_pem};
      return true;
    }));
    return content;
  }
  static SecretContent Read(const std::string& json) {
    return ReadServerSecret(*kubernetes::PickFields(json, ServerSecretPaths())).content;
  }
  static Certificate LeafOf(const SecretContent& content) {
    return Certificate::ParseAll(Pem(content.chain_pem))->front();
  }
  // The API server is away, and that is known.
  bool GoAway() {
    cluster_.GoAway(true);
    EXPECT_FALSE(kubernetes::Ask(*server_, kubernetes::ListOfPods()).ok());
    return Await([this](const ServerSecretStatus&) { return server_->reachability().away(); });
  }
  // Time in which the cluster tells that nothing has happened.
  void Pass(absl::Duration time) {
    clock_.Advance(time);
    cluster_.Bookmark();
  }

  const CertificateProfile profile_ = CertificateProfile();
  std::string pods_;
  bool leads_ = true;
  kubernetes::OutageTerms outage_ = kubernetes::WithoutProbes();
  SmallCluster cluster_;
  FakeClock clock_;
  ScriptedStore store_;
  TestSnapshots authorities_{NewSnapshot(clock_.Now())};
  TrustVersion version_ = 3;
  std::unique_ptr<IssuancePipeline> pipeline_;
  std::unique_ptr<kubernetes::ApiServer> server_;
  std::unique_ptr<kubernetes::FakeLeadership> leadership_;  // a process's own: it tells a keeper for as long as it is
  std::unique_ptr<ServerSecretKeeper> keeper_;
};

TEST_F(ServerSecretKeeperTest, MakesTheSecretAndItIsHeldOnceAllHadTheTimeToReadIt) {
  Start();
  ASSERT_TRUE(AwaitShown());
  const SecretContent content = Secret();
  EXPECT_EQ(content.roots_pem, RootsOf(*authorities_.Current()));
  const absl::StatusOr<StandingLeaf> leaf = ReadStandingLeaf(content, *authorities_.Current());
  ASSERT_TRUE(leaf.ok()) << leaf.status();
  EXPECT_EQ(WhyReplace(*leaf, IstiodNames(), *authorities_.Current(), clock_.Now()), "");
  ASSERT_THAT(store_.records(), SizeIs(1));
  const IssuanceRecord issued = store_.records().front();
  EXPECT_EQ(issued.certificate_sha256, leaf->leaf.sha256());
  EXPECT_EQ(OriginText(issued.origin), "published meshca");
  EXPECT_EQ(issued.instance, "Secret istio-system/istiod-tls");

  SubscriberRecord record = keeper_->List().front();
  EXPECT_EQ(record.instance, issued.instance);
  EXPECT_EQ(record.kind, kPublishedKind);
  EXPECT_TRUE(record.connected && record.takes_bundle && record.takes_key);
  EXPECT_EQ(record.trust_version, 0u);
  EXPECT_EQ(record.authority_id, "") << "nobody has had the time to read it";
  EXPECT_THAT(record.version_info, HasSubstr("count as held at 03:06:05"));
  Pass(absl::Minutes(2));
  ASSERT_TRUE(AwaitRecord([](const SubscriberRecord& one) { return one.trust_version == 3; }));
  record = keeper_->List().front();
  EXPECT_EQ(record.authority_id, authorities_.Current()->issuing->id);
  EXPECT_EQ(record.serial, leaf->leaf.serial_hex());
  EXPECT_EQ(cluster_.applies(), 1);
}

TEST_F(ServerSecretKeeperTest, WritesNoKeyBeforeItsCertificateIsOnRecord) {
  store_.Hold();
  Start();
  store_.WaitForHeld(1);
  EXPECT_EQ(cluster_.applies(), 0);
  store_.Release();
  EXPECT_TRUE(AwaitShown());
  EXPECT_EQ(cluster_.applies(), 1);
}

TEST_F(ServerSecretKeeperTest, WhatIsGoodStaysAtARestart) {
  Start();
  ASSERT_TRUE(AwaitShown());
  const std::string before = Secret().Digest();
  Stop();
  clock_.Advance(absl::Hours(11));
  Start();
  ASSERT_TRUE(AwaitShown());
  EXPECT_EQ(Secret().Digest(), before);
  EXPECT_THAT(store_.records(), SizeIs(1)) << "nothing was issued";
  EXPECT_EQ(cluster_.applies(), 1) << "nor written";
  Pass(absl::Minutes(2));
  EXPECT_TRUE(AwaitRecord([](const SubscriberRecord& one) { return one.trust_version == 3; }));
}

TEST_F(ServerSecretKeeperTest, WhatSomebodyPutBehindTheChainWhileNobodyLookedGoesWithoutANewCertificate) {
  Start();
  ASSERT_TRUE(AwaitShown());
  const SecretContent before = Secret();
  Stop();
  const std::string strangers = NewSnapshot(clock_.Now())->issuing->certificate.pem().text();
  const SecretContent edited = {before.chain_pem + strangers, before.key_pem.Clone(), before.roots_pem};
  cluster_.SetSecret(kIstiodTls,
                     absl::StrReplaceAll(CallToWriteServerSecret({"istio-system", "istiod-tls"}, "Opaque", edited).body,
                                         {{R"("apiVersion":"v1","kind":"Secret",)", ""}}));
  Start();
  ASSERT_TRUE(AwaitSecret([&](const SecretContent& there) { return there.Digest() == before.Digest(); }));
  EXPECT_THAT(store_.records(), SizeIs(1));
}

TEST_F(ServerSecretKeeperTest, KilledBetweenRecordAndWriteAnotherIsMadeForTheSameInstance) {
  cluster_.RefuseWrites(kubernetes::HttpAnswer(503, ""));
  Start();
  ASSERT_TRUE(Await([](const ServerSecretStatus& status) { return status.issued == 1 && status.failed > 0; }));
  Stop();
  cluster_.RefuseWrites("");
  Start();
  ASSERT_TRUE(AwaitShown());
  ASSERT_THAT(store_.records(), SizeIs(2));
  EXPECT_EQ(store_.records()[0].instance, store_.records()[1].instance);
  EXPECT_EQ(store_.records()[0].spiffe_id, store_.records()[1].spiffe_id);
}

TEST_F(ServerSecretKeeperTest, AWriteThatFailedIsMadeAgainOfTheSameCertificate) {
  cluster_.RefuseWrites(RefusedByRbac("patch"));
  Start();
  ASSERT_TRUE(Await([](const ServerSecretStatus& status) { return !status.fault.empty(); }));
  EXPECT_THAT(keeper_->Status().fault,
              HasSubstr("add this rule to a Role in namespace istio-system: {apiGroups: [\"\"], resources: "
                        "[secrets], resourceNames: [\"istiod-tls\"], verbs: [create, patch]}"));
  EXPECT_EQ(keeper_->List().front().rejected, keeper_->Status().fault);
  cluster_.RefuseWrites("");
  // Nobody waits for the clock of a test: it goes on until the next attempt is due.
  ASSERT_TRUE(Await([this](const ServerSecretStatus& status) {
    Pass(absl::Seconds(1));
    return !status.behind;
  }));
  EXPECT_THAT(store_.records(), SizeIs(1));
  EXPECT_EQ(keeper_->Status().fault, "");
}

TEST_F(ServerSecretKeeperTest, IsWrittenAsSoonAsAnApiServerThatWasAwayIsBack) {
  outage_.probe_every = absl::Milliseconds(5);
  Start();
  ASSERT_TRUE(AwaitShown());
  clock_.Advance(absl::Minutes(1));
  cluster_.RefuseWrites(kubernetes::HttpAnswer(503, "<html>no backend</html>"));
  const std::string roots = absl::StrCat(RootsOf(*authorities_.Current()), RootsOf(*NewSnapshot(clock_.Now())));
  keeper_->SetRoots(++version_, roots);
  // From here on this clock stands still, so no pause ends by itself.
  ASSERT_TRUE(
      Await([this](const ServerSecretStatus& status) { return status.failed > 0 && store_.records().size() == 2; }));
  ASSERT_TRUE(GoAway());
  cluster_.RefuseWrites("");
  cluster_.GoAway(false);
  EXPECT_TRUE(AwaitSecret([&roots](const SecretContent& there) { return there.roots_pem == roots; }));
}

TEST_F(ServerSecretKeeperTest, MakesAndWritesNothingWhileTheApiServerIsKnownToBeAway) {
  outage_.probe_every = absl::Milliseconds(5);
  Start();
  ASSERT_TRUE(AwaitShown());
  clock_.Advance(absl::Minutes(1));
  ASSERT_TRUE(GoAway());
  const std::string roots = absl::StrCat(RootsOf(*authorities_.Current()), RootsOf(*NewSnapshot(clock_.Now())));
  keeper_->SetRoots(++version_, roots);
  const int after = cluster_.asked_in_vain();
  ASSERT_TRUE(Await([&](const ServerSecretStatus&) { return cluster_.asked_in_vain() > after + 10; })) << "the probes";
  EXPECT_THAT(store_.records(), SizeIs(1));
  EXPECT_EQ(keeper_->Status().failed, 0u);
  cluster_.GoAway(false);
  EXPECT_TRUE(AwaitSecret([&roots](const SecretContent& there) { return there.roots_pem == roots; }));
}

TEST_F(ServerSecretKeeperTest, RepairsWhatSomebodyEditsOrDeletes) {
  Start();
  ASSERT_TRUE(AwaitShown());
  Pass(absl::Minutes(2));
  ASSERT_TRUE(AwaitRecord([](const SubscriberRecord& one) { return one.trust_version == 3; }));
  const std::string before = Secret().Digest();
  clock_.Advance(absl::Hours(1));
  cluster_.SetSecret(kIstiodTls, R"({"metadata":{"name":"istiod-tls"},"type":"kubernetes.io/tls","data":{}})");
  ASSERT_TRUE(AwaitSecret([&](const SecretContent& there) { return there.Digest() == before; }));
  ASSERT_TRUE(AwaitShown());
  EXPECT_EQ(keeper_->List().front().trust_version, 0u) << "it counts anew";
  clock_.Advance(absl::Hours(1));
  const int applies = cluster_.applies();
  cluster_.Delete("secrets", kIstiodTls);
  ASSERT_TRUE(Await([&](const ServerSecretStatus& status) { return cluster_.applies() > applies && !status.behind; }));
  EXPECT_EQ(Secret().Digest(), before);
  EXPECT_THAT(store_.records(), SizeIs(1)) << "the same certificate";
}

TEST_F(ServerSecretKeeperTest, AStrangersCertificateDoesNotStay) {
  const std::shared_ptr<const AuthoritySnapshot> stranger = NewSnapshot(clock_.Now());
  const std::unique_ptr<SoftwareKey> key = *SoftwareKey::Generate(KeyType::kEcP256);
  const StandingLeaf strange =
      *MakeStandingLeaf(IssueTo(*key, stranger, clock_.Now()), *key, IstiodNames(), clock_.Now());
  const SecretContent content = strange.ContentWith(RootsOf(*stranger));
  cluster_.SetSecret(
      kIstiodTls, absl::StrReplaceAll(CallToWriteServerSecret({"istio-system", "istiod-tls"}, "Opaque", content).body,
                                      {{R"("apiVersion":"v1","kind":"Secret",)", ""}}));
  Start();
  ASSERT_TRUE(AwaitShown());
  EXPECT_NE(LeafOf(Secret()), strange.leaf);
  EXPECT_EQ(Secret().roots_pem, RootsOf(*authorities_.Current()));
  EXPECT_THAT(store_.records(), SizeIs(1));
}

TEST_F(ServerSecretKeeperTest, ACertificateThatIsNotOnRecordDoesNotStay) {
  Start();
  ASSERT_TRUE(AwaitShown());
  const SecretContent before = Secret();
  Stop();
  ScriptedStore restored;  // from a backup of before
  StartOn(restored);
  ASSERT_TRUE(AwaitShown());
  EXPECT_NE(LeafOf(Secret()), LeafOf(before));
  EXPECT_THAT(restored.records(), SizeIs(1));
  Stop();
}

TEST_F(ServerSecretKeeperTest, RenewsAtHalfOfItsLifeWithANewKey) {
  Start();
  ASSERT_TRUE(AwaitShown());
  const SecretContent before = Secret();
  Pass(absl::Hours(12) - absl::Seconds(1));
  // It looks in every round, and a repair is the proof that a round has passed.
  cluster_.SetSecret(kIstiodTls, R"({"metadata":{"name":"istiod-tls"},"type":"kubernetes.io/tls","data":{}})");
  ASSERT_TRUE(AwaitSecret([&](const SecretContent& there) { return there.Digest() == before.Digest(); }));
  EXPECT_THAT(store_.records(), SizeIs(1));
  Pass(absl::Seconds(1));
  ASSERT_TRUE(AwaitSecret(
      [&](const SecretContent& there) { return !there.chain_pem.empty() && there.chain_pem != before.chain_pem; }));
  const SecretContent after = Secret();
  EXPECT_NE(LeafOf(after).public_key().sha256(), LeafOf(before).public_key().sha256());
  EXPECT_EQ(after.roots_pem, before.roots_pem);
  EXPECT_THAT(store_.records(), SizeIs(2));
}

TEST_F(ServerSecretKeeperTest, ARotationBringsTheRootsFirstAndACertificateOfTheNewOneWhenItSigns) {
  Start();
  ASSERT_TRUE(AwaitShown());
  Pass(absl::Minutes(2));
  ASSERT_TRUE(AwaitRecord([](const SubscriberRecord& one) { return one.trust_version == 3; }));
  const SecretContent before = Secret();
  const std::shared_ptr<const AuthoritySnapshot> old_root = authorities_.Current();
  const std::shared_ptr<const AuthoritySnapshot> new_root = NewSnapshot(clock_.Now(), 2);
  AuthoritySnapshot both = *old_root;
  both.bundle = std::make_shared<TrustBundle>(
      TrustBundle{TestDomain(), 2, {old_root->bundle->roots[0], new_root->bundle->roots[0]}});

  // Prepared: both roots, and a certificate beside them that has whoever reads it look at them, under the old root.
  Publish(std::make_shared<AuthoritySnapshot>(both));
  ASSERT_TRUE(AwaitSecret([&](const SecretContent& there) {
    return there.roots_pem == RootsOf(both) && there.chain_pem != before.chain_pem;
  }));
  const SecretContent prepared = Secret();
  EXPECT_EQ(ReadStandingLeaf(prepared, both)->root_id, old_root->issuing->root_id);
  EXPECT_NE(prepared.key_pem.reveal(), before.key_pem.reveal());
  EXPECT_THAT(store_.records(), SizeIs(2));
  ASSERT_TRUE(AwaitShown());
  EXPECT_EQ(keeper_->List().front().trust_version, 3u);
  Pass(absl::Minutes(2));
  ASSERT_TRUE(AwaitRecord([](const SubscriberRecord& one) { return one.trust_version == 4; }));
  EXPECT_EQ(keeper_->List().front().authority_id, old_root->issuing->id);

  // Activated: the new root signs, and the certificate is issued anew.
  AuthoritySnapshot activated = both;
  activated.authorities = {*old_root->issuing};
  activated.issuing = new_root->issuing;
  Publish(std::make_shared<AuthoritySnapshot>(activated));
  ASSERT_TRUE(AwaitSecret([&](const SecretContent& there) { return there.chain_pem != prepared.chain_pem; }));
  const absl::StatusOr<StandingLeaf> leaf = ReadStandingLeaf(Secret(), activated);
  ASSERT_TRUE(leaf.ok()) << leaf.status();
  EXPECT_EQ(leaf->root_id, new_root->issuing->root_id);
  ASSERT_TRUE(AwaitShown());
  EXPECT_EQ(keeper_->List().front().authority_id, old_root->issuing->id) << "kubelets bring it to pods in their time";
  EXPECT_EQ(keeper_->List().front().trust_version, 5u) << "the roots are those that all had before";
  Pass(absl::Minutes(2));
  ASSERT_TRUE(AwaitRecord([&](const SubscriberRecord& one) { return one.authority_id == new_root->issuing->id; }));

  // Retired: the old root leaves, and whoever reads the Secret is told of it in the same way.
  AuthoritySnapshot retired = activated;
  retired.authorities[0].state = AuthorityState::kRetired;
  retired.bundle = new_root->bundle;
  Publish(std::make_shared<AuthoritySnapshot>(retired));
  ASSERT_TRUE(AwaitSecret([&](const SecretContent& there) {
    return there.roots_pem == RootsOf(retired) && !(LeafOf(there) == leaf->leaf);
  }));
  EXPECT_EQ(ReadStandingLeaf(Secret(), retired)->root_id, new_root->issuing->root_id);
  EXPECT_THAT(store_.records(), SizeIs(4));
}

TEST_F(ServerSecretKeeperTest, WhileAnotherHasTheLeaseNothingIsMadeOrWrittenAndItSaysWho) {
  const auto waits = [](const SubscriberRecord& one) {
    return absl::StrContains(one.version_info, "it writes nothing: another holds the Lease");
  };
  leads_ = false;
  Start();
  ASSERT_TRUE(Await([](const ServerSecretStatus& status) { return status.listed; }));
  ASSERT_TRUE(AwaitRecord(waits));
  EXPECT_THAT(store_.records(), SizeIs(0));
  leadership_->Set(true);
  ASSERT_TRUE(AwaitShown());
  EXPECT_THAT(store_.records(), SizeIs(1));
  // Lost: other roots are followed, and neither written nor given another certificate.
  const SecretContent before = Secret();
  leadership_->Set(false);
  Publish(NewSnapshot(clock_.Now(), 2));
  ASSERT_TRUE(AwaitRecord(waits));
  EXPECT_EQ(Secret().roots_pem, before.roots_pem);
  EXPECT_THAT(store_.records(), SizeIs(1));
}

TEST_F(ServerSecretKeeperTest, WhereItMayNotReadNothingIsMadeAndTheRuleIsNamed) {
  cluster_.RefuseReads(RefusedByRbac("list"));
  Start();
  ASSERT_TRUE(Await([](const ServerSecretStatus& status) { return !status.watching.ok(); }));
  EXPECT_THAT(std::string(keeper_->Status().watching.message()),
              HasSubstr("to a Role in namespace istio-system: {apiGroups: [\"\"], resources: [secrets], "
                        "resourceNames: [\"istiod-tls\"], verbs: [list]}"));
  ASSERT_THAT(keeper_->List(), SizeIs(1));
  EXPECT_THAT(keeper_->List().front().rejected, HasSubstr("verbs: [list]"));
  EXPECT_EQ(keeper_->List().front().trust_version, 0u);
  EXPECT_THAT(store_.records(), SizeIs(0));
  cluster_.RefuseReads("");
  ASSERT_TRUE(Await([this](const ServerSecretStatus& status) {
    Pass(absl::Seconds(1));
    return !status.behind;
  }));
}

TEST_F(ServerSecretKeeperTest, WithoutItsNamespaceItHoldsNobodyUpAndIsMadeOnceThatIsThere) {
  cluster_.RefuseWrites(kubernetes::HttpAnswer(
      404, R"({"kind":"Status","reason":"NotFound","message":"namespaces \"istio-system\" not found"})"));
  Start();
  ASSERT_TRUE(Await([](const ServerSecretStatus& status) { return status.namespace_missing; }));
  EXPECT_THAT(keeper_->Status().fault, HasSubstr("namespace istio-system does not exist: create it"));
  // Known, so that its certificate, which nobody has, holds up no rotation either.
  ASSERT_THAT(keeper_->List(), SizeIs(1));
  EXPECT_FALSE(keeper_->List().front().takes_bundle || keeper_->List().front().takes_key);
  // A proxy that has lost its backend says nothing of a namespace.
  cluster_.RefuseWrites(kubernetes::HttpAnswer(404, "404 page not found\n"));
  ASSERT_TRUE(Await([this](const ServerSecretStatus& status) {
    Pass(absl::Seconds(1));
    return !status.namespace_missing;
  }));
  EXPECT_TRUE(keeper_->List().front().takes_bundle && keeper_->List().front().takes_key);
  cluster_.RefuseWrites("");
  ASSERT_TRUE(Await([this](const ServerSecretStatus& status) {
    Pass(absl::Seconds(1));
    return !status.behind;
  }));
  EXPECT_THAT(store_.records(), SizeIs(1));
}

TEST_F(ServerSecretKeeperTest, AnAnswerThatQuotesTheKeyIsNotRepeated) {
  cluster_.SetSecret(
      kIstiodTls, R"({"metadata":{"name":"istiod-tls"},"type":"Opaque","immutable":true,"data":{"tls.key":"a2V5"}})");
  cluster_.RefuseWrites(kubernetes::HttpAnswer(
      422, R"({"kind":"Status","reason":"Invalid","message":"data: Invalid value: LS0tLS1CRUdJTiBQUklW"})"));
  Start();
  ASSERT_TRUE(Await([](const ServerSecretStatus& status) { return !status.fault.empty(); }));
  EXPECT_THAT(keeper_->Status().fault, AllOf(HasSubstr("HTTP 422"), HasSubstr("it is immutable: delete it"),
                                             Not(HasSubstr("LS0tLS1CRUdJTiBQUklW"))));
}

TEST_F(ServerSecretKeeperTest, WhatLeavesNoRoomForItIsToBeDeleted) {
  cluster_.SetSecret(kIstiodTls, R"({"metadata":{"name":"istiod-tls"},"type":"Opaque","data":{"more":"a2V5"}})");
  cluster_.RefuseWrites(kubernetes::HttpAnswer(
      422, R"({"kind":"Status","reason":"Invalid","message":"data: Too long: may not be more than 1048576 bytes"})"));
  Start();
  ASSERT_TRUE(Await([](const ServerSecretStatus& status) { return !status.fault.empty(); }));
  EXPECT_THAT(keeper_->Status().fault, HasSubstr("delete it, and it is made anew"));
}

TEST_F(ServerSecretKeeperTest, WhatWasRevokedIsReplacedWithinAMinute) {
  Start();
  ASSERT_TRUE(AwaitShown());
  const SecretContent before = Secret();
  store_.Revoke(store_.records().front().serial);
  Pass(absl::Minutes(1));
  EXPECT_TRUE(AwaitSecret([&](const SecretContent& there) { return there.chain_pem != before.chain_pem; }));
}

// Answers nothing while it is away.
class StoreThatMayBeAway final : public IssuanceStore {
 public:
  explicit StoreThatMayBeAway(ScriptedStore& store) : store_(store) {}
  void SetAway(bool away) { away_ = away; }

  void Append(std::shared_ptr<const IssuanceRecord> record, AppendDone done) override {
    store_.Append(std::move(record), std::move(done));
  }
  absl::StatusOr<IssuanceRecord> Find(const SerialNumber& serial) override {
    if (away_) return absl::UnavailableError("the database is away");
    return store_.Find(serial);
  }
  absl::Status List(const IssuanceFilter& filter, absl::FunctionRef<bool(const IssuanceRecord&)> visit) override {
    return store_.List(filter, visit);
  }
  absl::StatusOr<IssuanceRecord> JudgePresented(const PresentedCertificate& shown,
                                                const std::shared_ptr<const TrustedOrigins>& origins) override {
    return store_.JudgePresented(shown, origins);
  }
  absl::StatusOr<uint64_t> CountIssuances() override { return store_.CountIssuances(); }

 private:
  ScriptedStore& store_;
  std::atomic<bool> away_ = false;
};

TEST_F(ServerSecretKeeperTest, WhileTheInventoryIsAwayNothingIsDecided) {
  Start();
  ASSERT_TRUE(AwaitShown());
  Stop();
  StoreThatMayBeAway away(store_);
  away.SetAway(true);
  StartOn(away);
  ASSERT_TRUE(Await([](const ServerSecretStatus& status) {
    return status.fault == "nobody can say whether what stands there is good: the database is away";
  }));
  away.SetAway(false);
  ASSERT_TRUE(
      Await([](const ServerSecretStatus& status) { return status.listed && !status.behind && status.fault.empty(); }));
  EXPECT_THAT(store_.records(), SizeIs(1)) << "it stayed";
  EXPECT_EQ(cluster_.applies(), 1);
  Stop();
}

TEST_F(ServerSecretKeeperTest, TheNewerCertificateOfAnotherServerIsTaken) {
  Start();
  ASSERT_TRUE(AwaitShown());
  const int applies = cluster_.applies();
  clock_.Advance(absl::Hours(1));
  const std::unique_ptr<SoftwareKey> key = *SoftwareKey::Generate(KeyType::kEcP256);
  IssuedCertificate issued = IssueTo(*key, authorities_.Current(), clock_.Now());
  store_.Append(issued.record, [](const absl::Status&) {});
  const StandingLeaf newer = *MakeStandingLeaf(issued, *key, IstiodNames(), clock_.Now());
  cluster_.SetSecret(kIstiodTls,
                     absl::StrReplaceAll(CallToWriteServerSecret({"istio-system", "istiod-tls"}, "kubernetes.io/tls",
                                                                 newer.ContentWith(RootsOf(*authorities_.Current())))
                                             .body,
                                         {{R"("apiVersion":"v1","kind":"Secret",)", ""},
                                          // An apply leaves the object as old as it is.
                                          {R"("labels")", R"("creationTimestamp":"2026-01-02T03:04:05Z","labels")"}}));
  ASSERT_TRUE(Await([&](const ServerSecretStatus& status) { return status.serial == newer.leaf.serial_hex(); }));
  ASSERT_TRUE(AwaitShown());
  EXPECT_EQ(cluster_.applies(), applies);
}

TEST_F(ServerSecretKeeperTest, WhatCannotBeIssuedIsNamed) {
  store_.Answer({absl::UnavailableError("the database is read-only")});
  Start();
  ASSERT_TRUE(Await([](const ServerSecretStatus& status) { return !status.fault.empty(); }));
  EXPECT_THAT(keeper_->List().front().rejected, HasSubstr("the database is read-only"));
  EXPECT_EQ(cluster_.applies(), 0);
  ASSERT_TRUE(Await([this](const ServerSecretStatus& status) {
    Pass(absl::Seconds(1));
    return !status.behind;
  }));
}

// Of Deployment `name`, running since `started`.
std::string PodOf(const std::string& name, const std::string& started) {
  return absl::StrCat(R"({"metadata":{"name":")", name, R"(-5d8f-a","labels":{"pod-template-hash":"5d8f"},)",
                      R"("ownerReferences":[{"kind":"ReplicaSet","name":")", name, R"(-5d8f"}]},)",
                      R"("status":{"containerStatuses":[{"state":{"running":{"startedAt":")", started, R"("}}}]}})");
}

TEST_F(ServerSecretKeeperTest, NamesPodsThatStartedBeforeItWasThereUntilTheyAreRestarted) {
  pods_ = "app=istiod";
  cluster_.SetPod("istiod", PodOf("istiod", "2026-01-02T03:04:04Z"));
  Start();
  ASSERT_TRUE(Await([](const ServerSecretStatus& status) { return !status.early.empty(); }));
  EXPECT_THAT(keeper_->Status().early, testing::ElementsAre("deployment/istiod"));
  cluster_.SetPod("istiod", PodOf("istiod", "2026-01-02T03:04:06Z"));
  ASSERT_TRUE(Await([this](const ServerSecretStatus& status) {
    Pass(absl::Seconds(10));
    return status.early.empty();
  }));
}

TEST_F(ServerSecretKeeperTest, WhoHadReadASecretThatWasMadeAgainIsNotTooEarlyAfterARestart) {
  pods_ = "app=istiod";
  cluster_.SetPod("istiod", PodOf("istiod", "2026-01-02T03:04:06Z"));
  cluster_.SetPod("older", PodOf("older", "2026-01-02T03:04:04Z"));
  const auto only_older = [this](const ServerSecretStatus& status) {
    Pass(absl::Seconds(1));
    return status.early == std::vector<std::string>{"deployment/older"};
  };
  Start();
  ASSERT_TRUE(Await(only_older));
  cluster_.CreateAt("2026-01-02T05:00:00Z");
  for (int i = 0; i < 2; ++i) {
    const int applies = cluster_.applies();
    cluster_.Delete("secrets", kIstiodTls);
    ASSERT_TRUE(Await([&](const ServerSecretStatus&) { return cluster_.applies() > applies; }));
    Stop();
    Start();
    ASSERT_TRUE(Await([](const ServerSecretStatus& status) { return !status.early.empty(); }));
    EXPECT_THAT(keeper_->Status().early, testing::ElementsAre("deployment/older"));
  }
}

TEST_F(ServerSecretKeeperTest, PutsLabelsAndAnnotationsBackThatSomebodyTakesAway) {
  Start();
  ASSERT_TRUE(AwaitShown());
  cluster_.CreateAt("2026-01-02T05:00:00Z");
  const auto applied_after = [this](const std::function<void()>& change) {
    Pass(absl::Minutes(2));  // since our last write: nobody contests it
    const int applies = cluster_.applies();
    change();
    EXPECT_TRUE(Await([&](const ServerSecretStatus&) { return cluster_.applies() > applies; }));
    return cluster_.Marks("secrets", kIstiodTls);
  };
  const std::string marks = applied_after([this] { cluster_.Delete("secrets", kIstiodTls); });
  EXPECT_THAT(marks, AllOf(HasSubstr(R"("app.kubernetes.io/managed-by":"meshca")"),
                           HasSubstr(R"("meshca.io/there-since":"2026-01-02T03:04:05Z")")));
  const std::string before = Secret().Digest();
  EXPECT_EQ(applied_after([this] { cluster_.Unmark("secrets", kIstiodTls); }), marks);
  EXPECT_EQ(Secret().Digest(), before);
  EXPECT_THAT(store_.records(), SizeIs(1));
}

TEST_F(ServerSecretKeeperTest, EndsWhileACertificateIsBeingRecorded) {
  store_.Hold();
  Start();
  store_.WaitForHeld(1);
  auto ended = std::async(std::launch::async, [this] { keeper_->Shutdown(); });
  store_.Release();
  ASSERT_EQ(ended.wait_for(std::chrono::minutes(1)), std::future_status::ready);
  EXPECT_THAT(store_.records(), SizeIs(1));
}

}  // namespace
}  // namespace meshca
