// The connection to the CA over real TLS: what it brings, how it comes back, and how it ends.
#include "cli/agent/ca_connection.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/entropy.h"
#include "ca/base/status.h"
#include "cli/agent/sign_batcher.h"
#include "test/cli/agent/agent_fixture.h"
#include "test/fakes/closed_port.h"
#include "test/fakes/counting_entropy.h"
#include "test/fakes/status_matchers.h"
#include "test/fakes/temp_folder.h"

namespace meshca::agent {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Notes what the CA orders.
class NotedOrders final : public CaOrders {
 public:
  void StopServing(const ChosenKeys& keys, const std::string& reason) override {
    Note("stop " + absl::StrJoin(keys.spiffe_ids, ",") + " " + absl::StrJoin(keys.serials, ",") + ": " + reason);
  }
  void RenewNow(const ChosenKeys& keys) override { Note("renew " + absl::StrJoin(keys.spiffe_ids, ",")); }
  void PermitReissue(const std::vector<std::string>& authority_ids, uint32_t certificates,
                     absl::Duration within) override {
    Note(absl::StrCat("reissue ", absl::StrJoin(authority_ids, ","), " ", certificates, " in ",
                      absl::FormatDuration(within)));
  }
  std::vector<std::string> all() {
    MutexLock lock(mutex_);
    return noted_;
  }
  AwaitedCounter seen;

 private:
  void Note(std::string text) {
    {
      MutexLock lock(mutex_);
      noted_.push_back(std::move(text));
    }
    seen.Add();
  }
  Mutex mutex_;
  std::vector<std::string> noted_ ABSL_GUARDED_BY(mutex_);
};

class OneConsumer final : public HeldSource {
 public:
  v1::Held Report() override {
    v1::Held held;
    held.set_consumers(1);
    for (int i = 0; i < 200; ++i) held.add_behind_first();
    return held;
  }
};

// An agent as far as this library goes, from the executor to the connection.
class CaConnectionTest : public testing::Test {
 protected:
  CaConnectionTest() {
    options_.agent_version = "0.2.0";
    options_.retry_first = absl::Milliseconds(10);
    options_.retry_max = absl::Milliseconds(200);
    options_.report_gap = absl::Milliseconds(1);
    EXPECT_THAT(trust_.Adopt(authority_.keys().Trust()), IsOk());
    identity_.Set(MakeAgent(authority_.keys()));
    trust_.AddListener([this](const std::shared_ptr<const sds::Trust>&) { trust_told_.Add(); });
    entries_.AddListener([this] { entries_told_.Add(); });
  }
  ~CaConnectionTest() override { End(); }

  void Start(const std::vector<std::string>& servers) {
    options_.servers = servers;
    connection_ = std::make_unique<CaConnection>(
        options_, CaConnection::Parts{trust_, entries_, identity_, orders_, held_}, clock_, entropy_, *executor_);
    batcher_ = std::make_unique<SignBatcher>(SignBatcherOptions(), *connection_, trust_, clock_, *executor_);
    executor_->Start();
  }
  void End() {
    if (connection_ != nullptr) connection_->Shutdown();
    executor_->Shutdown();
    batcher_.reset();
    connection_.reset();
  }
  // Waited for up to a minute.
  bool Reaches(CaConnectionState state) {
    for (const absl::Time end = absl::Now() + absl::Minutes(1); absl::Now() < end;
         absl::SleepFor(absl::Milliseconds(1))) {
      if (connection_->Status().state == state) return true;
    }
    return false;
  }
  absl::StatusOr<sds::Svid> Obtain() {
    sds::SvidRequest request;
    request.id = *SpiffeId::Parse("spiffe://cluster.local/web");
    Awaited<absl::StatusOr<sds::Svid>> answer;
    batcher_->Obtain(std::move(request), *key_, answer.Setter());
    return answer.Get();
  }

  const TempFolder temp_;
  const std::unique_ptr<AgentState> state_ = *AgentState::Open(temp_ / "agent");
  const TrustingClock clock_{};
  CountingEntropy entropy_;
  AgentAuthority authority_;
  ToldTrust trust_{*state_};
  EntryCache cache_;
  ToldEntries entries_{cache_};
  OwnIdentityHolder identity_;
  NotedOrders orders_;
  OneConsumer held_;
  AwaitedCounter trust_told_, entries_told_;
  const std::unique_ptr<SoftwareKey> key_ = *SoftwareKey::Generate(KeyType::kEcP256);
  CaConnectionOptions options_;
  const std::unique_ptr<SerialExecutor> executor_ = std::make_unique<SerialExecutor>(clock_);
  std::unique_ptr<CaConnection> connection_;
  std::unique_ptr<SignBatcher> batcher_;
};

TEST_F(CaConnectionTest, GreetsTheCaAndPassesOnWhatItTells) {
  v1::EntriesChange entries;
  entries.set_revision(3);
  entries.set_whole(true);
  entries.set_complete(true);
  *entries.add_put() = Entry("e1", "spiffe://cluster.local/web", {"unix:uid:1000"});
  authority_.script.first = {Welcome(), TrustMessage(authority_.keys().Trust(2)), EntriesMessage(entries)};
  Start({authority_.Serve()});
  ASSERT_TRUE(entries_told_.Await(1));
  EXPECT_EQ(trust_.Current()->version, 2u);
  EXPECT_EQ(entries_.revision(), 3u);
  EXPECT_THAT(authority_.callers(), ElementsAre("spiffe://cluster.local/meshca/agent/node-1"));
  const v1::AttachHello hello = authority_.hellos().front();
  EXPECT_EQ(hello.protocol_version(), 1u);
  EXPECT_EQ(hello.agent_version(), "0.2.0");
  EXPECT_EQ(hello.trust_version(), 1u);
  EXPECT_EQ(hello.entries_revision(), 0u);

  v1::AttachResponse stop, renew, reissue;
  stop.mutable_stop()->add_spiffe_ids("spiffe://cluster.local/web");
  stop.mutable_stop()->add_serials("0a");
  stop.mutable_stop()->set_reason("revoked");
  renew.mutable_renew()->add_spiffe_ids("spiffe://cluster.local/db");
  reissue.mutable_reissue()->add_authority_ids("ab");
  reissue.mutable_reissue()->set_certificates(7);
  reissue.mutable_reissue()->mutable_within()->set_seconds(10);
  for (const v1::AttachResponse& order : {stop, renew, reissue}) authority_.Tell(order);
  ASSERT_TRUE(orders_.seen.Await(3));
  EXPECT_THAT(orders_.all(), ElementsAre("stop spiffe://cluster.local/web 0a: revoked",
                                         "renew spiffe://cluster.local/db", "reissue ab 7 in 10s"));

  const CaConnectionStatus status = connection_->Status();
  EXPECT_EQ(status.state, CaConnectionState::kAttached);
  EXPECT_EQ(status.protocol_version, 1u);
  EXPECT_EQ(status.server_version, "0.2.0");
  EXPECT_THAT(status.Words(), HasSubstr("attached to the CA at 127.0.0.1:"));
}

TEST_F(CaConnectionTest, ReportsWhatTheNodeHoldsAtOnceOnChangesAndAtEachHeartbeat) {
  authority_.script.first = {Welcome(1, absl::Seconds(1)), TrustMessage(authority_.keys().Trust(2))};
  Start({authority_.Serve()});
  ASSERT_TRUE(trust_told_.Await(1));
  ASSERT_TRUE(authority_.held_seen.Await(2));  // with the welcome, and because of the trust
  EXPECT_EQ(authority_.held().front().own_trust_version(), 1u);
  const v1::Held held = authority_.held().back();
  EXPECT_EQ(held.own_trust_version(), 2u);
  EXPECT_EQ(held.consumers(), 1u);
  EXPECT_EQ(held.behind_first_size(), 100);
  const int before = authority_.held_seen.count();
  connection_->HeldChanged();
  ASSERT_TRUE(authority_.held_seen.Await(before + 1));
  ASSERT_TRUE(authority_.held_seen.Await(before + 2));  // nobody asked: a heartbeat
}

TEST_F(CaConnectionTest, ManyChangesAreFewReports) {
  options_.report_gap = absl::Hours(1);
  Start({authority_.Serve()});
  ASSERT_TRUE(authority_.held_seen.Await(1));
  for (int i = 0; i < 1000; ++i) connection_->HeldChanged();
  EXPECT_THAT(Obtain(), IsOk());  // the executor and the connection have come past them
  EXPECT_EQ(authority_.held_seen.count(), 1);
}

TEST_F(CaConnectionTest, GetsCertificatesOverTheSameConnectionAndWaitsForIt) {
  AwaitedCounter asked, release;
  authority_.script.hello = [&](const v1::AttachHello&) {
    asked.Add();
    EXPECT_TRUE(release.Await(1));
    return absl::OkStatus();
  };
  Start({authority_.Serve()});
  ASSERT_TRUE(asked.Await(1));
  sds::SvidRequest request;
  request.id = *SpiffeId::Parse("spiffe://cluster.local/web");
  Awaited<absl::StatusOr<sds::Svid>> early;
  batcher_->Obtain(std::move(request), *key_, early.Setter());
  release.Add();
  EXPECT_THAT(early.Get(), IsOk());
  EXPECT_THAT(Obtain(), IsOk());
}

TEST_F(CaConnectionTest, SaysAtOnceThatTheCaIsKnownToBeAway) {
  const ClosedPort first, second;
  options_.call_wait = absl::InfiniteDuration();
  Start({first.address(), second.address()});
  EXPECT_THAT(Obtain(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("without its CA")));  // waits for both tries
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(Obtain(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("goes on being served")));
  }
}

TEST_F(CaConnectionTest, WaitsForAServerThatEndedItsConnection) {
  Start({authority_.Serve()});
  ASSERT_TRUE(Reaches(CaConnectionState::kAttached));
  for (int i = 0; i < 10; ++i) {
    authority_.EndStream(absl::UnavailableError("restarting"));
    // What was under way ends with the connection; nobody hears of a CA that is away.
    const absl::StatusOr<sds::Svid> obtained = Obtain();
    EXPECT_TRUE(obtained.ok() || !absl::StrContains(obtained.status().message(), "without its CA"))
        << obtained.status();
    ASSERT_TRUE(authority_.hellos_seen.Await(i + 2));
    ASSERT_TRUE(Reaches(CaConnectionState::kAttached));
  }
}

TEST_F(CaConnectionTest, ComesBackToAServerThatWasKilledAndSaysWhatItKnows) {
  v1::EntriesChange entries;
  entries.set_revision(3);
  entries.set_whole(true);
  entries.set_complete(true);
  v1::EntriesChange part = entries;
  part.set_revision(4);
  part.set_complete(false);
  authority_.script.first = {Welcome(), TrustMessage(authority_.keys().Trust(2)), EntriesMessage(entries),
                             EntriesMessage(part)};
  const std::string address = authority_.Serve();
  Start({address});
  ASSERT_TRUE(entries_told_.Await(1));
  authority_.Kill();
  ASSERT_TRUE(Reaches(CaConnectionState::kAway));
  EXPECT_THAT(connection_->Status().Words(), AllOf(HasSubstr("without its CA"), HasSubstr("goes on being served")));
  authority_.Serve("", address);
  ASSERT_TRUE(authority_.hellos_seen.Await(2));
  const v1::AttachHello hello = authority_.hellos().back();
  EXPECT_EQ(hello.trust_version(), 2u);
  EXPECT_EQ(hello.entries_revision(), 3u);
  EXPECT_TRUE(Reaches(CaConnectionState::kAttached));
}

TEST_F(CaConnectionTest, TriesItsServersInTurn) {
  const ClosedPort closed;
  AgentAuthority stranger;
  const std::string unknown = stranger.Serve();
  AgentAuthority posing(std::shared_ptr<const AuthorityKeys>(&authority_.keys(), [](const AuthorityKeys*) {}));
  Start({closed.address(), unknown, posing.Serve("spiffe://cluster.local/web"), authority_.Serve()});
  ASSERT_TRUE(authority_.hellos_seen.Await(1));
  EXPECT_EQ(stranger.hellos_seen.count(), 0);
  EXPECT_EQ(posing.hellos_seen.count(), 0);
}

TEST_F(CaConnectionTest, BelievesNoWorkloadThatPosesAsTheCa) {
  Start({authority_.Serve("spiffe://cluster.local/web")});
  ASSERT_TRUE(Reaches(CaConnectionState::kNotBelieved));
  const CaConnectionStatus status = connection_->Status();
  EXPECT_THAT(status.why, HasReason("SERVER_IDENTITY"));
  EXPECT_THAT(status.Words(), AllOf(HasSubstr("not believed to be the CA"), HasSubstr("spiffe://cluster.local/web")));
  EXPECT_EQ(authority_.hellos_seen.count(), 0);
  EXPECT_THAT(Obtain(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("not believed")));
}

TEST_F(CaConnectionTest, SaysInWordsThatTheCaRefusesIt) {
  authority_.script.hello = [](const v1::AttachHello&) {
    return WithReason(absl::PermissionDeniedError("node-1 is banned: it was stolen"), "NODE_BANNED");
  };
  Start({authority_.Serve()});
  ASSERT_TRUE(Reaches(CaConnectionState::kRefused));
  EXPECT_THAT(connection_->Status().why, HasReason("NODE_BANNED"));
  EXPECT_THAT(connection_->Status().Words(), AllOf(HasSubstr("node-1 is banned"), HasSubstr("token create")));
  const auto obtained = Obtain();
  EXPECT_THAT(obtained, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("banned")));
  EXPECT_FALSE(sds::IsFinalRefusal(obtained.status()));
  EXPECT_EQ(authority_.hellos_seen.count(), 1);  // and it does not try again at once
}

TEST_F(CaConnectionTest, SpeaksTheVersionBefore) {
  options_.protocol_newest = 2;
  Start({authority_.Serve()});
  ASSERT_TRUE(Reaches(CaConnectionState::kAttached));
  EXPECT_EQ(authority_.hellos().front().protocol_version(), 2u);
  EXPECT_EQ(connection_->Status().protocol_version, 1u);
}

TEST_F(CaConnectionTest, NamesTheVersionsWhereThereIsNoneInCommon) {
  options_.protocol_oldest = 2;
  options_.protocol_newest = 3;
  Start({authority_.Serve()});
  ASSERT_TRUE(Reaches(CaConnectionState::kNoVersion));
  EXPECT_THAT(connection_->Status().Words(), AllOf(HasSubstr("version 1"), HasSubstr("speaks 2 to 3")));
}

TEST_F(CaConnectionTest, TheCaMayNameThemToo) {
  authority_.script.hello = [](const v1::AttachHello&) { return absl::FailedPreconditionError("it speaks 7 to 8"); };
  Start({authority_.Serve()});
  ASSERT_TRUE(Reaches(CaConnectionState::kNoVersion));
  EXPECT_THAT(connection_->Status().Words(), HasSubstr("it speaks 7 to 8"));
}

TEST_F(CaConnectionTest, StaysWithACaWhoseTrustItRefusesAndSaysSo) {
  ASSERT_THAT(trust_.Adopt(authority_.keys().Trust(9)), IsOk());
  Start({authority_.Serve()});
  ASSERT_TRUE(authority_.held_seen.Await(2));
  EXPECT_THAT(Obtain(), IsOk());
  EXPECT_EQ(trust_.Current()->version, 9u);
  EXPECT_THAT(connection_->Status().trust_refused, HasReason("TRUST_OLDER"));
  EXPECT_THAT(connection_->Status().Words(), HasSubstr("version 9 was told before"));
}

TEST_F(CaConnectionTest, ConnectsAnewWithARenewedCertificate) {
  Start({authority_.Serve()});
  ASSERT_TRUE(authority_.hellos_seen.Await(1));
  identity_.Set(MakeAgent(authority_.keys(), "node-2"));
  connection_->IdentityChanged();
  ASSERT_TRUE(authority_.hellos_seen.Await(2));
  EXPECT_EQ(authority_.callers().back(), "spiffe://cluster.local/meshca/agent/node-2");
}

TEST_F(CaConnectionTest, WaitsForACertificateThatHasNotEnded) {
  identity_.Set(MakeAgent(authority_.keys(), "node-1", absl::Minutes(59), absl::Now() - absl::Hours(1)));
  Start({authority_.Serve()});
  ASSERT_TRUE(Reaches(CaConnectionState::kExpired));
  EXPECT_THAT(connection_->Status().Words(), HasSubstr("meshca token create --node node-1"));
  EXPECT_THAT(Obtain(), StatusIs(absl::StatusCode::kUnavailable));
  identity_.Set(MakeAgent(authority_.keys()));
  connection_->IdentityChanged();
  EXPECT_TRUE(Reaches(CaConnectionState::kAttached));
}

TEST_F(CaConnectionTest, EndsAStreamOnWhichTheCaTalksNonsenseAndTriesAgain) {
  const v1::AttachResponse trust = TrustMessage(authority_.keys().Trust());
  v1::EntriesChange change;
  change.set_complete(true);
  change.set_revision(2);
  std::vector<std::vector<v1::AttachResponse>> nonsense = {
      {trust}, {Welcome(), Welcome()}, {Welcome(), EntriesMessage(change)}, {v1::AttachResponse()}};
  authority_.script.hello = [&](const v1::AttachHello&) {
    authority_.script.first = nonsense.empty() ? std::vector<v1::AttachResponse>{Welcome()} : nonsense.back();
    if (!nonsense.empty()) nonsense.pop_back();
    return absl::OkStatus();
  };
  Start({authority_.Serve()});
  EXPECT_TRUE(authority_.hellos_seen.Await(5));
  EXPECT_TRUE(authority_.closed_seen.Await(4));
}

TEST_F(CaConnectionTest, EndsAtOnceWhileACallIsUnderWay) {
  AwaitedCounter release;
  authority_.script.sign = [&](const v1::SignRequest&) -> absl::StatusOr<v1::SignResponse> {
    EXPECT_TRUE(release.Await(1));
    return absl::UnavailableError("too late");
  };
  Start({authority_.Serve()});
  ASSERT_TRUE(Reaches(CaConnectionState::kAttached));
  sds::SvidRequest request;
  request.id = *SpiffeId::Parse("spiffe://cluster.local/web");
  Awaited<absl::StatusOr<sds::Svid>> answer;
  batcher_->Obtain(std::move(request), *key_, answer.Setter());
  ASSERT_TRUE(authority_.signs_seen.Await(1));
  connection_->Shutdown();  // while the server's thread still waits
  const absl::Status ended = answer.Get().status();
  EXPECT_FALSE(ended.ok());
  EXPECT_FALSE(sds::IsFinalRefusal(ended)) << ended;
  release.Add();
}

TEST_F(CaConnectionTest, TellsCallsThatComeAfterItsEnd) {
  Start({authority_.Serve()});
  ASSERT_TRUE(Reaches(CaConnectionState::kAttached));
  connection_->Shutdown();
  EXPECT_EQ(connection_->Status().state, CaConnectionState::kEnded);
  EXPECT_THAT(Obtain(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("shut down")));
  connection_->Shutdown();
}

TEST(FullJitter, SpreadsOverAllOfAGrowingTime) {
  FullJitter jitter(absl::Milliseconds(200), absl::Seconds(30), SystemEntropy());
  absl::Duration spread = absl::Milliseconds(200);
  for (int i = 0; i < 20; ++i) {
    const absl::Duration wait = jitter.Next();
    EXPECT_GE(wait, absl::ZeroDuration());
    EXPECT_LT(wait, spread);
    spread = std::min(2 * spread, absl::Duration(absl::Seconds(30)));
  }
  jitter.Reset();
  EXPECT_LT(jitter.Next(), absl::Milliseconds(200));
}

}  // namespace
}  // namespace meshca::agent
