#include "cli/agent_process/meshca_agent.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/authn/entry_cache.h"
#include "ca/authn/unix_peer.h"
#include "ca/authority/guarded_clock.h"
#include "ca/base/clock.h"
#include "ca/base/entropy.h"
#include "ca/base/log.h"
#include "ca/base/mutex.h"
#include "ca/base/serial_executor.h"
#include "ca/base/status.h"
#include "ca/base/version.h"
#include "ca/rpc/health.h"
#include "ca/rpc/server.h"
#include "cli/agent/agent_state.h"
#include "cli/agent/ca_connection.h"
#include "cli/agent/full_jitter.h"
#include "cli/agent/joining.h"
#include "cli/agent/minted_jwts.h"
#include "cli/agent/own_renewal.h"
#include "cli/agent/sign_batcher.h"
#include "cli/agent/told_entries.h"
#include "cli/agent/told_trust.h"
#include "cli/agent/trust_message.h"
#include "cli/agent_process/agent_admin.h"
#include "cli/agent_process/agent_orders.h"
#include "cli/agent_process/agent_pages.h"
#include "cli/agent_process/agent_view.h"
#include "cli/agent_process/forgetful_subscriber_store.h"
#include "cli/agent_process/node_holdings.h"
#include "cli/agent_process/told_jwt_source.h"
#include "cli/agent_process/told_revocations.h"
#include "cli/client/secret_file.h"
#include "cli/config/convert.h"
#include "cli/process/periodic_thread.h"
#include "cli/process/socket_listeners.h"
#include "sds/sds_service.h"

namespace meshca::cli {
namespace {

// How long what consumers have acknowledged goes unreported: while some are behind, and while nobody is.
constexpr absl::Duration kLookWhileBehind = absl::Milliseconds(200);
constexpr absl::Duration kLook = absl::Seconds(1);
constexpr absl::Duration kEntriesSaveGap = absl::Seconds(5);
// An agent whose certificate has ended looks so often whether somebody has given it a new token.
constexpr absl::Duration kLookForToken = absl::Seconds(5);

// Members stand in order of construction; Stop takes down what runs, the destructors the rest in reverse.
class MeshcaAgent final : public Agent {
 public:
  MeshcaAgent(config::ResolvedAgentConfig config, std::unique_ptr<agent::AgentState> state)
      : config_(std::move(config)), state_(std::move(state)), trust_(*state_) {}
  ~MeshcaAgent() override { Stop(); }

  absl::Status Restore();
  absl::Status Join() override;
  absl::Status Serve() override;
  AgentScreen Screen() const override;
  void Reload(const config::ResolvedAgentConfig& next) override;
  void CancelJoin() override;
  void Stop() override;

 private:
  absl::Status JoinByToken();
  absl::Status JoinBy(absl::FunctionRef<absl::StatusOr<agent::OwnIdentityPtr>(agent::Joining&)> run);
  void MakeClientParts();
  void MakeServingParts();
  absl::Status BindListeners();
  absl::Status StartHttp();
  sds::SdsService::Parts SdsParts();
  void RestoreEntries();
  void SaveEntries(absl::Duration gap);
  AgentView View() const;
  AgentCounts Counts() const;
  absl::Duration Look();
  absl::Duration JoinAgainWhenEnded();
  bool TokenIsNew();
  absl::Status JoinAgainByKey(const agent::OwnIdentity& ended);
  std::string WhereATokenIsLookedFor() const;
  std::vector<std::string> Servers() const { return {config_.values.server().begin(), config_.values.server().end()}; }
  std::string HttpAddress() const { return http_ == nullptr ? "off" : http_->address(); }

  const absl::Time started_at_ = SystemClock().Now();
  EntropySource& entropy_ = SystemEntropy();
  const config::ResolvedAgentConfig config_;
  const std::unique_ptr<agent::AgentState> state_;
  // A jump since the start is noticed; what was before is not known to an agent, whose CA judges the time anyway.
  GuardedClock clock_{SystemClock(), absl::InfiniteDuration()};
  agent::ToldTrust trust_;
  agent::OwnIdentityHolder identity_;
  bool joined_now_ = false;

  Mutex joining_mutex_;
  std::shared_ptr<agent::Joining> joining_ ABSL_GUARDED_BY(joining_mutex_);  // null: none is under way
  bool stopping_ ABSL_GUARDED_BY(joining_mutex_) = false;

  EntryCache entry_cache_;
  agent::ToldEntries entries_{entry_cache_};
  ToldRevocations revocations_;
  ForgetfulSubscriberStore subscribers_;
  AgentOrders orders_;
  NodeHoldings holdings_{trust_};
  SerialExecutor executor_{SystemClock()};
  std::unique_ptr<agent::CaConnection> connection_;
  std::unique_ptr<agent::OwnRenewal> own_renewal_;
  std::unique_ptr<agent::SignBatcher> svids_;
  std::unique_ptr<agent::MintedJwts> jwts_;
  std::unique_ptr<ToldJwtSource> jwt_source_;
  std::unique_ptr<UnixPeerAuthenticator> unix_peer_;
  std::unique_ptr<sds::SdsService> sds_;
  std::unique_ptr<AgentAdmin> admin_;
  std::unique_ptr<rpc::HealthService> health_;
  std::unique_ptr<rpc::Server> server_;
  std::string api_socket_;
  std::string admin_socket_;
  std::unique_ptr<http::PageServer> http_;              // null where `http_listen` is off
  std::array<uint64_t, 10> reported_{};                 // Look's: numbers that change with what consumers hold
  absl::Duration delivered_after_ = absl::Seconds(60);  // Look's, as the CA told it last
  std::atomic<bool> entries_unsaved_ = false;
  absl::Duration entries_saved_at_ = -absl::InfiniteDuration();  // Look's
  mutable Mutex rejoin_mutex_;
  absl::Status rejoining_ ABSL_GUARDED_BY(rejoin_mutex_);
  // JoinAgainWhenEnded's: the token file as it was when it was tried last; when the key is tried again, and what came
  // of it last.
  std::string looked_at_ = "";
  agent::FullJitter by_key_{kLookForToken, absl::Minutes(1), entropy_};
  absl::Duration by_key_at_ = absl::ZeroDuration();
  absl::Status by_key_said_;
  std::unique_ptr<PeriodicThread> looking_;
  std::unique_ptr<PeriodicThread> joining_again_;
  bool serves_ = false;
  bool stopped_ = false;
};

absl::Status MeshcaAgent::Restore() {
  clock_.Observe();
  MESHCA_RETURN_IF_ERROR(trust_.Restore());
  MESHCA_ASSIGN_OR_RETURN(agent::OwnIdentityPtr identity, state_->LoadIdentity());
  if (identity != nullptr && trust_.Current() == nullptr) {
    return WithReason(
        absl::DataLossError(absl::StrCat(state_->folder(),
                                         ": has the agent's certificate, and the trust beside it is gone: delete the "
                                         "folder, and join again by a new token (meshca token create --node ",
                                         identity->node, " --replace)")),
        "STATE_INCOMPLETE");
  }
  identity_.Set(std::move(identity));
  return absl::OkStatus();
}

absl::Status MeshcaAgent::Join() {
  if (identity_.Current() != nullptr) return absl::OkStatus();
  if (!config_.values.has_token_file()) {
    return WithReason(
        absl::FailedPreconditionError(absl::StrCat(
            "this agent has not joined yet (nothing in ", state_->folder(),
            "), and has no token to join by: on the CA's host, meshca token create --node NODE --out token; "
            "then --token-file token here")),
        "TOKEN_MISSING");
  }
  MESHCA_RETURN_IF_ERROR(JoinByToken());
  joined_now_ = true;
  return absl::OkStatus();
}

absl::Status MeshcaAgent::JoinByToken() {
  MESHCA_ASSIGN_OR_RETURN(const SecretBytes token, ReadSecretFile(config_.values.token_file()));
  return JoinBy([&token](agent::Joining& joining) { return joining.Run(token); });
}

absl::Status MeshcaAgent::JoinBy(absl::FunctionRef<absl::StatusOr<agent::OwnIdentityPtr>(agent::Joining&)> run) {
  agent::JoiningOptions options;
  options.servers = Servers();
  options.agent_version = kVersion;
  auto joining = std::make_shared<agent::Joining>(
      std::move(options), *state_, trust_, SystemClock(), entropy_, [](const absl::Status& why) {
        LogWarning("not joined yet; it is tried again", {{"why", std::string(why.message())}});
      });
  {
    MutexLock lock(joining_mutex_);
    if (stopping_) return absl::CancelledError("stopped");
    joining_ = joining;
  }
  absl::StatusOr<agent::OwnIdentityPtr> joined = run(*joining);
  {
    MutexLock lock(joining_mutex_);
    joining_ = nullptr;
  }
  MESHCA_RETURN_IF_ERROR(joined.status());
  LogInfo("joined", {{"node", (*joined)->node}, {"spiffe_id", (*joined)->id.uri()}});
  identity_.Set(*std::move(joined));
  return absl::OkStatus();
}

void MeshcaAgent::MakeClientParts() {
  agent::CaConnectionOptions options;
  options.servers = Servers();
  options.agent_version = kVersion;
  connection_ = std::make_unique<agent::CaConnection>(
      std::move(options), agent::CaConnection::Parts{trust_, entries_, identity_, orders_, holdings_}, SystemClock(),
      entropy_, executor_);
  own_renewal_ = std::make_unique<agent::OwnRenewal>(
      agent::OwnRenewalOptions{}, agent::OwnRenewal::Parts{*connection_, trust_, *state_, identity_},
      [this] { connection_->IdentityChanged(); }, clock_, entropy_, executor_);
  svids_ = std::make_unique<agent::SignBatcher>(agent::SignBatcherOptions{}, *connection_, trust_, clock_, executor_);
  jwts_ = std::make_unique<agent::MintedJwts>(agent::MintedJwtsOptions{}, *connection_, trust_, clock_);
  jwt_source_ = std::make_unique<ToldJwtSource>(*jwts_);
}

sds::SdsService::Parts MeshcaAgent::SdsParts() {
  sds::SdsService::Parts parts;
  parts.trust_domain = trust_.trust_domain();
  parts.trust = &trust_;
  parts.authenticator = unix_peer_.get();
  parts.svids = svids_.get();
  parts.revocations = &revocations_;
  parts.jwt = jwt_source_.get();
  parts.subscribers = &subscribers_;
  parts.clock = &clock_;
  parts.entropy = &entropy_;
  parts.keys.key_type = config::ToKeyType(config_.values.keys().key_type());
  parts.keys.renew_at = config_.values.keys().renew_at_percent() / 100.0;
  return parts;
}

void MeshcaAgent::MakeServingParts() {
  unix_peer_ = std::make_unique<UnixPeerAuthenticator>(trust_.trust_domain(), entry_cache_);
  sds_ = std::make_unique<sds::SdsService>(SdsParts());
  entries_.AddListener([this] {
    sds_->EntriesChanged();
    entries_unsaved_ = true;
  });
  holdings_.Connect(*sds_);
  orders_.Connect({sds_.get(), &revocations_, jwts_.get(), own_renewal_.get(), &identity_});
  admin_ = std::make_unique<AgentAdmin>([this] { return View(); });
  health_ = rpc::HealthService::Create();
}

absl::Status MeshcaAgent::Serve() {
  MakeClientParts();
  MakeServingParts();
  MESHCA_RETURN_IF_ERROR(BindListeners());
  MESHCA_RETURN_IF_ERROR(StartHttp());
  MESHCA_RETURN_IF_ERROR(sds_->Start());
  RestoreEntries();
  executor_.Start();
  serves_ = true;
  server_->Start();
  looking_ = std::make_unique<PeriodicThread>(SystemClock(), kLook, [this] { return Look(); });
  joining_again_ = std::make_unique<PeriodicThread>(SystemClock(), kLook, [this] { return JoinAgainWhenEnded(); });
  return absl::OkStatus();
}

void MeshcaAgent::RestoreEntries() {
  const absl::StatusOr<std::optional<agent::v1::EntriesChange>> saved = state_->LoadEntries();
  if (!saved.ok())
    LogWarning("entries are served once the CA has told them", {{"why", std::string(saved.status().message())}});
  if (saved.ok() && saved->has_value()) entries_.Restore(**saved, trust_.trust_domain());
  entries_unsaved_ = false;
}

absl::Status MeshcaAgent::BindListeners() {
  const config::v1::AgentLimits& values = config_.values.limits();
  rpc::ServerOptions options;
  options.loops = 1;
  options.global.connections_max = values.connections_max();
  options.global.streams_max = values.streams_max();
  options.global.buffered_bytes_max = size_t{values.buffered_mib_max()} << 20;
  options.source.connections_max = values.connections_per_source_max();
  options.source.calls = {values.calls_per_second_per_source(), values.calls_per_second_per_source()};
  MESHCA_ASSIGN_OR_RETURN(server_, rpc::Server::Create(options));
  rpc::ConnectionLimits limits;
  limits.streams_max = values.streams_per_connection_max();
  auto api = std::make_shared<rpc::Router>();
  sds_->AddTo(*api);
  sds_->AddWorkloadApiTo(*api);
  MESHCA_ASSIGN_OR_RETURN(api_socket_, BindApiSocket(*server_, config_.values.api_socket(),
                                                     WithHealthAndReflection(std::move(api), *health_), limits));
  auto admin = std::make_shared<rpc::Router>();
  admin_->AddTo(*admin);
  MESHCA_ASSIGN_OR_RETURN(admin_socket_, BindAdminSocket(*server_, config_.values.admin_socket(),
                                                         WithHealthAndReflection(std::move(admin), *health_), limits));
  return absl::OkStatus();
}

absl::Status MeshcaAgent::StartHttp() {
  if (config_.values.http_listen() == "off") return absl::OkStatus();
  MESHCA_ASSIGN_OR_RETURN(
      http_, http::PageServer::Start(config_.values.http_listen(),
                                     MakeAgentPages([this] { return View(); }, [this] { return Counts(); })));
  return absl::OkStatus();
}

AgentView MeshcaAgent::View() const {
  AgentView view;
  view.version = kVersion;
  view.started_at = started_at_;
  view.now = clock_.LikelyNow();
  view.clock_believed = clock_.BelievedNow().has_value();
  view.state_dir = config_.values.state_dir();
  view.servers = Servers();
  view.connection = connection_->Status();
  const agent::OwnIdentityPtr own = identity_.Current();
  view.node = own->node;
  view.certificate_begins = own->validity.not_before;
  view.certificate_ends = own->validity.not_after;
  view.renewal = own_renewal_->last_failure();
  {
    MutexLock lock(rejoin_mutex_);
    view.rejoining = rejoining_;
  }
  const std::shared_ptr<const sds::Trust> trust = trust_.Current();
  view.trust_domain = trust->domains.front().trust_domain.name();
  view.trust_version = trust->version;
  view.roots = static_cast<uint32_t>(trust->domains.front().roots.size());
  view.entries_revision = entries_.revision();
  view.entries = entries_.size();
  const sds::SdsStats sds = sds_->Stats();
  view.certificates = sds.keys.keys - std::min(sds.keys.keys, sds.keys.waiting);
  view.keys_waiting = sds.keys.waiting;
  const agent::v1::Held held = holdings_.Count();
  view.consumers = held.consumers();
  view.consumers_behind = held.behind();
  view.listeners = {{"api", absl::StrCat("unix://", api_socket_)},
                    {"admin", absl::StrCat("unix://", admin_socket_)},
                    {"http", HttpAddress()}};
  return view;
}

AgentCounts MeshcaAgent::Counts() const { return {View(), server_->stats(), sds_->Stats()}; }

// What consumers acknowledge reaches the CA by this look: a number changes with every answer, stream and certificate.
absl::Duration MeshcaAgent::Look() {
  clock_.Observe();
  const absl::Duration delivered_after = connection_->Status().delivered_after;
  if (std::exchange(delivered_after_, delivered_after) != delivered_after) sds_->SetDeliveredAfter(delivered_after);
  SaveEntries(kEntriesSaveGap);
  health_->Set("", Ready(View()).ok());
  const sds::SdsStats stats = sds_->Stats();
  const std::shared_ptr<const sds::Trust> trust = trust_.Current();
  // Each number by itself: one that falls makes up for another that grows.
  const std::array<uint64_t, 10> now = {stats.subscribers.acknowledged,
                                        stats.subscribers.rejected,
                                        stats.subscribers.delivered,
                                        stats.subscribers.known,
                                        stats.subscribers.connected,
                                        stats.subscribers.streams,
                                        stats.keys.issued,
                                        stats.keys.renewed,
                                        stats.keys.keys,
                                        trust == nullptr ? 0 : trust->version};
  const bool changed = std::exchange(reported_, now) != now;
  if (changed) connection_->HeldChanged();
  return changed ? kLookWhileBehind : kLook;
}

// At most once in `gap`, however often they change.
void MeshcaAgent::SaveEntries(absl::Duration gap) {
  if (!entries_unsaved_ || clock_.SinceBoot() - entries_saved_at_ < gap) return;
  entries_unsaved_ = false;
  entries_saved_at_ = clock_.SinceBoot();
  executor_.Run([this] {
    const absl::Status saved = state_->SaveEntries(entries_.Whole());
    if (saved.ok()) return;
    entries_unsaved_ = true;
    LogWarning("this node's entries could not be saved", {{"error", std::string(saved.message())}});
  });
}

absl::Duration MeshcaAgent::JoinAgainWhenEnded() {
  const agent::OwnIdentityPtr own = identity_.Current();
  if (own->validity.not_after > clock_.LikelyNow()) return kLookForToken;
  absl::Status joined = TokenIsNew() ? JoinByToken() : JoinAgainByKey(*own);
  if (joined.ok()) {
    by_key_.Reset();
    by_key_at_ = absl::ZeroDuration();
    connection_->IdentityChanged();
  } else if (!absl::IsCancelled(joined)) {
    joined = absl::Status(joined.code(), absl::StrCat(joined.message(), "; ", WhereATokenIsLookedFor()));
  }
  bool news = false;
  {
    MutexLock lock(rejoin_mutex_);
    news = rejoining_ != joined;
    rejoining_ = joined;
  }
  if (!joined.ok() && !absl::IsCancelled(joined) && news) {
    LogError("the agent's certificate has ended, and it could not join again",
             {{"why", std::string(joined.message())}});
  }
  return kLookForToken;
}

// The same file is not tried twice: a token that was refused once is refused again.
bool MeshcaAgent::TokenIsNew() {
  const std::string& path = config_.values.token_file();
  struct stat file {};
  if (path.empty() || stat(path.c_str(), &file) != 0) return false;
  const std::string seen =
      absl::StrCat(file.st_ino, " ", file.st_size, " ", file.st_mtim.tv_sec, ".", file.st_mtim.tv_nsec);
  return std::exchange(looked_at_, seen) != seen;
}

// Not at each look: what the CA refused it goes on refusing, until an operator does something.
absl::Status MeshcaAgent::JoinAgainByKey(const agent::OwnIdentity& ended) {
  if (clock_.SinceBoot() < by_key_at_) return by_key_said_;
  by_key_said_ = JoinBy([&ended](agent::Joining& joining) { return joining.RunByKey(ended); });
  by_key_at_ = clock_.SinceBoot() + by_key_.Next();
  return by_key_said_;
}

std::string MeshcaAgent::WhereATokenIsLookedFor() const {
  const std::string& path = config_.values.token_file();
  const std::string command = absl::StrCat("on the CA's host: meshca token create --node ", identity_.Current()->node,
                                           " --replace --out token");
  if (path.empty()) return absl::StrCat(command, "; then start this agent with --token-file token");
  return absl::StrCat(command, "; then put it at ", path, ", where this agent looks for a new one every ",
                      absl::FormatDuration(kLookForToken));
}

AgentScreen MeshcaAgent::Screen() const {
  const agent::OwnIdentityPtr own = identity_.Current();
  const std::shared_ptr<const sds::Trust> trust = trust_.Current();
  AgentScreen screen;
  screen.version = kVersion;
  screen.node = own->node;
  screen.trust_domain = trust->domains.front().trust_domain.name();
  screen.servers = Servers();
  screen.root_fingerprint = agent::RootsOf(trust->domains.front()).front().spki_sha256_hex();
  screen.certificate_ends = own->validity.not_after;
  screen.joined_now = joined_now_;
  screen.state_dir = config_.values.state_dir();
  screen.http_address = HttpAddress();
  screen.api_socket = api_socket_;
  screen.admin_socket = admin_socket_;
  const auto origin = config_.origins.find("state_dir");
  if (origin != config_.origins.end() && origin->second.kind != config::OriginKind::kDefault) {
    screen.state_dir_flag = absl::StrCat(" --state-dir ", screen.state_dir);
  }
  return screen;
}

void MeshcaAgent::Reload(const config::ResolvedAgentConfig& next) {
  const config::ConfigChanges changes = config::ReloadableDiff(config_, next);
  SetLogLevel(config::ToLogLevel(next.values.log().level()));
  LogInfo("configuration read again", {{"changed", absl::StrJoin(changes.reloadable, " ")},
                                       {"waiting_for_a_restart", absl::StrJoin(changes.restart, " ")}});
}

void MeshcaAgent::CancelJoin() {
  MutexLock lock(joining_mutex_);
  stopping_ = true;
  if (joining_ != nullptr) joining_->Stop();
}

void MeshcaAgent::Stop() {
  if (std::exchange(stopped_, true)) return;
  CancelJoin();
  if (joining_again_ != nullptr) joining_again_->Stop();
  if (looking_ != nullptr) looking_->Stop();
  if (health_ != nullptr) health_->Retire();
  if (server_ != nullptr) server_->Shutdown(config::ToDuration(config_.values.limits().shutdown_grace()));
  http_.reset();
  admin_.reset();
  if (serves_) SaveEntries(/*gap=*/absl::ZeroDuration());
  // What did not come to serve has an executor that never began: whoever waits for it would wait for ever.
  if (!serves_) executor_.Shutdown();
  if (connection_ != nullptr) connection_->Shutdown();
  if (sds_ != nullptr) sds_->Shutdown();
  executor_.Shutdown();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Agent>> Agent::Open(config::ResolvedAgentConfig config) {
  MESHCA_ASSIGN_OR_RETURN(std::unique_ptr<agent::AgentState> state, agent::AgentState::Open(config.values.state_dir()));
  auto agent = std::make_unique<MeshcaAgent>(std::move(config), std::move(state));
  MESHCA_RETURN_IF_ERROR(agent->Restore());
  return agent;
}

}  // namespace meshca::cli
