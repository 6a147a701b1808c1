// A CA in memory whose agent service is served over TLS, and agents that call it.
#ifndef MESHCA_TEST_CA_SERVICE_AGENT_FIXTURE_H_
#define MESHCA_TEST_CA_SERVICE_AGENT_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ca/authn/join_token.h"
#include "ca/authn/node_key_authenticator.h"
#include "ca/authority/authority_manager.h"
#include "ca/authority/authority_standing.h"
#include "ca/base/entropy.h"
#include "ca/base/log.h"
#include "ca/base/mutex.h"
#include "ca/base/process_limits.h"
#include "ca/identity/join_token_text.h"
#include "ca/identity/node_name.h"
#include "ca/rpc/server.h"
#include "ca/service/agent_service.h"
#include "ca/service/certificate_standing.h"
#include "meshca/agent/v1/agent.pb.h"
#include "test/ca/issuance/test_ca.h"
#include "test/ca/rpc/h2_client.h"
#include "test/ca/rpc/test_certificates.h"
#include "test/fakes/fake_clock.h"
#include "test/fakes/fake_key_store.h"
#include "test/fakes/memory_store.h"
#include "test/fakes/status_matchers.h"

namespace meshca {

namespace agent_v1 = agent::v1;

// Says what the test wants. Thread-safe: each node's requests have a thread of their own.
class FakeMint final : public JwtMint {
 public:
  absl::StatusOr<MintedJwt> Mint(const SpiffeId& id, const std::vector<std::string>& audiences, absl::Duration ttl_max,
                                 absl::Time now) override {
    {
      MutexLock lock(mutex_);
      ttl_ = ttl_max;
    }
    return MintedJwt{absl::StrCat(id.uri(), " for ", audiences.front()), now + absl::Minutes(5), "kid-1"};
  }
  // Asked for last.
  absl::Duration ttl() {
    MutexLock lock(mutex_);
    return ttl_;
  }

 private:
  Mutex mutex_;
  absl::Duration ttl_ ABSL_GUARDED_BY(mutex_);
};

// Hands everything on to the store, with a test's hooks before and behind. Hooks are set while nothing calls.
class HookedIssuances final : public IssuanceStore {
 public:
  explicit HookedIssuances(IssuanceStore& store) : store_(store) {}

  std::function<absl::Status()> before_list;                       // an error is the answer
  std::function<void(const PresentedCertificate&)> before_judged;  // on the threads that judge, like the next
  std::function<void(const PresentedCertificate&)> behind_judged;

  void Append(std::shared_ptr<const IssuanceRecord> record, AppendDone done) override {
    store_.Append(std::move(record), std::move(done));
  }
  absl::StatusOr<IssuanceRecord> Find(const SerialNumber& serial) override { return store_.Find(serial); }
  absl::Status List(const IssuanceFilter& filter, absl::FunctionRef<bool(const IssuanceRecord&)> visit) override {
    if (before_list) {
      if (absl::Status status = before_list(); !status.ok()) return status;
    }
    return store_.List(filter, visit);
  }
  absl::StatusOr<IssuanceRecord> JudgePresented(const PresentedCertificate& shown,
                                                const std::shared_ptr<const TrustedOrigins>& trusted_origins) override {
    if (before_judged) before_judged(shown);
    absl::StatusOr<IssuanceRecord> judged = store_.JudgePresented(shown, trusted_origins);
    if (behind_judged) behind_judged(shown);
    return judged;
  }
  absl::StatusOr<uint64_t> CountIssuances() override { return store_.CountIssuances(); }

 private:
  IssuanceStore& store_;
};

// A key and the chain that was issued for it, as one end of TLS.
struct HeldIdentity {
  std::unique_ptr<SoftwareKey> key = *SoftwareKey::Generate(KeyType::kEcP256);
  std::vector<std::string> chain;  // DER
  std::string serial() const { return Certificate::Parse(Der(chain.front()))->serial_hex(); }
  std::string csr() const { return MakeCsr(*key, {}); }
};

// What a call was answered: a status, or a message.
template <typename Response>
absl::StatusOr<Response> AnswerOf(const rpc::Reply& reply) {
  if (reply.status() != 0) {
    return absl::Status(static_cast<absl::StatusCode>(reply.status()), reply.Find("grpc-message"));
  }
  Response response;
  if (!response.ParseFromString(reply.messages().at(0))) return absl::DataLossError("unreadable");
  return response;
}

// One agent's Attach stream, on a connection of its own.
class AgentStream {
 public:
  AgentStream(const std::string& address, SSL_CTX* tls) : client_(address, tls) {
    stream_ = client_.Open("/meshca.agent.v1.Agent/Attach");
  }
  void Hello(uint32_t version = 1, uint64_t entries_revision = 0) {
    agent_v1::AttachRequest request;
    request.mutable_hello()->set_protocol_version(version);
    request.mutable_hello()->set_agent_version("9.9");
    request.mutable_hello()->set_entries_revision(entries_revision);
    Send(request);
  }
  void Send(const agent_v1::AttachRequest& request) { SendBytes(request.SerializeAsString()); }
  void SendBytes(const std::string& bytes) { client_.SendMessage(stream_, bytes); }

  // The next message that `wanted` picks, those before it passed over; waited for.
  agent_v1::AttachResponse Next(const std::function<bool(const agent_v1::AttachResponse&)>& wanted) {
    agent_v1::AttachResponse found;
    const bool came = client_.RunUntil([&] {
      const std::vector<std::string> messages = client_.reply(stream_).messages();
      for (; read_ < messages.size(); ++read_) {
        if (!found.ParseFromString(messages[read_]) || !wanted(found)) continue;
        ++read_;
        return true;
      }
      return client_.reply(stream_).closed;
    });
    EXPECT_TRUE(came);
    EXPECT_FALSE(client_.reply(stream_).closed) << Status();
    return found;
  }
  // The status it ended with; waited for.
  absl::Status Ended() {
    EXPECT_TRUE(client_.WaitClosed(stream_));
    return Status();
  }
  // Bytes move until `done`.
  bool RunUntil(const std::function<bool()>& done) { return client_.RunUntil(done); }

 private:
  absl::Status Status() {
    rpc::Reply& reply = client_.reply(stream_);
    return {static_cast<absl::StatusCode>(reply.status()), reply.Find("grpc-message")};
  }
  rpc::H2Client client_;
  int32_t stream_ = 0;
  size_t read_ = 0;
};

class AgentTest : public testing::Test {
 protected:
  AgentTest() {
    SetLogLevel(LogLevel::kError);
    IgnoreBrokenPipes();
    AuthorityOptions options;
    options.trust_domain = domain;
    manager = *AuthorityManager::Create(options, store, keys, clock, SystemEntropy());
    EXPECT_THAT(manager->Start(), IsOk());
    PipelineOptions one_thread;
    one_thread.threads = 1;
    pipeline =
        std::make_unique<IssuancePipeline>(CertificateProfile(), one_thread, *manager, store, clock, SystemEntropy());
    standing = std::make_unique<AuthorityStanding>(*manager);
    certificates = std::make_unique<ClientCertificateAuthenticator>(domain, *standing);
    AgentService::Parts parts;
    parts.join_tokens = &join_tokens;
    parts.node_keys = &node_keys;
    parts.certificates = certificates.get();
    parts.pipeline = pipeline.get();
    parts.issuances = &issuances;
    parts.nodes = &store;
    parts.subscribers = &store;
    parts.authorities = manager.get();
    parts.clock = &clock;
    parts.entropy = &SystemEntropy();
    parts.jwt = &mint;
    service = std::make_unique<AgentService>(parts);
    EXPECT_THAT(service->Start(), IsOk());
    Serve();
  }
  ~AgentTest() override {
    server->Shutdown(absl::ZeroDuration());
    service->Shutdown();
    pipeline->Shutdown();
  }

  void Serve() {
    server = *rpc::Server::Create({});
    auto router = std::make_shared<rpc::Router>();
    service->AddTo(*router);
    rpc::TlsOptions tls = rpc::ServerOptionsWith(server_certificate);
    tls.client_certificates = rpc::ClientCertificates::kOptional;
    tls.verifier = FollowBundle(*manager);
    rpc::ListenerOptions listener;
    listener.address = "127.0.0.1:0";
    listener.tls = *rpc::TlsContext::Create(std::move(tls));
    listener.router = std::move(router);
    address = *server->AddListener(std::move(listener));
    server->Start();
  }

  // A client's end of TLS; `identity` null: without a certificate.
  static rpc::SslContextPtr Tls(const HeldIdentity* identity) {
    rpc::SslContextPtr tls(SSL_CTX_new(TLS_client_method()));
    const unsigned char alpn[] = {2, 'h', '2'};
    SSL_CTX_set_alpn_protos(tls.get(), alpn, sizeof alpn);
    if (identity == nullptr) return tls;
    for (size_t i = 0; i < identity->chain.size(); ++i) {
      const auto* bytes = reinterpret_cast<const unsigned char*>(identity->chain[i].data());
      X509Ptr certificate(d2i_X509(nullptr, &bytes, static_cast<long>(identity->chain[i].size())));
      if (i == 0) {
        EXPECT_EQ(SSL_CTX_use_certificate(tls.get(), certificate.get()), 1);
      } else {
        EXPECT_EQ(SSL_CTX_add_extra_chain_cert(tls.get(), certificate.release()), 1);
      }
    }
    EXPECT_EQ(SSL_CTX_use_PrivateKey(tls.get(), identity->key->evp()), 1);
    return tls;
  }

  // One unary call on a connection of its own.
  template <typename Response>
  absl::StatusOr<Response> Call(const std::string& method, const google::protobuf::MessageLite& request,
                                const HeldIdentity* identity, const rpc::Headers& headers = {}) {
    const rpc::SslContextPtr tls = Tls(identity);
    rpc::H2Client client(address, tls.get());
    EXPECT_TRUE(client.connected()) << client.error();
    return AnswerOf<Response>(client.Call("/meshca.agent.v1.Agent/" + method, request.SerializeAsString(), headers));
  }

  // A join token for `id`; for a node's agent with its node.
  std::string Token(const SpiffeId& id, bool replace = false) {
    const SecretBytes text = MakeJoinToken(std::string(32, 'r'), SystemEntropy());
    JoinToken token;
    token.secret_sha256 = JoinTokenSha256(text.reveal());
    token.id = JoinTokenId(token.secret_sha256);
    token.spiffe_id = id;
    token.node = std::string(NodeOfAgent(id));
    token.created_at = clock.Now();
    token.expires_at = clock.Now() + absl::Minutes(10);
    token.replace = replace;
    EXPECT_THAT(store.CreateToken(token, Audit()), IsOk());
    return std::string(text.reveal());
  }
  std::string NodeToken(const std::string& node, bool replace = false) {
    return Token(*AgentId(domain, node), replace);
  }

  absl::StatusOr<agent_v1::JoinResponse> Join(const std::string& token, const std::string& csr) {
    agent_v1::JoinRequest request;
    request.set_csr(csr);
    return Call<agent_v1::JoinResponse>("Join", request, nullptr, {{"authorization", "Bearer " + token}});
  }
  // Asks for a challenge, and joins with it by the key `proving`, for the key of `csr`; both on one connection.
  absl::StatusOr<agent_v1::JoinResponse> JoinByKey(const std::string& node, const SoftwareKey& proving,
                                                   const std::string& csr) {
    const rpc::SslContextPtr tls = Tls(nullptr);
    rpc::H2Client client(address, tls.get());
    EXPECT_TRUE(client.connected()) << client.error();
    const auto given = AnswerOf<agent_v1::ChallengeResponse>(client.Call("/meshca.agent.v1.Agent/Challenge", ""));
    if (!given.ok()) return given.status();
    EXPECT_EQ(given->rejoin_grace().seconds(), 2 * 3600);
    agent_v1::JoinRequest request;
    request.set_csr(csr);
    agent_v1::NodeKeyProof& proof = *request.mutable_proof();
    proof.set_node(node);
    proof.set_public_key(std::string(proving.public_key().spki()));
    proof.set_challenge(given->challenge());
    proof.set_signature_algorithm(std::string(proving.signature_algorithm()));
    proof.set_signature(*proving.Sign(NodeKeyStatement(domain, node, given->challenge(), csr)));
    return AnswerOf<agent_v1::JoinResponse>(client.Call("/meshca.agent.v1.Agent/Join", request.SerializeAsString()));
  }

  // The agent of a node that has joined.
  HeldIdentity Joined(const std::string& node, bool replace = false) {
    HeldIdentity identity;
    const auto joined = Join(NodeToken(node, replace), identity.csr());
    EXPECT_THAT(joined, IsOk());
    if (joined.ok()) identity.chain.assign(joined->chain().begin(), joined->chain().end());
    return identity;
  }

  AuditEntry Audit() const {
    AuditEntry audit;
    audit.time = clock.Now();
    audit.actor = "uid 0 pid 1";
    audit.action = "test";
    return audit;
  }
  RegistrationEntry AddEntry(const std::string& id, const std::string& path, std::vector<std::string> nodes) {
    RegistrationEntry entry;
    entry.id = id;
    entry.spiffe_id = *SpiffeId::FromParts(domain, path);
    entry.selectors = {"unix:uid:1000"};
    entry.nodes = std::move(nodes);
    entry.created_at = clock.Now();
    entry.created_by = "test";
    EXPECT_THAT(store.PutEntry(entry, Audit()), IsOk());
    TellEntries();
    return entry;
  }
  void TellEntries() {
    service->EntriesChanged([this] { return std::make_shared<const NodeEntries::List>(*store.ListEntries()); });
  }

  static agent_v1::CertificateRequest Wants(const HeldIdentity& workload, const RegistrationEntry& entry,
                                            const std::string& parent = "") {
    agent_v1::CertificateRequest request;
    request.set_csr(workload.csr());
    request.set_spiffe_id(entry.spiffe_id.uri());
    request.set_entry_id(entry.id);
    request.set_parent_serial(parent);
    return request;
  }
  absl::StatusOr<agent_v1::SignResponse> Sign(const HeldIdentity& agent,
                                              std::vector<agent_v1::CertificateRequest> requests) {
    agent_v1::SignRequest request;
    for (agent_v1::CertificateRequest& one : requests) *request.add_requests() = std::move(one);
    return Call<agent_v1::SignResponse>("Sign", request, &agent);
  }
  // A workload's certificate, signed for `agent`.
  HeldIdentity Signed(const HeldIdentity& agent, const RegistrationEntry& entry) {
    HeldIdentity workload;
    const auto response = Sign(agent, {Wants(workload, entry)});
    EXPECT_THAT(response, IsOk());
    if (!response.ok()) return workload;
    EXPECT_EQ(response->results(0).code(), 0) << response->results(0).message();
    workload.chain.assign(response->results(0).chain().begin(), response->results(0).chain().end());
    return workload;
  }

  // The real time: TLS goes by it.
  FakeClock clock{absl::Now()};
  MemoryStore store;
  HookedIssuances issuances{store};
  const TrustDomain domain = *TrustDomain::Parse("cluster.local");
  FakeKeyStore keys;
  FakeMint mint;
  JoinTokenAuthenticator join_tokens{store};
  NodeKeyAuthenticator node_keys{store, domain, clock, SystemEntropy(), {.grace = absl::Hours(2)}};
  std::unique_ptr<AuthorityManager> manager;
  std::unique_ptr<IssuancePipeline> pipeline;
  std::unique_ptr<AuthorityStanding> standing;
  std::unique_ptr<ClientCertificateAuthenticator> certificates;
  std::unique_ptr<AgentService> service;
  const rpc::TestCertificate server_certificate = rpc::MakeCertificate("server");
  std::unique_ptr<rpc::Server> server;
  std::string address;
};

}  // namespace meshca

#endif  // MESHCA_TEST_CA_SERVICE_AGENT_FIXTURE_H_
