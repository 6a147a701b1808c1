#include "cli/agent_process/meshca_agent.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/authn/entry_cache.h"
#include "ca/authn/unix_peer.h"
#include "ca/authority/clock_guard.h"
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
#include "cli/agent_process/key_keeper.h"
#include "cli/agent_process/membership.h"
#include "cli/agent_process/node_holdings.h"
#include "cli/agent_process/told_jwt_source.h"
#include "cli/agent_process/told_revocations.h"
#include "cli/config/convert.h"
#include "cli/config/host_places.h"
#include "cli/process/periodic_thread.h"
#include "cli/process/socket_listeners.h"
#include "cli/process/socket_reach.h"
#include "sds/sds_service.h"

namespace meshca::cli {
namespace {

// How long what consumers have acknowledged goes unreported: while some are behind, and while nobody is.
constexpr absl::Duration kLookWhileBehind = absl::Milliseconds(200);
constexpr absl::Duration kLook = absl::Seconds(1);
constexpr absl::Duration kEntriesSaveGap = absl::Seconds(5);
// Members stand in order of construction; Stop takes down what runs, the destructors the rest in reverse.
class MeshcaAgent final : public Agent {
 public:
  MeshcaAgent(config::ResolvedAgentConfig config, std::unique_ptr<agent::AgentState> state,
              std::vector<StoredDescriptor> stored)
      : config_(std::move(config)), state_(std::move(state)), trust_(*state_), stored_(std::move(stored)) {}
  ~MeshcaAgent() override { Stop(); }

  absl::Status Restore();
  absl::Status Join() override { return membership_.Join(); }
  absl::Status Serve() override;
  AgentScreen Screen() const override;
  void Reload(const config::ResolvedAgentConfig& next) override;
  void CancelJoin() override { membership_.Cancel(); }
  void Stop() override;

 private:
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
  bool BelieveClockByTheCa(const agent::CaConnectionStatus& connection);
  std::vector<std::string> Servers() const { return {config_.values.server().begin(), config_.values.server().end()}; }
  std::string HttpAddress() const { return http_ == nullptr ? "off" : http_->address(); }

  const absl::Time started_at_ = SystemClock().Now();
  EntropySource& entropy_ = SystemEntropy();
  const config::ResolvedAgentConfig config_;
  const std::unique_ptr<agent::AgentState> state_;
  // A jump since the start is noticed; what was before is not known to an agent. Its CA says when the clock is right.
  GuardedClock clock_{SystemClock(), absl::InfiniteDuration()};
  agent::ToldTrust trust_;
  agent::OwnIdentityHolder identity_;
  std::vector<StoredDescriptor> stored_;  // until the keeper has them

  Membership membership_{{Servers(), config_.values.token_file()}, {*state_, trust_, identity_, clock_, entropy_}};

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
  std::unique_ptr<KeyKeeper> keeper_;
  std::unique_ptr<AgentAdmin> admin_;
  std::unique_ptr<rpc::HealthService> health_;
  std::unique_ptr<rpc::Server> server_;
  std::string api_socket_;
  std::string admin_socket_;
  std::unique_ptr<http::PageServer> http_;              // null where `http_listen` is off
  std::array<uint64_t, 10> reported_{};                 // Look's: numbers that change with what consumers hold
  absl::Duration delivered_after_ = absl::Seconds(60);  // Look's, as the CA told it last
  absl::Time attached_last_ = absl::InfinitePast();     // Look's
  std::atomic<bool> entries_unsaved_ = false;
  absl::Duration entries_saved_at_ = -absl::InfiniteDuration();  // Look's
  std::unique_ptr<PeriodicThread> looking_;
  std::unique_ptr<PeriodicThread> keeping_;
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
  if (identity != nullptr) {
    const absl::Status ended = state_->EndJoiningOf(*identity);
    if (!ended.ok()) LogWarning("a key that has joined cannot be removed", {{"error", std::string(ended.message())}});
  }
  identity_.Set(std::move(identity));
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
  parts.entry_advice.node = identity_.Current()->node;
  return parts;
}

void MeshcaAgent::MakeServingParts() {
  unix_peer_ = std::make_unique<UnixPeerAuthenticator>(trust_.trust_domain(), entry_cache_,
                                                       EntryAdvice{identity_.Current()->node});
  sds_ = std::make_unique<sds::SdsService>(SdsParts());
  keeper_ = std::make_unique<KeyKeeper>(KeyKeeper::Parts{*state_, trust_, identity_, clock_, sds_->keys()},
                                        std::exchange(stored_, {}));
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
  keeper_->Restore();
  executor_.Start();
  serves_ = true;
  server_->Start();
  looking_ = std::make_unique<PeriodicThread>(SystemClock(), kLook, [this] { return Look(); });
  keeping_ = std::make_unique<PeriodicThread>(SystemClock(), kLook, [this] { return keeper_->Keep(); });
  joining_again_ = std::make_unique<PeriodicThread>(SystemClock(), kLook, [this] {
    if (membership_.JoinAgainWhereNeeded(connection_->Status())) connection_->IdentityChanged();
    return Membership::kLook;
  });
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
  view.clock_ahead = view.connection.ClockAhead(clock_).value_or(absl::ZeroDuration());
  const agent::OwnIdentityPtr own = identity_.Current();
  view.node = own->node;
  view.certificate_begins = own->validity.not_before;
  view.certificate_ends = own->validity.not_after;
  view.renewal = own_renewal_->last_failure();
  view.rejoining = membership_.LastError();
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
  view.kept = keeper_->View();
  view.listeners = {{"api", absl::StrCat("unix://", api_socket_)},
                    {"admin", absl::StrCat("unix://", admin_socket_)},
                    {"http", HttpAddress()}};
  return view;
}

AgentCounts MeshcaAgent::Counts() const { return {View(), server_->stats(), sds_->Stats()}; }

// What consumers acknowledge reaches the CA by this look: a number changes with every answer, stream and certificate.
absl::Duration MeshcaAgent::Look() {
  clock_.Observe();
  const agent::CaConnectionStatus connection = connection_->Status();
  const absl::Duration delivered_after = connection.delivered_after;
  if (std::exchange(delivered_after_, delivered_after) != delivered_after) sds_->SetDeliveredAfter(delivered_after);
  // What was refused or unreachable before may be had from whoever welcomes this agent now, and by a right clock.
  const bool welcomed = std::exchange(attached_last_, connection.attached_last) != connection.attached_last;
  if (BelieveClockByTheCa(connection) || welcomed) {
    own_renewal_->TryAgain();
    sds_->keys().TryAgain();
  }
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

// One that was wrong when this agent began, or that moved, is right where it shows the CA's time: without the CA an
// hour ahead at the start would hold everything up for an hour once it is corrected.
bool MeshcaAgent::BelieveClockByTheCa(const agent::CaConnectionStatus& connection) {
  const std::optional<absl::Duration> ahead = connection.ClockAhead(clock_);
  if (clock_.BelievedNow().has_value() || !ahead.has_value() || absl::AbsDuration(*ahead) > ClockGuard::kJumpSlack)
    return false;
  clock_.Accept();
  LogInfo("this machine's clock shows the CA's time and is believed again");
  return true;
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
  screen.joined_now = membership_.joined_now();
  screen.state_dir = config_.values.state_dir();
  screen.http_address = HttpAddress();
  screen.api_socket = api_socket_;
  screen.admin_socket = admin_socket_;
  screen.api_socket_shut = WhyOthersCannotReach(api_socket_);
  screen.place_flag = config::FlagToFind(config_.origins, "api_socket", api_socket_, screen.state_dir);
  return screen;
}

void MeshcaAgent::Reload(const config::ResolvedAgentConfig& next) {
  const config::ConfigChanges changes = config::ReloadableDiff(config_, next);
  SetLogLevel(config::ToLogLevel(next.values.log().level()));
  LogInfo("configuration read again", {{"changed", absl::StrJoin(changes.reloadable, " ")},
                                       {"waiting_for_a_restart", absl::StrJoin(changes.restart, " ")}});
}

void MeshcaAgent::Stop() {
  if (std::exchange(stopped_, true)) return;
  CancelJoin();
  if (joining_again_ != nullptr) joining_again_->Stop();
  if (looking_ != nullptr) looking_->Stop();
  if (keeping_ != nullptr) keeping_->Stop();
  if (health_ != nullptr) health_->Retire();
  if (server_ != nullptr) server_->Shutdown(config::ToDuration(config_.values.limits().shutdown_grace()));
  http_.reset();
  admin_.reset();
  if (serves_) SaveEntries(/*gap=*/absl::ZeroDuration());
  // What did not come to serve has an executor that never began: whoever waits for it would wait for ever.
  if (!serves_) executor_.Shutdown();
  if (connection_ != nullptr) connection_->Shutdown();
  // What came since the last look; nothing comes any more.
  if (keeping_ != nullptr) keeper_->Keep();
  if (sds_ != nullptr) sds_->Shutdown();
  executor_.Shutdown();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Agent>> Agent::Open(config::ResolvedAgentConfig config,
                                                   std::vector<StoredDescriptor> stored) {
  MESHCA_ASSIGN_OR_RETURN(std::unique_ptr<agent::AgentState> state, agent::AgentState::Open(config.values.state_dir()));
  auto agent = std::make_unique<MeshcaAgent>(std::move(config), std::move(state), std::move(stored));
  MESHCA_RETURN_IF_ERROR(agent->Restore());
  return agent;
}

}  // namespace meshca::cli
