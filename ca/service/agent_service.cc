#include "ca/service/agent_service.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/log.h"
#include "ca/base/printable.h"
#include "ca/base/status.h"
#include "ca/edge/credentials.h"
#include "ca/edge/edge_status.h"
#include "ca/identity/node_name.h"
#include "ca/rpc/protobuf_payload.h"
#include "ca/service/agent_message.h"
#include "ca/service/agent_sign.h"
#include "ca/service/csr_bytes.h"
#include "ca/service/proto_time.h"

namespace meshca {
namespace {

namespace v1 = agent::v1;

constexpr char kJoin[] = "/meshca.agent.v1.Agent/Join";
constexpr char kChallenge[] = "/meshca.agent.v1.Agent/Challenge";
constexpr char kAttach[] = "/meshca.agent.v1.Agent/Attach";
constexpr char kSign[] = "/meshca.agent.v1.Agent/Sign";
constexpr char kMintJwt[] = "/meshca.agent.v1.Agent/MintJwt";

// A CSR of its own largest size and room for everything else.
constexpr rpc::UnaryOptions kJoinOptions{.request_bytes_max = 128 * 1024};
// It asks for nothing but a challenge.
constexpr rpc::UnaryOptions kChallengeOptions{.request_bytes_max = 1024};
// 64 CSRs for keys of any kind that is issued for take a twentieth of it.
constexpr rpc::UnaryOptions kSignOptions{.request_bytes_max = 1024 * 1024};
constexpr rpc::UnaryOptions kMintOptions{.request_bytes_max = 64 * 1024};

constexpr absl::Duration kTick = absl::Seconds(1);
constexpr int kAudiencesMax = 16;

constexpr std::memory_order kCounting = std::memory_order_relaxed;

absl::Status Invalid(absl::string_view reason, absl::string_view what) {
  return WithReason(absl::InvalidArgumentError(what), reason);
}

NodeKeyClaim ReadClaim(const v1::JoinRequest& request) {
  const v1::NodeKeyProof& shown = request.proof();
  NodeKeyClaim claim;
  claim.proof = {shown.node(), shown.public_key(), shown.challenge(), shown.signature_algorithm(), shown.signature()};
  claim.csr = request.csr();
  return claim;
}

// The longest that any of the node's entries for `id` gives; zero: the default, which none exceeds.
absl::Duration JwtTtlOf(const NodeEntries& entries, absl::string_view node, const SpiffeId& id) {
  absl::Duration longest;
  for (const RegistrationEntry* entry : entries.EntriesOf(node)) {
    if (entry->spiffe_id != id) continue;
    if (entry->jwt_ttl <= absl::ZeroDuration()) return absl::ZeroDuration();
    longest = std::max(longest, entry->jwt_ttl);
  }
  return longest;
}

}  // namespace

AgentService::AgentService(Parts parts)
    : parts_(parts),
      registry_(*parts.subscribers, *parts.clock, parts.leaf_skew),
      entries_(parts.clock->LikelyNow()),
      gate_(*parts.certificates, *parts.issuances, *parts.nodes),
      streams_({&registry_, &entries_, &gate_, &shares_, &workers_, parts.clock, parts.entropy, parts.delivered_after,
                parts.hello_within}),
      revocations_({&registry_, parts.issuances, parts.nodes, parts.clock}),
      executor_(*parts.clock) {}

AgentService::~AgentService() { Shutdown(); }

absl::Status AgentService::Start() {
  MESHCA_RETURN_IF_ERROR(registry_.Load());
  MESHCA_RETURN_IF_ERROR(revocations_.Tell());
  parts_.authorities->AddListener(
      [this](const std::shared_ptr<const AuthoritySnapshot>& snapshot) { OnAuthorities(snapshot); });
  OnAuthorities(parts_.authorities->Current());
  executor_.OnTick(
      [this] {
        streams_.EndSilent();
        registry_.Tick();
      },
      kTick);
  executor_.AddDuty([this] {
    revocations_.TellIfDue();
    return kTick;
  });
  executor_.Start();
  return absl::OkStatus();
}

void AgentService::Shutdown() {
  if (parts_.node_keys != nullptr) parts_.node_keys->Stop();
  workers_.Close();
  executor_.Shutdown();
  registry_.Shutdown();
}

void AgentService::AddTo(rpc::Router& router) {
  router.AddUnary(
      kJoin, [this](std::shared_ptr<rpc::Call> call) { Join(std::move(call)); }, kJoinOptions);
  router.AddUnary(
      kChallenge, [this](std::shared_ptr<rpc::Call> call) { Challenge(std::move(call)); }, kChallengeOptions);
  router.AddUnary(
      kSign, [this](std::shared_ptr<rpc::Call> call) { Sign(std::move(call)); }, kSignOptions);
  router.AddUnary(
      kMintJwt, [this](std::shared_ptr<rpc::Call> call) { MintJwt(std::move(call)); }, kMintOptions);
  router.AddStream(
      kAttach, [this](rpc::Stream& stream) { return Attach(stream); }, AgentAttach::kOptions);
}

void AgentService::OnAuthorities(const std::shared_ptr<const AuthoritySnapshot>& snapshot) {
  if (snapshot == nullptr || snapshot->bundle == nullptr) return;
  if (snapshot->bundle->sequence_number <= streams_.trust().version) return;
  v1::AttachResponse message;
  *message.mutable_trust() = TrustMessage(*snapshot->bundle);
  // Serialised once, however many agents are attached.
  streams_.SetTrust(snapshot->bundle->sequence_number, rpc::Frame(message));
}

// --- Join ---

void AgentService::Challenge(std::shared_ptr<rpc::Call> call) {
  v1::ChallengeResponse response;
  if (parts_.node_keys != nullptr && parts_.node_keys->offered()) {
    response.set_challenge(parts_.node_keys->MakeChallenge(call->peer()->connection_id));
    SetDuration(parts_.node_keys->grace(), response.mutable_rejoin_grace());
  }
  call->Finish(rpc::Frame(response));
}

void AgentService::Join(std::shared_ptr<rpc::Call> call) {
  absl::StatusOr<Credentials> credentials = CredentialsOf(*call->peer(), call->client_metadata());
  if (!credentials.ok()) return RefuseJoin(*call, JoinWay::kToken, credentials.status());
  if (credentials->client_certificate != nullptr) {
    return RefuseJoin(*call, JoinWay::kToken,
                      WithReason(absl::UnauthenticatedError("join: an agent that has a certificate renews it by "
                                                            "Sign; join without one"),
                                 "CREDENTIAL_UNRECOGNISED"));
  }
  if (parts_.join_tokens->Recognises(*credentials)) return JoinByToken(call, *std::move(credentials));
  v1::JoinRequest request;
  if (credentials->bearer_token.empty() && rpc::ParseMessage(call->request(), request).ok() && request.has_proof()) {
    return JoinByKey(call, *credentials, request);
  }
  RefuseJoin(*call, JoinWay::kToken,
             WithReason(absl::UnauthenticatedError(absl::StrCat("join: needs ", parts_.join_tokens->accepts(),
                                                                "; make one: meshca token create --node NODE")),
                        "CREDENTIAL_MISSING"));
}

void AgentService::JoinByToken(const std::shared_ptr<rpc::Call>& call, Credentials credentials) {
  credentials.abandoned = [call] { return call->cancelled(); };
  parts_.join_tokens->Authenticate(
      std::move(credentials), parts_.clock->Now(),
      [this, call](absl::StatusOr<CallerIdentity> caller) { OnJoiner(call, JoinWay::kToken, std::move(caller)); });
}

void AgentService::JoinByKey(const std::shared_ptr<rpc::Call>& call, const Credentials& credentials,
                             const v1::JoinRequest& request) {
  if (parts_.node_keys == nullptr) {
    return RefuseJoin(*call, JoinWay::kKey,
                      WithReason(absl::UnauthenticatedError("join: this CA lets no agent join by its key; make a "
                                                            "token: meshca token create --node NODE"),
                                 "REJOIN_OFF"));
  }
  NodeKeyClaim claim = ReadClaim(request);
  claim.connection_id = call->peer()->connection_id;
  claim.source = credentials.source;
  claim.abandoned = [call] { return call->cancelled(); };
  parts_.node_keys->Authenticate(std::move(claim), [this, call](absl::StatusOr<CallerIdentity> caller) {
    OnJoiner(call, JoinWay::kKey, std::move(caller));
  });
}

void AgentService::OnJoiner(const std::shared_ptr<rpc::Call>& call, JoinWay way,
                            absl::StatusOr<CallerIdentity> caller) {
  const auto refuse = [&](const absl::Status& why) { RefuseJoin(*call, way, why); };
  if (!caller.ok()) return refuse(caller.status());
  // The node is the token's, or the one that the inventory knows the key of: no name in the CSR is read.
  std::string node(caller->ids.empty() ? "" : NodeOfAgent(caller->ids.front()));
  if (node.empty()) {
    return refuse(
        WithReason(absl::PermissionDeniedError(absl::StrCat(caller->subject,
                                                            ": it is a workload's and lets no agent join; make one for "
                                                            "a node: meshca token create --node NODE")),
                   "NOT_A_NODE_TOKEN"));
  }
  if (absl::Status room = parts_.pipeline->CheckRoom(*caller); !room.ok()) return refuse(room);
  v1::JoinRequest request;
  if (absl::Status parsed = rpc::ParseMessage(call->request(), request); !parsed.ok()) {
    return refuse(WithReason(parsed, "REQUEST_MALFORMED"));
  }
  if (const absl::Status fits = CheckCsrBytes(request.csr(), "DER"); !fits.ok()) {
    return refuse(Annotate(fits, "join"));
  }
  SubmittedRequest submitted;
  submitted.caller = *std::move(caller);
  submitted.caller.node = node;
  submitted.caller.instance = AgentInstance(node);
  submitted.spiffe_id = submitted.caller.ids.front();
  submitted.csr = std::move(*request.mutable_csr());
  submitted.csr_key_alone = true;
  auto answer = [this, call, way, node = std::move(node),
                 version = VersionText(request.agent_version())](absl::StatusOr<IssuedCertificate> issued) {
    if (issued.ok()) {
      LogInfo(way == JoinWay::kKey ? "a node's agent whose certificate had ended joined again by its key"
                                   : "a node's agent joined",
              {{"node", node}, {"address", call->peer()->address}, {"agent_version", version}});
    }
    FinishJoin(*call, way, node, std::move(issued));
  };
  parts_.pipeline->Submit(std::move(submitted), std::move(answer));
}

void AgentService::FinishJoin(rpc::Call& call, JoinWay way, const std::string& node,
                              absl::StatusOr<IssuedCertificate> issued) {
  if (!issued.ok()) return RefuseJoin(call, way, issued.status());
  joined_.fetch_add(1, kCounting);
  if (way == JoinWay::kKey) joined_by_key_.fetch_add(1, kCounting);
  v1::JoinResponse response;
  AddChain(issued->chain, response.mutable_chain());
  const TrustBundle& bundle = *issued->authorities->bundle;
  *response.mutable_trust() = TrustMessage(bundle);
  response.set_node(node);
  response.set_trust_domain(bundle.trust_domain.name());
  call.Finish(rpc::Frame(response));
}

void AgentService::RefuseJoin(rpc::Call& call, JoinWay way, const absl::Status& why) {
  joins_refused_.fetch_add(1, kCounting);
  if (way == JoinWay::kKey) joins_by_key_refused_.fetch_add(1, kCounting);
  call.Finish(CsrEdgeStatus(why, kJoin, *parts_.entropy));
}

// --- Attach ---

std::unique_ptr<rpc::StreamHandler> AgentService::Attach(rpc::Stream& stream) {
  absl::StatusOr<AgentCaller> agent = gate_.Identify(*stream.peer(), stream.client_metadata(), parts_.clock->Now());
  if (!agent.ok()) {
    stream.Finish(CsrEdgeStatus(agent.status(), kAttach, *parts_.entropy));
    return nullptr;
  }
  return std::make_unique<AgentAttach>(stream, streams_, *std::move(agent));
}

// --- Sign ---

void AgentService::Sign(std::shared_ptr<rpc::Call> call) {
  const auto refuse = [&](const absl::Status& why) {
    certificates_refused_.fetch_add(1, kCounting);
    call->Finish(CsrEdgeStatus(why, kSign, *parts_.entropy));
  };
  absl::StatusOr<AgentCaller> agent = gate_.Identify(*call->peer(), call->client_metadata(), parts_.clock->Now());
  if (!agent.ok()) return refuse(agent.status());
  v1::SignRequest request;
  if (absl::Status parsed = rpc::ParseMessage(call->request(), request); !parsed.ok()) {
    return refuse(WithReason(parsed, "REQUEST_MALFORMED"));
  }
  if (request.requests_size() < 1 || request.requests_size() > AgentSignCall::kRequestsMax) {
    return refuse(Invalid("REQUESTS", absl::StrCat("sign: the message has ", request.requests_size(),
                                                   " requests; 1 to ", AgentSignCall::kRequestsMax, " are answered")));
  }
  absl::StatusOr<AgentShares::SignPlace> place =
      shares_.TakeSignPlace(agent->node, AsksForItselfAlone(*agent, request), parts_.clock->SinceBoot());
  if (!place.ok()) return refuse(place.status());
  const AgentSignCall::Parts parts{parts_.pipeline, &registry_, &entries_,    &gate_,
                                   &shares_,        &workers_,  parts_.clock, parts_.entropy};
  const auto sign = std::make_shared<AgentSignCall>(parts, std::move(call), *std::move(agent), *std::move(place),
                                                    [this](uint64_t issued, uint64_t refused) {
                                                      certificates_.fetch_add(issued, kCounting);
                                                      certificates_refused_.fetch_add(refused, kCounting);
                                                    });
  sign->Start(std::move(request));
}

// --- MintJwt ---

void AgentService::MintJwt(std::shared_ptr<rpc::Call> call) {
  absl::StatusOr<AgentCaller> agent = gate_.Identify(*call->peer(), call->client_metadata(), parts_.clock->Now());
  if (!agent.ok()) return RefuseToken(*call, agent.status());
  v1::MintJwtRequest request;
  if (absl::Status parsed = rpc::ParseMessage(call->request(), request); !parsed.ok()) {
    return RefuseToken(*call, WithReason(parsed, "REQUEST_MALFORMED"));
  }
  if (request.audiences_size() < 1 || request.audiences_size() > kAudiencesMax) {
    return RefuseToken(*call, Invalid("AUDIENCES", absl::StrCat("a JWT-SVID is for 1 to ", kAudiencesMax,
                                                                " audiences, not for ", request.audiences_size())));
  }
  absl::StatusOr<SpiffeId> id = SpiffeId::Parse(request.spiffe_id());
  if (!id.ok()) return RefuseToken(*call, id.status());
  if (parts_.jwt == nullptr) {
    return RefuseToken(*call, WithReason(absl::UnavailableError("this CA makes no JWT-SVIDs"), "JWT_KEY_MISSING"));
  }
  const std::string node = agent->node;
  const absl::Status room = workers_.Submit(node, [this, call, agent = *std::move(agent), id = *std::move(id),
                                                   request = std::move(request)] { Mint(*call, agent, id, request); });
  if (!room.ok()) RefuseToken(*call, room);
}

void AgentService::Mint(rpc::Call& call, const AgentCaller& agent, const SpiffeId& id,
                        const v1::MintJwtRequest& request) {
  if (call.cancelled()) return call.Finish(absl::CancelledError("the agent went away"));
  // A token is recorded nowhere, so no transaction would refuse an agent that was revoked or banned, or an entry that
  // was deleted while the call waited.
  if (absl::Status judged = gate_.Judge(agent); !judged.ok()) return RefuseToken(call, judged);
  const std::shared_ptr<const NodeEntries> entries = entries_.Current();
  if (const auto entry = FindEntryForAgent(agent, *entries, request.entry_id(), id); !entry.ok()) {
    return RefuseToken(call, entry.status());
  }
  const std::vector<std::string> audiences(request.audiences().begin(), request.audiences().end());
  const absl::StatusOr<MintedJwt> minted =
      parts_.jwt->Mint(id, audiences, JwtTtlOf(*entries, agent.node, id), parts_.clock->LikelyNow());
  if (!minted.ok()) return RefuseToken(call, minted.status());
  tokens_.fetch_add(1, kCounting);
  v1::MintJwtResponse response;
  response.set_token(minted->token);
  SetTime(minted->expires_at, [&] { return response.mutable_expires_at(); });
  response.set_kid(minted->key_id);
  call.Finish(rpc::Frame(response));
}

void AgentService::RefuseToken(rpc::Call& call, const absl::Status& why) {
  tokens_refused_.fetch_add(1, kCounting);
  call.Finish(CsrEdgeStatus(why, kMintJwt, *parts_.entropy));
}

// --- what the operator does ---

void AgentService::EntriesChanged(absl::FunctionRef<std::shared_ptr<const NodeEntries::List>()> read) {
  entries_.Update(read);
}

absl::Status AgentService::RevokedChanged() { return revocations_.TellBy(executor_); }

absl::StatusOr<std::vector<std::string>> AgentService::Renew(
    const std::function<bool(absl::string_view spiffe_id, absl::string_view serial)>& wanted) {
  return revocations_.Renew(wanted);
}

AgentServiceStats AgentService::Stats() const {
  AgentServiceStats stats;
  stats.joined = joined_.load(kCounting);
  stats.joins_refused = joins_refused_.load(kCounting);
  stats.joined_by_key = joined_by_key_.load(kCounting);
  stats.joins_by_key_refused = joins_by_key_refused_.load(kCounting);
  stats.certificates = certificates_.load(kCounting);
  stats.certificates_refused = certificates_refused_.load(kCounting);
  stats.tokens = tokens_.load(kCounting);
  stats.tokens_refused = tokens_refused_.load(kCounting);
  stats.agents = registry_.Stats();
  return stats;
}

}  // namespace meshca
