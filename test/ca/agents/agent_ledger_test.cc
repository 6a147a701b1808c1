// What a node counts as holding, by what its agent reports and by what the CA knows better.
#include "ca/agents/agent_ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <tuple>
#include <vector>

namespace meshca {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr absl::Duration kBeat = absl::Seconds(15);
const absl::Time kStart = absl::FromUnixSeconds(1'767'323'045);

Moment At(absl::Duration later) { return {kStart + later, absl::Hours(1) + later}; }
Moment At(int seconds) { return At(absl::Seconds(seconds)); }

ArrivedAgent Agent(const std::string& node = "web-1") {
  ArrivedAgent agent;
  agent.node = node;
  agent.spiffe_id = "spiffe://td.test/meshca/agent/" + node;
  agent.peer = "192.0.2.7:4000";
  agent.version = "1.0";
  agent.authority_id = "old";
  agent.not_after = kStart + absl::Hours(24);
  return agent;
}

BehindConsumer Behind(uint32_t pid, TrustVersion version, const std::string& path = "/web") {
  BehindConsumer consumer;
  consumer.spiffe_id = "spiffe://td.test" + path;
  consumer.pid = pid;
  consumer.program = "/usr/bin/envoy";
  consumer.trust_version = version;
  consumer.since = kStart;
  return consumer;
}

// Everybody on the node holds `version`.
HeldReport AllHold(TrustVersion version, uint64_t consumers = 3) {
  HeldReport report;
  report.trust_version = version;
  report.own_trust_version = version;
  report.consumers = consumers;
  return report;
}

// What of the records a rotation judges: instance -> trust version and authority.
std::map<std::string, std::pair<TrustVersion, std::string>> Judged(const AgentLedger& ledger, const Moment& now) {
  std::map<std::string, std::pair<TrustVersion, std::string>> judged;
  for (const SubscriberRecord& record : ledger.List(now.since_boot)) {
    EXPECT_TRUE(record.takes_bundle);
    EXPECT_EQ(record.takes_key, !record.authority_id.empty() || record.instance.find("/under/") != std::string::npos);
    judged[record.instance] = {record.trust_version, record.authority_id};
  }
  return judged;
}

struct ReportCase {
  const char* name;
  HeldReport report;
  std::map<std::string, std::pair<TrustVersion, std::string>> judged;
};

HeldReport With(HeldReport report, std::vector<BehindConsumer> named, uint64_t behind, TrustVersion slowest) {
  report.behind_first = std::move(named);
  report.behind = behind;
  report.trust_version = slowest;
  return report;
}

HeldReport Under(HeldReport report, uint64_t certificates, std::vector<HeldUnder> under) {
  report.certificates = certificates;
  report.under = std::move(under);
  return report;
}

class LedgerOfReports : public testing::TestWithParam<ReportCase> {};

// The CA has published version 5; the agent's own certificate is under "old".
TEST_P(LedgerOfReports, JudgesWhatTheNodeHolds) {
  AgentLedger ledger(kBeat);
  ledger.SetTrust(5);
  const auto attached = ledger.Attach(Agent(), At(0));
  ASSERT_TRUE(ledger.Report(attached.stream, GetParam().report, At(1)));
  EXPECT_EQ(Judged(ledger, At(1)), GetParam().judged);
}

INSTANTIATE_TEST_SUITE_P(
    Table, LedgerOfReports,
    testing::Values(
        ReportCase{"EverybodyIsThere", AllHold(5), {{"agent:web-1", {5, "old"}}}},
        ReportCase{"NobodyThereButTheAgent", With(AllHold(5, 0), {}, 0, 0), {{"agent:web-1", {5, "old"}}}},
        ReportCase{"OneSleepsAndIsNamed",
                   With(AllHold(5), {Behind(4242, 4)}, 1, 4),
                   {{"agent:web-1", {5, "old"}}, {"agent:web-1/4242/web", {4, ""}}}},
        ReportCase{"MoreSleepThanAreNamed",
                   With(AllHold(5), {Behind(4242, 4)}, 2, 3),
                   {{"agent:web-1", {3, "old"}}, {"agent:web-1/4242/web", {4, ""}}}},
        // A lie: nobody can hold what was never published.
        ReportCase{"HoldsMoreThanThereIs", AllHold(99), {{"agent:web-1", {5, "old"}}}},
        ReportCase{"NamesOneThatHoldsMoreThanThereIs",
                   With(AllHold(5), {Behind(7, 99)}, 1, 99),
                   {{"agent:web-1", {5, "old"}}, {"agent:web-1/7/web", {5, ""}}}},
        ReportCase{
            "CertificatesUnderTheAgentsAuthority", Under(AllHold(5), 2, {{"old", 2}}), {{"agent:web-1", {5, "old"}}}},
        ReportCase{"CertificatesUnderTwo",
                   Under(AllHold(5), 3, {{"old", 2}, {"new", 1}}),
                   {{"agent:web-1", {5, "old"}}, {"agent:web-1/under/new", {5, "new"}}}},
        ReportCase{"CertificatesOfWhichTheAuthorityIsNotTold",
                   Under(AllHold(5), 3, {{"old", 2}}),
                   {{"agent:web-1", {5, "old"}}, {"agent:web-1/under/unknown", {5, ""}}}},
        ReportCase{"NoAuthorityIsTold",
                   Under(AllHold(5), 1, {}),
                   {{"agent:web-1", {5, "old"}}, {"agent:web-1/under/unknown", {5, ""}}}},
        ReportCase{"AnAuthorityOfNoCertificate", Under(AllHold(5), 0, {{"new", 0}}), {{"agent:web-1", {5, "old"}}}}),
    [](const auto& info) { return std::string(info.param.name); });

// Instances that a rotation waits for.
std::vector<std::string> Counting(const AgentLedger& ledger, const Moment& now) {
  std::vector<std::string> counting;
  for (const SubscriberRecord& record : ledger.List(now.since_boot)) {
    if (!record.IsEvicted()) counting.push_back(record.instance);
  }
  std::sort(counting.begin(), counting.end());
  return counting;
}

TEST(AgentLedger, HoldsNothingBeforeItsFirstReport) {
  AgentLedger ledger(kBeat);
  ledger.SetTrust(5);
  ledger.Attach(Agent(), At(0));
  EXPECT_THAT(Judged(ledger, At(0)), ElementsAre(std::pair("agent:web-1", std::pair(TrustVersion{0}, "old"))));
}

TEST(AgentLedger, NamesNodeAndProcessOfWhoeverSleeps) {
  AgentLedger ledger(kBeat);
  ledger.SetTrust(5);
  const auto attached = ledger.Attach(Agent(), At(0));
  ledger.Report(attached.stream, With(AllHold(5), {Behind(4242, 4)}, 1, 4), At(1));
  for (const SubscriberRecord& record : ledger.List(At(1).since_boot)) {
    if (record.trust_version == 5) continue;
    EXPECT_EQ(record.node, "web-1");
    EXPECT_EQ(record.peer, "pid 4242 /usr/bin/envoy");
    EXPECT_EQ(record.spiffe_id, "spiffe://td.test/web");
    EXPECT_TRUE(record.connected);
  }
}

TEST(AgentLedger, CountsACertificateThatNoReportCanHaveKnownOf) {
  AgentLedger ledger(kBeat);
  ledger.SetTrust(5);
  const auto attached = ledger.Attach(Agent(), At(0));
  ledger.Report(attached.stream, AllHold(5), At(1));
  ledger.Issued("web-1", {"newer", kStart + absl::Hours(48), false}, At(10));
  // A report that comes at once may have been on its way.
  ledger.Report(attached.stream, AllHold(5), At(11));
  EXPECT_THAT(Judged(ledger, At(11)), SizeIs(2));
  ledger.Report(attached.stream, AllHold(5), At(16));
  EXPECT_THAT(Judged(ledger, At(16)), SizeIs(1));
}

// The CA has signed; whether the agent has the answer, and could keep it, is known when it shows the certificate.
TEST(AgentLedger, TakesTheAgentsOwnCertificateByWhatItShows) {
  AgentLedger ledger(kBeat);
  ledger.SetTrust(5);
  const auto attached = ledger.Attach(Agent(), At(0));
  ledger.Report(attached.stream, AllHold(5), At(1));
  const auto stale = [](absl::string_view id) { return id == "old"; };
  ASSERT_THAT(ledger.FindStale(stale), SizeIs(1));
  EXPECT_TRUE(ledger.FindStale(stale)[0].own);
  ledger.Issued("web-1", {"new", kStart + absl::Hours(48), true}, At(2));
  ledger.Report(attached.stream, AllHold(5), At(60));
  EXPECT_THAT(ledger.FindStale(stale), SizeIs(1));
  EXPECT_THAT(Judged(ledger, At(60)), UnorderedElementsAre(Pair("agent:web-1", Pair(5u, "old")),
                                                           Pair("agent:web-1/under/new", Pair(5u, "new"))));
  // It comes back with the old one: the answer was lost, or its disk was full.
  const auto again = ledger.Attach(Agent(), At(61));
  ledger.Report(again.stream, AllHold(5), At(62));
  EXPECT_THAT(ledger.FindStale(stale), SizeIs(1));
  EXPECT_THAT(Judged(ledger, At(62)), SizeIs(2));
  ArrivedAgent renewed = Agent();
  renewed.authority_id = "new";
  const auto last = ledger.Attach(renewed, At(63));
  ledger.Report(last.stream, AllHold(5), At(64));
  EXPECT_THAT(ledger.FindStale(stale), IsEmpty());
  EXPECT_THAT(Judged(ledger, At(64)), ElementsAre(Pair("agent:web-1", Pair(5u, "new"))));
}

// The agent is remembered with both while it is away.
TEST(AgentLedger, CountsACertificateOfTheAgentsThatItNeverShowedUntilThatEnds) {
  AgentLedger ledger(kBeat);
  ledger.SetTrust(5);
  const auto attached = ledger.Attach(Agent(), At(0));
  ledger.Report(attached.stream, AllHold(5), At(1));
  ledger.Issued("web-1", {"older", kStart + absl::Hours(1), true}, At(2));
  EXPECT_TRUE(ledger.FindStale([](absl::string_view id) { return id == "older"; })[0].own);
  EXPECT_THAT(Judged(ledger, At(absl::Minutes(59))), SizeIs(2));
  EXPECT_THAT(Judged(ledger, At(absl::Minutes(61))), SizeIs(1));
}

TEST(AgentLedger, CountsWhatIsStaleItself) {
  AgentLedger ledger(kBeat);
  ArrivedAgent agent = Agent();
  agent.authority_id = "new";
  const auto attached = ledger.Attach(agent, At(0));
  ledger.Report(attached.stream, Under(AllHold(5), 9, {{"new", 4}, {"old", 3}, {"older", 2}}), At(1));
  const auto stale = ledger.FindStale([](absl::string_view id) { return id != "new"; });
  ASSERT_THAT(stale, SizeIs(1));
  EXPECT_EQ(stale[0].stream, attached.stream);
  EXPECT_EQ(stale[0].certificates, 5u);
  EXPECT_FALSE(stale[0].own);
  EXPECT_THAT(stale[0].authority_ids, UnorderedElementsAre("old", "older"));
}

// --- who left ---

TEST(AgentLedger, RemembersWhoLeftWithTheLeastThatItsNodeHeld) {
  AgentLedger ledger(kBeat);
  ledger.SetTrust(5);
  const auto attached = ledger.Attach(Agent(), At(0));
  ledger.Issued("web-1", {"old", kStart + absl::Hours(30), false}, At(1));
  ledger.Report(attached.stream, Under(With(AllHold(5), {Behind(1, 3)}, 1, 3), 2, {{"old", 1}, {"new", 1}}), At(20));
  ledger.Leave(attached.stream, At(21));
  const std::vector<SubscriberRecord> records = ledger.List(At(22).since_boot);
  ASSERT_THAT(records, SizeIs(1));
  EXPECT_FALSE(records[0].connected);
  EXPECT_EQ(records[0].trust_version, 3u);
  EXPECT_TRUE(records[0].takes_key);
  EXPECT_EQ(records[0].authority_id, "");  // two: as if it were an old one
  EXPECT_EQ(records[0].certificate_expires, kStart + absl::Hours(30));
  ledger.ForgetEnded(kStart + absl::Hours(30), absl::Minutes(10));
  EXPECT_THAT(ledger.TakeForgotten(), IsEmpty());
  ledger.ForgetEnded(kStart + absl::Hours(30) + absl::Minutes(10), absl::Minutes(10));
  EXPECT_THAT(ledger.TakeForgotten(), ElementsAre("agent:web-1"));
  EXPECT_THAT(ledger.List(At(22).since_boot), IsEmpty());
}

TEST(AgentLedger, ForgetsWhoCameBackAndLeftAgainWhenItsLastCertificateHasEnded) {
  AgentLedger before(kBeat);
  before.Leave(before.Attach(Agent(), At(0)).stream, At(1));
  AgentLedger ledger(kBeat);
  ledger.Restore(before.TakeChanges(false, At(1).since_boot));
  const auto again = ledger.Attach(Agent(), At(2));
  ledger.ForgetEnded(kStart + absl::Hours(25), absl::Minutes(10));
  EXPECT_THAT(ledger.TakeForgotten(), IsEmpty());
  ledger.Leave(again.stream, At(3));
  // The answer to a call that it had made before.
  ledger.Issued("web-1", {"old", kStart + absl::Hours(48), false}, At(4));
  ledger.ForgetEnded(kStart + absl::Hours(26), absl::Minutes(10));
  EXPECT_THAT(ledger.TakeForgotten(), IsEmpty());
  ledger.ForgetEnded(kStart + absl::Hours(49), absl::Minutes(10));
  EXPECT_THAT(ledger.TakeForgotten(), ElementsAre("agent:web-1"));
}

TEST(AgentLedger, NeverForgetsWhoIsAttached) {
  AgentLedger ledger(kBeat);
  ledger.Attach(Agent(), At(0));
  ledger.ForgetEnded(kStart + absl::Hours(1000), absl::Minutes(10));
  EXPECT_THAT(ledger.TakeForgotten(), IsEmpty());
}

TEST(AgentLedger, BelievesAtOnceAnAgentWhoseStreamAloneBroke) {
  AgentLedger ledger(kBeat);
  ledger.SetTrust(5);
  const auto first = ledger.Attach(Agent(), At(0));
  ledger.Report(first.stream, AllHold(3), At(1));
  ledger.Leave(first.stream, At(2));
  const auto second = ledger.Attach(Agent(), At(3));
  EXPECT_EQ(Judged(ledger, At(3)).at("agent:web-1").first, 3u);  // as remembered, until it reports
  ledger.Report(second.stream, AllHold(5), At(4));
  EXPECT_EQ(Judged(ledger, At(4)).at("agent:web-1").first, 5u);
}

TEST(AgentLedger, GivesTheConsumersOfANewProcessTimeToComeBack) {
  AgentLedger ledger(kBeat);
  ledger.SetTrust(5);
  const auto first = ledger.Attach(Agent(), At(0));
  ledger.Report(first.stream, Under(AllHold(3), 1, {{"older", 1}}), At(1));
  ledger.Leave(first.stream, At(2));
  ArrivedAgent agent = Agent();
  agent.fresh_process = true;
  const auto second = ledger.Attach(agent, At(3));
  ledger.Report(second.stream, AllHold(5, 0), At(4));
  // Its consumers run on with what they had.
  EXPECT_EQ(Judged(ledger, At(4)).at("agent:web-1").first, 3u);
  EXPECT_THAT(Judged(ledger, At(4)), SizeIs(2));
  EXPECT_EQ(Judged(ledger, At(64)), (decltype(Judged(ledger, At(64))){{"agent:web-1", {5, "old"}}}));
}

TEST(AgentLedger, EndsTheFirstStreamOfANodeByTheSecond) {
  AgentLedger ledger(kBeat);
  ledger.SetTrust(5);
  const auto first = ledger.Attach(Agent(), At(0));
  EXPECT_EQ(first.displaced, AgentStreamId::kNone);
  const auto second = ledger.Attach(Agent(), At(1));
  EXPECT_EQ(second.displaced, first.stream);
  EXPECT_FALSE(ledger.Report(first.stream, AllHold(5), At(2)));
  EXPECT_TRUE(ledger.Report(second.stream, AllHold(4), At(2)));
  ledger.Leave(first.stream, At(3));
  EXPECT_EQ(Judged(ledger, At(3)).at("agent:web-1").first, 4u);
  EXPECT_EQ(ledger.Stats().connected, 1u);
}

TEST(AgentLedger, RemembersHowOftenAnotherAgentTookThePlaceOfOne) {
  AgentLedger ledger(kBeat);
  ledger.Attach(Agent(), At(0));
  EXPECT_EQ(ledger.Find("web-1", At(0).since_boot)->displaced, 0u);
  ledger.Attach(Agent(), At(1));
  const auto third = ledger.Attach(Agent(), At(7));
  ledger.Leave(third.stream, At(8));
  // Whoever comes back takes nobody's place.
  ledger.Attach(Agent(), At(9));
  EXPECT_EQ(ledger.Find("web-1", At(9).since_boot)->displaced, 2u);
  EXPECT_EQ(ledger.Find("web-1", At(9).since_boot)->displaced_at, At(7).time);

  AgentLedger after(kBeat);
  after.Restore(ledger.TakeChanges(false, At(9).since_boot));
  EXPECT_EQ(after.Find("web-1", At(10).since_boot)->displaced, 2u);
  EXPECT_EQ(after.Find("web-1", At(10).since_boot)->displaced_at, At(7).time);
}

TEST(AgentLedger, FindsThoseThatMissedThreeHeartbeats) {
  AgentLedger ledger(kBeat);
  const auto talks = ledger.Attach(Agent("talks"), At(0));
  const auto silent = ledger.Attach(Agent("silent"), At(0));
  ledger.Report(talks.stream, AllHold(1), At(10));
  EXPECT_THAT(ledger.FindSilent(At(44).since_boot), IsEmpty());
  EXPECT_THAT(ledger.FindSilent(At(45).since_boot), ElementsAre(silent.stream));
}

// --- rows ---

TEST(AgentLedger, SavesWhoComesAndLeavesAtOnceAndReportsWhenAsked) {
  AgentLedger ledger(kBeat);
  ledger.SetTrust(5);
  const auto attached = ledger.Attach(Agent(), At(0));
  EXPECT_THAT(ledger.TakeChanges(false, At(0).since_boot), SizeIs(1));
  ledger.Report(attached.stream, AllHold(5), At(1));
  EXPECT_FALSE(ledger.HasChanges());
  const auto reported = ledger.TakeChanges(true, At(1).since_boot);
  ASSERT_THAT(reported, SizeIs(1));
  EXPECT_EQ(reported[0].trust_version, 5u);
  // A heartbeat that says nothing new costs no write.
  ledger.Report(attached.stream, AllHold(5), At(16));
  EXPECT_THAT(ledger.TakeChanges(true, At(16).since_boot), IsEmpty());
  ledger.ChangeAgain(reported);
  EXPECT_THAT(ledger.TakeChanges(false, At(16).since_boot), SizeIs(1));
}

TEST(AgentLedger, SavesWhatTimeAloneChanges) {
  AgentLedger ledger(kBeat);
  ledger.SetTrust(5);
  const auto first = ledger.Attach(Agent(), At(0));
  ledger.Report(first.stream, AllHold(3), At(1));
  ledger.Leave(first.stream, At(2));
  ArrivedAgent agent = Agent();
  agent.fresh_process = true;
  const auto second = ledger.Attach(agent, At(3));
  ledger.Report(second.stream, AllHold(5), At(4));
  ledger.Issued("web-1", {"never shown", kStart + absl::Hours(1), true}, At(4));
  ASSERT_THAT(ledger.TakeChanges(true, At(4).since_boot), SizeIs(1));
  EXPECT_THAT(ledger.TakeChanges(true, At(62).since_boot), IsEmpty());
  // Its consumers had time to come back.
  const auto back = ledger.TakeChanges(true, At(63).since_boot);
  ASSERT_THAT(back, SizeIs(1));
  EXPECT_EQ(back[0].trust_version, 5u);
  EXPECT_EQ(back[0].authority_id, "");  // two
  EXPECT_THAT(ledger.TakeChanges(true, At(absl::Minutes(59)).since_boot), IsEmpty());
  const auto ended = ledger.TakeChanges(true, At(absl::Minutes(61)).since_boot);
  ASSERT_THAT(ended, SizeIs(1));
  EXPECT_EQ(ended[0].authority_id, "old");
}

TEST(AgentLedger, SavesWhatAPublicationMakesOfAnEarlierReport) {
  AgentLedger ledger(kBeat);
  ledger.SetTrust(5);
  const auto attached = ledger.Attach(Agent(), At(0));
  ledger.Report(attached.stream, AllHold(6), At(1));
  ASSERT_THAT(ledger.TakeChanges(true, At(1).since_boot), SizeIs(1));
  ledger.SetTrust(6);
  const auto rows = ledger.TakeChanges(true, At(2).since_boot);
  ASSERT_THAT(rows, SizeIs(1));
  EXPECT_EQ(rows[0].trust_version, 6u);
}

// What was saved is after each look what it would be if every agent were looked at.
TEST(AgentLedger, MissesNoRowThatDiffers) {
  std::mt19937 random(20'260'101);
  const auto up_to = [&](int max) { return std::uniform_int_distribution<int>(0, max)(random); };
  AgentLedger ledger(kBeat);
  TrustVersion published = 5;
  ledger.SetTrust(published);
  using Fields = std::tuple<TrustVersion, std::string, bool, absl::Time>;
  std::map<std::string, SubscriberRecord> saved;
  const auto fields_of = [](const SubscriberRecord& row) {
    return Fields(row.trust_version, row.authority_id, row.takes_key, row.certificate_expires);
  };
  std::map<std::string, AgentStreamId> streams;
  const std::vector<std::string> authorities = {"old", "new", "newest"};
  absl::Duration later;
  for (int step = 0; step < 20'000; ++step) {
    later += absl::Milliseconds(up_to(3000));
    const Moment now = At(later);
    const std::string node = "web-" + std::to_string(up_to(3));
    const std::string& authority = authorities[static_cast<size_t>(up_to(2))];
    switch (up_to(7)) {
      case 0: {
        ArrivedAgent agent = Agent(node);
        agent.authority_id = authority;
        agent.fresh_process = up_to(1) == 0;
        streams[node] = ledger.Attach(agent, now).stream;
        break;
      }
      case 1: ledger.Leave(streams[node], now); break;
      case 2: ledger.Issued(node, {authority, now.time + absl::Seconds(up_to(600)), up_to(1) == 0}, now); break;
      case 3:
        if (up_to(20) == 0) ledger.SetTrust(++published);
        break;
      case 4:
        if (up_to(10) == 0) ledger.Evict([&](const SubscriberRecord& row) { return row.node == node; }, now);
        break;
      default: {
        HeldReport report = Under(AllHold(published - 2 + static_cast<TrustVersion>(up_to(3))), 1, {{authority, 1}});
        if (up_to(3) == 0) report = With(report, {Behind(1, published - 1)}, 1, published - 1);
        ledger.Report(streams[node], report, now);
      }
    }
    for (SubscriberRecord& row : ledger.TakeChanges(true, now.since_boot)) saved[row.instance] = row;
    if (up_to(3) > 0) continue;
    std::vector<SubscriberRecord> all;
    for (const auto& [instance, row] : saved) {
      if (row.kind == kAgentKind) all.push_back(row);
    }
    ledger.ChangeAgain(all);
    for (const SubscriberRecord& row : ledger.TakeChanges(false, now.since_boot)) {
      ASSERT_EQ(fields_of(saved.at(row.instance)), fields_of(row)) << row.instance << " at step " << step;
    }
  }
}

TEST(AgentLedger, KnowsAfterARestartWhatANodeHeld) {
  AgentLedger before(kBeat);
  before.SetTrust(5);
  const auto attached = before.Attach(Agent(), At(0));
  before.Report(attached.stream, Under(AllHold(4), 1, {{"old", 1}}), At(1));
  std::vector<SubscriberRecord> rows = before.TakeChanges(true, At(1).since_boot);
  SubscriberRecord proxy;
  proxy.instance = "0123456789abcdef";
  proxy.kind = "sds-unix";
  rows.push_back(proxy);

  AgentLedger after(kBeat);
  after.Restore(rows);
  after.SetTrust(5);
  EXPECT_EQ(Judged(after, At(2)), (decltype(Judged(after, At(2))){{"agent:web-1", {4, "old"}}}));
  EXPECT_FALSE(after.List(At(2).since_boot)[0].connected);
}

// --- evictions ---

TEST(AgentLedger, CountsNoMoreWhoWasEvictedUntilItAttaches) {
  AgentLedger ledger(kBeat);
  ledger.SetTrust(5);
  const auto attached = ledger.Attach(Agent(), At(0));
  ledger.Report(attached.stream, With(AllHold(5), {Behind(1, 3)}, 1, 3), At(1));
  const auto evictions =
      ledger.Evict([](const SubscriberRecord& record) { return record.instance == "agent:web-1"; }, At(2));
  EXPECT_THAT(evictions.streams, ElementsAre(attached.stream));
  ASSERT_THAT(evictions.records, SizeIs(1));
  EXPECT_TRUE(evictions.records[0].IsEvicted());
  EXPECT_FALSE(ledger.Report(attached.stream, AllHold(5), At(3)));
  ledger.Leave(attached.stream, At(3));
  ASSERT_THAT(ledger.List(At(3).since_boot), SizeIs(1));
  EXPECT_TRUE(ledger.List(At(3).since_boot)[0].IsEvicted());
  ledger.Attach(Agent(), At(4));
  EXPECT_FALSE(ledger.List(At(4).since_boot)[0].IsEvicted());
  EXPECT_EQ(ledger.List(At(4).since_boot)[0].trust_version, 0u);
}

TEST(AgentLedger, GoesOnWithoutAConsumerThatWasEvicted) {
  AgentLedger ledger(kBeat);
  ledger.SetTrust(5);
  const auto attached = ledger.Attach(Agent(), At(0));
  const HeldReport two_sleep = With(AllHold(5), {Behind(1, 3), Behind(2, 3)}, 2, 3);
  ledger.Report(attached.stream, two_sleep, At(1));
  const auto evictions =
      ledger.Evict([](const SubscriberRecord& record) { return record.instance == "agent:web-1/1/web"; }, At(2));
  EXPECT_THAT(evictions.streams, IsEmpty());
  EXPECT_THAT(evictions.records, SizeIs(1));
  EXPECT_THAT(Counting(ledger, At(2)), ElementsAre("agent:web-1", "agent:web-1/2/web"));
  ledger.Report(attached.stream, two_sleep, At(3));
  EXPECT_THAT(Counting(ledger, At(3)), ElementsAre("agent:web-1", "agent:web-1/2/web"));
  EXPECT_THAT(ledger.Evict([](const SubscriberRecord& record) { return record.instance == "agent:web-1/1/web"; }, At(3))
                  .records,
              IsEmpty())
      << "it is evicted already";
  // It woke, and sleeps again.
  ledger.Report(attached.stream, AllHold(5), At(4));
  EXPECT_THAT(ledger.TakeForgotten(), ElementsAre("agent:web-1/1/web"));
  ledger.Report(attached.stream, two_sleep, At(5));
  EXPECT_THAT(Counting(ledger, At(5)), ElementsAre("agent:web-1", "agent:web-1/1/web", "agent:web-1/2/web"));
  // What is evicted again before the row of the first time was deleted keeps its new one.
  const auto first_one = [](const SubscriberRecord& record) { return record.instance == "agent:web-1/1/web"; };
  EXPECT_THAT(ledger.Evict(first_one, At(6)).records, SizeIs(1));
  ledger.Report(attached.stream, AllHold(5), At(7));
  ledger.Report(attached.stream, two_sleep, At(8));
  EXPECT_THAT(ledger.Evict(first_one, At(9)).records, SizeIs(1));
  EXPECT_THAT(ledger.TakeForgotten(), IsEmpty());
}

TEST(AgentLedger, AnEvictedConsumerStaysOutThroughNewStreamsAndARestart) {
  const HeldReport sleeps = With(AllHold(5), {Behind(1, 3)}, 1, 3);
  AgentLedger ledger(kBeat);
  ledger.SetTrust(5);
  const auto attached = ledger.Attach(Agent(), At(0));
  ledger.Report(attached.stream, sleeps, At(1));
  ledger.Evict([](const SubscriberRecord& record) { return record.instance == "agent:web-1/1/web"; }, At(2));
  ledger.Leave(attached.stream, At(3));
  EXPECT_EQ(Judged(ledger, At(3)), (decltype(Judged(ledger, At(3))){{"agent:web-1", {5, "old"}}}))
      << "nor does its node count as holding what it holds";
  const auto again = ledger.Attach(Agent(), At(4));
  ledger.Report(again.stream, sleeps, At(5));
  EXPECT_THAT(Counting(ledger, At(5)), ElementsAre("agent:web-1"));
  std::vector<SubscriberRecord> rows = ledger.TakeChanges(false, At(5).since_boot);
  ASSERT_THAT(rows, SizeIs(2));
  EXPECT_THAT(ledger.TakeChanges(true, At(5).since_boot), IsEmpty()) << "once";

  AgentLedger after(kBeat);
  SubscriberRecord of_nobody = rows.front();
  of_nobody.instance = "agent:gone/1/web";
  of_nobody.node = "gone";
  rows.push_back(of_nobody);
  after.Restore(rows);
  after.SetTrust(5);
  EXPECT_THAT(after.TakeForgotten(), ElementsAre("agent:gone/1/web"));
  const auto restarted = after.Attach(Agent(), At(6));
  after.Report(restarted.stream, sleeps, At(7));
  EXPECT_THAT(Counting(after, At(7)), ElementsAre("agent:web-1"));
  EXPECT_EQ(Judged(after, At(7)).at("agent:web-1").first, 5u);
  EXPECT_EQ(after.Forget("web-1"), restarted.stream);
  EXPECT_THAT(after.TakeForgotten(), UnorderedElementsAre("agent:web-1", "agent:web-1/1/web"));
}

TEST(AgentLedger, AnEvictionOutlastsReportsThatCannotKnowOfItsConsumer) {
  AgentLedger ledger(kBeat);
  ledger.SetTrust(5);
  const auto first = ledger.Attach(Agent(), At(0));
  ledger.Report(first.stream, With(AllHold(5), {Behind(1, 3)}, 1, 3), At(1));
  ledger.Evict([](const SubscriberRecord& record) { return record.instance == "agent:web-1/1/web"; }, At(2));
  // More sleep than are named: it may be one of the others.
  ledger.Report(first.stream, With(AllHold(5), {Behind(2, 3)}, 2, 3), At(3));
  EXPECT_THAT(ledger.TakeForgotten(), IsEmpty());
  // A new process of the agent: its consumers have still to come back.
  ArrivedAgent agent = Agent();
  agent.fresh_process = true;
  const auto second = ledger.Attach(agent, At(4));
  ledger.Report(second.stream, AllHold(5, 0), At(5));
  EXPECT_THAT(ledger.TakeForgotten(), IsEmpty());
  ledger.Report(second.stream, With(AllHold(5), {Behind(1, 3)}, 1, 3), At(6));
  EXPECT_THAT(Counting(ledger, At(6)), ElementsAre("agent:web-1"));
  ledger.Report(second.stream, AllHold(5, 0), At(65));
  EXPECT_THAT(ledger.TakeForgotten(), ElementsAre("agent:web-1/1/web"));
}

TEST(AgentLedger, TheOldCertificateOfAnEvictedConsumerHoldsNothingUp) {
  AgentLedger ledger(kBeat);
  ledger.SetTrust(5);
  ArrivedAgent agent = Agent();
  agent.authority_id = "new";
  const auto attached = ledger.Attach(agent, At(0));
  BehindConsumer one = Behind(1, 5);
  BehindConsumer other = Behind(2, 5);
  one.authority_id = other.authority_id = "old";
  const HeldReport report = Under(With(AllHold(5), {one, other}, 2, 5), 2, {{"new", 2}, {"old", 2}});
  ledger.Report(attached.stream, report, At(1));
  const auto evict = [&](const char* instance) {
    ledger.Evict([&](const SubscriberRecord& record) { return record.instance == instance; }, At(2));
  };
  evict("agent:web-1/1/web");
  EXPECT_THAT(Judged(ledger, At(2)), Contains(testing::Key("agent:web-1/under/old"))) << "the other holds one too";
  evict("agent:web-1/2/web");
  EXPECT_THAT(Judged(ledger, At(2)), Not(Contains(testing::Key("agent:web-1/under/old"))));
  EXPECT_EQ(Judged(ledger, At(2)).at("agent:web-1").second, "new");
}

TEST(AgentLedger, RemembersABoundedNumberOfEvictions) {
  AgentLedger ledger(kBeat);
  ledger.SetTrust(5);
  const auto attached = ledger.Attach(Agent(), At(0));
  size_t evicted = 0;
  for (uint32_t round = 0; round < 12; ++round) {
    std::vector<BehindConsumer> sleep;
    for (uint32_t i = 1; i <= HeldReport::kBehindMax; ++i) sleep.push_back(Behind(round * 1000 + i, 3));
    ledger.Report(attached.stream, With(AllHold(5), sleep, 5000, 3), At(round));
    const auto consumers = [](const SubscriberRecord& record) { return record.instance != "agent:web-1"; };
    evicted += ledger.Evict(consumers, At(round)).records.size();
  }
  EXPECT_EQ(evicted, AgentLedger::kEvictedConsumersMax);
}

TEST(AgentLedger, ForgetsANodeThatWasTakenEverything) {
  AgentLedger ledger(kBeat);
  const auto attached = ledger.Attach(Agent(), At(0));
  EXPECT_EQ(ledger.Forget("other"), AgentStreamId::kNone);
  EXPECT_EQ(ledger.Forget("web-1"), attached.stream);
  EXPECT_THAT(ledger.List(At(1).since_boot), IsEmpty());
  EXPECT_FALSE(ledger.Report(attached.stream, AllHold(5), At(1)));
}

}  // namespace
}  // namespace meshca
