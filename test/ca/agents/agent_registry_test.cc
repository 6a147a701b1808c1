// Agents come, report, fall silent and leave; what they hold outlives this process.
#include "ca/agents/agent_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ca/base/log.h"
#include "ca/subscribers/subscriber_registry.h"
#include "test/fakes/fake_clock.h"
#include "test/fakes/status_matchers.h"

namespace meshca {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Rows that are durable at once.
class RowsInMemory final : public SubscriberStore {
 public:
  void SaveSubscribers(std::vector<SubscriberRecord> saved, SaveDone done) override {
    if (broken.ok()) {
      for (SubscriberRecord& row : saved) rows.insert_or_assign(row.instance, row);
    }
    std::move(done)(broken);
  }
  absl::StatusOr<std::vector<SubscriberRecord>> LoadSubscribers() override {
    std::vector<SubscriberRecord> all;
    for (const auto& [instance, row] : rows) all.push_back(row);
    return all;
  }
  void DeleteSubscribers(std::vector<std::string> instances, SaveDone done) override {
    for (const std::string& instance : instances) rows.erase(instance);
    std::move(done)(absl::OkStatus());
  }

  absl::Status broken;
  std::map<std::string, SubscriberRecord> rows;
};

// Remembers what the agent was told.
class ToldLink final : public AgentLink {
 public:
  void PermitReissue(const std::vector<std::string>& authorities, uint64_t count) override {
    authority_ids = authorities;
    permitted += count;
  }
  void RenewNow(const std::vector<std::string>& ids, const std::vector<std::string>& certificates) override {
    renew_ids.insert(renew_ids.end(), ids.begin(), ids.end());
    renew_serials.insert(renew_serials.end(), certificates.begin(), certificates.end());
  }
  void StopServing(const std::vector<std::string>& certificates, const std::vector<std::string>& ids,
                   absl::string_view) override {
    stopped.insert(stopped.end(), certificates.begin(), certificates.end());
    stopped_ids.insert(stopped_ids.end(), ids.begin(), ids.end());
  }
  void End(const absl::Status& why) override { ended = why; }

  std::vector<std::string> authority_ids;
  uint64_t permitted = 0;
  std::vector<std::string> renew_ids;
  std::vector<std::string> renew_serials;
  std::vector<std::string> stopped;
  std::vector<std::string> stopped_ids;
  std::optional<absl::Status> ended;
};

class AgentRegistryTest : public testing::Test {
 protected:
  AgentRegistryTest() {
    SetLogLevel(LogLevel::kError);
    registry->SetTrust(5);
  }

  ArrivedAgent Node(const std::string& node) const {
    ArrivedAgent agent;
    agent.node = node;
    agent.spiffe_id = "spiffe://td.test/meshca/agent/" + node;
    agent.peer = "192.0.2.7:4000";
    agent.authority_id = "new";
    agent.not_after = clock.Now() + absl::Hours(24);
    return agent;
  }
  static HeldReport Holds(TrustVersion version, std::vector<HeldUnder> under = {}) {
    HeldReport report;
    report.trust_version = version;
    report.own_trust_version = version;
    report.consumers = 1;
    report.under = std::move(under);
    for (const HeldUnder& one : report.under) report.certificates += one.certificates;
    return report;
  }
  SubscriberRecord Row(const std::string& instance) const {
    const auto row = store.rows.find(instance);
    return row == store.rows.end() ? SubscriberRecord() : row->second;
  }

  FakeClock clock;
  RowsInMemory store;
  std::unique_ptr<AgentRegistry> registry = std::make_unique<AgentRegistry>(store, clock);
};

TEST_F(AgentRegistryTest, RemembersAfterARestartWhatANodeHolds) {
  {
    AgentRegistry::Member member = registry->Attach(Node("web-1"), std::make_shared<ToldLink>());
    EXPECT_TRUE(member.Report(Holds(3, {{"old", 2}})));
    registry->Tick();
    EXPECT_EQ(Row("agent:web-1").trust_version, 3u);
  }
  EXPECT_FALSE(Row("agent:web-1").connected);
  registry = std::make_unique<AgentRegistry>(store, clock);
  ASSERT_THAT(registry->Load(), IsOk());
  ASSERT_THAT(registry->List(), SizeIs(1));
  EXPECT_EQ(registry->List()[0].trust_version, 3u);
  EXPECT_EQ(registry->List()[0].authority_id, "");  // the agent's own is another
  // Until its certificates have ended.
  clock.Advance(absl::Hours(25));
  registry->Tick();
  EXPECT_THAT(registry->List(), IsEmpty());
  EXPECT_EQ(Row("agent:web-1").instance, "");
}

TEST_F(AgentRegistryTest, ForgetsNobodyByAClockThatIsDoubted) {
  { const AgentRegistry::Member member = registry->Attach(Node("web-1"), std::make_shared<ToldLink>()); }
  clock.JumpInDoubt(clock.Now() + absl::Hours(100));
  registry->Tick();
  EXPECT_THAT(registry->List(), SizeIs(1));
}

TEST_F(AgentRegistryTest, RowsOfAgentsAreNotTheSubscriberRegistrys) {
  const AgentRegistry::Member member = registry->Attach(Node("web-1"), std::make_shared<ToldLink>());
  SubscriberRegistry subscribers(store, clock, absl::Hours(24));
  ASSERT_THAT(subscribers.Load(), IsOk());
  EXPECT_THAT(subscribers.List(), IsEmpty());
}

TEST_F(AgentRegistryTest, ASecondStreamOfANodeEndsTheFirst) {
  const auto first_link = std::make_shared<ToldLink>();
  AgentRegistry::Member first = registry->Attach(Node("web-1"), first_link);
  AgentRegistry::Member second = registry->Attach(Node("web-1"), std::make_shared<ToldLink>());
  ASSERT_TRUE(first_link->ended.has_value());
  EXPECT_THAT(*first_link->ended, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("attached again")));
  EXPECT_EQ(registry->Stats().displaced, 1u);
  EXPECT_FALSE(first.Report(Holds(5)));
  first.Leave();
  EXPECT_TRUE(second.Report(Holds(5)));
}

TEST_F(AgentRegistryTest, EndsStreamsThatMissThreeHeartbeats) {
  const auto link = std::make_shared<ToldLink>();
  AgentRegistry::Member member = registry->Attach(Node("web-1"), link);
  clock.Advance(AgentRegistry::kHeartbeat * 3 - absl::Milliseconds(1));
  registry->Tick();
  EXPECT_FALSE(link->ended.has_value());
  clock.Advance(absl::Milliseconds(1));
  registry->Tick();
  ASSERT_TRUE(link->ended.has_value());
  EXPECT_THAT(*link->ended, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("3 heartbeats")));
  EXPECT_FALSE(registry->List()[0].connected);
  EXPECT_FALSE(member.Report(Holds(5)));
}

TEST_F(AgentRegistryTest, SharesTheBudgetAmongThoseThatHoldStaleCertificates) {
  const auto stale_link = std::make_shared<ToldLink>();
  const auto fresh_link = std::make_shared<ToldLink>();
  AgentRegistry::Member stale = registry->Attach(Node("stale"), stale_link);
  AgentRegistry::Member fresh = registry->Attach(Node("fresh"), fresh_link);
  stale.Report(Holds(5, {{"old", 30}, {"new", 1}}));
  fresh.Report(Holds(5, {{"new", 7}}));
  const auto is_stale = [](absl::string_view id) { return id == "old"; };
  EXPECT_EQ(registry->Reissue(is_stale, 80), 30u);
  EXPECT_EQ(stale_link->permitted, 20u);
  EXPECT_THAT(stale_link->authority_ids, ElementsAre("old"));
  EXPECT_EQ(fresh_link->permitted, 0u);
  clock.Advance(absl::Seconds(1));
  stale.Report(Holds(5, {{"old", 10}, {"new", 21}}));
  EXPECT_EQ(registry->Reissue(is_stale, 80), 10u);
  EXPECT_EQ(stale_link->permitted, 30u);
  stale.Report(Holds(5, {{"new", 31}}));
  EXPECT_EQ(registry->Reissue(is_stale, 80), 0u);
}

TEST_F(AgentRegistryTest, HasAgentsRenewTheirOwnCertificateWithinTheSameBudget) {
  std::vector<std::shared_ptr<ToldLink>> links;
  std::vector<AgentRegistry::Member> members;
  for (int i = 0; i < 3; ++i) {
    links.push_back(std::make_shared<ToldLink>());
    ArrivedAgent agent = Node("web-" + std::to_string(i));
    agent.authority_id = "old";
    members.push_back(registry->Attach(agent, links.back()));
    members.back().Report(Holds(5));
  }
  const auto is_stale = [](absl::string_view id) { return id == "old"; };
  EXPECT_EQ(registry->Reissue(is_stale, 8), 3u);
  EXPECT_THAT(links[0]->renew_ids, ElementsAre("spiffe://td.test/meshca/agent/web-0"));
  EXPECT_THAT(links[1]->renew_ids, SizeIs(1));
  EXPECT_THAT(links[2]->renew_ids, IsEmpty());
  clock.Advance(absl::Seconds(1));
  // What is issued is not held yet: the agent shows it once it is.
  registry->Issued("web-0", {"new", clock.Now() + absl::Hours(24), true});
  EXPECT_EQ(registry->CountStale(is_stale), 3u);
  members[0] = registry->Attach(Node("web-0"), links[0]);
  EXPECT_EQ(registry->Reissue(is_stale, 8), 2u);
  EXPECT_THAT(links[2]->renew_ids, SizeIs(1));
  EXPECT_EQ(links[0]->permitted + links[1]->permitted + links[2]->permitted, 0u);
}

TEST_F(AgentRegistryTest, TellsAnAgentAgainToRenewWhileItShowsTheOldCertificate) {
  const auto link = std::make_shared<ToldLink>();
  ArrivedAgent agent = Node("web-1");
  agent.authority_id = "old";
  AgentRegistry::Member member = registry->Attach(agent, link);
  const auto is_stale = [](absl::string_view id) { return id == "old"; };
  EXPECT_EQ(registry->Reissue(is_stale, 10), 1u);
  EXPECT_THAT(link->renew_ids, SizeIs(1));
  // Signed, and the answer is lost.
  registry->Issued("web-1", {"new", clock.Now() + absl::Hours(24), true});
  clock.Advance(absl::Seconds(59));
  EXPECT_EQ(registry->Reissue(is_stale, 10), 1u);
  EXPECT_THAT(link->renew_ids, SizeIs(1));
  clock.Advance(absl::Seconds(1));
  EXPECT_EQ(registry->Reissue(is_stale, 10), 1u);
  EXPECT_THAT(link->renew_ids, SizeIs(2));
  // It shows the one that was issued the second time.
  agent.authority_id = "new";
  member = registry->Attach(agent, link);
  EXPECT_EQ(registry->Reissue(is_stale, 10), 0u);
}

TEST_F(AgentRegistryTest, TellsOfRevokedCertificatesOnceAndWhoeverAttachesLater) {
  const auto link = std::make_shared<ToldLink>();
  AgentRegistry::Member member = registry->Attach(Node("web-1"), link);
  registry->SetRevoked({{"web-1", "0a"}, {"web-2", "0b"}});
  EXPECT_THAT(link->stopped, ElementsAre("0a"));
  const std::string web = "spiffe://td.test/web";
  registry->SetRevoked({{"web-1", "0a"}, {"web-1", "0c", web}, {"web-1", "0d", web}, {"web-2", "0b"}});
  EXPECT_THAT(link->stopped, ElementsAre("0a", "0c", "0d"));
  EXPECT_THAT(link->stopped_ids, ElementsAre(web));
  const auto later = std::make_shared<ToldLink>();
  const AgentRegistry::Member other = registry->Attach(Node("web-2"), later);
  EXPECT_THAT(later->stopped, ElementsAre("0b"));
}

TEST_F(AgentRegistryTest, AttachesNobodyByAVerdictOlderThanARevocation) {
  const uint64_t judged = registry->verdicts();
  registry->OutdateVerdicts();
  const auto link = std::make_shared<ToldLink>();
  EXPECT_FALSE(registry->Attach(Node("web-1"), link, judged));
  EXPECT_THAT(registry->List(), IsEmpty());
  EXPECT_TRUE(registry->Attach(Node("web-1"), link, registry->verdicts()));
  EXPECT_THAT(registry->List(), SizeIs(1));
}

TEST_F(AgentRegistryTest, TellsThoseAttachedToRenew) {
  const auto link = std::make_shared<ToldLink>();
  AgentRegistry::Member member = registry->Attach(Node("web-1"), link);
  const auto told = registry->RenewNow({{"web-1", "0a"}, {"web-2", "0b"}});
  ASSERT_THAT(told, SizeIs(1));
  EXPECT_EQ(told[0].serial, "0a");
  EXPECT_THAT(link->renew_serials, ElementsAre("0a"));
}

TEST_F(AgentRegistryTest, EvictsDurably) {
  const auto link = std::make_shared<ToldLink>();
  AgentRegistry::Member member = registry->Attach(Node("web-1"), link);
  const auto evicted = registry->Evict([](const SubscriberRecord& record) { return record.node == "web-1"; });
  ASSERT_THAT(evicted, IsOk());
  EXPECT_THAT(evicted->records, SizeIs(1));
  EXPECT_EQ(evicted->ended, 1u);
  EXPECT_TRUE(link->ended.has_value());
  member.Leave();
  EXPECT_TRUE(Row("agent:web-1").IsEvicted());
}

TEST_F(AgentRegistryTest, EvictsNobodyWhereThatCannotBeSaved) {
  AgentRegistry::Member member = registry->Attach(Node("web-1"), std::make_shared<ToldLink>());
  store.broken = absl::UnavailableError("disk full");
  EXPECT_THAT(registry->Evict([](const SubscriberRecord&) { return true; }),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("could not be saved")));
  EXPECT_FALSE(registry->List()[0].IsEvicted());
  store.broken = absl::OkStatus();
}

TEST_F(AgentRegistryTest, SavesByTheNextTickWhatCouldNotBeSaved) {
  store.broken = absl::UnavailableError("disk full");
  AgentRegistry::Member member = registry->Attach(Node("web-1"), std::make_shared<ToldLink>());
  member.Report(Holds(4));
  store.broken = absl::OkStatus();
  EXPECT_EQ(Row("agent:web-1").instance, "");
  registry->Tick();
  EXPECT_EQ(Row("agent:web-1").trust_version, 4u);
}

TEST_F(AgentRegistryTest, ForgetsABannedNodeAndEndsItsStream) {
  const auto link = std::make_shared<ToldLink>();
  AgentRegistry::Member member = registry->Attach(Node("web-1"), link);
  registry->Forget("web-1", absl::PermissionDeniedError("banned"));
  ASSERT_TRUE(link->ended.has_value());
  EXPECT_THAT(*link->ended, StatusIs(absl::StatusCode::kPermissionDenied, "banned"));
  EXPECT_THAT(registry->List(), IsEmpty());
  EXPECT_EQ(Row("agent:web-1").instance, "");
}

}  // namespace
}  // namespace meshca
