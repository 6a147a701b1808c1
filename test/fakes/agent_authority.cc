#include "test/fakes/agent_authority.h"

#include <utility>

#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "ca/base/check.h"
#include "ca/base/entropy.h"
#include "ca/base/process_limits.h"
#include "ca/identity/join_token_text.h"
#include "ca/jwt/jwt_svid.h"
#include "ca/rpc/protobuf_payload.h"
#include "ca/x509/authority_builder.h"
#include "ca/x509/csr.h"
#include "ca/x509/leaf_template.h"

namespace meshca::agent {
namespace {

const std::vector<std::string> kServerNames = {"localhost", "istiod.istio-system.svc"};

PublicKey KeyIn(const std::string& csr) {
  const absl::StatusOr<Csr> parsed = Csr::Parse(csr);
  MESHCA_CHECK(parsed.ok());
  return parsed->public_key();
}

template <typename Request, typename Response>
rpc::UnaryHandler Answering(std::function<absl::StatusOr<Response>(const rpc::Call&, const Request&)> answer) {
  return [answer = std::move(answer)](std::shared_ptr<rpc::Call> call) {
    Request request;
    MESHCA_CHECK(rpc::ParseMessage(call->request(), request).ok());
    const absl::StatusOr<Response> response = answer(*call, request);
    if (!response.ok()) return call->Finish(response.status());
    call->Finish(rpc::Frame(*response));
  };
}

}  // namespace

AuthorityKeys::AuthorityKeys()
    : kid(*JwkThumbprint(jwt_key->public_key())),
      root(*BuildRoot(domain, *root_key, absl::Now(), absl::Hours(1000), SystemEntropy())),
      issuing(*BuildIssuing(domain, issuing_key->public_key(), root, *root_key, absl::Now(), absl::Hours(500),
                            SystemEntropy())) {}

std::vector<std::string> AuthorityKeys::Leaf(const PublicKey& key, const std::string& id,
                                             const std::vector<std::string>& dns_names, absl::Duration lifetime,
                                             absl::Time now) const {
  const LeafTemplate leaf = *LeafTemplate::Make(issuing, issuing_key->signature_algorithm());
  const std::string tbs =
      leaf.BuildTbs({SerialNumber::Make(now, SystemEntropy()), *Validity::Make(now - absl::Hours(1), now + lifetime),
                     *SpiffeId::Parse(id), dns_names, key});
  return {leaf.Assemble(tbs, *issuing_key->Sign(tbs)).bytes(), issuing.der().bytes()};
}

v1::Trust AuthorityKeys::Trust(uint64_t version) const {
  v1::Trust trust;
  trust.set_version(version);
  v1::TrustDomainKeys& own = *trust.add_domains();
  own.set_trust_domain(domain.name());
  own.add_x509_authorities(root.der().bytes());
  v1::JwtAuthority& authority = *own.add_jwt_authorities();
  authority.set_kid(kid);
  authority.set_public_key(std::string(jwt_key->public_key().spki()));
  return trust;
}

v1::MintJwtResponse AuthorityKeys::Jwt(const v1::MintJwtRequest& wish, absl::Duration lifetime, absl::Time now) const {
  v1::MintJwtResponse minted;
  minted.set_token(*MintJwtSvid(
      {*SpiffeId::Parse(wish.spiffe_id()), {wish.audiences().begin(), wish.audiences().end()}, now, now + lifetime},
      *jwt_key, kid));
  minted.mutable_expires_at()->set_seconds(absl::ToUnixSeconds(now + lifetime));
  minted.set_kid(kid);
  return minted;
}

SecretBytes AuthorityKeys::Token() const { return MakeJoinToken(root.public_key().sha256(), SystemEntropy()); }

// Its service's side of one Attach.
class AgentAuthority::AttachStream final : public rpc::StreamHandler {
 public:
  AttachStream(rpc::Stream& stream, AgentAuthority& authority) : stream_(stream), authority_(authority) {
    const std::shared_ptr<const VerifiedPeer> peer = VerifiedPeerOf(*stream.peer());
    MutexLock lock(authority_.mutex_);
    authority_.callers_.push_back(peer == nullptr ? "" : peer->spiffe_id.uri());
    authority_.stream_ = rpc::TypedStreamHandle<AttachStream>(stream, *this);
  }

  void OnMessage(absl::string_view bytes) override {
    v1::AttachRequest request;
    MESHCA_CHECK(rpc::ParseMessage(bytes, request).ok());
    if (request.has_hello()) return Greet(request.hello());
    {
      MutexLock lock(authority_.mutex_);
      authority_.held_.push_back(request.held());
    }
    authority_.held_seen.Add();
  }
  void OnHalfClose() override { stream_.Finish(absl::OkStatus()); }
  void OnClose(const absl::Status& status) override { authority_.closed_seen.Add(); }

  void Send(const v1::AttachResponse& message) { stream_.Send(rpc::Frame(message)); }
  void Finish(const absl::Status& status) { stream_.Finish(status); }

 private:
  void Greet(const v1::AttachHello& hello) {
    {
      MutexLock lock(authority_.mutex_);
      authority_.hellos_.push_back(hello);
    }
    const absl::Status verdict = authority_.script.hello(hello);
    if (!verdict.ok()) stream_.Finish(verdict);
    for (const v1::AttachResponse& message : authority_.script.first) {
      if (verdict.ok()) Send(message);
    }
    authority_.hellos_seen.Add();
  }

  rpc::Stream& stream_;
  AgentAuthority& authority_;
};

AgentAuthority::AgentAuthority(std::shared_ptr<const AuthorityKeys> keys) : keys_(std::move(keys)) {
  IgnoreBrokenPipes();
  verifier_->Trust(keys_->domain, {keys_->root});
  script.join = [this](const v1::JoinRequest& request, const std::string&) { return Joined(request); };
  script.sign = [this](const v1::SignRequest& request) {
    v1::SignResponse response;
    for (const v1::CertificateRequest& one : request.requests()) *response.add_results() = Signed(one);
    return response;
  };
  script.challenge = [] {
    v1::ChallengeResponse response;
    response.set_challenge("sign this");
    response.mutable_rejoin_grace()->set_seconds(3600);
    return response;
  };
  script.mint = [this](const v1::MintJwtRequest& request) { return keys_->Jwt(request); };
  script.hello = [](const v1::AttachHello&) { return absl::OkStatus(); };
  script.first = {Welcome(), TrustMessage(keys_->Trust())};
}

v1::JoinResponse AgentAuthority::Joined(const v1::JoinRequest& request, const std::string& node) const {
  v1::JoinResponse response;
  for (std::string& der : keys_->Leaf(KeyIn(request.csr()), "spiffe://cluster.local/meshca/agent/" + node)) {
    response.add_chain(std::move(der));
  }
  *response.mutable_trust() = keys_->Trust();
  response.set_node(node);
  response.set_trust_domain(keys_->domain.name());
  return response;
}

v1::CertificateResult AgentAuthority::Signed(const v1::CertificateRequest& request) const {
  v1::CertificateResult result;
  for (std::string& der : keys_->Leaf(KeyIn(request.csr()), request.spiffe_id())) result.add_chain(std::move(der));
  result.set_authority_id(keys_->issuing.spki_sha256_hex());
  return result;
}

std::shared_ptr<const rpc::Router> AgentAuthority::MakeRouter() {
  rpc::Router router;
  router.AddUnary(
      "/meshca.agent.v1.Agent/Join",
      Answering<v1::JoinRequest, v1::JoinResponse>([this](const rpc::Call& call, const v1::JoinRequest& request) {
        const std::string bearer(absl::StripPrefix(call.metadata("authorization").value_or(""), "Bearer "));
        {
          MutexLock lock(mutex_);
          joining_keys_.push_back(KeyIn(request.csr()).sha256());
        }
        joins_seen.Add();
        return script.join(request, bearer);
      }));
  router.AddUnary("/meshca.agent.v1.Agent/Challenge",
                  Answering<v1::ChallengeRequest, v1::ChallengeResponse>(
                      [this](const rpc::Call&, const v1::ChallengeRequest&) { return script.challenge(); }));
  router.AddUnary("/meshca.agent.v1.Agent/Sign", Answering<v1::SignRequest, v1::SignResponse>(
                                                     [this](const rpc::Call&, const v1::SignRequest& request) {
                                                       {
                                                         MutexLock lock(mutex_);
                                                         signs_.push_back(request);
                                                       }
                                                       signs_seen.Add();
                                                       return script.sign(request);
                                                     }));
  router.AddUnary("/meshca.agent.v1.Agent/MintJwt", Answering<v1::MintJwtRequest, v1::MintJwtResponse>(
                                                        [this](const rpc::Call&, const v1::MintJwtRequest& request) {
                                                          mints_seen.Add();
                                                          return script.mint(request);
                                                        }));
  router.AddStream("/meshca.agent.v1.Agent/Attach",
                   [this](rpc::Stream& stream) { return std::make_unique<AttachStream>(stream, *this); });
  return std::make_shared<const rpc::Router>(std::move(router));
}

std::shared_ptr<rpc::TlsContext> AgentAuthority::MakeTls(const std::string& id) {
  const auto key = *SoftwareKey::Generate(KeyType::kEcP256);
  rpc::TlsOptions options;
  if (id.empty()) {
    options.certificate_chain_der = {
        BuildServerCertificate(keys_->domain, key->public_key(), {kServerNames, {"127.0.0.1"}}, keys_->issuing,
                               *keys_->issuing_key, absl::Now(), absl::Hours(1), absl::Hours(24), SystemEntropy())
            ->der()
            .bytes(),
        keys_->issuing.der().bytes()};
  } else {
    options.certificate_chain_der = keys_->Leaf(key->public_key(), id, kServerNames);
  }
  options.certificate_chain_der.push_back(keys_->root.der().bytes());
  EVP_PKEY_up_ref(key->evp());
  options.private_key.reset(key->evp());
  options.client_certificates = rpc::ClientCertificates::kOptional;
  options.verifier = verifier_;
  return *rpc::TlsContext::Create(std::move(options));
}

std::string AgentAuthority::Serve(const std::string& id, const std::string& address) {
  server_ = *rpc::Server::Create({.loops = 1});
  rpc::ListenerOptions listener;
  listener.address = address;
  listener.tls = MakeTls(id);
  listener.router = MakeRouter();
  const absl::StatusOr<std::string> bound = server_->AddListener(std::move(listener));
  MESHCA_CHECK(bound.ok());
  server_->Start();
  return *bound;
}

void AgentAuthority::Kill() {
  if (server_ != nullptr) server_->Shutdown(absl::ZeroDuration());
  server_.reset();
}

void AgentAuthority::Tell(const v1::AttachResponse& message) {
  MutexLock lock(mutex_);
  stream_.Post([message](AttachStream& stream) { stream.Send(message); });
}

void AgentAuthority::EndStream(const absl::Status& status) {
  MutexLock lock(mutex_);
  stream_.Post([status](AttachStream& stream) { stream.Finish(status); });
}

std::vector<v1::AttachHello> AgentAuthority::hellos() {
  MutexLock lock(mutex_);
  return hellos_;
}
std::vector<v1::Held> AgentAuthority::held() {
  MutexLock lock(mutex_);
  return held_;
}
std::vector<v1::SignRequest> AgentAuthority::signs() {
  MutexLock lock(mutex_);
  return signs_;
}
std::vector<std::string> AgentAuthority::callers() {
  MutexLock lock(mutex_);
  return callers_;
}
std::vector<std::string> AgentAuthority::joining_keys() {
  MutexLock lock(mutex_);
  return joining_keys_;
}

v1::AttachResponse Welcome(uint32_t version, absl::Duration heartbeat) {
  v1::AttachResponse message;
  v1::AttachWelcome& welcome = *message.mutable_welcome();
  welcome.set_protocol_version(version);
  welcome.set_server_version("0.2.0");
  welcome.mutable_heartbeat()->set_seconds(absl::ToInt64Seconds(heartbeat));
  welcome.mutable_delivered_after()->set_seconds(60);
  return message;
}

v1::AttachResponse TrustMessage(const v1::Trust& trust) {
  v1::AttachResponse message;
  *message.mutable_trust() = trust;
  return message;
}

v1::AttachResponse EntriesMessage(const v1::EntriesChange& change) {
  v1::AttachResponse message;
  *message.mutable_entries() = change;
  return message;
}

v1::NodeEntry Entry(const std::string& id, const std::string& spiffe_id, const std::vector<std::string>& selectors) {
  v1::NodeEntry entry;
  entry.set_id(id);
  entry.set_spiffe_id(spiffe_id);
  for (const std::string& selector : selectors) entry.add_selectors(selector);
  return entry;
}

}  // namespace meshca::agent
