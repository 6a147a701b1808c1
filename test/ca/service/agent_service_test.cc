// What an agent is given and what it is refused: Join, Sign and MintJwt over the real edge.
#include "ca/service/agent_service.h"

#include "absl/algorithm/container.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "test/ca/service/agent_fixture.h"

namespace meshca {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

using Code = absl::StatusCode;

class AgentServiceTest : public AgentTest {};

TEST_F(AgentServiceTest, JoinsTheNodeOfTheTokenWhateverTheRequestNames) {
  HeldIdentity identity;
  const std::string csr =
      MakeCsr(*identity.key, {{"spiffe://other.test/root"}, {"ca.example"}, {"someone@example"}, false});
  const auto joined = Join(NodeToken("web-1"), csr);
  ASSERT_THAT(joined, IsOk());
  EXPECT_EQ(joined->node(), "web-1");
  EXPECT_EQ(joined->trust_domain(), "cluster.local");
  ASSERT_EQ(joined->chain_size(), 2);
  const auto leaf = Certificate::Parse(Der(joined->chain(0)));
  ASSERT_THAT(leaf, IsOk());
  EXPECT_EQ(leaf->spiffe_id()->uri(), "spiffe://cluster.local/meshca/agent/web-1");
  EXPECT_THAT(leaf->fields().dns_names, IsEmpty());
  EXPECT_EQ(leaf->public_key(), identity.key->public_key());
  ASSERT_EQ(joined->trust().domains_size(), 1);
  ASSERT_EQ(joined->trust().domains(0).x509_authorities_size(), 1);
  const auto root = Certificate::Parse(Der(joined->trust().domains(0).x509_authorities(0)));
  EXPECT_THAT(Certificate::Parse(Der(joined->chain(1)))->VerifiesUnder(*root), IsOk());
  EXPECT_EQ(joined->trust().version(), manager->Current()->bundle->sequence_number);
  const auto record = store.Find(*leaf->serial());
  ASSERT_THAT(record, IsOk());
  EXPECT_EQ(record->node, "web-1");
  EXPECT_EQ(record->instance, "agent:web-1");
  EXPECT_EQ(service->Stats().joined, 1u);
}

TEST_F(AgentServiceTest, JoinsTheSameKeyAgainByTheSameTokenAndNoOther) {
  const std::string token = NodeToken("web-1");
  const HeldIdentity first;
  EXPECT_THAT(Join(token, first.csr()), IsOk());
  EXPECT_THAT(Join(token, first.csr()), IsOk());
  EXPECT_THAT(Join(token, HeldIdentity().csr()), StatusIs(Code::kUnauthenticated, HasSubstr("token")));
}

TEST_F(AgentServiceTest, RefusesASecondMachineUnlessTheTokenReplacesTheFirst) {
  const HeldIdentity first = Joined("web-1");
  EXPECT_THAT(Join(NodeToken("web-1"), HeldIdentity().csr()), StatusIs(Code::kAlreadyExists, HasSubstr("--replace")));
  Joined("web-1", /*replace=*/true);
  // The first machine's certificate is the name's no more.
  EXPECT_THAT(Sign(first, {Wants(HeldIdentity(), AddEntry("web", "/web", {"web-1"}))}),
              StatusIs(Code::kUnauthenticated, HasSubstr("another machine")));
}

TEST_F(AgentServiceTest, JoinsNobodyWithoutANodesToken) {
  EXPECT_THAT(Join(Token(*SpiffeId::FromParts(domain, "/web")), HeldIdentity().csr()),
              StatusIs(Code::kPermissionDenied, HasSubstr("meshca token create --node")));
  agent_v1::JoinRequest request;
  request.set_csr(HeldIdentity().csr());
  EXPECT_THAT(Call<agent_v1::JoinResponse>("Join", request, nullptr),
              StatusIs(Code::kUnauthenticated, HasSubstr("meshca token create --node")));
  EXPECT_THAT(Join("opaque", HeldIdentity().csr()), StatusIs(Code::kUnauthenticated));
  EXPECT_THAT(Join(NodeToken("web-1"), ""), StatusIs(Code::kInvalidArgument, HasSubstr("join: csr is empty")));
  EXPECT_THAT(Join(NodeToken("web-2"), "no csr"), StatusIs(Code::kInvalidArgument));
  const HeldIdentity agent = Joined("web-3");
  EXPECT_THAT(
      Call<agent_v1::JoinResponse>("Join", request, &agent, {{"authorization", "Bearer " + NodeToken("web-4")}}),
      StatusIs(Code::kUnauthenticated, HasSubstr("Sign")));
  EXPECT_EQ(service->Stats().joins_refused, 6u);
}

TEST_F(AgentServiceTest, SaysWhatAnAgentNeedsToComeBack) {
  const std::string token = NodeToken("web-1");
  ASSERT_THAT(Join(token, HeldIdentity().csr()), IsOk());
  EXPECT_THAT(Join(token, HeldIdentity().csr()),
              StatusIs(Code::kUnauthenticated, HasSubstr("meshca token create --node web-1")));
  EXPECT_THAT(Join(NodeToken("web-2"), std::string(64 * 1024 + 1, 'x')),
              StatusIs(Code::kInvalidArgument, HasSubstr("join: csr has 65537 bytes; at most 65536 are read")));
  const std::string late = NodeToken("web-2");
  const HeldIdentity agent = Joined("web-3");
  clock.Advance(absl::Hours(25));
  EXPECT_THAT(Join(late, HeldIdentity().csr()),
              StatusIs(Code::kUnauthenticated, HasSubstr("meshca token create --node web-2")));
  EXPECT_THAT(Sign(agent, {Wants(HeldIdentity(), AddEntry("web", "/web", {"web-3"}))}),
              StatusIs(Code::kUnauthenticated, HasSubstr("meshca token create --node web-3")));
}

// --- Join, by the key of a certificate that has ended ---

TEST_F(AgentServiceTest, JoinsAnAgentWhoseCertificateEndedByItsKeyAndNoOther) {
  const HeldIdentity agent = Joined("web-1");
  HeldIdentity next;
  EXPECT_THAT(JoinByKey("web-1", *agent.key, next.csr()), StatusIs(Code::kUnavailable, HasSubstr("lives until")));
  clock.Advance(absl::Hours(25));
  EXPECT_THAT(JoinByKey("web-1", *HeldIdentity().key, next.csr()),
              StatusIs(Code::kUnauthenticated, HasSubstr("meshca token create --node web-1")));
  EXPECT_THAT(JoinByKey("web-2", *agent.key, next.csr()), StatusIs(Code::kUnauthenticated));
  EXPECT_THAT(JoinByKey("web-1", *agent.key, ""), StatusIs(Code::kInvalidArgument, HasSubstr("csr is empty")));
  const auto joined = JoinByKey("web-1", *agent.key, next.csr());
  ASSERT_THAT(joined, IsOk());
  EXPECT_EQ(joined->node(), "web-1");
  EXPECT_EQ(joined->trust().domains_size(), 1);
  const auto leaf = Certificate::Parse(Der(joined->chain(0)));
  ASSERT_THAT(leaf, IsOk());
  EXPECT_EQ(leaf->spiffe_id()->uri(), "spiffe://cluster.local/meshca/agent/web-1");
  EXPECT_EQ(leaf->public_key(), next.key->public_key());
  const auto record = store.Find(*leaf->serial());
  ASSERT_THAT(record, IsOk());
  EXPECT_EQ(record->method, AuthMethod::kNodeKey);
  EXPECT_EQ(record->instance, "agent:web-1");
  EXPECT_THAT(JoinByKey("web-1", *agent.key, HeldIdentity().csr()), StatusIs(Code::kUnauthenticated))
      << "the key that was replaced";
  EXPECT_EQ(service->Stats().joined_by_key, 1u);
  EXPECT_EQ(service->Stats().joins_by_key_refused, 5u);
  EXPECT_EQ(service->Stats().joined, 2u);
}

TEST_F(AgentServiceTest, JoinsByAKeyNobodyTooLateAndNoNodeThatIsBanned) {
  const HeldIdentity late = Joined("web-1");
  const HeldIdentity banned = Joined("web-2");
  ASSERT_THAT(store.BanNode("web-2", "stolen", Audit()), IsOk());
  clock.Advance(absl::Hours(25));
  EXPECT_THAT(JoinByKey("web-2", *banned.key, HeldIdentity().csr()),
              StatusIs(Code::kPermissionDenied, HasSubstr("banned")));
  clock.Advance(absl::Hours(2));
  EXPECT_THAT(JoinByKey("web-1", *late.key, HeldIdentity().csr()),
              StatusIs(Code::kUnauthenticated, HasSubstr("agents.rejoin_grace (2h)")));
}

// --- Sign ---

TEST_F(AgentServiceTest, AnswersEachRequestAloneAndInItsPlace) {
  const HeldIdentity agent = Joined("web-1");
  const RegistrationEntry web = AddEntry("web", "/web", {"web-*"});
  const RegistrationEntry db = AddEntry("db", "/db", {"db-1"});
  RegistrationEntry gone = web;
  gone.id = "gone";
  RegistrationEntry other_id = web;
  other_id.spiffe_id = db.spiffe_id;
  RegistrationEntry reserved = web;
  reserved.spiffe_id = *AgentId(domain, "db-1");
  const HeldIdentity workload;
  agent_v1::CertificateRequest no_csr = Wants(workload, web);
  no_csr.clear_csr();
  const auto signed_ones =
      Sign(agent, {Wants(workload, gone), Wants(workload, web), Wants(workload, db), Wants(workload, other_id),
                   Wants(workload, reserved), no_csr, Wants(HeldIdentity(), web)});
  ASSERT_THAT(signed_ones, IsOk());
  std::vector<std::string> answers;
  for (const agent_v1::CertificateResult& result : signed_ones->results()) {
    EXPECT_EQ(result.chain_size() > 0, result.code() == 0);
    answers.push_back(result.code() == 0 ? "signed" : result.reason());
  }
  EXPECT_THAT(answers, ElementsAre("ENTRY_GONE", "signed", "SPIFFE_ID_NOT_ALLOWED", "SPIFFE_ID_NOT_ALLOWED",
                                   "SPIFFE_ID_NOT_ALLOWED", "CSR_MISSING", "signed"));
  EXPECT_EQ(signed_ones->results(2).code(), static_cast<int>(Code::kPermissionDenied));
  for (const int refused : {0, 2}) {
    EXPECT_THAT(signed_ones->results(refused).message(),
                AllOf(HasSubstr("to node web-1"), HasSubstr("--node web-1 --selector")));
  }
  const auto leaf = Certificate::Parse(Der(signed_ones->results(1).chain(0)));
  EXPECT_EQ(leaf->spiffe_id()->uri(), "spiffe://cluster.local/web");
  const auto record = store.Find(*leaf->serial());
  ASSERT_THAT(record, IsOk());
  EXPECT_EQ(record->method, AuthMethod::kAgent);
  EXPECT_EQ(record->node, "web-1");
  EXPECT_EQ(record->instance, "agent:web-1");
  EXPECT_EQ(record->origin, (Origin{OriginKind::kEntry, "web"}));
  EXPECT_EQ(record->authority_id, signed_ones->results(1).authority_id());
  EXPECT_EQ(service->Stats().certificates, 2u);
  EXPECT_EQ(service->Stats().certificates_refused, 5u);
}

TEST_F(AgentServiceTest, GivesTheNamesOfTheEntryAndNoneOfTheRequests) {
  const HeldIdentity agent = Joined("web-1");
  RegistrationEntry web = AddEntry("web", "/web", {"web-1"});
  web.dns_names = {"web.example", "*"};
  web.ttl = absl::Hours(1);
  ASSERT_THAT(store.PutEntry(web, Audit()), IsOk());
  TellEntries();
  const HeldIdentity workload;
  agent_v1::CertificateRequest request = Wants(workload, web);
  request.set_csr(MakeCsr(*workload.key, {{"spiffe://cluster.local/db"}, {"db.example"}, {}, false}));
  const auto response = Sign(agent, {request});
  ASSERT_THAT(response, IsOk());
  ASSERT_EQ(response->results(0).code(), 0) << response->results(0).message();
  const auto leaf = Certificate::Parse(Der(response->results(0).chain(0)));
  EXPECT_EQ(leaf->spiffe_id()->uri(), "spiffe://cluster.local/web");
  EXPECT_THAT(leaf->fields().dns_names, ElementsAre("web.example"));
  EXPECT_LE(leaf->validity().not_after, clock.Now() + absl::Hours(1));
}

TEST_F(AgentServiceTest, RecordsNoParentThatCannotBeASerialNumber) {
  const HeldIdentity agent = Joined("web-1");
  const RegistrationEntry web = AddEntry("web", "/web", {"web-1"});
  const HeldIdentity workload;
  for (const std::string& parent : {std::string(1'000'000, 'f'), std::string(42, 'f'), std::string("0A"),
                                    std::string("abc"), std::string("\x1b[31m"), std::string(2, '\0')}) {
    const auto response = Sign(agent, {Wants(workload, web, parent)});
    ASSERT_THAT(response, IsOk());
    EXPECT_EQ(response->results(0).reason(), "PARENT_SERIAL_INVALID") << response->results(0).message();
    EXPECT_THAT(response->results(0).message(), Not(HasSubstr("\x1b")));
  }
  EXPECT_EQ(service->Stats().certificates, 0u);
}

TEST_F(AgentServiceTest, TellsNoControlCharacterOfAnEntryThatIsUnknown) {
  const HeldIdentity agent = Joined("web-1");
  RegistrationEntry unknown = AddEntry("web", "/web", {"web-1"});
  unknown.id = "\x1b[31mgone";
  const auto response = Sign(agent, {Wants(HeldIdentity(), unknown)});
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(response->results(0).reason(), "ENTRY_GONE");
  EXPECT_THAT(response->results(0).message(), Not(HasSubstr("\x1b")));
}

TEST_F(AgentServiceTest, RenewsAWorkloadsCertificateInItsLine) {
  const HeldIdentity agent = Joined("web-1");
  const RegistrationEntry web = AddEntry("web", "/web", {"web-1"});
  const HeldIdentity first = Signed(agent, web);
  HeldIdentity second;
  const auto response = Sign(agent, {Wants(second, web, first.serial())});
  ASSERT_THAT(response, IsOk());
  ASSERT_EQ(response->results(0).code(), 0) << response->results(0).message();
  const auto record = store.Find(*Certificate::Parse(Der(response->results(0).chain(0)))->serial());
  ASSERT_THAT(record, IsOk());
  EXPECT_EQ(record->parent_serial, first.serial());
  EXPECT_EQ(record->line_serial, first.serial());
}

TEST_F(AgentServiceTest, RenewsTheAgentsOwnCertificateWithoutAnEntry) {
  const HeldIdentity agent = Joined("web-1");
  HeldIdentity next;
  agent_v1::CertificateRequest request;
  request.set_csr(next.csr());
  request.set_spiffe_id("spiffe://cluster.local/meshca/agent/web-1");
  const auto response = Sign(agent, {request});
  ASSERT_THAT(response, IsOk());
  ASSERT_EQ(response->results(0).code(), 0) << response->results(0).message();
  next.chain.assign(response->results(0).chain().begin(), response->results(0).chain().end());
  const auto record = store.Find(*Certificate::Parse(Der(next.chain[0]))->serial());
  ASSERT_THAT(record, IsOk());
  EXPECT_EQ(record->parent_serial, agent.serial());
  EXPECT_EQ(record->instance, "agent:web-1");
  Signed(next, AddEntry("web", "/web", {"web-1"}));
}

TEST_F(AgentServiceTest, SignsSixtyFourTogetherAndNotMore) {
  const HeldIdentity agent = Joined("web-1");
  const RegistrationEntry web = AddEntry("web", "/web", {"web-1"});
  const HeldIdentity workload;
  std::vector<agent_v1::CertificateRequest> requests(64, Wants(workload, web));
  const auto response = Sign(agent, requests);
  ASSERT_THAT(response, IsOk());
  ASSERT_EQ(response->results_size(), 64);
  for (const auto& result : response->results()) EXPECT_EQ(result.code(), 0) << result.message();
  // One transaction, and not as many as the writer happened to find at a time.
  const uint64_t batches = store.Health().batches;
  requests.back().set_entry_id("gone");
  ASSERT_THAT(Sign(agent, requests), IsOk());
  EXPECT_EQ(service->Stats().certificates, 64u + 63u);
  EXPECT_EQ(store.Health().batches, batches + 1);
  requests.push_back(requests.front());
  EXPECT_THAT(Sign(agent, requests), StatusIs(Code::kInvalidArgument, HasSubstr("65 requests")));
  EXPECT_THAT(Sign(agent, {}), StatusIs(Code::kInvalidArgument, HasSubstr("0 requests")));
}

TEST_F(AgentServiceTest, AnswersARequestThatCouldNotBeRecorded) {
  const HeldIdentity agent = Joined("web-1");
  const RegistrationEntry web = AddEntry("web", "/web", {"web-1"});
  store.FailWrites(absl::UnavailableError("disk full"));
  const auto response = Sign(agent, {Wants(HeldIdentity(), web)});
  store.FailWrites(absl::OkStatus());
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(response->results(0).code(), static_cast<int>(Code::kUnavailable));
  EXPECT_EQ(response->results(0).chain_size(), 0);
}

TEST_F(AgentServiceTest, SignsForAgentsAlone) {
  const RegistrationEntry web = AddEntry("web", "/web", {"web-1"});
  const HeldIdentity workload = Signed(Joined("web-1"), web);
  EXPECT_THAT(Sign(workload, {Wants(HeldIdentity(), web)}),
              StatusIs(Code::kPermissionDenied, HasSubstr("is no node's agent")));
  agent_v1::SignRequest request;
  *request.add_requests() = Wants(HeldIdentity(), web);
  EXPECT_THAT(Call<agent_v1::SignResponse>("Sign", request, nullptr),
              StatusIs(Code::kUnauthenticated, HasSubstr("no client certificate")));
  EXPECT_THAT(
      Call<agent_v1::SignResponse>("Sign", request, nullptr, {{"authorization", "Bearer " + NodeToken("web-2")}}),
      StatusIs(Code::kUnauthenticated, HasSubstr("Join alone")));
}

TEST_F(AgentServiceTest, RefusesABannedNodeWithWords) {
  const HeldIdentity agent = Joined("web-1");
  const RegistrationEntry web = AddEntry("web", "/web", {"web-1"});
  Signed(agent, web);
  ASSERT_THAT(store.BanNode("web-1", "stolen from the rack", Audit()), IsOk());
  EXPECT_THAT(Sign(agent, {Wants(HeldIdentity(), web)}),
              StatusIs(Code::kPermissionDenied, AllOf(HasSubstr("banned"), Not(HasSubstr("stolen")))));
}

// Signatures cost more than one look into the inventory.
TEST_F(AgentServiceTest, SignsNothingForABannedNodeNotEvenInVain) {
  const HeldIdentity agent = Joined("web-1");
  const RegistrationEntry web = AddEntry("web", "/web", {"web-1"});
  Signed(agent, web);
  ASSERT_THAT(store.BanNode("web-1", "stolen from the rack", Audit()), IsOk());
  ASSERT_THAT(service->RevokedChanged(), IsOk());
  const uint64_t submitted = pipeline->Stats().submitted;
  EXPECT_THAT(Sign(agent, std::vector<agent_v1::CertificateRequest>(64, Wants(HeldIdentity(), web))),
              StatusIs(Code::kPermissionDenied, HasSubstr("banned")));
  EXPECT_EQ(pipeline->Stats().submitted, submitted);
  EXPECT_EQ(service->Stats().certificates_refused, 64u);
}

TEST_F(AgentServiceTest, SignsTwoCallsOfANodeAtATimeAndSaysSo) {
  const HeldIdentity agent = Joined("web-1");
  const HeldIdentity other = Joined("web-2");
  const RegistrationEntry web = AddEntry("web", "/web", {"web-*"});
  agent_v1::SignRequest request;
  *request.add_requests() = Wants(HeldIdentity(), web);
  agent_v1::SignRequest own;
  own.add_requests()->set_csr(HeldIdentity().csr());
  own.mutable_requests(0)->set_spiffe_id("spiffe://cluster.local/meshca/agent/web-1");
  store.HoldAppends(1000);
  const rpc::SslContextPtr tls = Tls(&agent);
  rpc::H2Client client(address, tls.get());
  const std::string method = "/meshca.agent.v1.Agent/Sign";
  const std::vector<int32_t> admitted = {client.Start(method, request.SerializeAsString()),
                                         client.Start(method, request.SerializeAsString()),
                                         client.Start(method, own.SerializeAsString())};
  const rpc::Reply refused = client.Call(method, request.SerializeAsString());
  EXPECT_EQ(refused.status(), static_cast<int>(Code::kResourceExhausted));
  EXPECT_THAT(refused.Find("grpc-message"), HasSubstr("2 calls of node web-1"));
  for (const int32_t stream : admitted) EXPECT_FALSE(client.reply(stream).closed);
  // Its share alone is used up.
  const rpc::SslContextPtr other_tls = Tls(&other);
  rpc::H2Client other_client(address, other_tls.get());
  const int32_t others = other_client.Start(method, request.SerializeAsString());
  EXPECT_TRUE(other_client.RunUntil([&] { return pipeline->Stats().in_flight == 4; }));
  store.ReleaseAppends();
  for (const int32_t stream : admitted) {
    ASSERT_TRUE(client.WaitClosed(stream));
    EXPECT_EQ(client.reply(stream).status(), 0) << client.reply(stream).Find("grpc-message");
  }
  ASSERT_TRUE(other_client.WaitClosed(others));
  EXPECT_EQ(other_client.reply(others).status(), 0);
  EXPECT_THAT(AnswerOf<agent_v1::SignResponse>(client.Call(method, request.SerializeAsString())), IsOk());
}

// --- MintJwt ---

TEST_F(AgentServiceTest, ServesNodesInTurnsHoweverMuchOneOfThemAsksFor) {
  const HeldIdentity greedy = Joined("web-1");
  const HeldIdentity other = Joined("web-2");
  const RegistrationEntry web = AddEntry("web", "/web", {"web-*"});
  agent_v1::MintJwtRequest request;
  request.set_spiffe_id(web.spiffe_id.uri());
  request.set_entry_id("web");
  request.add_audiences("shop");
  Mutex mutex;
  CondVar changed;
  bool open = false;
  std::vector<std::string> judged;  // whose, in order
  issuances.before_judged = [&](const PresentedCertificate& shown) {
    MutexLock lock(mutex);
    judged.push_back(shown.serial);
    changed.NotifyAll();
    if (!open) {  // under way before the other node asked
      while (!open) changed.Wait(mutex);
      return;
    }
    // The thread that took the other node's call may sleep while the rest go on. They stay until that call has begun,
    // which never comes to pass where all of them took calls of the greedy node.
    const absl::Time deadline = absl::Now() + absl::Seconds(30);
    while (!absl::c_linear_search(judged, other.serial()) && changed.WaitFor(mutex, deadline - absl::Now())) {
    }
  };
  const std::string method = "/meshca.agent.v1.Agent/MintJwt";
  const auto ask = [&](rpc::H2Client& client, int times) {
    std::vector<int32_t> calls;
    for (int i = 0; i < times; ++i) calls.push_back(client.Start(method, request.SerializeAsString()));
    // Once a later call of the connection is answered those before it are waiting.
    client.Call("/meshca.agent.v1.Agent/Sign", "");
    return calls;
  };
  const rpc::SslContextPtr greedy_tls = Tls(&greedy);
  const rpc::SslContextPtr other_tls = Tls(&other);
  rpc::H2Client greedy_client(address, greedy_tls.get());
  rpc::H2Client other_client(address, other_tls.get());
  const std::vector<int32_t> many = ask(greedy_client, 60);
  const std::vector<int32_t> one = ask(other_client, 1);
  {
    MutexLock lock(mutex);
    open = true;
  }
  changed.NotifyAll();
  for (const int32_t stream : many) {
    ASSERT_TRUE(greedy_client.WaitClosed(stream));
    EXPECT_EQ(greedy_client.reply(stream).status(), 0);
  }
  ASSERT_TRUE(other_client.WaitClosed(one[0]));
  EXPECT_EQ(other_client.reply(one[0]).status(), 0);
  MutexLock lock(mutex);
  const auto turn = std::find(judged.begin(), judged.end(), other.serial()) - judged.begin();
  // Behind the four that were under way, and one of the other node for each thread.
  EXPECT_LE(turn, 8);
}

TEST_F(AgentServiceTest, MintsNothingByAnEntryThatWasDeletedWhileTheCallWaited) {
  const HeldIdentity agent = Joined("web-1");
  const RegistrationEntry web = AddEntry("web", "/web", {"web-1"});
  issuances.before_judged = [&](const PresentedCertificate&) {
    service->EntriesChanged([] { return std::make_shared<const NodeEntries::List>(); });
  };
  agent_v1::MintJwtRequest request;
  request.set_spiffe_id(web.spiffe_id.uri());
  request.set_entry_id("web");
  request.add_audiences("shop");
  EXPECT_THAT(Call<agent_v1::MintJwtResponse>("MintJwt", request, &agent),
              StatusIs(Code::kPermissionDenied, HasSubstr("registration entry \"web\"")));
  EXPECT_EQ(service->Stats().tokens, 0u);
}

TEST_F(AgentServiceTest, MintsForIdentitiesOfTheNodeTheLongestThatAnEntryGives) {
  const HeldIdentity agent = Joined("web-1");
  RegistrationEntry web = AddEntry("web", "/web", {"web-1"});
  web.jwt_ttl = absl::Minutes(1);
  ASSERT_THAT(store.PutEntry(web, Audit()), IsOk());
  RegistrationEntry again = AddEntry("again", "/web", {"*"});
  again.jwt_ttl = absl::Minutes(3);
  ASSERT_THAT(store.PutEntry(again, Audit()), IsOk());
  TellEntries();
  AddEntry("db", "/db", {"db-1"});
  agent_v1::MintJwtRequest request;
  request.set_spiffe_id(web.spiffe_id.uri());
  request.set_entry_id("web");
  EXPECT_THAT(Call<agent_v1::MintJwtResponse>("MintJwt", request, &agent),
              StatusIs(Code::kInvalidArgument, HasSubstr("audiences")));
  request.add_audiences("shop");
  const auto minted = Call<agent_v1::MintJwtResponse>("MintJwt", request, &agent);
  ASSERT_THAT(minted, IsOk());
  EXPECT_EQ(minted->token(), "spiffe://cluster.local/web for shop");
  EXPECT_EQ(minted->kid(), "kid-1");
  EXPECT_EQ(minted->expires_at().seconds(), absl::ToUnixSeconds(clock.Now() + absl::Minutes(5)));
  EXPECT_EQ(mint.ttl(), absl::Minutes(3));
  request.set_entry_id("db");
  request.set_spiffe_id("spiffe://cluster.local/db");
  EXPECT_THAT(Call<agent_v1::MintJwtResponse>("MintJwt", request, &agent),
              StatusIs(Code::kPermissionDenied, HasSubstr("to node web-1")));
  request.set_entry_id("\x1b[31mgone");
  EXPECT_THAT(Call<agent_v1::MintJwtResponse>("MintJwt", request, &agent),
              StatusIs(Code::kPermissionDenied,
                       AllOf(HasSubstr("meshca entry create spiffe://cluster.local/db --node web-1 --selector"),
                             Not(HasSubstr("\x1b")))));
  request.set_entry_id("web");
  request.set_spiffe_id(web.spiffe_id.uri());
  ASSERT_THAT(store.BanNode("web-1", "", Audit()), IsOk());
  EXPECT_THAT(Call<agent_v1::MintJwtResponse>("MintJwt", request, &agent),
              StatusIs(Code::kPermissionDenied, HasSubstr("banned")));
  EXPECT_EQ(service->Stats().tokens, 1u);
}

TEST_F(AgentServiceTest, DatesNoTokenByAClockThatHasJustJumped) {
  const HeldIdentity agent = Joined("web-1");
  const RegistrationEntry web = AddEntry("web", "/web", {"web-1"});
  agent_v1::MintJwtRequest request;
  request.set_spiffe_id(web.spiffe_id.uri());
  request.set_entry_id("web");
  request.add_audiences("shop");
  const absl::Time then = clock.Now();
  // The agent's certificate still lives.
  clock.JumpInDoubt(then + absl::Hours(1));
  const auto minted = Call<agent_v1::MintJwtResponse>("MintJwt", request, &agent);
  ASSERT_THAT(minted, IsOk());
  EXPECT_EQ(minted->expires_at().seconds(), absl::ToUnixSeconds(then + absl::Minutes(5)));
}

}  // namespace
}  // namespace meshca
