// What every store answers for nodes: which machine has a node's name, what its agent gets, and what a ban takes.
#include <gmock/gmock.h>

#include <functional>
#include <future>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/identity/node_name.h"
#include "test/storage/renewal_conformance.h"

namespace meshca::storage {
namespace {

using absl::StatusCode;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr char kDb[] = "spiffe://cluster.local/ns/default/sa/db";

SpiffeId AgentOf(absl::string_view node) { return *AgentId(*TrustDomain::Parse("cluster.local"), node); }

JoinToken TokenOf(absl::string_view node, absl::string_view id, bool replace = false) {
  JoinToken token = TestToken(id);
  token.spiffe_id = AgentOf(node);
  token.node = std::string(node);
  token.replace = replace;
  return token;
}

RegistrationEntry EntryFor(absl::string_view id, std::vector<std::string> nodes) {
  RegistrationEntry entry = TestEntry(id);
  entry.nodes = std::move(nodes);
  return entry;
}

}  // namespace

void NodeConformance::MakeToken(absl::string_view node, absl::string_view id, bool replace) {
  ASSERT_THAT(store().CreateToken(TokenOf(node, id, replace), TestAudit()), IsOk());
}

IssuanceRecord NodeConformance::JoinRecord(absl::string_view node, absl::string_view token) {
  IssuanceRecord record = maker_.Make(AgentOf(node).uri());
  record.method = AuthMethod::kJoinToken;
  record.token_id = std::string(token);
  record.origin = {OriginKind::kJoinToken, record.token_id};
  record.node = std::string(node);
  return record;
}

IssuanceRecord NodeConformance::Join(absl::string_view node, absl::string_view token, bool replace) {
  MakeToken(node, token, replace);
  const IssuanceRecord record = JoinRecord(node, token);
  EXPECT_THAT(AppendAndWait(store(), record), IsOk());
  return record;
}

IssuanceRecord NodeConformance::ForWorkload(const IssuanceRecord& agent, absl::string_view entry,
                                            absl::string_view id) {
  IssuanceRecord record = maker_.Make(id);
  record.method = AuthMethod::kAgent;
  record.caller = absl::StrCat("agent of node ", NodeOfAgent(agent.spiffe_id));
  record.node = std::string(NodeOfAgent(agent.spiffe_id));
  record.origin = {OriginKind::kEntry, std::string(entry)};
  record.presented = Shown(agent);
  return record;
}

absl::Status NodeConformance::AskForWorkload(const IssuanceRecord& agent) {
  return AppendAndWait(store(), ForWorkload(agent));
}

namespace {

TEST_P(NodeConformance, AMachineHasTheNameFromItsFirstCertificateOn) {
  EXPECT_THAT(store().FindNode("web-1"), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(*store().ListNodes(), IsEmpty());
  const IssuanceRecord first = Join("web-1", "t1");
  Join("db-1", "t2");
  IssuanceRecord latest = first;
  for (int i = 0; i < 2; ++i) {
    IssuanceRecord next = RenewalOf(latest, maker_);
    next.not_after += absl::Hours(i + 1);
    ASSERT_THAT(AppendJudged(next), IsOk());
    latest = next;
  }
  harness_->Reopen();
  const auto node = store().FindNode("web-1");
  ASSERT_THAT(node, IsOk());
  EXPECT_EQ(node->node, "web-1");
  EXPECT_EQ(node->joined_at, first.issued_at);
  EXPECT_EQ(node->token_id, "t1");
  EXPECT_EQ(node->line_serial, first.serial.ToHex());
  EXPECT_EQ(node->certificate_serial, latest.serial.ToHex());
  EXPECT_EQ(node->certificate_expires, latest.not_after);
  EXPECT_EQ(node->key_sha256, latest.key_sha256);
  EXPECT_FALSE(node->banned());
  EXPECT_EQ(node->banned_by + node->ban_reason, "");
  const auto found = store().Find(latest.serial);
  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(found->node, "web-1") << "a renewal has the node of the first";
  EXPECT_EQ(found->line_serial, first.serial.ToHex());
  const auto nodes = store().ListNodes();
  ASSERT_THAT(nodes, IsOk());
  ASSERT_THAT(*nodes, SizeIs(2));
  EXPECT_EQ(nodes->front().node, "db-1");
  EXPECT_EQ(nodes->back(), *node);
  EXPECT_THAT(store().Check(), IsOk());
}

TEST_P(NodeConformance, NobodyGetsTheIdentityOfAnAgentInAnotherWay) {
  const IssuanceRecord agent = Join("web-1", "t1");
  ASSERT_THAT(store().CreateToken(TestToken("workload"), TestAudit()), IsOk());
  ASSERT_THAT(store().CreateEntry(EntryFor("e1", {"*"}), TestAudit()), IsOk());
  const std::string id = AgentOf("web-2").uri();
  struct Case {
    const char* name;
    std::function<void(IssuanceRecord&)> change;
  };
  const Case cases[] = {
      {"Jwt", [](IssuanceRecord& record) { record.method = AuthMethod::kJwt; }},
      {"UnixPeer", [](IssuanceRecord& record) { record.method = AuthMethod::kUnixPeer; }},
      {"Operator", [](IssuanceRecord& record) { record.method = AuthMethod::kServerUser; }},
      {"NoToken", [](IssuanceRecord& record) { record.token_id = ""; }},
      {"AWorkloadsToken", [](IssuanceRecord& record) { record.token_id = "workload"; }},
      {"ACertificateNotShown", [](IssuanceRecord& record) { record.method = AuthMethod::kClientCertificate; }},
      {"AnAgentForAnother",
       [&](IssuanceRecord& record) {
         record = ForWorkload(agent);
         record.spiffe_id = AgentOf("web-2");
       }},
      {"NoNodesName",
       [](IssuanceRecord& record) {
         record.spiffe_id = *SpiffeId::Parse("spiffe://cluster.local/meshca/agent/web-1/x");
       }},
      {"NoNodesNameEither",
       [](IssuanceRecord& record) { record.spiffe_id = *SpiffeId::Parse("spiffe://cluster.local/meshca/agent/WEB"); }},
  };
  const uint64_t before = *store().CountIssuances();
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    IssuanceRecord record = JoinRecord("web-2", "t1");
    c.change(record);
    const absl::Status refused = AppendAndWait(store(), record);
    EXPECT_THAT(refused, StatusIs(StatusCode::kPermissionDenied));
    EXPECT_THAT(refused, HasReason(kAgentIdNotAllowed));
  }
  // The token of one node is none of another's.
  EXPECT_THAT(AppendAndWait(store(), JoinRecord("web-2", "t1")),
              StatusIs(StatusCode::kUnauthenticated, HasSubstr("another key")));
  EXPECT_EQ(*store().CountIssuances(), before);
  EXPECT_THAT(*store().ListNodes(), SizeIs(1));
}

TEST_P(NodeConformance, ANameThatLivesIsNotASecondMachines) {
  const IssuanceRecord first = Join("web-1", "t1");
  MakeToken("web-1", "t2");
  const absl::Status refused = AppendAndWait(store(), JoinRecord("web-1", "t2"));
  EXPECT_THAT(refused,
              StatusIs(StatusCode::kAlreadyExists,
                       AllOf(HasSubstr("node web-1"), HasSubstr("meshca token create --node web-1 --replace"))));
  EXPECT_THAT(refused, HasReason(kNodeLives));
  EXPECT_EQ(store().FindToken(TokenOf("web-1", "t2").secret_sha256)->used_key_sha256, "") << "nothing was redeemed";
  EXPECT_EQ(store().FindNode("web-1")->line_serial, first.serial.ToHex());

  // Once the certificate has ended the name is free, for the token that was refused before.
  IssuanceRecord later = JoinRecord("web-1", "t2");
  later.issued_at = first.not_after + absl::Seconds(1);
  IssuanceRecord too_early = later;
  too_early.issued_at -= absl::Microseconds(1);
  for (const char* token : {"t3", "t4"}) {
    JoinToken lasting = TokenOf("web-1", token);
    lasting.expires_at = later.issued_at + absl::Hours(1);
    ASSERT_THAT(store().CreateToken(lasting, TestAudit()), IsOk());
  }
  too_early.token_id = "t3";
  later.token_id = "t4";
  EXPECT_THAT(AppendAndWait(store(), too_early), HasReason(kNodeLives)) << "it lives to the end of its last second";
  ASSERT_THAT(AppendAndWait(store(), later), IsOk());
  EXPECT_EQ(store().FindNode("web-1")->line_serial, later.serial.ToHex());
  EXPECT_THAT(Renew(first), HasReason(kNodeReplaced));
}

TEST_P(NodeConformance, ARevokedMachineLeavesTheNameToTheNext) {
  const IssuanceRecord first = Join("web-1", "t1");
  RevocationSelection selection;
  selection.node = "web-1";
  ASSERT_THAT(store().Revoke(selection, RevocationReason::kKeyCompromise, false, TestAudit(),
                             [](const IssuanceRecord&) { return true; }),
              IsOk());
  EXPECT_THAT(Renew(first), HasReason(kCertificateRevoked));
  IssuanceRecord again = JoinRecord("web-1", "t1");
  again.key_sha256 = first.key_sha256;
  EXPECT_THAT(AppendAndWait(store(), again), HasReason(kKeyRevoked)) << "the token it was made by does not undo it";
  const IssuanceRecord second = Join("web-1", "t2");
  EXPECT_THAT(Renew(second), IsOk());
}

TEST_P(NodeConformance, WhoRepeatsWithItsKeyIsTheSameMachine) {
  const IssuanceRecord first = Join("web-1", "t1");
  IssuanceRecord lost_reply = JoinRecord("web-1", "t1");
  lost_reply.key_sha256 = first.key_sha256;
  MakeToken("web-1", "t2");
  IssuanceRecord new_token = JoinRecord("web-1", "t2");
  new_token.key_sha256 = first.key_sha256;
  for (const IssuanceRecord& again : {lost_reply, new_token}) {
    ASSERT_THAT(AppendAndWait(store(), again), IsOk());
    EXPECT_EQ(store().Find(again.serial)->line_serial, first.serial.ToHex());
    const auto node = store().FindNode("web-1");
    EXPECT_EQ(node->line_serial, first.serial.ToHex());
    EXPECT_EQ(node->joined_at, first.issued_at);
    EXPECT_EQ(node->token_id, again.token_id);
    EXPECT_EQ(node->certificate_serial, again.serial.ToHex());
  }
  for (const IssuanceRecord& one : {first, lost_reply, new_token}) {
    EXPECT_THAT(Renew(one), IsOk()) << "all of them are of one line";
  }
  MakeToken("web-1", "t3");
  IssuanceRecord old_key = JoinRecord("web-1", "t3");
  old_key.key_sha256 = first.key_sha256;
  EXPECT_THAT(AppendAndWait(store(), old_key), HasReason(kNodeLives)) << "the machine has another key now";
}

std::vector<AuditEntry> JoiningsByKey(Store& store) {
  std::vector<AuditEntry> deeds;
  EXPECT_THAT(store.ListAudit([&](const AuditEntry& entry) {
    if (entry.action == "node.join-by-key") deeds.push_back(entry);
    return true;
  }),
              IsOk());
  return deeds;
}

// A request for a certificate by the key of the agent's last one, `last`, when that ended a minute ago.
IssuanceRecord ByKeyOf(const IssuanceRecord& last, IssuanceRecord record) {
  record.method = AuthMethod::kNodeKey;
  record.token_id = "";
  record.caller = "agent of node web-1";
  record.parent_serial = last.serial.ToHex();
  record.issued_at = last.not_after + absl::Minutes(1);
  record.not_after = record.issued_at + absl::Hours(1);
  record.node_key = ProvenNodeKey{last.key_sha256, absl::Hours(1)};
  return record;
}

TEST_P(NodeConformance, AnAgentWhoseCertificateEndedJoinsByItsKey) {
  const IssuanceRecord first = Join("web-1", "t1");
  IssuanceRecord last = Renewed(first);
  const IssuanceRecord again = ByKeyOf(last, JoinRecord("web-1", ""));
  ASSERT_THAT(AppendAndWait(store(), again), IsOk());
  harness_->Reopen();
  const auto node = store().FindNode("web-1");
  ASSERT_THAT(node, IsOk());
  EXPECT_EQ(node->joined_at, first.issued_at) << "it is the same machine";
  EXPECT_EQ(node->line_serial, first.serial.ToHex());
  EXPECT_EQ(node->certificate_serial, again.serial.ToHex());
  EXPECT_EQ(node->key_sha256, again.key_sha256);
  const auto written = store().Find(again.serial);
  ASSERT_THAT(written, IsOk());
  EXPECT_EQ(written->method, AuthMethod::kNodeKey);
  EXPECT_EQ(written->node, "web-1");
  EXPECT_EQ(written->line_serial, first.serial.ToHex());
  EXPECT_EQ(OriginText(written->origin), "join-token t1");
  EXPECT_THAT(Renew(again), IsOk());
  const std::vector<AuditEntry> deeds = JoiningsByKey(store());
  ASSERT_THAT(deeds, SizeIs(1));
  EXPECT_EQ(deeds.front().target, "node web-1");
  EXPECT_THAT(deeds.front().detail, AllOf(HasSubstr(again.serial.ToHex()), HasSubstr(last.serial.ToHex())));
  EXPECT_THAT(store().Check(), IsOk());
}

TEST_P(NodeConformance, ALostAnswerToAJoiningByKeyIsRepeatedByTheNewKey) {
  const IssuanceRecord first = Join("web-1", "t1");
  const IssuanceRecord lost = ByKeyOf(first, JoinRecord("web-1", ""));
  ASSERT_THAT(AppendAndWait(store(), lost), IsOk());
  IssuanceRecord repeated = ByKeyOf(first, JoinRecord("web-1", ""));
  repeated.key_sha256 = lost.key_sha256;
  EXPECT_THAT(AppendAndWait(store(), repeated), HasReason("NODE_KEY_NOT_NEWEST")) << "the old key counts no more";
  repeated.node_key->sha256 = lost.key_sha256;
  ASSERT_THAT(AppendAndWait(store(), repeated), IsOk());
  EXPECT_THAT(JoiningsByKey(store()), SizeIs(1)) << "the repetition brought nobody anything new";
  EXPECT_EQ(store().FindNode("web-1")->certificate_serial, repeated.serial.ToHex());
}

TEST_P(NodeConformance, NothingElseJoinsByAKey) {
  const IssuanceRecord first = Join("web-1", "t1");
  const IssuanceRecord last = Renewed(first);
  Join("web-2", "t2");
  struct Case {
    const char* name;
    const char* reason;
    std::function<void(IssuanceRecord&)> change;
  };
  const Case cases[] = {
      {"WithAnOlderKey", "NODE_KEY_NOT_NEWEST",
       [&](IssuanceRecord& record) { record.node_key->sha256 = first.key_sha256; }},
      {"WithAnotherNodesKey", "NODE_KEY_NOT_NEWEST",
       [](IssuanceRecord& record) { record.spiffe_id = AgentOf("web-2"); }},
      {"ForANodeThatNeverJoined", "NODE_KEY_NOT_NEWEST",
       [](IssuanceRecord& record) { record.spiffe_id = AgentOf("web-3"); }},
      {"WithoutAProof", kAgentIdNotAllowed, [](IssuanceRecord& record) { record.node_key.reset(); }},
      {"ForAWorkload", kAgentIdNotAllowed, [](IssuanceRecord& record) { record.spiffe_id = *SpiffeId::Parse(kDb); }},
      {"WhileTheCertificateLives", "REJOIN_TOO_EARLY",
       [&](IssuanceRecord& record) { record.issued_at = last.not_after; }},
      {"AfterTheGrace", "REJOIN_TOO_LATE",
       [&](IssuanceRecord& record) { record.issued_at = last.not_after + absl::Hours(1) + absl::Seconds(1); }},
      {"WithoutGrace", "REJOIN_TOO_LATE",
       [](IssuanceRecord& record) { record.node_key->grace = absl::ZeroDuration(); }},
  };
  const uint64_t before = *store().CountIssuances();
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    IssuanceRecord record = ByKeyOf(last, JoinRecord("web-1", ""));
    c.change(record);
    const absl::Status refused = AppendAndWait(store(), record);
    EXPECT_THAT(refused, HasReason(c.reason)) << refused;
    EXPECT_FALSE(refused.ok());
  }
  EXPECT_EQ(*store().CountIssuances(), before);
  EXPECT_EQ(store().FindNode("web-1")->key_sha256, last.key_sha256);
}

TEST_P(NodeConformance, NobodyWhoWasTakenEverythingJoinsByTheKeyOfBefore) {
  const IssuanceRecord banned = Join("web-1", "t1");
  ASSERT_THAT(store().BanNode("web-1", "stolen", TestAudit()), IsOk());
  EXPECT_THAT(AppendAndWait(store(), ByKeyOf(banned, JoinRecord("web-1", ""))), HasReason(kNodeBanned));
  ASSERT_THAT(store().ForgetNode("web-1", TestAudit()), IsOk());
  EXPECT_THAT(AppendAndWait(store(), ByKeyOf(banned, JoinRecord("web-1", ""))), HasReason("NODE_KEY_NOT_NEWEST"));

  const IssuanceRecord replaced = Join("web-1", "t2");
  const IssuanceRecord other_machine = Join("web-1", "t3", /*replace=*/true);
  EXPECT_THAT(AppendAndWait(store(), ByKeyOf(replaced, JoinRecord("web-1", ""))), HasReason("NODE_KEY_NOT_NEWEST"));

  RevocationSelection selection;
  selection.serial = other_machine.serial.ToHex();
  ASSERT_THAT(store().Revoke(selection, RevocationReason::kKeyCompromise, false, TestAudit(),
                             [](const IssuanceRecord&) { return true; }),
              IsOk());
  EXPECT_THAT(AppendAndWait(store(), ByKeyOf(other_machine, JoinRecord("web-1", ""))), HasReason(kCertificateRevoked));
}

TEST_P(NodeConformance, ATokenThatReplacesTakesTheNameFromAMachineThatLives) {
  ASSERT_THAT(store().CreateEntry(EntryFor("e1", {"web-*"}), TestAudit()), IsOk());
  const IssuanceRecord old_agent = Join("web-1", "t1");
  const IssuanceRecord old_workload = ForWorkload(old_agent);
  ASSERT_THAT(AppendAndWait(store(), old_workload), IsOk());
  EXPECT_THAT(Renew(old_workload), IsOk());

  MakeToken("web-1", "t2", /*replace=*/true);
  IssuanceRecord agent = JoinRecord("web-1", "t2");
  agent.issued_at += absl::Seconds(1);
  ASSERT_THAT(AppendAndWait(store(), agent), IsOk());
  EXPECT_EQ(store().FindNode("web-1")->joined_at, agent.issued_at);

  const absl::Status refused = Renew(old_agent);
  EXPECT_THAT(refused, StatusIs(StatusCode::kUnauthenticated, HasSubstr("another machine")));
  EXPECT_THAT(refused, HasReason(kNodeReplaced));
  EXPECT_THAT(AskForWorkload(old_agent), HasReason(kNodeReplaced));
  EXPECT_THAT(Renew(old_workload), HasReason(kNodeReplaced));
  IssuanceRecord repeated = JoinRecord("web-1", "t1");
  repeated.key_sha256 = old_agent.key_sha256;
  EXPECT_THAT(AppendAndWait(store(), repeated), HasReason(kNodeReplaced)) << "it must not take the name back";

  EXPECT_THAT(Renew(agent), IsOk());
  IssuanceRecord workload = ForWorkload(agent);
  workload.issued_at = agent.issued_at;
  workload.parent_serial = old_workload.serial.ToHex();
  ASSERT_THAT(AppendAndWait(store(), workload), IsOk());
  EXPECT_EQ(store().Find(workload.serial)->line_serial, "") << "another machine's certificate is not continued";
}

TEST_P(NodeConformance, AnAgentGetsCertificatesForTheWorkloadsOfItsNode) {
  ASSERT_THAT(store().CreateEntry(EntryFor("e1", {"db-*", "web-*"}), TestAudit()), IsOk());
  const IssuanceRecord agent = Join("web-1", "t1");
  const IssuanceRecord first = ForWorkload(agent);
  ASSERT_THAT(AppendAndWait(store(), first), IsOk());
  const auto written = store().Find(first.serial);
  ASSERT_THAT(written, IsOk());
  EXPECT_EQ(written->method, AuthMethod::kAgent);
  EXPECT_EQ(written->node, "web-1");
  EXPECT_EQ(OriginText(written->origin), "entry e1");
  EXPECT_EQ(written->line_serial, "");
  IssuanceRecord latest = first;
  for (int i = 0; i < 2; ++i) {
    IssuanceRecord next = ForWorkload(agent);
    next.parent_serial = latest.serial.ToHex();
    ASSERT_THAT(AppendAndWait(store(), next), IsOk());
    EXPECT_EQ(store().Find(next.serial)->line_serial, first.serial.ToHex());
    latest = next;
  }
  // By its own certificate a workload renews too, for as long as its node and its entry allow.
  EXPECT_THAT(Renew(latest), IsOk());
  EXPECT_EQ(store().FindNode("web-1")->certificate_serial, agent.serial.ToHex())
      << "a workload's is none of the agent's";
}

TEST_P(NodeConformance, AnAgentsParentCountsOnlyWithTheSameIdAndNode) {
  for (const char* id : {"e1", "e2"}) {
    RegistrationEntry entry = EntryFor(id, {"*"});
    if (std::string(id) == "e2") entry.spiffe_id = *SpiffeId::Parse(kDb);
    ASSERT_THAT(store().CreateEntry(entry, TestAudit()), IsOk());
  }
  const IssuanceRecord web = Join("web-1", "t1");
  const IssuanceRecord other = Join("web-2", "t2");
  const IssuanceRecord of_web = ForWorkload(web);
  ASSERT_THAT(AppendAndWait(store(), of_web), IsOk());
  IssuanceRecord another_node = ForWorkload(other);
  IssuanceRecord another_id = ForWorkload(web, "e2", kDb);
  for (IssuanceRecord* record : {&another_node, &another_id}) {
    record->parent_serial = of_web.serial.ToHex();
    ASSERT_THAT(AppendAndWait(store(), *record), IsOk());
    EXPECT_EQ(store().Find(record->serial)->line_serial, "");
  }
  IssuanceRecord unknown = ForWorkload(web);
  unknown.parent_serial = "00ff";
  EXPECT_THAT(AppendAndWait(store(), unknown), IsOk());

  RevocationSelection selection;
  selection.serial = of_web.serial.ToHex();
  ASSERT_THAT(store().Revoke(selection, RevocationReason::kSuperseded, false, TestAudit(),
                             [](const IssuanceRecord&) { return true; }),
              IsOk());
  IssuanceRecord renewal = ForWorkload(web);
  renewal.parent_serial = of_web.serial.ToHex();
  EXPECT_THAT(AppendAndWait(store(), renewal), HasReason(kCertificateRevoked));
}

TEST_P(NodeConformance, AnAgentGetsNothingElse) {
  RegistrationEntry gives_db = EntryFor("gives-db", {"web-*"});
  gives_db.spiffe_id = *SpiffeId::Parse(kDb);
  RegistrationEntry of_socket = TestEntry("of-socket", "unix:uid:1");
  RegistrationEntry of_others = EntryFor("of-others", {"db-*", "web-10"});
  for (const RegistrationEntry& entry : {EntryFor("e1", {"web-*"}), gives_db, of_socket, of_others}) {
    ASSERT_THAT(store().CreateEntry(entry, TestAudit()), IsOk());
  }
  const IssuanceRecord agent = Join("web-1", "t1");
  const IssuanceRecord workload = ForWorkload(agent);
  ASSERT_THAT(AppendAndWait(store(), workload), IsOk());
  struct Case {
    const char* name;
    const char* reason;
    std::function<void(IssuanceRecord&)> change;
  };
  const Case cases[] = {
      {"ForAnotherNode", "NODE_NOT_ALLOWED", [](IssuanceRecord& record) { record.node = "web-2"; }},
      {"ForNoNode", "NODE_NOT_ALLOWED", [](IssuanceRecord& record) { record.node = ""; }},
      {"ForItself", kAgentIdNotAllowed, [&](IssuanceRecord& record) { record.spiffe_id = agent.spiffe_id; }},
      {"ForTheServer", kAgentIdNotAllowed,
       [](IssuanceRecord& record) { record.spiffe_id = *SpiffeId::Parse("spiffe://cluster.local/meshca/server"); }},
      {"ByNoCertificate", "", [](IssuanceRecord& record) { record.presented.reset(); }},
      {"ByAWorkloadsCertificate", "", [&](IssuanceRecord& record) { record.presented = Shown(workload); }},
      {"ByAForgedCertificate", kCertificateNotRecorded,
       [](IssuanceRecord& record) { record.presented->sha256 = std::string(32, 'x'); }},
      {"ByAForgedCertificateThatMayBeUnrecorded", kCertificateNotRecorded,
       [&](IssuanceRecord& record) {
         record.presented->serial = maker_.Make().serial.ToHex();
         record.presented->may_be_unrecorded = true;
       }},
      {"ByNoEntry", kEntryGone, [](IssuanceRecord& record) { record.origin.reference = "gone"; }},
      {"ByAnyEntry", kEntryGone, [](IssuanceRecord& record) { record.origin.reference = ""; }},
      {"ByAnEntryOfTheSocket", kEntryGone, [](IssuanceRecord& record) { record.origin.reference = "of-socket"; }},
      {"ByAnEntryOfOtherNodes", kEntryGone, [](IssuanceRecord& record) { record.origin.reference = "of-others"; }},
      {"ByAnEntryOfAnotherId", kEntryGone, [](IssuanceRecord& record) { record.origin.reference = "gives-db"; }},
      {"ByAnOperator", kEntryGone,
       [](IssuanceRecord& record) {
         record.origin = {OriginKind::kOperator, "e1"};
       }},
  };
  const uint64_t before = *store().CountIssuances();
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    IssuanceRecord record = ForWorkload(agent);
    c.change(record);
    const absl::Status refused = AppendAndWait(store(), record);
    EXPECT_FALSE(refused.ok());
    EXPECT_THAT(refused, HasReason(c.reason));
    EXPECT_FALSE(refused.message().empty());
  }
  EXPECT_EQ(*store().CountIssuances(), before);
  EXPECT_THAT(AskForWorkload(agent), IsOk()) << "what was refused spoils nothing";
}

TEST_P(NodeConformance, ABatchOfOneAgentIsJudgedOneByOne) {
  ASSERT_THAT(store().CreateEntry(EntryFor("e1", {"web-1"}), TestAudit()), IsOk());
  const IssuanceRecord agent = Join("web-1", "t1");
  const IssuanceRecord other = Join("web-2", "t2");
  constexpr int kRecords = 64;
  std::vector<std::promise<absl::Status>> answers(kRecords);
  for (int i = 0; i < kRecords; ++i) {
    IssuanceRecord record = ForWorkload(i % 4 == 3 ? other : agent);
    if (i % 4 == 2) record.origin.reference = "gone";
    store().Append(std::move(record), [&answers, i](absl::Status status) { answers[i].set_value(std::move(status)); });
  }
  for (int i = 0; i < kRecords; ++i) {
    EXPECT_EQ(answers[i].get_future().get().ok(), i % 4 < 2) << i;
  }
}

TEST_P(NodeConformance, AnEntryForNodesGivesNothingOnTheCasOwnSocket) {
  ASSERT_THAT(store().CreateEntry(EntryFor("e1", {"*"}), TestAudit()), IsOk());
  IssuanceRecord record = maker_.Make(kWeb);
  record.method = AuthMethod::kUnixPeer;
  record.origin = {OriginKind::kEntry, "e1"};
  EXPECT_THAT(AppendAndWait(store(), record), HasReason(kEntryGone));
  // A line of a version that kept no origin is upheld by any entry of its ID that its caller could have had.
  const IssuanceRecord old = IssueOld(AuthMethod::kUnixPeer, "uid 1000");
  EXPECT_THAT(Renew(old), HasReason(kCertificateOriginGone));
  ASSERT_THAT(store().CreateEntry(TestEntry("e2"), TestAudit()), IsOk());
  EXPECT_THAT(Renew(old), IsOk());
}

TEST_P(NodeConformance, AWorkloadsRightEndsWhereItsEntryLeavesItsNode) {
  ASSERT_THAT(store().CreateEntry(EntryFor("e1", {"web-*"}), TestAudit()), IsOk());
  const IssuanceRecord agent = Join("web-1", "t1");
  const IssuanceRecord workload = ForWorkload(agent);
  ASSERT_THAT(AppendAndWait(store(), workload), IsOk());
  ASSERT_THAT(store().PutEntry(EntryFor("e1", {"db-*"}), TestAudit()), IsOk());
  EXPECT_THAT(AskForWorkload(agent), HasReason(kEntryGone));
  EXPECT_THAT(Renew(workload), HasReason(kCertificateOriginGone));
  ASSERT_THAT(store().PutEntry(EntryFor("e1", {"web-1"}), TestAudit()), IsOk());
  EXPECT_THAT(AskForWorkload(agent), IsOk());
  EXPECT_THAT(Renew(workload), IsOk());
  ASSERT_THAT(store().DeleteEntry("e1", TestAudit()), IsOk());
  EXPECT_THAT(AskForWorkload(agent), HasReason(kEntryGone));
}

TEST_P(NodeConformance, ABanTakesEverythingAndLastsUntilTheNodeIsForgotten) {
  ASSERT_THAT(store().CreateEntry(EntryFor("e1", {"*"}), TestAudit()), IsOk());
  const IssuanceRecord agent = Join("web-1", "t1");
  const IssuanceRecord renewed = Renewed(agent);
  const IssuanceRecord workload = ForWorkload(renewed);
  ASSERT_THAT(AppendAndWait(store(), workload), IsOk());
  const IssuanceRecord other = Join("web-2", "t2");
  MakeToken("web-1", "spare", /*replace=*/true);

  EXPECT_THAT(store().BanNode("web-9", "", TestAudit("node.ban")), StatusIs(StatusCode::kNotFound));
  const auto ban = store().BanNode("web-1", "stolen", TestAudit("node.ban"));
  ASSERT_THAT(ban, IsOk());
  EXPECT_EQ(ban->certificates, 3u);
  EXPECT_TRUE(ban->node.banned());
  harness_->Reopen();
  const auto node = store().FindNode("web-1");
  ASSERT_THAT(node, IsOk());
  EXPECT_EQ(node->banned_at, kTestNow);
  EXPECT_EQ(node->banned_by, "uid 0 pid 1");
  EXPECT_EQ(node->ban_reason, "stolen");
  EXPECT_THAT(AuditOf("node.ban"), SizeIs(1));
  EXPECT_THAT(AuditOf("certificate.revoke"), SizeIs(1));
  for (const IssuanceRecord& taken : {agent, renewed, workload}) {
    EXPECT_EQ(store().Find(taken.serial)->revoked_at, kTestNow);
    EXPECT_THAT(Renew(taken), StatusIs(StatusCode::kUnauthenticated));
  }
  EXPECT_FALSE(AskForWorkload(renewed).ok());
  EXPECT_THAT(store().FindToken(TokenOf("web-1", "spare").secret_sha256), StatusIs(StatusCode::kNotFound));
  const absl::Status no_token = store().CreateToken(TokenOf("web-1", "t3"), TestAudit());
  EXPECT_THAT(no_token, StatusIs(StatusCode::kFailedPrecondition, HasSubstr("meshca node forget web-1")));
  EXPECT_THAT(no_token, HasReason(kNodeBanned));
  EXPECT_THAT(AskForWorkload(other), IsOk()) << "a ban is one node's";

  AuditEntry later = TestAudit("node.ban");
  later.time += absl::Seconds(1);
  const auto again = store().BanNode("web-1", "really", later);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->certificates, 0u);
  EXPECT_EQ(again->node.ban_reason, "stolen") << "it stays as it was";

  ASSERT_THAT(store().ForgetNode("web-1", TestAudit("node.forget")), IsOk());
  EXPECT_THAT(store().FindNode("web-1"), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(Renew(renewed), StatusIs(StatusCode::kUnauthenticated)) << "what was revoked stays so";
  const IssuanceRecord back = Join("web-1", "t4");
  EXPECT_THAT(AskForWorkload(back), IsOk());
  EXPECT_THAT(store().Check(), IsOk());
}

TEST_P(NodeConformance, ABanAloneRefusesTheAgentAndItsWorkloads) {
  ASSERT_THAT(store().CreateEntry(EntryFor("e1", {"*"}), TestAudit()), IsOk());
  const IssuanceRecord agent = Join("web-1", "t1");
  IssuanceRecord workload = ForWorkload(agent);
  ASSERT_THAT(AppendAndWait(store(), workload), IsOk());
  // Of a time when both have ended, so that nothing is revoked: what refuses them is the ban.
  AuditEntry audit = TestAudit("node.ban");
  audit.time = kTestNow + absl::Hours(1000);
  const auto ban = store().BanNode("web-1", "", audit);
  ASSERT_THAT(ban, IsOk());
  EXPECT_EQ(ban->certificates, 0u);
  const absl::Status refused = Renew(agent);
  EXPECT_THAT(refused, StatusIs(StatusCode::kPermissionDenied, HasSubstr("node web-1: banned since")));
  EXPECT_THAT(refused, HasReason(kNodeBanned));
  EXPECT_THAT(AskForWorkload(agent), HasReason(kNodeBanned));
  EXPECT_THAT(Renew(workload), HasReason(kNodeBanned));
}

TEST_P(NodeConformance, OnlyANodeThatIsGoneOrBannedIsForgotten) {
  EXPECT_THAT(store().ForgetNode("web-1", TestAudit()), StatusIs(StatusCode::kNotFound));
  const IssuanceRecord agent = Join("web-1", "t1");
  MakeToken("web-1", "t2");
  const absl::Status refused = store().ForgetNode("web-1", TestAudit("node.forget"));
  EXPECT_THAT(refused, StatusIs(StatusCode::kFailedPrecondition, HasSubstr("meshca node ban web-1")));
  EXPECT_THAT(AuditOf("node.forget"), IsEmpty());
  AuditEntry later = TestAudit("node.forget");
  later.time = agent.not_after + absl::Seconds(1);
  ASSERT_THAT(store().ForgetNode("web-1", later), IsOk());
  EXPECT_THAT(AuditOf("node.forget"), SizeIs(1));
  EXPECT_THAT(Renew(agent), HasReason(kNodeUnknown));
  EXPECT_THAT(AskForWorkload(agent), HasReason(kNodeUnknown));
  IssuanceRecord repeated = JoinRecord("web-1", "t1");
  repeated.key_sha256 = agent.key_sha256;
  EXPECT_THAT(AppendAndWait(store(), repeated), HasReason(kTokenUnknown)) << "it comes back by a new token alone";
  EXPECT_THAT(AppendAndWait(store(), JoinRecord("web-1", "t2")), HasReason(kTokenUnknown));
}

TEST_P(NodeConformance, WhatANodeHoldsIsRevokedThroughAllRenewals) {
  ASSERT_THAT(store().CreateEntry(EntryFor("e1", {"*"}), TestAudit()), IsOk());
  const IssuanceRecord agent = Renewed(Renewed(Join("web-1", "t1")));
  const IssuanceRecord workload = ForWorkload(agent);
  ASSERT_THAT(AppendAndWait(store(), workload), IsOk());
  const IssuanceRecord own = Renewed(workload);
  EXPECT_EQ(store().Find(own.serial)->node, "web-1");
  Join("web-2", "t2");
  RevocationSelection selection;
  selection.node = "web-1";
  const auto revoked = store().Revoke(selection, RevocationReason::kKeyCompromise, false, TestAudit(),
                                      [](const IssuanceRecord&) { return true; });
  ASSERT_THAT(revoked, IsOk());
  EXPECT_EQ(revoked->certificates, 5u);
  EXPECT_EQ(revoked->lines, 2u);
  EXPECT_THAT(AskForWorkload(agent), HasReason(kCertificateRevoked));
}

// ---- what entries and tokens say of nodes ----

TEST_P(NodeConformance, EntriesKeepNodesHintAndJwtTtl) {
  RegistrationEntry entry = EntryFor("e1", {"db-?", "web-*"});
  entry.hint = "public";
  entry.jwt_ttl = absl::Seconds(90);
  ASSERT_THAT(store().CreateEntry(entry, TestAudit()), IsOk());
  ASSERT_THAT(store().CreateEntry(TestEntry("e2"), TestAudit()), IsOk()) << "the same rights elsewhere";
  RegistrationEntry twice = entry;
  twice.id = "e3";
  EXPECT_THAT(store().CreateEntry(twice, TestAudit()), StatusIs(StatusCode::kAlreadyExists, HasSubstr("nodes")));
  twice.nodes = {"web-*"};
  EXPECT_THAT(store().CreateEntry(twice, TestAudit()), IsOk());
  harness_->Reopen();
  const auto entries = store().ListEntries();
  ASSERT_THAT(entries, IsOk());
  ASSERT_THAT(*entries, SizeIs(3));
  EXPECT_THAT((*entries)[0].nodes, testing::ElementsAre("db-?", "web-*"));
  EXPECT_EQ((*entries)[0].hint, "public");
  EXPECT_EQ((*entries)[0].jwt_ttl, absl::Seconds(90));
  EXPECT_FALSE((*entries)[1].ServedByAgents());
  EXPECT_EQ((*entries)[1].hint, "");
  EXPECT_EQ((*entries)[1].jwt_ttl, absl::ZeroDuration());
  RegistrationEntry moved = entry;
  moved.nodes = {"db-1"};
  ASSERT_THAT(store().PutEntry(moved, TestAudit()), IsOk());
  EXPECT_THAT(store().ListEntries()->front().nodes, testing::ElementsAre("db-1"));
  EXPECT_THAT(store().Check(), IsOk());
}

TEST_P(NodeConformance, AnApplyComparesWhatEntriesSayOfNodes) {
  const auto apply = [&](std::vector<RegistrationEntry> entries) {
    std::vector<GivenEntry> given;
    for (RegistrationEntry& entry : entries) given.push_back({std::move(entry), false});
    const auto number = store().BeginApply();
    EXPECT_THAT(number, IsOk());
    size_t in_part = 0;
    EXPECT_THAT(store().StageEntries(*number, given, &in_part), IsOk());
    uint64_t at = 0;
    const auto visit = [](EntryVerdict, const std::string&) {};
    const auto progress = [](uint64_t, uint64_t) {};
    const auto counts = store().FinishApply(*number, {}, TestAudit(), {visit, progress}, &at);
    EXPECT_THAT(counts, IsOk());
    return counts.value_or(EntryApplyCounts());
  };
  RegistrationEntry nodes = EntryFor("e1", {"web-*"});
  nodes.hint = "a";
  EXPECT_EQ(apply({nodes, TestEntry("e2")}).created, 2u) << "the same rights, once for nodes";
  EXPECT_EQ(apply({nodes, TestEntry("e2")}).unchanged, 2u);
  const std::function<void(RegistrationEntry&)> changes[] = {
      [](RegistrationEntry& entry) { entry.nodes = {"db-*"}; },
      [](RegistrationEntry& entry) { entry.hint = "b"; },
      [](RegistrationEntry& entry) { entry.jwt_ttl = absl::Minutes(1); },
  };
  for (const auto& change : changes) {
    change(nodes);
    EXPECT_EQ(apply({nodes}).replaced, 1u);
  }
  const auto entries = store().ListEntries();
  ASSERT_THAT(entries, IsOk());
  EXPECT_THAT(entries->front().nodes, testing::ElementsAre("db-*"));
  EXPECT_EQ(entries->front().hint, "b");
  EXPECT_EQ(entries->front().jwt_ttl, absl::Minutes(1));
}

TEST_P(NodeConformance, TokensKeepWhetherTheyReplace) {
  MakeToken("web-1", "t1", /*replace=*/true);
  MakeToken("web-1", "t2");
  harness_->Reopen();
  EXPECT_TRUE(store().FindToken(TokenOf("web-1", "t1").secret_sha256)->replace);
  EXPECT_FALSE(store().FindToken(TokenOf("web-1", "t2").secret_sha256)->replace);
  const IssuanceRecord agent = JoinRecord("web-1", "t1");
  ASSERT_THAT(AppendAndWait(store(), agent), IsOk());
  const auto used = store().FindToken(TokenOf("web-1", "t1").secret_sha256);
  ASSERT_THAT(used, IsOk());
  EXPECT_TRUE(used->replace);
  EXPECT_EQ(used->used_key_sha256, agent.key_sha256);
}

}  // namespace
}  // namespace meshca::storage
