#include "cli/agent/joining.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/check.h"
#include "ca/base/log.h"
#include "ca/base/status.h"
#include "ca/identity/join_token_text.h"
#include "ca/identity/node_key.h"
#include "ca/rpc/client/client_channel.h"
#include "ca/x509/encoding.h"
#include "ca/x509/key_request.h"
#include "cli/agent/ca_caller.h"
#include "cli/agent/full_jitter.h"
#include "cli/agent/signed_answer.h"
#include "cli/agent/trust_message.h"

namespace meshca::agent {
namespace {

absl::Status Refused(absl::StatusCode code, absl::string_view reason, absl::string_view what) {
  return WithReason(absl::Status(code, what), reason);
}

// The trust of the answer is believed because the server is; that it holds the token's root shows that it is the trust
// of the CA that made the token, and not of another one on the same host.
bool HasRoot(const sds::DomainTrust& domain, const std::string& root_spki_sha256) {
  const std::vector<Certificate> roots = RootsOf(domain);
  return std::any_of(roots.begin(), roots.end(),
                     [&](const Certificate& root) { return root.public_key().sha256() == root_spki_sha256; });
}

bool IsMendedByWaiting(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) || absl::IsResourceExhausted(status) ||
         absl::IsAborted(status);
}

std::unique_ptr<rpc::ClientChannel> OpenChannel(const std::string& server, const std::shared_ptr<ServerJudge>& judge) {
  rpc::TlsServer target;
  target.address = server;
  target.verdict = ServerJudge::VerdictOf(judge);
  return rpc::ClientChannel::ToTlsServer(std::move(target));
}

absl::Status Stopped() { return absl::CancelledError("the agent was stopped before it had joined"); }

}  // namespace

Joining::Joining(JoiningOptions options, AgentState& state, ToldTrust& trust, const Clock& clock,
                 EntropySource& entropy, std::function<void(const absl::Status&)> tried)
    : options_(std::move(options)),
      state_(state),
      trust_(trust),
      clock_(clock),
      entropy_(entropy),
      tried_(std::move(tried)) {
  MESHCA_CHECK(!options_.servers.empty());
}

Joining::~Joining() { Stop(); }

absl::StatusOr<OwnIdentityPtr> Joining::Run(const SecretBytes& token) {
  MESHCA_ASSIGN_OR_RETURN(const JoinTokenText text, ParseJoinToken(token.reveal()));
  const std::string token_sha256 = JoinTokenSha256(token.reveal());
  MESHCA_ASSIGN_OR_RETURN(const bool spent, state_.IsSpent(token_sha256));
  if (spent) {
    return Refused(absl::StatusCode::kFailedPrecondition, "TOKEN_SPENT",
                   absl::StrCat("join token ", JoinTokenId(token_sha256),
                                " has brought this agent a certificate before and brings no other: get a new one, "
                                "meshca token create --node NODE --replace"));
  }
  const std::shared_ptr<const sds::Trust> known = trust_.Current();
  if (known != nullptr && !HasRoot(known->domains.front(), text.root_spki_sha256)) {
    return Refused(
        absl::StatusCode::kUnauthenticated, "ROOT_UNKNOWN",
        absl::StrCat("join token ", JoinTokenId(token_sha256), " is of a CA with the root ",
                     HexLower(text.root_spki_sha256), ", which is none of those that this agent knows (",
                     state_.folder(), "). Where the CA was made anew, give the agent a new state directory"));
  }
  MESHCA_ASSIGN_OR_RETURN(std::shared_ptr<const SoftwareKey> key, state_.JoiningKey());
  FullJitter jitter(options_.retry_first, options_.retry_max, entropy_);
  for (;;) {
    bool may_be_mended = false;
    absl::StatusOr<OwnIdentityPtr> joined = AskInTurn(token, text.root_spki_sha256, key, may_be_mended);
    if (joined.ok()) {
      const absl::Status ended = state_.EndJoining(token_sha256);
      // The certificate is safe, and the CA knows that the token is spent.
      if (!ended.ok()) LogWarning("a spent join token cannot be noted", {{"error", std::string(ended.message())}});
      return joined;
    }
    if (!may_be_mended) return joined;
    if (tried_) tried_(joined.status());
    if (!WaitUnlessStopped(jitter.Next())) return Stopped();
  }
}

absl::StatusOr<OwnIdentityPtr> Joining::AskInTurn(const SecretBytes& token, const std::string& root,
                                                  const std::shared_ptr<const SoftwareKey>& key, bool& may_be_mended) {
  absl::Status told;
  for (const std::string& server : options_.servers) {
    absl::StatusOr<OwnIdentityPtr> joined = Ask(server, token, root, key);
    if (joined.ok()) return joined;
    const absl::Status why = Annotate(joined.status(), server);
    may_be_mended |= IsMendedByWaiting(why);
    // One of several servers may be another's by mistake; any other refusal is the CA's own word.
    const std::string reason = ReasonOf(why);
    const bool not_believed = reason == "ROOT_FINGERPRINT" || reason == "SERVER_IDENTITY" || reason == "SERVER_NAME" ||
                              reason.rfind("PEER_", 0) == 0;
    if (!not_believed && !IsMendedByWaiting(why)) {
      may_be_mended = false;
      return why;
    }
    if (told.ok() || not_believed) told = why;
  }
  return told;
}

absl::StatusOr<OwnIdentityPtr> Joining::Ask(const std::string& server, const SecretBytes& token,
                                            const std::string& root, const std::shared_ptr<const SoftwareKey>& key) {
  const std::shared_ptr<const ChainVerifier> verifier = trust_.verifier();
  const auto judge = verifier != nullptr ? std::make_shared<ServerJudge>(verifier, server, clock_)
                                         : std::make_shared<ServerJudge>(root, server, clock_);
  MESHCA_ASSIGN_OR_RETURN(Der csr, MakeKeyRequest(*key));
  v1::JoinRequest request;
  request.set_csr(std::move(csr).Release());
  request.set_agent_version(options_.agent_version);
  const std::unique_ptr<rpc::ClientChannel> channel = OpenChannel(server, judge);
  const absl::StatusOr<std::string> response =
      CallAndWait(*channel, *judge, kJoinMethod, request.SerializeAsString(),
                  {.timeout = options_.call_timeout, .bearer_token = token.reveal()});
  channel->Shutdown();
  if (!response.ok()) return response.status();
  v1::JoinResponse answer;
  if (!answer.ParseFromString(*response)) return absl::InternalError("the CA's answer cannot be read");
  return TakeAnswer(answer, judge->trust_domain(), root, key);
}

absl::StatusOr<std::string> Joining::CallAndWait(rpc::ClientChannel& channel, const ServerJudge& judge,
                                                 const char* method, const std::string& request,
                                                 const rpc::ClientCallOptions& call) {
  std::optional<absl::StatusOr<std::string>> response;
  channel.CallUnary(method, request, call, [&](absl::StatusOr<std::string> got) {
    MutexLock lock(mutex_);
    response = std::move(got);
    changed_.NotifyAll();
  });
  bool stopped = false;
  {
    MutexLock lock(mutex_);
    while (!response.has_value() && !stopped_) changed_.Wait(mutex_);
    stopped = stopped_;
  }
  if (stopped) channel.Shutdown();  // `response` is here at the latest
  MutexLock lock(mutex_);
  if (stopped) return Stopped();
  const absl::Status verdict = judge.last_verdict();
  return verdict.ok() ? *std::move(response) : absl::StatusOr<std::string>(verdict);
}

// --- by the key of a certificate that has ended ---

absl::StatusOr<OwnIdentityPtr> Joining::RunByKey(const OwnIdentity& ended) {
  MESHCA_ASSIGN_OR_RETURN(const std::shared_ptr<const SoftwareKey> key, KeyToJoinAgainWith(ended));
  absl::Status told;
  for (const std::string& server : options_.servers) {
    absl::StatusOr<OwnIdentityPtr> joined = AskByKey(server, ended, key);
    if (joined.ok()) {
      const absl::Status forgotten = state_.ForgetJoiningKey();
      // It is the key of the agent's certificate now, and the next joining passes over it.
      if (!forgotten.ok()) LogWarning("a joining key stays", {{"error", std::string(forgotten.message())}});
      return joined;
    }
    if (absl::IsCancelled(joined.status())) return joined.status();
    // What a CA says of this agent is worth more than that another server does not answer.
    if (told.ok() || IsMendedByWaiting(told)) told = Annotate(joined.status(), server);
  }
  return told;
}

absl::StatusOr<std::shared_ptr<const SoftwareKey>> Joining::KeyToJoinAgainWith(const OwnIdentity& ended) {
  MESHCA_ASSIGN_OR_RETURN(std::shared_ptr<const SoftwareKey> key, state_.JoiningKey());
  if (key->public_key() != ended.key->public_key()) return key;
  // Left where the joining before ended between two writes.
  MESHCA_RETURN_IF_ERROR(state_.ForgetJoiningKey());
  MESHCA_ASSIGN_OR_RETURN(key, state_.JoiningKey());
  return key;
}

absl::StatusOr<OwnIdentityPtr> Joining::AskByKey(const std::string& server, const OwnIdentity& ended,
                                                 const std::shared_ptr<const SoftwareKey>& key) {
  const std::shared_ptr<const ChainVerifier> verifier = trust_.verifier();
  if (verifier == nullptr) return absl::FailedPreconditionError("this agent has no trust to know its CA by");
  const auto judge = std::make_shared<ServerJudge>(verifier, server, clock_);
  const std::unique_ptr<rpc::ClientChannel> channel = OpenChannel(server, judge);
  absl::StatusOr<v1::JoinResponse> answer = CallJoinByKey(*channel, *judge, ended, *ended.key, *key);
  if (ReasonOf(answer.status()) == "NODE_KEY_NOT_NEWEST") {
    // The CA may have heard of the new key, and its answer be lost.
    const absl::StatusOr<v1::JoinResponse> repeated = CallJoinByKey(*channel, *judge, ended, *key, *key);
    if (repeated.ok()) answer = repeated;
  }
  channel->Shutdown();
  if (!answer.ok()) return answer.status();
  return TakeAnswer(*answer, judge->trust_domain(), /*root=*/"", key);
}

absl::StatusOr<v1::JoinResponse> Joining::CallJoinByKey(rpc::ClientChannel& channel, const ServerJudge& judge,
                                                        const OwnIdentity& ended, const SoftwareKey& proving,
                                                        const SoftwareKey& key) {
  const absl::StatusOr<std::string> given = CallAndWait(
      channel, judge, kChallengeMethod, v1::ChallengeRequest().SerializeAsString(), {.timeout = options_.call_timeout});
  if (!given.ok() && !absl::IsUnimplemented(given.status())) return given.status();
  v1::ChallengeResponse challenge;
  if (given.ok() && !challenge.ParseFromString(*given)) return absl::InternalError("the CA's answer cannot be read");
  if (challenge.challenge().empty()) {
    return Refused(absl::StatusCode::kFailedPrecondition, "REJOIN_NOT_OFFERED",
                   absl::StrCat("the CA lets no agent join again by its key (",
                                given.ok() ? "agents.rejoin_grace is 0 there" : "it is older than that", ")"));
  }
  MESHCA_ASSIGN_OR_RETURN(Der csr, MakeKeyRequest(key));
  v1::JoinRequest request;
  request.set_csr(std::move(csr).Release());
  request.set_agent_version(options_.agent_version);
  v1::NodeKeyProof& proof = *request.mutable_proof();
  proof.set_node(ended.node);
  proof.set_public_key(std::string(proving.public_key().spki()));
  proof.set_challenge(challenge.challenge());
  proof.set_signature_algorithm(std::string(proving.signature_algorithm()));
  MESHCA_ASSIGN_OR_RETURN(
      *proof.mutable_signature(),
      proving.Sign(NodeKeyStatement(ended.id.trust_domain(), ended.node, challenge.challenge(), request.csr())));
  const absl::StatusOr<std::string> response =
      CallAndWait(channel, judge, kJoinMethod, request.SerializeAsString(), {.timeout = options_.call_timeout});
  if (!response.ok()) return response.status();
  v1::JoinResponse answer;
  if (!answer.ParseFromString(*response)) return absl::InternalError("the CA's answer cannot be read");
  if (answer.node() != ended.node) {
    return absl::InternalError(absl::StrCat("the CA answered for node ", answer.node(), ", not for ", ended.node));
  }
  return answer;
}

absl::StatusOr<OwnIdentityPtr> Joining::TakeAnswer(const v1::JoinResponse& answer, const TrustDomain& server_domain,
                                                   const std::string& root, std::shared_ptr<const SoftwareKey> key) {
  MESHCA_ASSIGN_OR_RETURN(const std::shared_ptr<const sds::Trust> told, ReadTrust(answer.trust()));
  const sds::DomainTrust& own = told->domains.front();
  if (own.trust_domain != server_domain || answer.trust_domain() != server_domain.name()) {
    return absl::InternalError(absl::StrCat("the CA of ", server_domain.name(), " told the trust of ",
                                            own.trust_domain.name(), " and of ", answer.trust_domain()));
  }
  if (trust_.Current() == nullptr && !HasRoot(own, root)) {
    return Refused(
        absl::StatusCode::kUnauthenticated, "ROOT_FINGERPRINT",
        "the CA does not trust the root of this token any more: get a new one, meshca token create --node NODE");
  }
  MESHCA_ASSIGN_OR_RETURN(const SpiffeId id, AgentId(server_domain, answer.node()));
  SignedAnswerReader reader;
  MESHCA_ASSIGN_OR_RETURN(sds::Svid svid, reader.Read(answer.chain(), key->public_key(), id,
                                                      ChainVerifier(own.trust_domain, RootsOf(own)), clock_.Now()));
  MESHCA_ASSIGN_OR_RETURN(OwnIdentityPtr identity, MakeOwnIdentity(std::move(key), std::move(svid.chain)));
  MESHCA_RETURN_IF_ERROR(trust_.Adopt(answer.trust()));
  // Without the trust on disk the certificate would be of no use after a restart.
  MESHCA_RETURN_IF_ERROR(Annotate(trust_.SaveAgain(), "the agent's trust"));
  MESHCA_RETURN_IF_ERROR(Annotate(state_.SaveIdentity(*identity), "the agent's own certificate"));
  return identity;
}

bool Joining::WaitUnlessStopped(absl::Duration wait) {
  const absl::Duration until = clock_.SinceBoot() + wait;
  MutexLock lock(mutex_);
  while (!stopped_ && clock_.SinceBoot() < until) changed_.WaitFor(mutex_, until - clock_.SinceBoot());
  return !stopped_;
}

void Joining::Stop() {
  MutexLock lock(mutex_);
  stopped_ = true;
  changed_.NotifyAll();
}

}  // namespace meshca::agent
