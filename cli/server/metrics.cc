#include "cli/server/metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "cli/server/metric_families.h"

namespace meshca::cli {
namespace {

double Seconds(absl::Time time) { return absl::ToDoubleSeconds(time - absl::UnixEpoch()); }

double CpuSeconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

void AddProcess(const MetricSources& sources, MetricFamilies& out) {
  out.Gauge("meshca_build_info", "1; which meshca this is.", 1, {{"version", sources.version}});
  out.Gauge("process_start_time_seconds", "Start time of the process since the Unix epoch.",
            Seconds(sources.started_at));
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  out.Counter("process_cpu_seconds_total", "User and system CPU time spent.",
              CpuSeconds(usage.ru_utime) + CpuSeconds(usage.ru_stime));
  uint64_t pages_total = 0;
  uint64_t pages_resident = 0;
  if (std::ifstream("/proc/self/statm") >> pages_total >> pages_resident) {
    out.Gauge("process_resident_memory_bytes", "Resident memory size.",
              static_cast<double>(pages_resident) * static_cast<double>(sysconf(_SC_PAGESIZE)));
  }
  if (DIR* folder = opendir("/proc/self/fd")) {
    int count = -3;  // ".", ".." and the one that reads them
    while (readdir(folder) != nullptr) ++count;
    closedir(folder);
    out.Gauge("process_open_fds", "Open file descriptors.", count);
  }
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  out.Gauge("process_max_fds", "Limit of open file descriptors.", static_cast<double>(limit.rlim_cur));
}

// istio's security/pkg/server/ca counters, so that dashboards and alerts made for istiod go on working.
void AddCitadel(const MetricSources& sources, MetricFamilies& out) {
  CsrStats stats;
  for (const CsrService* service : sources.csr_services) stats += service->Stats();
  out.Counter("citadel_server_csr_count", "CSRs received.", static_cast<double>(stats.requests));
  out.Counter("citadel_server_success_cert_issuance_count", "Certificates issued.", static_cast<double>(stats.issued));
  out.Counter("citadel_server_authentication_failure_count", "Requests whose caller was not authenticated.",
              static_cast<double>(stats.authentication_failures));
  out.Counter("citadel_server_csr_parsing_err_count", "CSRs that could not be read.",
              static_cast<double>(stats.csr_parsing_errors));
  out.Counter("citadel_server_id_extraction_err_count", "Requests whose identity could not be determined.",
              static_cast<double>(stats.id_extraction_errors));
  out.Counter("citadel_server_csr_sign_err_count", "CSRs that could not be signed.",
              static_cast<double>(stats.csr_sign_errors));
  out.Counter("meshca_csr_turned_away_total", "CSRs refused because too many were waiting.",
              static_cast<double>(stats.turned_away));
}

void AddCitadelExpiry(const AuthoritySnapshot& snapshot, absl::Time now, MetricFamilies& out) {
  const absl::Time root_ends = snapshot.bundle->roots.front().validity().not_after;
  out.Gauge("citadel_server_root_cert_expiry_timestamp", "When the root certificate expires, Unix seconds.",
            Seconds(root_ends));
  out.Gauge("citadel_server_root_cert_expiry_seconds", "Seconds until the root certificate expires.",
            absl::ToDoubleSeconds(root_ends - now));
  if (snapshot.chain_tail.empty()) return;
  absl::Time chain_ends = absl::InfiniteFuture();
  for (const Certificate& certificate : snapshot.chain_tail) {
    chain_ends = std::min(chain_ends, certificate.validity().not_after);
  }
  out.Gauge("citadel_server_cert_chain_expiry_timestamp", "When the signing chain expires, Unix seconds.",
            Seconds(chain_ends));
  out.Gauge("citadel_server_cert_chain_expiry_seconds", "Seconds until the signing chain expires.",
            absl::ToDoubleSeconds(chain_ends - now));
}

// An issuer may stand in the configuration more than once, with other audiences; its keys are shown once.
void AddTokenIssuers(const std::vector<JwtIssuerReport>& issuers, MetricFamilies& out) {
  std::set<std::pair<std::string, std::string>> shown;
  for (const JwtIssuerReport& issuer : issuers) {
    if (!shown.emplace(issuer.issuer, issuer.keys.location).second) continue;
    const MetricLabels labels = {{"issuer", issuer.issuer}, {"keys", issuer.keys.location}};
    const absl::Time read = issuer.keys.last_success;
    out.Gauge("meshca_jwt_issuer_last_success_timestamp_seconds",
              "When the keys of a token issuer were last read, Unix seconds; 0: never.",
              read == absl::InfinitePast() ? 0 : Seconds(read), labels);
    out.Gauge("meshca_jwt_issuer_error", "1 while the last look at a token issuer's keys failed.",
              !issuer.keys.error.empty(), labels);
    const Jwks* keys = issuer.keys.keys.get();
    out.Gauge("meshca_jwks_keys", "Keys of a token issuer that its tokens are judged by.",
              keys == nullptr ? 0 : static_cast<double>(keys->keys().size()), labels);
    out.Gauge("meshca_jwks_keys_ignored", "Keys of a token issuer that cannot be used: see `meshca check`.",
              keys == nullptr ? 0 : static_cast<double>(keys->ignored().size()), labels);
  }
}

void AddAuthorities(const MetricSources& sources, absl::Time now, MetricFamilies& out) {
  const std::shared_ptr<const AuthoritySnapshot> snapshot = sources.authorities->Current();
  out.Gauge("meshca_authority_error", "1 while something is wrong with the authorities: see `meshca status`.",
            sources.authority_error().empty() ? 0 : 1);
  out.Gauge("meshca_clock_steady", "0 while the wall clock cannot be believed.",
            sources.judged_clock->BelievedNow().has_value());
  if (snapshot == nullptr) return;
  AddCitadelExpiry(*snapshot, now, out);
  out.Gauge("meshca_authority_can_sign", "1 while an authority signs.", snapshot->issuing != nullptr);
  out.Gauge("meshca_bundle_sequence", "Number of the trust bundle that is published.",
            static_cast<double>(snapshot->bundle->sequence_number));
  out.Gauge("meshca_unrecorded_renewal_until_timestamp_seconds",
            "Until when certificates without a record may renew, Unix seconds; 0: they may not.",
            snapshot->unrecorded.has_value() ? Seconds(snapshot->unrecorded->until) : 0);
  out.Gauge("meshca_bundle_roots", "Roots in the trust bundle.", static_cast<double>(snapshot->bundle->roots.size()));
  absl::StatusOr<std::map<std::string, uint64_t>> live = absl::UnavailableError("not asked");
  if (sources.authority_store != nullptr) live = sources.authority_store->CountLiveLeaves(now);
  for (const SigningAuthority& authority : snapshot->authorities) {
    if (authority.state == AuthorityState::kRetired) continue;
    const absl::Time ends = authority.certificate.validity().not_after;
    const MetricLabels labels = {{"authority", authority.id},
                                 {"role", AuthorityRoleName(authority.role)},
                                 {"state", AuthorityStateName(authority.state)}};
    out.Gauge("meshca_authority_expiry_timestamp_seconds", "When the authority expires, Unix seconds.", Seconds(ends),
              labels);
    out.Gauge("meshca_authority_expiry_seconds", "Seconds until the authority expires.",
              absl::ToDoubleSeconds(ends - now), labels);
    out.Gauge("meshca_authority_tainted", "1 when the authority is tainted.", authority.tainted, labels);
    if (!live.ok() || authority.role != AuthorityRole::kIssuing) continue;
    const auto count = live->find(authority.id);
    out.Gauge("meshca_authority_live_certificates", "Certificates alive under the authority.",
              count == live->end() ? 0 : static_cast<double>(count->second), labels);
  }
}

// Every step is listed, so that an alert on one of them does not wait for its first rotation.
void AddRotation(const RotationReport& report, MetricFamilies& out) {
  constexpr RotationStep kSteps[] = {RotationStep::kPrepare, RotationStep::kDistribute, RotationStep::kReissue,
                                     RotationStep::kDrain,   RotationStep::kRetire,     RotationStep::kDone};
  auto number = [](uint64_t value) { return static_cast<double>(value); };
  const std::optional<RootRotation>& rotation = report.rotation;
  out.Gauge("meshca_root_rotation_step", "1 for the step that the newest rotation of the root is at.",
            !rotation.has_value(), {{"step", "none"}});
  for (const RotationStep step : kSteps) {
    out.Gauge("meshca_root_rotation_step", "", rotation.has_value() && rotation->step == step,
              {{"step", RotationStepName(step)}});
  }
  out.Gauge("meshca_root_rotation_subscribers_behind", "Subscriber instances that the rotation waits for.",
            number(report.evidence.subscribers_behind));
  out.Gauge("meshca_root_rotation_leaves_behind", "Live certificates that the rotation waits for.",
            number(report.evidence.leaves_behind));
  out.Gauge("meshca_root_rotation_reissue_left", "Keys of subscribers that still have to be replaced.",
            number(report.reissue_left));
  out.Gauge("meshca_root_rotation_frozen", "1 while a rotation stands still because the clock cannot be believed.",
            !report.frozen.empty());
}

void AddJwtKeys(const JwtKeysReport& report, MetricFamilies& out) {
  constexpr AuthorityState kStates[] = {AuthorityState::kPrepared, AuthorityState::kActive, AuthorityState::kOld};
  bool first = true;
  for (const AuthorityState state : kStates) {
    const auto count = std::count_if(report.keys.begin(), report.keys.end(),
                                     [state](const JwtAuthority& key) { return key.state == state; });
    out.Gauge("meshca_jwt_keys", first ? "Keys of JWT-SVIDs that are trusted." : "", static_cast<double>(count),
              {{"state", AuthorityStateName(state)}});
    first = false;
  }
  out.Gauge("meshca_jwt_signing", "1 while a key signs JWT-SVIDs.", !report.signing_key_id.empty());
  out.Gauge("meshca_jwt_rotation_subscribers_behind", "Consumers of JWT keys that the next key waits for.",
            static_cast<double>(report.evidence.subscribers_behind));
}

void AddJwtMinter(const JwtMinter::Stats& stats, MetricFamilies& out) {
  out.Counter("meshca_jwt_svids_total", "JWT-SVIDs minted.", static_cast<double>(stats.minted));
  out.Counter("meshca_jwt_svid_errors_total", "JWT-SVIDs that were not minted.", static_cast<double>(stats.refused),
              {{"why", "request"}});
  out.Counter("meshca_jwt_svid_errors_total", "", static_cast<double>(stats.failed), {{"why", "sign"}});
}

void AddPipeline(const PipelineStats& stats, MetricFamilies& out) {
  auto number = [](uint64_t value) { return static_cast<double>(value); };
  out.Counter("meshca_issuance_requests_total", "Requests submitted, from the CSR service and SDS.",
              number(stats.submitted));
  out.Counter("meshca_issuances_total", "Certificates issued and durably recorded.",
              number(stats.issued - std::min(stats.issued, stats.renewals_issued)), {{"class", "bulk"}});
  out.Counter("meshca_issuances_total", "", number(stats.renewals_issued), {{"class", "renewal"}});
  const std::pair<absl::string_view, uint64_t> errors[] = {
      {"csr", stats.csr_errors},   {"name", stats.name_errors},   {"policy", stats.policy_errors},
      {"sign", stats.sign_errors}, {"store", stats.store_errors}, {"queue_full", stats.queue_full}};
  for (const auto& [why, count] : errors) {
    out.Counter("meshca_issuance_errors_total", "Requests that got no certificate.", number(count), {{"why", why}});
  }
  out.Counter("meshca_issuance_signed_again_total", "Signatures made again because an activation overtook the first.",
              number(stats.signed_again));
  out.Gauge("meshca_issuance_in_flight", "Requests submitted and not yet answered.", number(stats.in_flight));
  out.Gauge("meshca_issuance_queue_depth", "Requests that wait for a signing thread.", number(stats.queued_renewals),
            {{"class", "renewal"}});
  out.Gauge("meshca_issuance_queue_depth", "", number(stats.queued_bulk), {{"class", "bulk"}});
  out.Histogram("meshca_issuance_latency_seconds", "From submission to a durable record.",
                PipelineStats::kLatencyBounds, stats.latency, stats.latency_sum);
}

void AddStore(const StoreHealth& health, MetricFamilies& out) {
  out.Gauge("meshca_store_writable", "0 while the last write failed.", health.writable.ok());
  out.Gauge("meshca_store_queue_depth", "Writes that wait for the next batch.", static_cast<double>(health.queued));
  out.Counter("meshca_store_batches_total", "Transactions committed.", static_cast<double>(health.batches));
  out.Counter("meshca_store_records_total", "Records committed.", static_cast<double>(health.records));
  out.Counter("meshca_store_pruned_total", "Expired records deleted.", static_cast<double>(health.pruned));
  out.Gauge("meshca_store_database_bytes", "Size of the database and its log.",
            static_cast<double>(health.database_bytes));
  out.Gauge("meshca_store_schema_version", "Schema version of the database.", health.schema_version);
}

void AddMethod(const rpc::MethodStats& method, MetricFamilies& out) {
  const absl::string_view path = method.path.empty() ? absl::string_view("unknown") : method.path;
  uint64_t finished = 0;
  for (size_t code = 0; code < method.finished_by_code.size(); ++code) {
    if (method.finished_by_code[code] == 0) continue;
    finished += method.finished_by_code[code];
    out.Counter("meshca_rpc_calls_total", "Calls finished, by method and gRPC status.",
                static_cast<double>(method.finished_by_code[code]),
                {{"method", path}, {"code", CodeName(static_cast<absl::StatusCode>(code))}});
  }
  // Most methods are never called on most servers: their zeros would be most of the page.
  if (finished == 0 && method.open == 0) return;
  out.Gauge("meshca_rpc_calls_open", "Calls and streams open.", static_cast<double>(method.open), {{"method", path}});
  out.Counter("meshca_rpc_messages_received_total", "Messages received.", static_cast<double>(method.messages_received),
              {{"method", path}});
  out.Counter("meshca_rpc_messages_sent_total", "Messages sent.", static_cast<double>(method.messages_sent),
              {{"method", path}});
  std::vector<double> bounds;
  for (size_t i = 0; i + 1 < rpc::kLatencyBuckets; ++i) {
    bounds.push_back(absl::ToDoubleSeconds(rpc::LatencyBucketEdge(i)));
  }
  if (std::all_of(method.latency.begin(), method.latency.end(), [](uint64_t count) { return count == 0; })) return;
  out.Histogram("meshca_rpc_latency_seconds", "Unary calls, from headers to answer.", bounds, method.latency,
                absl::ToDoubleSeconds(method.latency_sum), {{"method", path}});
}

void AddEdge(const rpc::StatsSnapshot& stats, MetricFamilies& out) {
  auto number = [](uint64_t value) { return static_cast<double>(value); };
  out.Counter("meshca_rpc_connections_accepted_total", "Connections accepted.", number(stats.connections_accepted));
  out.Gauge("meshca_rpc_connections_open", "Connections open.", number(stats.connections_open));
  for (size_t room = 0; room < stats.connections_by_room.size(); ++room) {
    out.Gauge("meshca_rpc_connections_by_kind", "Connections open, by what they count as.",
              number(stats.connections_by_room[room]), {{"kind", rpc::RoomName(static_cast<rpc::Room>(room))}});
  }
  out.Gauge("meshca_rpc_connections_max", "Places for connections, as the limit of open files allows.",
            number(stats.connections_public_max), {{"listeners", "public"}});
  out.Gauge("meshca_rpc_connections_max", "", number(stats.connections_privileged_max), {{"listeners", "privileged"}});
  out.Gauge("meshca_rpc_streams_open", "Calls and streams open, all methods.", number(stats.streams_open));
  out.Counter("meshca_rpc_handshakes_total", "TLS handshakes.", number(stats.handshakes_ok), {{"result", "ok"}});
  out.Counter("meshca_rpc_handshakes_total", "", number(stats.handshakes_failed), {{"result", "failed"}});
  out.Counter("meshca_rpc_handshakes_resumed_total", "TLS handshakes that resumed a session.",
              number(stats.handshakes_resumed));
  out.Counter("meshca_rpc_received_bytes_total", "HTTP/2 bytes received.", number(stats.bytes_received));
  out.Counter("meshca_rpc_sent_bytes_total", "HTTP/2 bytes sent.", number(stats.bytes_sent));
  out.Gauge("meshca_rpc_buffered_bytes", "Bytes of unread answers and unfinished requests.",
            number(stats.buffered_bytes));
  for (size_t kind = 0; kind < stats.limits.size(); ++kind) {
    out.Counter("meshca_rpc_limits_total", "How often each limit was met.", number(stats.limits[kind]),
                {{"limit", rpc::LimitName(static_cast<rpc::LimitKind>(kind))}});
  }
  for (const rpc::MethodStats& method : stats.methods) AddMethod(method, out);
}

// How far the connected subscribers are behind the bundle that is published.
void AddLag(const sds::SdsService& sds, const TrustBundle& bundle, absl::Time now, MetricFamilies& out) {
  uint64_t behind = 0;
  uint64_t silent = 0;
  for (const SubscriberRecord& subscriber : sds.subscribers().List()) {
    if (!subscriber.connected) continue;
    if (subscriber.trust_version == 0) {
      ++silent;
    } else if (subscriber.trust_version < bundle.sequence_number) {
      ++behind;
    }
  }
  out.Gauge("meshca_sds_subscribers_behind", "Connected subscribers that acknowledged an older trust bundle.",
            static_cast<double>(behind));
  out.Gauge("meshca_sds_subscribers_silent",
            "Connected subscribers that have acknowledged no trust bundle, those that take keys alone among them.",
            static_cast<double>(silent));
  out.Gauge("meshca_sds_acknowledgement_lag_seconds",
            "Age of the published trust bundle while a connected subscriber holds an older one; else 0.",
            behind == 0 ? 0 : std::max(0.0, absl::ToDoubleSeconds(now - bundle.published_at)));
}

void AddSds(const sds::SdsStats& stats, MetricFamilies& out) {
  auto number = [](uint64_t value) { return static_cast<double>(value); };
  out.Gauge("meshca_sds_subscribers", "Subscriber instances.", number(stats.subscribers.connected),
            {{"state", "connected"}});
  out.Gauge("meshca_sds_subscribers", "", number(stats.subscribers.known - stats.subscribers.connected),
            {{"state", "remembered"}});
  out.Gauge("meshca_sds_streams", "SDS streams open.", number(stats.subscribers.streams));
  out.Counter("meshca_sds_acknowledgements_total", "ACKs received.", number(stats.subscribers.acknowledged));
  out.Counter("meshca_sds_rejections_total", "NACKs received.", number(stats.subscribers.rejected));
  out.Gauge("meshca_sds_unsaved_subscribers", "Acknowledged states that wait for the store.",
            number(stats.subscribers.unsaved));
  out.Gauge("meshca_sds_keys", "Keys of subscribers in memory.", number(stats.keys.keys));
  out.Gauge("meshca_sds_keys_waiting", "Keys that wait for a certificate.", number(stats.keys.waiting));
  out.Counter("meshca_sds_certificates_total", "Certificates issued for subscribers.", number(stats.keys.issued),
              {{"kind", "all"}});
  out.Counter("meshca_sds_certificates_total", "", number(stats.keys.renewed), {{"kind", "renewal"}});
  out.Counter("meshca_sds_certificate_failures_total", "Attempts that gave no certificate.", number(stats.keys.failed));
  out.Counter("meshca_sds_responses_serialised_total", "Responses made; many streams share one.",
              number(stats.responses_serialised));
}

}  // namespace

std::string MetricsRegistry::Render() const {
  const absl::Time now = sources_.clock->Now();
  MetricFamilies out;
  AddProcess(sources_, out);
  if (sources_.readiness != nullptr) {
    out.Gauge("meshca_ready", "1 while a trial signature and commit succeed.", sources_.readiness->Ready().ok());
  }
  AddCitadel(sources_, out);
  if (sources_.pipeline != nullptr) AddPipeline(sources_.pipeline->Stats(), out);
  if (sources_.certificates_revoked) {
    out.Counter("meshca_certificates_revoked_total", "Certificates that were revoked.",
                static_cast<double>(sources_.certificates_revoked()));
  }
  if (sources_.authorities != nullptr) AddAuthorities(sources_, now, out);
  if (sources_.plugged_in_refused) {
    out.Gauge("meshca_plugged_in_ca_refused", "1 while a new set of the plugged-in CA is refused or held.",
              sources_.plugged_in_refused());
  }
  if (sources_.token_issuers) AddTokenIssuers(sources_.token_issuers(), out);
  if (sources_.rotation != nullptr) AddRotation(sources_.rotation->Report(), out);
  if (sources_.jwt_keys != nullptr) AddJwtKeys(sources_.jwt_keys->Report(), out);
  if (sources_.jwt_minter != nullptr) AddJwtMinter(sources_.jwt_minter->stats(), out);
  if (sources_.server_certificate != nullptr) {
    const absl::Time ends = sources_.server_certificate->ExpiresAt();
    if (ends != absl::InfinitePast()) {
      out.Gauge("meshca_server_certificate_expiry_timestamp_seconds",
                "When the CA's own TLS certificate expires, Unix seconds.", Seconds(ends));
    }
  }
  if (sources_.store != nullptr) AddStore(sources_.store->Health(), out);
  if (sources_.edge != nullptr) AddEdge(sources_.edge->stats(), out);
  if (sources_.sds != nullptr) {
    AddSds(sources_.sds->Stats(), out);
    const auto snapshot = sources_.authorities == nullptr ? nullptr : sources_.authorities->Current();
    if (snapshot != nullptr) AddLag(*sources_.sds, *snapshot->bundle, now, out);
  }
  return out.ToText();
}

}  // namespace meshca::cli
