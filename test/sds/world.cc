#include "test/sds/world.h"

#include <atomic>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "ca/authn/unix_peer.h"
#include "ca/base/check.h"
#include "ca/base/status.h"
#include "ca/issuance/issuer.h"
#include "ca/rpc/protobuf_payload.h"
#include "ca/subscribers/subscriber_principal.h"
#include "ca/x509/authority_builder.h"
#include "ca/x509/chain_verifier.h"
#include "ca/x509/signing_key.h"
#include "gtest/gtest.h"
#include "sds/delta_secret_stream.h"
#include "sds/secret_stream.h"

namespace meshca::sds {
namespace {

// SigningAuthority::id, of whom the store takes records.
constexpr char kIssuing[] = "issuing";

struct Root {
  std::shared_ptr<const SoftwareKey> key;
  Certificate certificate;
};

Root MakeRoot() {
  Root root;
  root.key = *SoftwareKey::Generate(KeyType::kEcP256);
  root.certificate =
      *BuildRoot(Domain("td.test"), *root.key, FakeClock().Now(), absl::Hours(24 * 365), SystemEntropy());
  return root;
}

const Root& RootOfClients() {
  static const Root& root = *new Root(MakeRoot());
  return root;
}

// A client certificate signed by the root itself: who verifies it is not what these tests are about.
Certificate ClientCertificate(const SpiffeId& id, absl::Time now) {
  SigningAuthority authority;
  authority.state = AuthorityState::kActive;
  authority.certificate = RootA();
  authority.key = RootOfClients().key;
  IssuanceRequest request;
  request.spiffe_id = id;
  request.caller.ids = {id};
  request.public_key = (*SoftwareKey::Generate(KeyType::kEcP256))->public_key();
  return *Issuer(CertificateProfile(), SystemEntropy()).Issue(request, authority, now)->chain.ParseLeaf();
}

CallerIdentity Caller(std::vector<SpiffeId> ids, bool any) {
  CallerIdentity caller;
  caller.method = any ? AuthMethod::kServerUser : AuthMethod::kUnixPeer;
  caller.subject = any ? "uid 0" : "uid 1000";
  caller.ids = std::move(ids);
  caller.any_id_of_trust_domain = any;
  return caller;
}

}  // namespace

TrustDomain Domain(absl::string_view name) { return *TrustDomain::Parse(name); }
SpiffeId Id(absl::string_view uri) { return *SpiffeId::Parse(uri); }

const Certificate& RootA() { return RootOfClients().certificate; }
const Certificate& RootB() {
  static const Root& root = *new Root(MakeRoot());
  return root.certificate;
}

std::shared_ptr<const Trust> FakeTrust::Current() const {
  MutexLock lock(mutex_);
  return current_;
}

void FakeTrust::AddListener(Listener listener) {
  MutexLock lock(mutex_);
  listeners_.push_back(std::move(listener));
}

void FakeTrust::Publish(std::vector<Certificate> roots) {
  const std::shared_ptr<const Trust> before = Current();
  auto trust = std::make_shared<Trust>();
  trust->version = before == nullptr ? 1 : before->version + 1;
  DomainTrust& own = trust->domains.emplace_back();
  own.trust_domain = Domain("td.test");
  for (const Certificate& root : roots) own.roots.push_back(root.der());
  Publish(std::move(trust));
}

void FakeTrust::PublishAgain() { Publish(Current()); }

void FakeTrust::Publish(std::shared_ptr<const Trust> trust) {
  std::vector<Listener> listeners;
  {
    MutexLock lock(mutex_);
    current_ = trust;
    listeners = listeners_;
  }
  for (const Listener& listener : listeners) listener(trust);
}

void FakeAuthenticator::Authenticate(Credentials credentials, absl::Time now, Done done) {
  if (credentials.client_certificate != nullptr) {
    {
      MutexLock lock(mutex_);
      if (!certificates_.ok()) return std::move(done)(certificates_);
    }
    const Certificate& leaf = credentials.client_certificate->leaf;
    CallerIdentity caller = Caller({*leaf.spiffe_id()}, false);
    caller.method = AuthMethod::kClientCertificate;
    caller.parent_serial = leaf.serial_hex();
    caller.presented = PresentedCertificate{leaf.serial_hex(), leaf.sha256(), *leaf.spiffe_id()};
    return std::move(done)(std::move(caller));
  }
  absl::StatusOr<CallerIdentity> caller = EntryMissing(Domain("td.test"), {}, credentials.unix_peer->uid);
  {
    MutexLock lock(mutex_);
    ++asked_;
    const auto found = callers_.find(credentials.unix_peer->uid);
    if (found != callers_.end()) caller = found->second;
  }
  std::move(done)(std::move(caller));
}

void FakeAuthenticator::Set(uint32_t uid, absl::StatusOr<CallerIdentity> caller) {
  MutexLock lock(mutex_);
  callers_.insert_or_assign(uid, std::move(caller));
}

void FakeAuthenticator::RefuseCertificates(absl::Status why) {
  MutexLock lock(mutex_);
  certificates_ = std::move(why);
}

int FakeAuthenticator::asked() const {
  MutexLock lock(mutex_);
  return asked_;
}

void FakeIssuer::SetLifetime(absl::Duration lifetime) {
  MutexLock lock(mutex_);
  lifetime_ = lifetime;
}

Svid FakeIssuer::Make() {
  Svid svid;
  svid.serial = SerialNumber::Make(world_.clock.Now(), world_.entropy).ToHex();
  {
    MutexLock lock(mutex_);
    svid.authority_id = authority_id_;
    svid.validity = {world_.clock.Now() - absl::Minutes(2), world_.clock.Now() + lifetime_};
  }
  svid.chain = CertificateChain::FromIssuance(Der("leaf " + svid.serial), {});
  return svid;
}

void FakeIssuer::Obtain(SvidRequest request, const SigningKey& key, Done done) {
  absl::Status why;
  {
    MutexLock lock(mutex_);
    const auto refused = refused_.find(request.caller.subject);
    const absl::Status own = refused == refused_.end() ? absl::OkStatus() : refused->second;
    requests_.push_back({std::move(request.id), std::move(request.caller), key.public_key()});
    if (hold_) {
      held_.emplace_back(own, std::move(done));
      return;
    }
    why = own.ok() ? why_ : own;
  }
  if (!why.ok()) return std::move(done)(why);
  std::move(done)(Make());
}

void FakeIssuer::FailWith(absl::Status why) {
  MutexLock lock(mutex_);
  why_ = std::move(why);
}

void FakeIssuer::RefuseFor(const std::string& subject, absl::Status why) {
  MutexLock lock(mutex_);
  refused_[subject] = std::move(why);
}

void FakeIssuer::SignWith(std::string authority_id) {
  MutexLock lock(mutex_);
  authority_id_ = std::move(authority_id);
}

void FakeIssuer::HoldBack(bool hold) {
  MutexLock lock(mutex_);
  hold_ = hold;
}

void FakeIssuer::Release() {
  std::vector<std::pair<absl::Status, Done>> held;
  {
    MutexLock lock(mutex_);
    held = std::move(held_);
    held_.clear();
  }
  for (auto& [why, done] : held) {
    if (why.ok()) {
      std::move(done)(Make());
    } else {
      std::move(done)(why);
    }
  }
}

size_t FakeIssuer::submitted() const {
  MutexLock lock(mutex_);
  return requests_.size();
}

std::vector<AskedSvid> FakeIssuer::requests() const {
  MutexLock lock(mutex_);
  return requests_;
}

World::World(KeyRingOptions keys, EntryAdvice advice) {
  authenticator.Set(1000, Caller({Id("spiffe://td.test/web"), Id("spiffe://td.test/api")}, false));
  authenticator.Set(0, Caller({}, true));
  trust.Publish({RootA()});
  AuthorityChange change;  // a store takes records of active authorities alone
  change.trust_domain = "td.test";
  change.authorities.emplace_back().id = kIssuing;
  change.authorities.back().state = AuthorityState::kActive;
  change.audit.emplace_back().action = "authority.activate";
  MESHCA_CHECK(store.CommitAuthorities(change).ok());
  registry = std::make_unique<SubscriberRegistry>(store, clock, absl::Hours(24));
  SecretHub::Parts parts{};
  parts.trust_domain = Domain("td.test");
  parts.trust = &trust;
  parts.authenticator = &authenticator;
  parts.certificates = &certificates;
  parts.svids = &issuer;
  parts.revocations = {&revocations, [this](const std::string& instance, absl::Time until) {
                         registry->CertificatesEnd(instance, until);
                       }};
  parts.registry = registry.get();
  parts.clock = &clock;
  parts.entropy = &entropy;
  parts.keys = keys;
  parts.entry_advice = std::move(advice);
  hub = std::make_unique<SecretHub>(parts);
  hub->Start();
}

void FakeRevocations::Revoke(const std::string& serial) {
  MutexLock lock(mutex_);
  revoked_.insert(serial);
}

void FakeRevocations::RevokeEverything() {
  MutexLock lock(mutex_);
  all_ = true;
}

void FakeRevocations::FailWith(absl::Status why) {
  MutexLock lock(mutex_);
  why_ = std::move(why);
}

int FakeRevocations::asked() const {
  MutexLock lock(mutex_);
  return asked_;
}

absl::StatusOr<bool> FakeRevocations::IsRevoked(absl::string_view serial) {
  MutexLock lock(mutex_);
  ++asked_;
  if (!why_.ok()) return why_;
  return all_ || revoked_.contains(std::string(serial));
}

World::~World() {
  issuer.HoldBack(false);
  issuer.Release();
  hub->Shutdown();
  loop.Drain();
}

std::shared_ptr<const rpc::Peer> World::UnixPeer(uint32_t uid, int pid) {
  auto peer = std::make_shared<rpc::Peer>();
  peer->transport = rpc::Transport::kUnix;
  peer->connection_id = ++connections_;
  peer->address = "unix:test";
  peer->unix_credentials = rpc::UnixCredentials{pid, uid, uid, 77};
  return peer;
}

std::shared_ptr<const rpc::Peer> World::TlsPeer(const SpiffeId& id, const std::string& parent_serial) {
  const std::shared_ptr<const rpc::Peer> peer = ForgedTlsPeer(id);
  const Certificate& leaf = std::static_pointer_cast<const VerifiedPeer>(peer->identity)->leaf;
  IssuanceRecord record;
  record.authority_id = kIssuing;
  record.serial = *leaf.serial();
  record.spiffe_id = id;
  record.certificate_sha256 = leaf.sha256();
  record.key_sha256 = leaf.public_key().sha256();
  record.issued_at = record.not_before = clock.Now();
  record.not_after = leaf.validity().not_after;
  record.method = AuthMethod::kServerUser;
  record.origin = {OriginKind::kOperator, "uid 0"};
  record.parent_serial = parent_serial;
  store.Append(record, [](absl::Status status) { EXPECT_TRUE(status.ok()) << status; });
  return peer;
}

std::shared_ptr<const rpc::Peer> World::ForgedTlsPeer(const SpiffeId& id) {
  auto peer = std::make_shared<rpc::Peer>();
  peer->transport = rpc::Transport::kTls;
  peer->connection_id = ++connections_;
  peer->address = "127.0.0.1:40000";
  auto verified = std::make_shared<VerifiedPeer>();
  verified->spiffe_id = id;
  verified->leaf = ClientCertificate(id, clock.Now());
  verified->root_id = RootA().spki_sha256_hex();
  verified->authority_ids = {verified->root_id};
  verified->path_ends = verified->leaf.validity().not_after;
  peer->certificate_chain_der.push_back(verified->leaf.der().bytes());
  peer->identity = verified;
  return peer;
}

std::vector<SubscriberRegistry::Member> World::FillRoomOf(uint32_t uid) {
  std::vector<SubscriberRegistry::Member> members;
  SubscriberRecord info;
  info.spiffe_id = "spiffe://td.test/web";
  info.peer = UnixPeerText(1, uid);
  while (true) {
    info.instance = absl::StrCat("filling-", members.size());
    absl::StatusOr<SubscriberRegistry::Member> member = registry->Join(info);
    if (member.ok()) {
      members.push_back(*std::move(member));
    } else if (ReasonOf(member.status()) == "INSTANCES_TOO_FAST") {
      clock.Advance(absl::Minutes(1));
    } else {
      return members;
    }
  }
}

void World::Until(const std::function<bool()>& done, absl::string_view what) {
  ASSERT_TRUE(loop.RunUntil(done)) << "never came: " << std::string(what);
}

Proxy::Proxy(World& world, std::shared_ptr<const rpc::Peer> peer, Protocol protocol)
    : world_(world), protocol_(protocol), stream_(std::make_unique<FakeStream>(world.loop, std::move(peer))) {
  if (protocol == Protocol::kStateOfTheWorld) {
    stream_->Attach(std::make_unique<SecretStream>(*stream_, *world.hub));
  } else {
    stream_->Attach(std::make_unique<DeltaSecretStream>(*stream_, *world.hub));
  }
}

void Proxy::SendBytes(absl::string_view bytes) { stream_->handler().OnMessage(bytes); }
void Proxy::Send(const google::protobuf::MessageLite& request) { SendBytes(request.SerializeAsString()); }

void Proxy::Ask(std::vector<std::string> names, absl::string_view nonce) {
  names_ = std::move(names);
  if (protocol_ == Protocol::kDelta) {
    DeltaDiscoveryRequest request;
    request.set_type_url(std::string(kSecretTypeUrl));
    if (std::exchange(first_, false)) request.mutable_node()->set_id(node);
    for (const std::string& name : names_) request.add_resource_names_subscribe(name);
    request.set_response_nonce(std::string(nonce));
    return Send(request);
  }
  DiscoveryRequest request;
  request.set_type_url(std::string(kSecretTypeUrl));
  if (std::exchange(first_, false)) request.mutable_node()->set_id(node);
  for (const std::string& name : names_) request.add_resource_names(name);
  request.set_version_info(version_);
  request.set_response_nonce(std::string(nonce));
  Send(request);
}

void Proxy::Ack() { AckNonce(last_nonce_); }

void Proxy::AckNonce(absl::string_view nonce) {
  if (protocol_ == Protocol::kDelta) {
    DeltaDiscoveryRequest request;
    request.set_type_url(std::string(kSecretTypeUrl));
    request.set_response_nonce(std::string(nonce));
    return Send(request);
  }
  if (!state_.empty()) version_ = state_.back()->version_info();
  Ask(names_, nonce);
}

void Proxy::Nack(absl::string_view what, absl::string_view nonce) {
  const std::string chosen(nonce.empty() ? absl::string_view(last_nonce_) : nonce);
  if (protocol_ == Protocol::kDelta) {
    DeltaDiscoveryRequest request;
    request.set_type_url(std::string(kSecretTypeUrl));
    request.set_response_nonce(chosen);
    request.mutable_error_detail()->set_code(3);
    request.mutable_error_detail()->set_message(std::string(what));
    return Send(request);
  }
  DiscoveryRequest request;
  request.set_type_url(std::string(kSecretTypeUrl));
  for (const std::string& name : names_) request.add_resource_names(name);
  request.set_version_info(version_);  // the last good one
  request.set_response_nonce(chosen);
  request.mutable_error_detail()->set_code(3);
  request.mutable_error_detail()->set_message(std::string(what));
  Send(request);
}

void Proxy::Unsubscribe(std::vector<std::string> names) {
  DeltaDiscoveryRequest request;
  for (const std::string& name : names) request.add_resource_names_unsubscribe(name);
  Send(request);
}

const DiscoveryResponse& Proxy::Await(size_t count) {
  world_.Until([&] { return Count() >= count; }, "a response");
  while (state_.size() < Count()) {
    state_.push_back(std::make_unique<DiscoveryResponse>());
    MESHCA_CHECK(rpc::ParseMessage(rpc::MessageOf(stream_->sent[state_.size() - 1]), *state_.back()).ok());
    last_nonce_ = state_.back()->nonce();
  }
  static const DiscoveryResponse none;
  return state_.size() < count ? none : *state_[count - 1];
}

const DeltaDiscoveryResponse& Proxy::AwaitDelta(size_t count) {
  world_.Until([&] { return Count() >= count; }, "a delta response");
  while (delta_.size() < Count()) {
    delta_.push_back(std::make_unique<DeltaDiscoveryResponse>());
    MESHCA_CHECK(rpc::ParseMessage(rpc::MessageOf(stream_->sent[delta_.size() - 1]), *delta_.back()).ok());
    last_nonce_ = delta_.back()->nonce();
  }
  static const DeltaDiscoveryResponse none;
  return delta_.size() < count ? none : *delta_[count - 1];
}

absl::Status Proxy::AwaitEnd() {
  world_.Until([&] { return stream_->finished.has_value(); }, "the end of the stream");
  return stream_->finished.value_or(absl::UnknownError("still open"));
}

size_t Proxy::Settled() {
  // Twice through the hub's thread: what it had to do is done and what that posted has run.
  for (int round = 0; round < 2; ++round) {
    auto passed = std::make_shared<std::atomic<bool>>(false);
    world_.hub->executor().Run([passed] { *passed = true; });
    world_.Until([&] { return passed->load(); }, "the hub's thread");
    world_.loop.Drain();
  }
  return Count();
}

namespace {

template <typename Response>
std::vector<Secret> SecretsOf(const Response& response) {
  std::vector<Secret> secrets;
  for (const auto& resource : response.resources()) {
    Secret secret;
    if constexpr (std::is_same_v<Response, DiscoveryResponse>) {
      EXPECT_TRUE(resource.UnpackTo(&secret));
    } else {
      EXPECT_TRUE(resource.resource().UnpackTo(&secret));
      EXPECT_EQ(resource.name(), secret.name());
      EXPECT_FALSE(resource.version().empty());
    }
    secrets.push_back(std::move(secret));
  }
  return secrets;
}

template <typename Response>
Secret Pick(const Response& response, absl::string_view name) {
  for (Secret& secret : SecretsOf(response)) {
    if (secret.name() == name) return secret;
  }
  ADD_FAILURE() << "no secret " << std::string(name);
  return {};
}

template <typename Response>
std::vector<std::string> Names(const Response& response) {
  std::vector<std::string> names;
  for (const Secret& secret : SecretsOf(response)) names.push_back(secret.name());
  return names;
}

}  // namespace

Secret SecretIn(const DiscoveryResponse& response, absl::string_view name) { return Pick(response, name); }
Secret SecretIn(const DeltaDiscoveryResponse& response, absl::string_view name) { return Pick(response, name); }
std::vector<std::string> NamesIn(const DiscoveryResponse& response) { return Names(response); }
std::vector<std::string> NamesIn(const DeltaDiscoveryResponse& response) { return Names(response); }

}  // namespace meshca::sds
