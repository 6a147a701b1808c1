// The Attach stream over the real edge: what an agent is told, what counts of what it tells, and how it ends.
#include "ca/service/agent_attach.h"

#include "test/ca/service/agent_fixture.h"

namespace meshca {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

using Code = absl::StatusCode;

bool IsWelcome(const agent_v1::AttachResponse& message) { return message.has_welcome(); }
bool IsTrust(const agent_v1::AttachResponse& message) { return message.has_trust(); }
bool IsEntries(const agent_v1::AttachResponse& message) { return message.has_entries(); }
bool IsPermit(const agent_v1::AttachResponse& message) { return message.has_reissue(); }
bool IsRenew(const agent_v1::AttachResponse& message) { return message.has_renew(); }
bool IsStop(const agent_v1::AttachResponse& message) { return message.has_stop(); }

class AgentAttachTest : public AgentTest {
 protected:
  // The stream of an agent that was told everything at first.
  std::unique_ptr<AgentStream> Attached(const HeldIdentity& agent) {
    auto stream = std::make_unique<AgentStream>(address, Tls(&agent).get());
    stream->Hello();
    stream->Next(IsEntries);
    return stream;
  }
  static agent_v1::AttachRequest Holds(uint64_t version) {
    agent_v1::AttachRequest request;
    request.mutable_held()->set_trust_version(version);
    request.mutable_held()->set_own_trust_version(version);
    request.mutable_held()->set_consumers(1);
    return request;
  }
  uint64_t Version() const { return manager->Current()->bundle->sequence_number; }
  // The record of the agent or consumer, if there is one.
  std::optional<SubscriberRecord> Record(const std::string& instance) const {
    for (const SubscriberRecord& record : service->registry().List()) {
      if (record.instance == instance) return record;
    }
    return std::nullopt;
  }
};

TEST_F(AgentAttachTest, WelcomesAndTellsTrustAndEntriesWhole) {
  const HeldIdentity agent = Joined("web-1");
  AddEntry("web", "/web", {"web-*"});
  AddEntry("db", "/db", {"db-1"});
  AddEntry("own", "/own", {});
  AgentStream stream(address, Tls(&agent).get());
  stream.Hello();
  const agent_v1::AttachWelcome welcome = stream.Next([](const auto&) { return true; }).welcome();
  EXPECT_EQ(welcome.protocol_version(), 1u);
  EXPECT_EQ(welcome.heartbeat().seconds(), 15);
  EXPECT_EQ(welcome.delivered_after().seconds(), 60);
  EXPECT_EQ(welcome.now().seconds(), absl::ToUnixSeconds(clock.Now()));
  const agent_v1::Trust trust = stream.Next([](const auto&) { return true; }).trust();
  EXPECT_EQ(trust.version(), Version());
  ASSERT_EQ(trust.domains_size(), 1);
  EXPECT_EQ(trust.domains(0).x509_authorities(0), manager->Current()->bundle->roots.front().der().bytes());
  const agent_v1::EntriesChange entries = stream.Next([](const auto&) { return true; }).entries();
  EXPECT_TRUE(entries.whole());
  EXPECT_TRUE(entries.complete());
  ASSERT_EQ(entries.put_size(), 1);
  EXPECT_EQ(entries.put(0).id(), "web");
  EXPECT_EQ(entries.put(0).spiffe_id(), "spiffe://cluster.local/web");
  EXPECT_THAT(entries.put(0).selectors(), ElementsAre("unix:uid:1000"));
}

TEST_F(AgentAttachTest, TellsWhatChangesOfTheNodesEntries) {
  const HeldIdentity agent = Joined("web-1");
  const auto stream = Attached(agent);
  AddEntry("db", "/db", {"db-1"});
  AddEntry("web", "/web", {"web-1"});
  const agent_v1::EntriesChange put = stream->Next(IsEntries).entries();
  EXPECT_FALSE(put.whole());
  EXPECT_TRUE(put.complete());
  ASSERT_EQ(put.put_size(), 1);
  EXPECT_EQ(put.put(0).id(), "web");
  ASSERT_THAT(store.DeleteEntry("web", Audit()), IsOk());
  TellEntries();
  const agent_v1::EntriesChange deleted = stream->Next(IsEntries).entries();
  EXPECT_THAT(deleted.deleted(), ElementsAre("web"));
  EXPECT_GT(deleted.revision(), put.revision());
  // Who comes back with that has no need to be told again; the trust is told all the same.
  AgentStream again(address, Tls(&agent).get());
  again.Hello(1, deleted.revision());
  again.Next(IsTrust);
  AddEntry("new", "/new", {"*"});
  EXPECT_FALSE(again.Next(IsEntries).entries().whole());
}

TEST_F(AgentAttachTest, TellsALongListInParts) {
  const HeldIdentity agent = Joined("web-1");
  for (int i = 0; i < 400; ++i) {
    RegistrationEntry entry;
    entry.id = absl::StrCat("entry-", i);
    entry.spiffe_id = *SpiffeId::FromParts(domain, absl::StrCat("/", std::string(1900, 'p'), i));
    entry.selectors = {"unix:uid:1000"};
    entry.nodes = {"web-1"};
    ASSERT_THAT(store.PutEntry(entry, Audit()), IsOk());
  }
  TellEntries();
  AgentStream stream(address, Tls(&agent).get());
  stream.Hello();
  int told = 0;
  int parts = 0;
  for (bool complete = false; !complete; ++parts) {
    const agent_v1::EntriesChange change = stream.Next(IsEntries).entries();
    EXPECT_EQ(change.whole(), parts == 0);
    told += change.put_size();
    complete = change.complete();
  }
  EXPECT_EQ(told, 400);
  // More than the stream's queue has room for.
  EXPECT_GT(parts, static_cast<int>(AgentAttach::kOptions.queue_messages_max));
}

TEST_F(AgentAttachTest, NamesTheConsumerThatSleepsAndItsNode) {
  const HeldIdentity agent = Joined("web-1");
  const auto stream = Attached(agent);
  agent_v1::AttachRequest request = Holds(Version());
  request.mutable_held()->set_trust_version(0);
  request.mutable_held()->set_behind(1);
  agent_v1::Behind& behind = *request.mutable_held()->add_behind_first();
  behind.set_spiffe_id("spiffe://cluster.local/web");
  behind.set_pid(4242);
  behind.set_program("/usr/bin/en\nvoy");
  stream->Send(request);
  ASSERT_TRUE(stream->RunUntil([&] { return Record("agent:web-1/4242/web").has_value(); }));
  EXPECT_EQ(Record("agent:web-1/4242/web")->peer, "pid 4242 /usr/bin/en\\nvoy");
  EXPECT_EQ(Record("agent:web-1/4242/web")->node, "web-1");
  EXPECT_EQ(Record("agent:web-1")->trust_version, Version());
  EXPECT_TRUE(Record("agent:web-1")->connected);
  EXPECT_EQ(Record("agent:web-1")->authority_id, manager->Current()->issuing->id);
}

TEST_F(AgentAttachTest, CountsAReportThatCameWithTheHello) {
  const HeldIdentity agent = Joined("web-1");
  AgentStream stream(address, Tls(&agent).get());
  stream.Hello();
  stream.Send(Holds(Version()));
  EXPECT_TRUE(stream.RunUntil([&] {
    const auto record = Record("agent:web-1");
    return record.has_value() && record->trust_version == Version();
  }));
}

TEST_F(AgentAttachTest, PermitsReissueAndOrdersRenewals) {
  const HeldIdentity agent = Joined("web-1");
  const RegistrationEntry web = AddEntry("web", "/web", {"web-1"});
  const HeldIdentity workload = Signed(agent, web);
  const auto stream = Attached(agent);
  const std::string stale(64, 'a');
  agent_v1::AttachRequest request = Holds(Version());
  request.mutable_held()->set_certificates(3);
  agent_v1::HeldUnder& under = *request.mutable_held()->add_under();
  under.set_authority_id(stale);
  under.set_certificates(3);
  stream->Send(request);
  const auto is_stale = [&](absl::string_view id) { return id == stale; };
  ASSERT_TRUE(stream->RunUntil([&] { return service->registry().Reissue(is_stale, 100) == 3; }));
  const agent_v1::ReissuePermit permit = stream->Next(IsPermit).reissue();
  EXPECT_THAT(permit.authority_ids(), ElementsAre(stale));
  EXPECT_EQ(permit.certificates(), 3u);
  EXPECT_GT(permit.within().seconds(), 0);

  const auto renewed =
      service->Renew([](absl::string_view id, absl::string_view) { return absl::EndsWith(id, "/web"); });
  ASSERT_THAT(renewed, IsOk());
  EXPECT_THAT(*renewed, ElementsAre("spiffe://cluster.local/web"));
  EXPECT_THAT(stream->Next(IsRenew).renew().serials(), ElementsAre(workload.serial()));
}

TEST_F(AgentAttachTest, OrdersARenewalWhateverAnotherNodeNamesAsReplaced) {
  const RegistrationEntry web = AddEntry("web", "/web", {"*"});
  const RegistrationEntry db = AddEntry("db", "/db", {"*"});
  const HeldIdentity agent = Joined("web-1");
  const HeldIdentity workload = Signed(agent, web);
  const auto stream = Attached(agent);
  const HeldIdentity stolen = Joined("web-2");
  const auto forged = Sign(stolen, {Wants(HeldIdentity(), web, workload.serial())});
  ASSERT_THAT(forged, IsOk());
  ASSERT_EQ(forged->results(0).code(), 0) << forged->results(0).message();
  const auto of_another_id = Sign(agent, {Wants(HeldIdentity(), db, workload.serial())});
  ASSERT_THAT(of_another_id, IsOk());
  ASSERT_EQ(of_another_id->results(0).code(), 0) << of_another_id->results(0).message();

  const auto renewed = service->Renew(
      [&](absl::string_view, absl::string_view serial) { return serial == absl::string_view(workload.serial()); });
  ASSERT_THAT(renewed, IsOk());
  EXPECT_THAT(*renewed, ElementsAre("spiffe://cluster.local/web"));
  EXPECT_THAT(stream->Next(IsRenew).renew().serials(), ElementsAre(workload.serial()));
}

TEST_F(AgentAttachTest, SaysWhatWasRevokedAtOnceAndToWhoeverComesBack) {
  const HeldIdentity agent = Joined("web-1");
  const HeldIdentity workload = Signed(agent, AddEntry("web", "/web", {"web-1"}));
  const auto stream = Attached(agent);
  RevocationSelection selection;
  selection.serial = workload.serial();
  ASSERT_THAT(store.Revoke(selection, RevocationReason::kUnspecified, /*dry_run=*/false, Audit(),
                           [](const IssuanceRecord&) { return true; }),
              IsOk());
  ASSERT_THAT(service->RevokedChanged(), IsOk());
  const agent_v1::StopServing stop = stream->Next(IsStop).stop();
  EXPECT_THAT(stop.serials(), ElementsAre(workload.serial()));
  EXPECT_THAT(stop.spiffe_ids(), ElementsAre("spiffe://cluster.local/web"));
  const auto again = Attached(agent);
  EXPECT_THAT(again->Next(IsStop).stop().serials(), ElementsAre(workload.serial()));
}

TEST_F(AgentAttachTest, EndsTheFirstStreamOfANodeByTheSecond) {
  const HeldIdentity agent = Joined("web-1");
  const auto first = Attached(agent);
  // The process is the same: it has entries.
  AgentStream second(address, Tls(&agent).get());
  second.Hello(1, /*entries_revision=*/1);
  second.Next(IsTrust);
  EXPECT_THAT(first->Ended(), StatusIs(Code::kUnavailable, HasSubstr("has attached again")));
  second.Send(Holds(Version()));
  EXPECT_TRUE(second.RunUntil([&] { return Record("agent:web-1")->trust_version == Version(); }));
}

TEST_F(AgentAttachTest, RemembersAnAgentThatLeft) {
  const HeldIdentity agent = Joined("web-1");
  Attached(agent).reset();
  const absl::Time until = absl::Now() + absl::Minutes(1);
  while (Record("agent:web-1")->connected && absl::Now() < until) absl::SleepFor(absl::Milliseconds(1));
  EXPECT_FALSE(Record("agent:web-1")->connected);
}

TEST_F(AgentAttachTest, CountsAnAgentThatFellSilentAsGone) {
  const HeldIdentity agent = Joined("web-1");
  const auto stream = Attached(agent);
  clock.Advance(absl::Seconds(45));
  service->Wake();
  EXPECT_THAT(stream->Ended(), StatusIs(Code::kUnavailable, HasSubstr("heartbeats")));
  EXPECT_FALSE(Record("agent:web-1")->connected);
}

TEST_F(AgentAttachTest, WaitsTenSecondsForAHello) {
  const HeldIdentity agent = Joined("web-1");
  const rpc::SslContextPtr tls = Tls(&agent);
  rpc::H2Client client(address, tls.get());
  const int32_t stream = client.Open("/meshca.agent.v1.Agent/Attach");
  // Once another call of the connection is answered the stream is open.
  client.Call("/meshca.agent.v1.Agent/Sign", "");
  clock.Advance(absl::Seconds(10));
  service->Wake();
  ASSERT_TRUE(client.WaitClosed(stream));
  EXPECT_EQ(client.reply(stream).status(), static_cast<int>(Code::kDeadlineExceeded));
  EXPECT_THAT(client.reply(stream).Find("grpc-message"), HasSubstr("no hello within 10s"));
}

struct GarbageCase {
  const char* name;
  bool after_hello;
  std::function<std::string()> message;
  Code code;
  const char* words;
};

class AgentGarbage : public AgentAttachTest, public testing::WithParamInterface<GarbageCase> {};

TEST_P(AgentGarbage, EndsTheStreamAndSaysWhy) {
  const HeldIdentity agent = Joined("web-1");
  AgentStream stream(address, Tls(&agent).get());
  if (GetParam().after_hello) {
    stream.Hello();
    stream.Next(IsWelcome);
  }
  stream.SendBytes(GetParam().message());
  EXPECT_THAT(stream.Ended(), StatusIs(GetParam().code, HasSubstr(GetParam().words)));
}

std::string HelloOf(uint32_t version) {
  agent_v1::AttachRequest request;
  request.mutable_hello()->set_protocol_version(version);
  return request.SerializeAsString();
}

template <typename Change>
std::string HeldWith(Change change) {
  agent_v1::AttachRequest request;
  change(*request.mutable_held());
  return request.SerializeAsString();
}

INSTANTIATE_TEST_SUITE_P(
    Table, AgentGarbage,
    testing::Values(
        GarbageCase{"NoMessage", false, [] { return std::string("\xff\xff\xff"); }, Code::kInvalidArgument, "attach: "},
        GarbageCase{"EmptyMessage", false, [] { return std::string(); }, Code::kInvalidArgument, "neither"},
        GarbageCase{"HeldFirst", false, [] { return HeldWith([](auto&) {}); }, Code::kInvalidArgument, "hello"},
        GarbageCase{"NoVersion", false, [] { return HelloOf(0); }, Code::kInvalidArgument, "protocol_version"},
        GarbageCase{"VersionsApart", false, [] { return HelloOf(3); }, Code::kFailedPrecondition, "3 and 2"},
        GarbageCase{"SecondHello", true, [] { return HelloOf(1); }, Code::kInvalidArgument, "second hello"},
        GarbageCase{"TooManyNamed", true,
                    [] {
                      return HeldWith([](agent_v1::Held& held) {
                        for (int i = 0; i < 101; ++i) held.add_behind_first()->set_pid(7);
                      });
                    },
                    Code::kInvalidArgument, "101 consumers"},
        GarbageCase{"TooManyAuthorities", true,
                    [] {
                      return HeldWith([](agent_v1::Held& held) {
                        for (int i = 0; i < 17; ++i) held.add_under()->set_authority_id(std::string(64, 'a'));
                      });
                    },
                    Code::kInvalidArgument, "17 authorities"},
        GarbageCase{"NoAuthorityId", true,
                    [] { return HeldWith([](agent_v1::Held& held) { held.add_under()->set_authority_id("ROOT"); }); },
                    Code::kInvalidArgument, "hexadecimal"},
        GarbageCase{
            "NoSpiffeId", true,
            [] { return HeldWith([](agent_v1::Held& held) { held.add_behind_first()->set_spiffe_id("web"); }); },
            Code::kInvalidArgument, "SPIFFE ID"},
        GarbageCase{"TooLarge", true, [] { return std::string(300 * 1024, 'x'); }, Code::kResourceExhausted, ""}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_F(AgentAttachTest, EndsAFloodOfReports) {
  const HeldIdentity agent = Joined("web-1");
  const auto stream = Attached(agent);
  for (int i = 0; i < 600; ++i) stream->Send(Holds(Version()));
  EXPECT_THAT(stream->Ended(), StatusIs(Code::kResourceExhausted, HasSubstr("too many messages")));
}

TEST_F(AgentAttachTest, AttachesAgentsAlone) {
  AgentStream nobody(address, Tls(nullptr).get());
  EXPECT_THAT(nobody.Ended(), StatusIs(Code::kUnauthenticated, HasSubstr("no client certificate")));
  const HeldIdentity workload = Signed(Joined("web-1"), AddEntry("web", "/web", {"web-1"}));
  AgentStream stream(address, Tls(&workload).get());
  EXPECT_THAT(stream.Ended(), StatusIs(Code::kPermissionDenied, HasSubstr("no node's agent")));
}

TEST_F(AgentAttachTest, EndsTheStreamOfANodeThatIsBannedAndWaitsForItNoMore) {
  const HeldIdentity agent = Joined("web-1");
  const auto stream = Attached(agent);
  ASSERT_THAT(store.BanNode("web-1", "stolen from the rack", Audit()), IsOk());
  ASSERT_THAT(service->RevokedChanged(), IsOk());
  EXPECT_THAT(stream->Ended(), StatusIs(Code::kPermissionDenied, AllOf(HasSubstr("banned"), Not(HasSubstr("stolen")))));
  EXPECT_FALSE(Record("agent:web-1").has_value());
}

TEST_F(AgentAttachTest, WaitsNoMoreForANodeWhoseCertificatesAreAllRevoked) {
  const HeldIdentity agent = Joined("web-1");
  const HeldIdentity workload = Signed(agent, AddEntry("web", "/web", {"web-1"}));
  const auto stream = Attached(agent);
  const auto revoke = [&](const std::string& serial) {
    RevocationSelection selection;
    selection.serial = serial;
    EXPECT_THAT(store.Revoke(selection, RevocationReason::kUnspecified, /*dry_run=*/false, Audit(),
                             [](const IssuanceRecord&) { return true; }),
                IsOk());
    EXPECT_THAT(service->RevokedChanged(), IsOk());
  };
  revoke(agent.serial());
  EXPECT_TRUE(Record("agent:web-1").has_value());
  revoke(workload.serial());
  EXPECT_FALSE(Record("agent:web-1").has_value());
  EXPECT_THAT(stream->Ended(), StatusIs(Code::kUnauthenticated, HasSubstr("join again")));
}

TEST_F(AgentAttachTest, NeverAttachesANodeThatWasBannedWhileItWasJudged) {
  const HeldIdentity agent = Joined("web-1");
  // Its agent is judged, and found to be one; then comes the ban, and only then the stream's turn to attach.
  bool first = true;
  issuances.behind_judged = [&](const PresentedCertificate&) {
    if (!std::exchange(first, false)) return;
    EXPECT_THAT(store.BanNode("web-1", "stolen from the rack", Audit()), IsOk());
    EXPECT_THAT(service->RevokedChanged(), IsOk());
  };
  AgentStream stream(address, Tls(&agent).get());
  stream.Hello();
  EXPECT_THAT(stream.Ended(), StatusIs(Code::kPermissionDenied, HasSubstr("banned")));
  EXPECT_FALSE(Record("agent:web-1").has_value());
}

TEST_F(AgentAttachTest, AttachesAnAgentThatWasJudgedWhileAnotherNodeWasBanned) {
  const HeldIdentity agent = Joined("web-1");
  Joined("web-2");
  bool first = true;
  issuances.behind_judged = [&](const PresentedCertificate&) {
    if (!std::exchange(first, false)) return;
    EXPECT_THAT(store.BanNode("web-2", "stolen from the rack", Audit()), IsOk());
    EXPECT_THAT(service->RevokedChanged(), IsOk());
  };
  Attached(agent);
  EXPECT_TRUE(Record("agent:web-1").has_value());
}

// A thousand nodes that start at once are looked up in the inventory a thousand times, and not two thousand times.
TEST_F(AgentAttachTest, JudgesAnAgentOnceThatAttachesAndAsksForCertificates) {
  const HeldIdentity agent = Joined("web-1");
  Joined("web-2");
  const RegistrationEntry web = AddEntry("web", "/web", {"web-1"});
  std::atomic<int> judged = 0;
  issuances.before_judged = [&](const PresentedCertificate&) { ++judged; };
  Attached(agent);
  const HeldIdentity workload;
  EXPECT_EQ(judged, 1);
  ASSERT_THAT(Sign(agent, {Wants(workload, web)}), IsOk());
  EXPECT_EQ(judged, 1);
  // Whatever is taken back from anybody: that verdict is outdated.
  ASSERT_THAT(store.BanNode("web-2", "stolen from the rack", Audit()), IsOk());
  ASSERT_THAT(service->RevokedChanged(), IsOk());
  ASSERT_THAT(Sign(agent, {Wants(workload, web)}), IsOk());
  EXPECT_EQ(judged, 2);
  clock.Advance(AgentShares::kVerdictLasts);
  ASSERT_THAT(Sign(agent, {Wants(workload, web)}), IsOk());
  EXPECT_EQ(judged, 3);
}

TEST_F(AgentAttachTest, TellsAgainByItselfWhatCouldNotBeTold) {
  const HeldIdentity agent = Joined("web-1");
  const auto stream = Attached(agent);
  ASSERT_THAT(store.BanNode("web-1", "stolen from the rack", Audit()), IsOk());
  std::atomic<int> failures = 0;
  issuances.before_list = [&] {
    return failures.fetch_add(1) == 0 ? absl::UnavailableError("disk full") : absl::OkStatus();
  };
  // The operator's call; nobody makes another one. Its thread may have tried again before this returns.
  const absl::Status told = service->RevokedChanged();
  EXPECT_TRUE(told.ok() || absl::IsUnavailable(told)) << told;
  EXPECT_THAT(stream->Ended(), StatusIs(Code::kPermissionDenied, HasSubstr("banned")));
  EXPECT_FALSE(Record("agent:web-1").has_value());
  EXPECT_GE(failures, 2);
}

TEST_F(AgentAttachTest, RefusesABannedNodeWithWords) {
  const HeldIdentity agent = Joined("web-1");
  ASSERT_THAT(store.BanNode("web-1", "stolen from the rack", Audit()), IsOk());
  AgentStream stream(address, Tls(&agent).get());
  stream.Hello();
  EXPECT_THAT(stream.Ended(), StatusIs(Code::kPermissionDenied, AllOf(HasSubstr("banned"), Not(HasSubstr("stolen")))));
}

}  // namespace
}  // namespace meshca
