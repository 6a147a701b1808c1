// meshca.agent.v1.Agent: how the agents of nodes join, are told what to serve, and have certificates signed.
#ifndef MESHCA_CA_SERVICE_AGENT_SERVICE_H_
#define MESHCA_CA_SERVICE_AGENT_SERVICE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/agents/agent_registry.h"
#include "ca/agents/entries_feed.h"
#include "ca/authn/authenticator.h"
#include "ca/authn/node_key_authenticator.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/base/entropy.h"
#include "ca/base/judged_clock.h"
#include "ca/base/serial_executor.h"
#include "ca/identity/node_store.h"
#include "ca/issuance/issuance_pipeline.h"
#include "ca/issuance/issuance_store.h"
#include "ca/issuance/jwt_mint.h"
#include "ca/rpc/call.h"
#include "ca/rpc/router.h"
#include "ca/service/agent_attach.h"
#include "ca/service/agent_gate.h"
#include "ca/service/agent_revocations.h"
#include "ca/service/agent_shares.h"
#include "ca/service/agent_workers.h"
#include "ca/subscribers/subscriber_store.h"

namespace meshca {

// Since start.
struct AgentServiceStats {
  uint64_t joined = 0;
  uint64_t joins_refused = 0;
  uint64_t joined_by_key = 0;  // of both: by the key of a certificate that had ended
  uint64_t joins_by_key_refused = 0;
  uint64_t certificates = 0;  // through Sign
  uint64_t certificates_refused = 0;
  uint64_t tokens = 0;  // JWT-SVIDs
  uint64_t tokens_refused = 0;
  AgentStats agents;
};

// What is refused, and how, stands in agent.proto and in the parts: AgentGate (who is an agent), JudgeAgentRequest
// (what it may ask for), AgentAttach (its stream). The rules that count are the store's, in the transaction that
// records. Thread-safe. Handlers never block a loop.
class AgentService {
 public:
  static constexpr char kName[] = "meshca.agent.v1.Agent";

  // Everything outlives the service.
  struct Parts {
    Authenticator* join_tokens = nullptr;
    NodeKeyAuthenticator* node_keys = nullptr;  // null: no agent joins by its key
    const ClientCertificateAuthenticator* certificates = nullptr;
    IssuancePipeline* pipeline = nullptr;
    IssuanceStore* issuances = nullptr;
    NodeStore* nodes = nullptr;
    SubscriberStore* subscribers = nullptr;
    AuthoritySnapshots* authorities = nullptr;
    const JudgedClock* clock = nullptr;
    EntropySource* entropy = nullptr;
    JwtMint* jwt = nullptr;  // null: no JWT-SVIDs
    absl::Duration delivered_after = absl::Seconds(60);
    absl::Duration hello_within = absl::Seconds(10);
    absl::Duration leaf_skew = absl::Minutes(10);  // EvidencePolicy::skew
  };

  explicit AgentService(Parts parts);
  ~AgentService();

  // Reads what is remembered of agents, follows the authorities, starts the threads. Before any server serves. Blocks
  // on the database.
  absl::Status Start();
  // Behind the servers' shutdown, before that of the store. Idempotent.
  void Shutdown();

  // To a router of a TLS listener with SvidVerifier.
  void AddTo(rpc::Router& router);

  // The registration entries are now what `read` returns (EntriesFeed::Update): each agent is told what that changes
  // for its node.
  void EntriesChanged(absl::FunctionRef<std::shared_ptr<const NodeEntries::List>()> read);
  // Certificates were revoked, or a node banned: agents that hold such certificates are told to stop serving them, and
  // a node that was taken everything is forgotten, its stream ended. Blocks on the database. After Start. An error,
  // which is logged: not all is told yet; it is tried again every second until it is.
  absl::Status RevokedChanged();
  // Has agents that are attached replace the certificates of theirs that `wanted` names; returns their SPIFFE IDs.
  // Blocks on the database.
  absl::StatusOr<std::vector<std::string>> Renew(
      const std::function<bool(absl::string_view spiffe_id, absl::string_view serial)>& wanted);

  AgentRegistry& registry() { return registry_; }
  const AgentRegistry& registry() const { return registry_; }
  AgentServiceStats Stats() const;
  // The periodic duties run now: after a jump of the clock, in tests.
  void Wake() { executor_.Wake(); }

  // What AddTo registers; for tests.
  void Join(std::shared_ptr<rpc::Call> call);
  void Challenge(std::shared_ptr<rpc::Call> call);
  void Sign(std::shared_ptr<rpc::Call> call);
  void MintJwt(std::shared_ptr<rpc::Call> call);
  std::unique_ptr<rpc::StreamHandler> Attach(rpc::Stream& stream);

 private:
  enum class JoinWay { kToken, kKey };
  void JoinByToken(const std::shared_ptr<rpc::Call>& call, Credentials credentials);
  void JoinByKey(const std::shared_ptr<rpc::Call>& call, const Credentials& credentials,
                 const agent::v1::JoinRequest& request);
  void OnJoiner(const std::shared_ptr<rpc::Call>& call, JoinWay way, absl::StatusOr<CallerIdentity> caller);
  void FinishJoin(rpc::Call& call, JoinWay way, const std::string& node, absl::StatusOr<IssuedCertificate> issued);
  void RefuseJoin(rpc::Call& call, JoinWay way, const absl::Status& why);
  void Mint(rpc::Call& call, const AgentCaller& agent, const SpiffeId& id, const agent::v1::MintJwtRequest& request);
  void RefuseToken(rpc::Call& call, const absl::Status& why);
  void OnAuthorities(const std::shared_ptr<const AuthoritySnapshot>& snapshot);

  const Parts parts_;
  AgentRegistry registry_;
  EntriesFeed entries_;
  const AgentGate gate_;
  AgentShares shares_;
  AgentWorkers workers_;
  AgentStreams streams_;
  AgentRevocations revocations_;
  SerialExecutor executor_;  // what is done every second

  std::atomic<uint64_t> joined_ = 0;
  std::atomic<uint64_t> joins_refused_ = 0;
  std::atomic<uint64_t> joined_by_key_ = 0;
  std::atomic<uint64_t> joins_by_key_refused_ = 0;
  std::atomic<uint64_t> certificates_ = 0;
  std::atomic<uint64_t> certificates_refused_ = 0;
  std::atomic<uint64_t> tokens_ = 0;
  std::atomic<uint64_t> tokens_refused_ = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_SERVICE_AGENT_SERVICE_H_
