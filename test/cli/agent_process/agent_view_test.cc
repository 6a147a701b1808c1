#include "cli/agent_process/agent_view.h"

#include <functional>
#include <string>

#include "cli/agent_process/agent_pages.h"
#include "cli/agent_process/agent_screen.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meshca::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using AgentState = agent::CaConnectionState;
using FactState = CheckedFact::State;

AgentView Healthy() {
  AgentView view;
  view.version = "1.2.3";
  view.node = "web-1";
  view.trust_domain = "td.test";
  view.now = absl::FromUnixSeconds(1'000'000);
  view.started_at = absl::FromUnixSeconds(999'000);
  view.servers = {"ca.test:15012"};
  view.connection.state = AgentState::kAttached;
  view.connection.server = "ca.test:15012";
  view.connection.since = absl::FromUnixSeconds(999'001);
  view.connection.attached_last = view.connection.since;
  view.certificate_ends = view.now + absl::Hours(1);
  view.trust_version = 4;
  view.roots = 2;
  view.entries_revision = 9;
  view.entries = 3;
  view.listeners = {{"api", "unix:///a"}, {"http", "off"}};
  return view;
}

struct ViewCase {
  std::string name;
  std::function<void(AgentView&)> change;
  bool ready;
  std::string fact;  // that is not ok; "": all are
  FactState state;
  std::string says;  // detail or mend
};

class AgentViewTest : public testing::TestWithParam<ViewCase> {};

TEST_P(AgentViewTest, SaysWhatIsWrongAndWhatMendsIt) {
  AgentView view = Healthy();
  GetParam().change(view);
  EXPECT_EQ(Ready(view).ok(), GetParam().ready) << Ready(view);
  int wrong = 0;
  for (const CheckedFact& fact : CheckAgent(view)) {
    if (fact.state == FactState::kOk) {
      EXPECT_EQ(fact.mend, "") << fact.name;
      continue;
    }
    ++wrong;
    EXPECT_EQ(fact.name, GetParam().fact);
    EXPECT_EQ(fact.state, GetParam().state) << fact.name;
    EXPECT_THAT(fact.detail + " -> " + fact.mend, HasSubstr(GetParam().says));
    EXPECT_NE(fact.mend, "");
  }
  EXPECT_EQ(wrong, GetParam().fact.empty() ? 0 : 1);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, AgentViewTest,
    testing::Values(ViewCase{"Well", [](AgentView&) {}, true, "", FactState::kOk, ""},
                    ViewCase{"CaAway", [](AgentView& v) { v.connection.state = AgentState::kAway; }, true, "CA",
                             FactState::kWarning, "goes on being served"},
                    ViewCase{"Refused", [](AgentView& v) { v.connection.state = AgentState::kRefused; }, false, "CA",
                             FactState::kFailed, "meshca node show web-1"},
                    ViewCase{"NotBelieved", [](AgentView& v) { v.connection.state = AgentState::kNotBelieved; }, true,
                             "CA", FactState::kFailed, "not believed"},
                    ViewCase{"Ended", [](AgentView& v) { v.certificate_ends = v.now; }, false, "agent's certificate",
                             FactState::kFailed, "meshca token create --node web-1"},
                    ViewCase{"RenewalFails", [](AgentView& v) { v.renewal = absl::UnavailableError("disk full"); },
                             true, "agent's certificate", FactState::kWarning, "disk full"},
                    ViewCase{"EntriesOfBefore", [](AgentView& v) { v.entries_revision = 0; }, true, "entries",
                             FactState::kWarning, "connection to the CA"},
                    ViewCase{"NeverReached",
                             [](AgentView& v) {
                               v.connection.state = AgentState::kAway;
                               v.connection.attached_last = absl::InfinitePast();
                             },
                             false, "CA", FactState::kWarning, "reaches it"},
                    ViewCase{"NoTrust", [](AgentView& v) { v.trust_version = 0; }, false, "trust", FactState::kFailed,
                             "connection to the CA"},
                    ViewCase{"KeysWait", [](AgentView& v) { v.keys_waiting = 2; }, true, "keys", FactState::kWarning,
                             "2 waited for"},
                    ViewCase{"KeysAreNotKept",
                             [](AgentView& v) {
                               v.kept.on = true;
                               v.kept.failure = absl::UnavailableError("the service manager does not hear");
                             },
                             true, "keys over a restart", FactState::kWarning, "does not hear"},
                    ViewCase{"Clock", [](AgentView& v) { v.clock_believed = false; }, true, "clock", FactState::kFailed,
                             "NTP"},
                    ViewCase{"ClockAhead", [](AgentView& v) { v.clock_ahead = absl::Hours(1); }, true, "clock",
                             FactState::kWarning, "NTP"}),
    [](const auto& info) { return info.param.name; });

std::string DetailOf(const AgentView& view, absl::string_view name) {
  for (const CheckedFact& fact : CheckAgent(view)) {
    if (fact.name == name) return fact.detail;
  }
  return "";
}

TEST(CheckAgentKeys, SaysWhatCannotBeHadAndSinceWhen) {
  AgentView view = Healthy();
  EXPECT_THAT(DetailOf(view, "keys"), Not(HasSubstr("can be had")));
  view.connection.state = AgentState::kAway;
  EXPECT_THAT(DetailOf(view, "keys"), HasSubstr("no other certificate or JWT-SVID can be had since 1970-01-12"));
}

TEST(CheckAgentClock, SaysHowFarItIsFromTheCas) {
  AgentView view = Healthy();
  view.clock_ahead = absl::Seconds(59);
  EXPECT_THAT(DetailOf(view, "clock"), Not(HasSubstr("the CA's")));
  view.clock_ahead = absl::Hours(1);
  EXPECT_THAT(DetailOf(view, "clock"), HasSubstr("1h ahead of the CA's"));
  view.clock_ahead = -absl::Minutes(2);
  view.clock_believed = false;
  EXPECT_THAT(DetailOf(view, "clock"), AllOf(HasSubstr("2m behind the CA's"), HasSubstr("cannot be believed")));
}

TEST(CheckAgentKeys, SaysWhatIsKeptOverARestart) {
  AgentView view = Healthy();
  EXPECT_THAT(DetailOf(view, "keys over a restart"), HasSubstr("not kept: no service manager"));
  view.kept.on = true;
  EXPECT_THAT(DetailOf(view, "keys over a restart"), HasSubstr("none yet"));
  view.kept.kept = 3;
  view.kept.kept_at = view.now;
  view.kept.restored = 2;
  view.kept.refused = 1;
  EXPECT_THAT(DetailOf(view, "keys over a restart"),
              AllOf(HasSubstr("3 kept by the service manager since 1970"), HasSubstr("2 came from the process before"),
                    HasSubstr("1 of the process before are not served again")));
  view.connection.attached_last = absl::InfinitePast();
  EXPECT_THAT(std::string(Ready(view).message()), HasSubstr("and 2 keys that were kept"));
}

TEST(AgentView, CountsAsPeopleDo) {
  AgentView view = Healthy();
  view.roots = 1;
  view.certificates = 1;
  std::string said;
  for (const CheckedFact& fact : CheckAgent(view)) said += fact.detail + "\n";
  EXPECT_THAT(said, HasSubstr("version 4, 1 root\n"));
  EXPECT_THAT(said, HasSubstr("1 certificate held for workloads"));
}

TEST(AgentStatusMessage, HasTheConnectionOrWhyThereIsNone) {
  admin::v1::ServerStatus status = StatusMessage(Healthy());
  EXPECT_TRUE(status.ready());
  EXPECT_EQ(status.agent().connected_to(), "ca.test:15012");
  EXPECT_EQ(status.agent().connection_error(), "");
  EXPECT_EQ(status.agent().since().seconds(), 999'001);
  AgentView away = Healthy();
  away.connection.state = AgentState::kAway;
  away.connection.why = absl::UnavailableError("nobody listens");
  status = StatusMessage(away);
  EXPECT_TRUE(status.ready());
  EXPECT_EQ(status.agent().connected_to(), "");
  EXPECT_THAT(status.agent().connection_error(), HasSubstr("nobody listens"));
}

TEST(AgentMetricsPage, HasEveryStateAndNoIdentity) {
  AgentCounts counts;
  counts.view = Healthy();
  const std::string text = AgentMetrics(counts);
  EXPECT_THAT(text, HasSubstr("meshca_agent_connection{state=\"attached\"} 1"));
  EXPECT_THAT(text, HasSubstr("meshca_agent_connection{state=\"refused\"} 0"));
  EXPECT_THAT(text, HasSubstr("meshca_agent_trust_version 4"));
  EXPECT_THAT(text, Not(HasSubstr("web-1")));
}

TEST(AgentFirstScreen, IsReadLineByLine) {
  AgentScreen screen;
  screen.version = "1.2.3";
  screen.node = "web-1";
  screen.trust_domain = "td.test";
  screen.servers = {"a.test:1", "b.test:1"};
  screen.root_fingerprint = "3f9a";
  screen.certificate_ends = absl::FromUnixSeconds(1'800'000'000);
  screen.state_dir = "/s";
  screen.http_address = "off";
  screen.api_socket = "/s/api.sock";
  screen.admin_socket = "/s/admin.sock";
  screen.place_flag = " --api-socket /s/api.sock";
  EXPECT_EQ(screen.ToText(),
            "meshca 1.2.3  agent of node web-1  trust domain td.test\n"
            "CA           a.test:1 b.test:1  root 3f9a\n"
            "SDS, Workload API  unix:///s/api.sock  state /s  certificate until 2027-01-15\n"
            "HTTP         off (probes: meshca health --agent)  admin  unix:///s/admin.sock\n"
            "next         meshca workload x509 --agent --api-socket /s/api.sock\n");
  screen.api_socket_shut = "/s (mode 0700) lets no other user pass";
  EXPECT_THAT(screen.ToText(), HasSubstr("\nnote         no other user reaches the API socket: /s (mode 0700) lets no "
                                         "other user pass; --api-socket PATH puts it elsewhere\nnext "));
}

}  // namespace
}  // namespace meshca::cli
