#include "cli/server/meshca_server.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "ca/authority/jwt_key_driver.h"
#include "ca/authority/reissue_budget.h"
#include "ca/authority/rotation_driver.h"
#include "ca/base/clock.h"
#include "ca/base/cpu_count.h"
#include "ca/base/entropy.h"
#include "ca/base/log.h"
#include "ca/base/status.h"
#include "ca/base/version.h"
#include "ca/edge/connection_judge.h"
#include "ca/edge/svid_verifier.h"
#include "ca/issuance/authority_import.h"
#include "ca/issuance/legacy_rights.h"
#include "ca/issuance/readiness.h"
#include "ca/issuance/record_pruner.h"
#include "ca/issuance/server_certificate.h"
#include "ca/service/certificate_standing.h"
#include "ca/service/check_legacy_rights.h"
#include "cli/config/convert.h"
#include "cli/config/host_places.h"
#include "cli/process/periodic_thread.h"
#include "cli/process/socket_reach.h"
#include "cli/server/http_routes.h"
#include "cli/server/kubernetes_side.h"
#include "cli/server/metrics.h"
#include "cli/server/secret_delivery.h"
#include "cli/server/server_edge.h"
#include "cli/server/server_state.h"

namespace meshca::cli {
namespace {

// How long a jump of the wall clock may go unnoticed.
constexpr absl::Duration kLookAtClock = absl::Seconds(1);
// Between two tries to read the registration entries again, after one that failed.
constexpr absl::Duration kReadAgain = absl::Seconds(1);

// Members stand in order of construction; Stop takes down what runs, the destructors the rest in reverse.
class MeshcaServer final : public Server {
 public:
  MeshcaServer(config::ResolvedConfig config, TrustDomain trust_domain, Policy policy)
      : config_(std::move(config)), trust_domain_(std::move(trust_domain)), policy_(std::move(policy), clock_) {}
  ~MeshcaServer() override { Stop(); }

  absl::Status StartParts();

  FirstScreen Screen() const override;
  absl::Status Reload(config::ResolvedConfig next) override;
  void Stop() override;

 private:
  absl::Status StartIssuance();
  absl::Status StartKubernetes();
  absl::Status StartTls();
  absl::Status BindListeners();
  absl::Status StartHttp();
  std::vector<std::pair<std::string, std::string>> Addresses() const;
  std::string HttpAddress() const { return http_ == nullptr ? "off" : http_->address(); }
  // Reads the registration entries and tells everybody who serves by them.
  absl::Status TakeEntries();
  RotationDriver::Parts RotationParts();
  AdminContext AdminParts();
  ConnectionJudge::Parts JudgeParts();
  absl::Status InstallServerCertificate(const ServerIdentity& identity);
  absl::Duration Maintain();
  void OnReadiness(const absl::Status& status);
  void LogLegacyRights();

  const Clock& clock_ = SystemClock();
  EntropySource& entropy_ = SystemEntropy();
  const absl::Time started_at_ = clock_.Now();
  config::ResolvedConfig config_;
  const TrustDomain trust_domain_;
  IssuancePolicy policy_;
  std::unique_ptr<ServerState> state_;
  std::unique_ptr<RecordPruner> pruner_;

  std::unique_ptr<IssuancePipeline> pipeline_;
  std::unique_ptr<KubernetesSide> kubernetes_;  // null: there is no cluster
  std::unique_ptr<Doors> doors_;
  std::unique_ptr<CsrService> csr_tls_;
  std::unique_ptr<CsrService> csr_api_;
  std::unique_ptr<SecretDelivery> delivery_;
  std::unique_ptr<RotationDriver> rotation_;
  std::unique_ptr<JwtKeyDriver> jwt_keys_;
  std::shared_ptr<SvidVerifier> svid_verifier_;
  std::shared_ptr<rpc::TlsContext> tls_;
  std::unique_ptr<ServerCertificate> server_certificate_;
  std::unique_ptr<rpc::HealthService> health_;
  std::unique_ptr<AdminService> admin_;
  BoundEdge edge_;
  std::unique_ptr<CertificateStanding> certificate_standing_;
  std::unique_ptr<ConnectionJudge> judge_;
  std::unique_ptr<Readiness> readiness_;
  std::unique_ptr<MetricsRegistry> metrics_;  // null where `http_listen` is off, like the next
  std::unique_ptr<http::PageServer> http_;
  std::atomic<uint64_t> certificates_revoked_ = 0;  // since start
  std::unique_ptr<PeriodicThread> maintenance_;
  std::unique_ptr<PeriodicThread> rotating_;
  std::atomic<bool> stopping_ = false;
  std::thread legacy_rights_;
  bool stopped_ = false;
};

absl::Status MeshcaServer::StartParts() {
  MESHCA_ASSIGN_OR_RETURN(state_, OpenServerState(config_));
  MESHCA_RETURN_IF_ERROR(StartIssuance());
  MESHCA_RETURN_IF_ERROR(StartTls());
  MESHCA_RETURN_IF_ERROR(BindListeners());
  readiness_ = std::make_unique<Readiness>(
      *state_->authorities, *state_->store, clock_, [this](const absl::Status& status) { OnReadiness(status); },
      Readiness::kInterval, [this] { return state_->authorities->WhyNotSigning(); });
  MESHCA_RETURN_IF_ERROR(StartHttp());
  maintenance_ = std::make_unique<PeriodicThread>(clock_, kLookAtClock, [this] { return Maintain(); });
  rotating_ = std::make_unique<PeriodicThread>(clock_, kLookAtClock, [this] {
    const absl::Time now = clock_.Now();
    return std::min(rotation_->Tick(now), jwt_keys_->Tick(now)) - now;
  });
  // The server's own certificate and a rotation follow the authorities at once, not at the next look.
  state_->authorities->AddListener([this](const std::shared_ptr<const AuthoritySnapshot>&) {
    maintenance_->Wake();
    rotating_->Wake();
  });
  edge_.server->Start();
  judge_->Start();
  // On a thread of its own: after an upgrade it may read many records, and nobody waits for it.
  legacy_rights_ = std::thread([this] { LogLegacyRights(); });
  return absl::OkStatus();
}

absl::Status MeshcaServer::StartIssuance() {
  const config::v1::Config& values = config_.values;
  pruner_ = std::make_unique<RecordPruner>(*state_->store, state_->authorities->clock(),
                                           config::ToDuration(values.storage().retention()));
  MESHCA_ASSIGN_OR_RETURN(CertificateProfile profile, config::ToProfile(values.leaf()));
  PipelineOptions options = config::ToPipelineOptions(values.limits());
  options.policy = &policy_;
  pipeline_ = std::make_unique<IssuancePipeline>(std::move(profile), options, *state_->authorities, *state_->store,
                                                 clock_, PublicEntropy());
  MESHCA_RETURN_IF_ERROR(StartKubernetes());
  MESHCA_ASSIGN_OR_RETURN(doors_, Doors::Open(config_, *state_, kubernetes_.get()));
  csr_tls_ = std::make_unique<CsrService>(doors_->tls(), *pipeline_, clock_, entropy_);
  csr_api_ = std::make_unique<CsrService>(doors_->api(), *pipeline_, clock_, entropy_);
  delivery_ = std::make_unique<SecretDelivery>(
      SecretDelivery::Parts{config_, trust_domain_, *state_, *pipeline_, *doors_, kubernetes_.get(), entropy_});
  rotation_ = std::make_unique<RotationDriver>(RotationParts());
  jwt_keys_ = std::make_unique<JwtKeyDriver>(JwtKeyDriver::Parts{
      state_->authorities.get(), &delivery_->evidence(), {.evidence = config::ToEvidencePolicy(values)}});
  return delivery_->Start();
}

absl::Status MeshcaServer::StartKubernetes() {
  MESHCA_ASSIGN_OR_RETURN(kubernetes_, KubernetesSide::Open(config_, state_->authorities->clock(), entropy_));
  if (kubernetes_ == nullptr) return absl::OkStatus();
  const KubernetesSide::Signing signing{*state_->authorities, *state_->store, policy_, PublicEntropy()};
  MESHCA_RETURN_IF_ERROR(kubernetes_->AddSigner(config_.values, signing, clock_, entropy_));
  MESHCA_RETURN_IF_ERROR(
      kubernetes_->AddServerSecrets(config_.values, signing, state_->authorities->clock(), entropy_));
  state_->authorities->AddListener([this](const std::shared_ptr<const AuthoritySnapshot>& snapshot) {
    if (snapshot != nullptr) kubernetes_->OnAuthorities(*snapshot);
  });
  kubernetes_->OnAuthorities(*state_->authorities->Current());
  kubernetes_->Start();
  return absl::OkStatus();
}

RotationDriver::Parts MeshcaServer::RotationParts() {
  const config::v1::Rotation& values = config_.values.rotation();
  RotationDriver::Parts parts;
  parts.authorities = state_->authorities.get();
  parts.store = state_->store.get();
  parts.inventory = state_->store.get();
  parts.evidence = &delivery_->evidence();
  parts.reissuer = &delivery_->reissuer();
  if (kubernetes_ != nullptr) parts.advisor = &kubernetes_->advisor();
  parts.policy = config::ToEvidencePolicy(config_.values);
  parts.reissue_per_second = ReissuePerSecond(values.reissue_per_second(), CpuCount());
  parts.sleep = absl::SleepFor;
  return parts;
}

absl::Status MeshcaServer::StartTls() {
  svid_verifier_ = FollowBundle(*state_->authorities);
  ServerCertificateOptions options;
  options.trust_domain = trust_domain_;
  options.names = config::ToServerNames(config_.values);
  server_certificate_ = std::make_unique<ServerCertificate>(
      std::move(options), *state_->authorities, *state_->store, entropy_,
      [this](const ServerIdentity& identity) { return InstallServerCertificate(identity); });
  server_certificate_->Tick(clock_.Now());
  if (tls_ != nullptr) return absl::OkStatus();
  absl::Status error = Annotate(server_certificate_->LastError(), "the CA's own server certificate");
  if (state_->authorities->Current()->issuing != nullptr) return error;
  // Nothing signs: a plugged-in key is away, or the authorities have ended. Trust is served all the same, and whoever
  // mends it needs the admin socket. The port is bound and opens with the first certificate.
  LogError("nothing can be signed, so the gRPC port takes no connection yet; the sockets are served",
           {{"error", state_->authorities->WhyNotSigning()}});
  rpc::TlsOptions none;
  none.client_certificates = rpc::ClientCertificates::kOptional;
  none.verifier = svid_verifier_;
  MESHCA_ASSIGN_OR_RETURN(tls_, rpc::TlsContext::Create(std::move(none)));
  return absl::OkStatus();
}

absl::Status MeshcaServer::InstallServerCertificate(const ServerIdentity& identity) {
  rpc::TlsOptions options;
  options.certificate_chain_der = identity.ChainDer();
  EVP_PKEY_up_ref(identity.key->evp());
  options.private_key.reset(identity.key->evp());
  options.client_certificates = rpc::ClientCertificates::kOptional;
  options.verifier = svid_verifier_;
  if (tls_ != nullptr) return tls_->Swap(std::move(options));
  MESHCA_ASSIGN_OR_RETURN(tls_, rpc::TlsContext::Create(std::move(options)));
  return absl::OkStatus();
}

absl::Status MeshcaServer::BindListeners() {
  health_ = rpc::HealthService::Create();
  health_->Set("istio.v1.auth.IstioCertificateService", false);
  health_->Set(AgentService::kName, false);
  admin_ = std::make_unique<AdminService>(AdminParts());
  EdgeParts parts{
      csr_tls_.get(), csr_api_.get(), &delivery_->sds(), &delivery_->agents(), admin_.get(), health_.get(), tls_};
  MESHCA_ASSIGN_OR_RETURN(edge_, BindEdge(config_, parts));
  certificate_standing_ =
      std::make_unique<CertificateStanding>(*state_->authorities, doors_->client_certificate(), *state_->store);
  judge_ = std::make_unique<ConnectionJudge>(JudgeParts());
  return absl::OkStatus();
}

std::vector<std::pair<std::string, std::string>> MeshcaServer::Addresses() const {
  return {{"grpc", edge_.grpc_address},
          {"api", absl::StrCat("unix://", edge_.api_socket)},
          {"admin", absl::StrCat("unix://", edge_.admin_socket)},
          {"http", HttpAddress()}};
}

absl::Status MeshcaServer::StartHttp() {
  if (!config::ServesHttp(config_.values)) return absl::OkStatus();
  MetricSources sources;
  sources.version = kVersion;
  sources.started_at = started_at_;
  sources.clock = &clock_;
  sources.csr_services = {csr_tls_.get(), csr_api_.get()};
  sources.pipeline = pipeline_.get();
  sources.authorities = state_->authorities.get();
  sources.authority_error = [this] { return state_->authorities->LastError(); };
  sources.judged_clock = &state_->authorities->clock();
  sources.authority_store = state_->store.get();
  sources.server_certificate = server_certificate_.get();
  sources.store = state_->store.get();
  sources.edge = edge_.server.get();
  sources.sds = &delivery_->sds();
  sources.readiness = readiness_.get();
  sources.rotation = rotation_.get();
  sources.jwt_keys = jwt_keys_.get();
  sources.jwt_minter = &delivery_->jwt_minter();
  sources.agents = &delivery_->agents();
  sources.kubernetes = kubernetes_.get();
  sources.token_issuers = [this] { return doors_->TokenIssuers(); };
  sources.certificates_revoked = [this] { return certificates_revoked_.load(); };
  sources.plugged_in_refused = [this] { return state_->authorities->PluggedInRefused(); };
  metrics_ = std::make_unique<MetricsRegistry>(std::move(sources));
  HttpPages pages;
  pages.version = kVersion;
  pages.trust_domain = trust_domain_.name();
  pages.clock = &clock_;
  pages.ready = [this] { return readiness_->Ready(); };
  pages.authorities = state_->authorities.get();
  pages.metrics = [this] { return metrics_->Render(); };
  MESHCA_ASSIGN_OR_RETURN(http_,
                          http::PageServer::Start(config_.values.http_listen(), MakeHttpRoutes(std::move(pages))));
  return absl::OkStatus();
}

ConnectionJudge::Parts MeshcaServer::JudgeParts() {
  ConnectionJudge::Parts parts;
  parts.standing = certificate_standing_.get();
  parts.certified_peers = [this] { return edge_.server->CertifiedPeers(); };
  parts.cut = [this](std::vector<uint64_t> ids, std::string why) { edge_.server->Cut(std::move(ids), std::move(why)); };
  parts.clock = &state_->authorities->clock();
  return parts;
}

AdminContext MeshcaServer::AdminParts() {
  storage::Store& store = *state_->store;
  AdminContext context{
      state_->authorities->clock(), entropy_, *state_->authorities, store, store, store, store, store, store,
      delivery_->subscribers()};
  context.rotation = rotation_.get();
  context.jwt_keys = jwt_keys_.get();
  context.jwt_minter = &delivery_->jwt_minter();
  context.facts.version = kVersion;
  context.facts.trust_domain = trust_domain_;
  context.facts.state_dir = config_.values.state_dir();
  context.facts.started_at = started_at_;
  context.facts.leaf_lifetime_default = config::ToDuration(config_.values.leaf().lifetime());
  context.listeners = [this] { return Addresses(); };
  context.import_root = [this](const SetFiles& files, const std::string& actor, const ImportOptions& options) {
    return ImportAuthoritySet(*state_->authorities, *state_->store, clock_.Now(), files, actor, options);
  };
  context.export_authority = [this](const ExportRequest& request, const std::string& actor) {
    return state_->authorities->Export(request, actor);
  };
  context.token_issuers = [this] { return doors_->TokenIssuers(); };
  context.authority_error = [this] { return state_->authorities->LastError(); };
  context.clock_finding = [this] { return state_->authorities->clock_watch().FindingNow(); };
  context.accept_clock = [this](const std::string& actor) { return state_->authorities->AcceptClock(actor); };
  context.readiness = [this] { return readiness_->Ready(); };
  context.entry_applies = state_->store.get();
  context.nodes = state_->store.get();
  context.entries_changed = [this] {
    absl::Status taken = TakeEntries();
    if (!taken.ok()) maintenance_->Wake();  // reads them again until it succeeds
    return taken;
  };
  context.attached_agent = [this](absl::string_view node) { return delivery_->FindAgent(node); };
  if (kubernetes_ != nullptr) context.cluster_facts = [this] { return kubernetes_->Check(); };
  context.judge_connections = [this] { judge_->JudgeEverybody(); };
  context.count_revoked = [this](uint64_t certificates) { certificates_revoked_ += certificates; };
  return context;
}

absl::Status MeshcaServer::TakeEntries() {
  absl::Status reloaded = state_->entries.Reload(*state_->store);
  delivery_->EntriesChanged();
  judge_->JudgeEverybody();  // an entry that is gone may have given somebody his right
  return reloaded;
}

void MeshcaServer::OnReadiness(const absl::Status& status) {
  health_->Set("istio.v1.auth.IstioCertificateService", status.ok());
  health_->Set(AgentService::kName, status.ok());
  if (status.ok()) {
    LogInfo("ready: signing and committing work");
  } else {
    LogError("not ready; SDS goes on with what it has", {{"error", status.ToString()}});
  }
}

void MeshcaServer::LogLegacyRights() {
  const absl::StatusOr<LegacyRights> rights =
      FindLegacyRights(*state_->store, *state_->store, clock_.Now(), [this] { return stopping_.load(); });
  if (!rights.ok()) {
    LogWarning("the identities that need an entry since this version could not be found",
               {{"error", std::string(rights.status().message())}});
    return;
  }
  if (rights->count == 0) return;
  for (const CheckedFact& fact : LegacyRightsFacts(*rights)) {
    LogWarning("an identity needs an entry since this version", {{"what", fact.detail}, {"do", fact.mend}});
  }
}

absl::Duration MeshcaServer::Maintain() {
  absl::Time now = clock_.Now();
  const absl::Duration authorities = state_->authorities->Tick(now) - now;
  now = clock_.Now();
  const absl::Duration certificate = server_certificate_->Tick(now) - now;
  if (absl::Status error = server_certificate_->LastError(); !error.ok()) {
    LogError("the CA's own server certificate could not be renewed; the one before it goes on",
             {{"error", error.ToString()}});
  }
  const absl::Duration wait = std::min({authorities, certificate, pruner_->Tick()});
  // A change of the entries was committed and could not be read: what was there before it is served until it is.
  const bool read = !state_->entries.stale() || TakeEntries().ok();
  return read ? wait : std::min(wait, kReadAgain);
}

FirstScreen MeshcaServer::Screen() const {
  const std::shared_ptr<const AuthoritySnapshot> snapshot = state_->authorities->Current();
  const Certificate& root = snapshot->bundle->roots.front();
  FirstScreen screen;
  screen.version = kVersion;
  screen.trust_domain = trust_domain_.name();
  screen.root_fingerprint = root.spki_sha256_hex();
  screen.root_ends = root.validity().not_after;
  screen.root_is_new = state_->is_new;
  screen.state_dir = config_.values.state_dir();
  screen.grpc_address = edge_.grpc_address;
  screen.http_address = HttpAddress();
  screen.api_socket = edge_.api_socket;
  screen.admin_socket = edge_.admin_socket;
  screen.api_socket_shut = WhyOthersCannotReach(screen.api_socket);
  // The command that comes next goes by the admin socket.
  screen.place_flag = config::FlagToFind(config_.origins, "admin_socket", screen.admin_socket, screen.state_dir);
  return screen;
}

absl::Status MeshcaServer::Reload(config::ResolvedConfig next) {
  const config::ConfigChanges changes = config::ReloadableDiff(config_, next);
  MESHCA_ASSIGN_OR_RETURN(Policy policy, config::ToPolicy(next.values));
  MESHCA_RETURN_IF_ERROR(doors_->Reload(next));
  judge_->JudgeEverybody();  // a JWT issuer that is gone may have given somebody his right
  policy_.Replace(std::move(policy));
  server_certificate_->SetNames(config::ToServerNames(next.values));
  maintenance_->Wake();
  SetLogLevel(config::ToLogLevel(next.values.log().level()));
  pruner_->SetRetention(config::ToDuration(next.values.storage().retention()));
  LogInfo("configuration read again", {{"changed", absl::StrJoin(changes.reloadable, " ")},
                                       {"waiting_for_a_restart", absl::StrJoin(changes.restart, " ")}});
  return absl::OkStatus();
}

void MeshcaServer::Stop() {
  if (std::exchange(stopped_, true)) return;
  stopping_ = true;
  if (health_ != nullptr) health_->Retire();
  if (judge_ != nullptr) judge_->Stop();
  if (edge_.server != nullptr) {
    edge_.server->Shutdown(config::ToDuration(config_.values.limits().shutdown_grace()));
  }
  // Answers those whose tokens the cluster still judges, while the services are there that take the answers.
  if (kubernetes_ != nullptr) kubernetes_->Shutdown();
  if (rotating_ != nullptr) rotating_->Stop();
  if (maintenance_ != nullptr) maintenance_->Stop();
  if (legacy_rights_.joinable()) legacy_rights_.join();
  admin_.reset();  // First: its threads ask the next two.
  http_.reset();
  readiness_.reset();
  if (delivery_ != nullptr) delivery_->Shutdown();
  // The other authenticators, which answer whoever waits as they end: nobody asks them any more, and what they tell of
  // uses services and the pipeline.
  doors_.reset();
  if (pipeline_ != nullptr) pipeline_->Shutdown();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(config::ResolvedConfig config) {
  MESHCA_ASSIGN_OR_RETURN(TrustDomain trust_domain, TrustDomain::Parse(config.values.trust_domain()));
  MESHCA_ASSIGN_OR_RETURN(Policy policy, config::ToPolicy(config.values));
  auto server = std::make_unique<MeshcaServer>(std::move(config), std::move(trust_domain), std::move(policy));
  MESHCA_RETURN_IF_ERROR(server->StartParts());
  return server;
}

}  // namespace meshca::cli
