#include "cli/server/metrics.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "cli/process/metric_families.h"
#include "cli/process/service_metrics.h"

namespace meshca::cli {
namespace {

double Seconds(absl::Time time) { return absl::ToDoubleSeconds(time - absl::UnixEpoch()); }

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

void AddAgents(const AgentServiceStats& stats, MetricFamilies& out) {
  auto number = [](uint64_t value) { return static_cast<double>(value); };
  const auto results = [&](absl::string_view name, absl::string_view help, uint64_t given, uint64_t refused) {
    out.Counter(name, help, number(given), {{"result", "given"}});
    out.Counter(name, "", number(refused), {{"result", "refused"}});
  };
  results("meshca_agent_joins_total", "Nodes that wanted to join.", stats.joined, stats.joins_refused);
  results("meshca_agent_joins_by_key_total",
          "Those of them that came by the key of a certificate that had ended (agents.rejoin_grace).",
          stats.joined_by_key, stats.joins_by_key_refused);
  results("meshca_agent_certificates_total", "Certificates that agents asked for.", stats.certificates,
          stats.certificates_refused);
  results("meshca_agent_jwt_svids_total", "JWT-SVIDs that agents asked for.", stats.tokens, stats.tokens_refused);
  const char* help = "Agents of nodes: those that are attached, and those that left and are remembered.";
  out.Gauge("meshca_agents", help, number(stats.agents.connected), {{"state", "attached"}});
  out.Gauge("meshca_agents", "", number(stats.agents.known - stats.agents.connected), {{"state", "away"}});
  out.Counter("meshca_agents_displaced_total", "Agents sent away because another one of their node attached.",
              number(stats.agents.displaced));
  out.Gauge("meshca_agent_consumers", "Consumers on the nodes of the attached agents.", number(stats.agents.consumers));
  out.Gauge("meshca_agent_consumers_behind",
            "Those of them whose trust bundle or certificate is older than it should be.", number(stats.agents.behind));
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

// How far the connected subscribers are behind the bundle that is published.
void AddLag(const sds::SdsService& sds, const TrustBundle& bundle, absl::Time now, MetricFamilies& out) {
  uint64_t behind = 0;
  uint64_t silent = 0;
  std::map<std::string, uint64_t> of_kind;
  for (const SubscriberRecord& subscriber : sds.subscribers().List()) {
    ++of_kind[subscriber.kind];
    if (!subscriber.connected) continue;
    if (subscriber.trust_version == 0) {
      ++silent;
    } else if (subscriber.trust_version < bundle.sequence_number) {
      ++behind;
    }
  }
  const char* help = "Subscriber instances, connected or remembered, by the way in which they take their secrets.";
  for (const auto& [kind, count] : of_kind) {
    out.Gauge("meshca_sds_subscribers_of_kind", std::exchange(help, ""), static_cast<double>(count), {{"kind", kind}});
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

void AddKubernetes(const KubernetesSide& kubernetes, MetricFamilies& out) {
  const kubernetes::ClusterReport cluster = kubernetes.Report();
  out.Gauge("meshca_kubernetes_pods", "Pods of the cluster that are known.", static_cast<double>(cluster.pods));
  out.Gauge("meshca_kubernetes_pods_age_seconds", "How old what is known of the cluster's pods is; +Inf: nothing yet.",
            absl::ToDoubleSeconds(cluster.watch_age));
  out.Gauge("meshca_kubernetes_api_server_away",
            "1 while the API server gives no answer, so that nothing is published and no request in it is signed.",
            cluster.away);
  out.Counter("meshca_kubernetes_api_server_returns_total", "Times that the API server was away and came back.",
              static_cast<double>(cluster.returns));
  out.Counter("meshca_kubernetes_token_reviews_total", "Tokens that the API server was asked about.",
              static_cast<double>(cluster.token_reviews));
  out.Counter("meshca_kubernetes_token_signatures_total", "Signatures of service account tokens that were verified.",
              static_cast<double>(cluster.signatures_verified));
  for (const kubernetes::CallCount& count : kubernetes.Calls()) {
    out.Counter("meshca_kubernetes_calls_total", "Calls of the Kubernetes API that were begun.",
                static_cast<double>(count.calls), {{"verb", count.verb}, {"resource", count.resource}});
    out.Counter("meshca_kubernetes_calls_failed_total", "Calls of the Kubernetes API that ended with an error.",
                static_cast<double>(count.failed), {{"verb", count.verb}, {"resource", count.resource}});
  }
  const std::optional<kubernetes::LeaseStatus> lease = kubernetes.Lease();
  if (lease.has_value()) {
    out.Gauge("meshca_kubernetes_lease_held", "1 while this server has the Lease, and so publishes and signs.",
              lease->held);
    out.Counter("meshca_kubernetes_lease_gained_total", "Times that this server has got the Lease.",
                static_cast<double>(lease->gained));
    out.Counter("meshca_kubernetes_lease_lost_total", "Times that this server has lost the Lease.",
                static_cast<double>(lease->lost));
  }
  if (const std::optional<kubernetes::EventCounts> events = kubernetes.Events()) {
    out.Counter("meshca_kubernetes_events_written_total", "Events that were written in the cluster.",
                static_cast<double>(events->written));
    out.Counter("meshca_kubernetes_events_dropped_total",
                "Events that were not written: too many, or the API server did not take them.",
                static_cast<double>(events->dropped));
  }
  for (const PublisherStatus& one : kubernetes.Published()) {
    const MetricLabels labels = {{"object", one.object}};
    out.Gauge("meshca_kubernetes_published_objects", "Objects that the roots are to stand in.",
              static_cast<double>(one.places), labels);
    out.Gauge("meshca_kubernetes_published_objects_behind", "Of these: those that do not show the roots of now.",
              static_cast<double>(one.behind), labels);
    out.Gauge("meshca_kubernetes_watch_age_seconds", "How old what is known of them is.",
              absl::ToDoubleSeconds(one.age), labels);
  }
  for (const ServerSecretStatus& one : kubernetes.ServerSecrets()) {
    const std::string object = one.secret.Text();  // what labels show has to live as long as they
    const MetricLabels labels = {{"object", object}};
    out.Gauge("meshca_kubernetes_published_objects", "Objects that the roots are to stand in.",
              one.namespace_missing ? 0 : 1, labels);
    out.Gauge("meshca_kubernetes_published_objects_behind", "Of these: those that do not show the roots of now.",
              one.behind && !one.namespace_missing, labels);
    out.Gauge("meshca_kubernetes_watch_age_seconds", "How old what is known of them is.",
              absl::ToDoubleSeconds(one.age), labels);
    out.Counter("meshca_kubernetes_server_certificates_issued_total", "Certificates that were issued for Secrets.",
                static_cast<double>(one.issued), labels);
    if (one.expires == absl::InfinitePast()) continue;
    out.Gauge("meshca_kubernetes_server_certificate_expiry_timestamp_seconds",
              "When the certificate in a Secret expires, Unix seconds.", Seconds(one.expires), labels);
  }
  if (const std::optional<PodSignerStatus> signer = kubernetes.Signer()) {
    const std::string object = absl::StrCat("PodCertificateRequests of ", signer->signer_name);
    const MetricLabels labels = {{"object", object}};
    out.Gauge("meshca_kubernetes_watch_age_seconds", "How old what is known of them is.",
              absl::ToDoubleSeconds(signer->age), labels);
    out.Gauge("meshca_kubernetes_signer_on", "1 while PodCertificateRequests are answered.",
              !signer->unserved && signer->admission.ok() && lease.has_value() && lease->held);
    out.Gauge("meshca_kubernetes_pod_requests_pending", "PodCertificateRequests that are not answered yet.",
              static_cast<double>(signer->pending));
    out.Counter("meshca_kubernetes_pod_certificates_issued_total", "PodCertificateRequests answered by a certificate.",
                static_cast<double>(signer->issued));
    out.Counter("meshca_kubernetes_pod_requests_denied_total", "PodCertificateRequests that were denied for ever.",
                static_cast<double>(signer->denied));
    out.Counter("meshca_kubernetes_pod_request_attempts_failed_total",
                "Attempts at a PodCertificateRequest that ended without an answer and are made again.",
                static_cast<double>(signer->failed));
  }
  if (const std::optional<RequestSignerStatus> signer = kubernetes.SigningRequestSigner()) {
    out.Gauge("meshca_kubernetes_watch_age_seconds", "How old what is known of them is.",
              absl::ToDoubleSeconds(signer->age), {{"object", "CertificateSigningRequests"}});
    out.Gauge("meshca_kubernetes_signing_requests_pending", "CertificateSigningRequests that are not answered yet.",
              static_cast<double>(signer->pending));
    out.Gauge("meshca_kubernetes_signing_requests_unapproved",
              "CertificateSigningRequests that wait until somebody approves them.",
              static_cast<double>(signer->awaiting));
    out.Counter("meshca_kubernetes_signing_certificates_issued_total",
                "CertificateSigningRequests answered by a certificate.", static_cast<double>(signer->issued));
    out.Counter("meshca_kubernetes_signing_requests_refused_total", "CertificateSigningRequests refused for ever.",
                static_cast<double>(signer->denied));
    out.Counter("meshca_kubernetes_signing_request_attempts_failed_total",
                "Attempts at a CertificateSigningRequest that ended without an answer and are made again.",
                static_cast<double>(signer->failed));
  }
}

}  // namespace

std::string MetricsRegistry::Render() const {
  const absl::Time now = sources_.clock->Now();
  MetricFamilies out;
  AddProcessMetrics(sources_.version, sources_.started_at, out);
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
  if (sources_.agents != nullptr) AddAgents(sources_.agents->Stats(), out);
  if (sources_.kubernetes != nullptr) AddKubernetes(*sources_.kubernetes, out);
  if (sources_.server_certificate != nullptr) {
    const absl::Time ends = sources_.server_certificate->ExpiresAt();
    if (ends != absl::InfinitePast()) {
      out.Gauge("meshca_server_certificate_expiry_timestamp_seconds",
                "When the CA's own TLS certificate expires, Unix seconds.", Seconds(ends));
    }
  }
  if (sources_.store != nullptr) AddStore(sources_.store->Health(), out);
  if (sources_.edge != nullptr) AddEdgeMetrics(sources_.edge->stats(), out);
  if (sources_.sds != nullptr) {
    AddSdsMetrics(sources_.sds->Stats(), out);
    const auto snapshot = sources_.authorities == nullptr ? nullptr : sources_.authorities->Current();
    if (snapshot != nullptr) AddLag(*sources_.sds, *snapshot->bundle, now, out);
  }
  return out.ToText();
}

}  // namespace meshca::cli
