// What /metrics shows: istiod's names with istiod's meaning, and ours for what istiod lacks.
#ifndef MESHCA_CLI_SERVER_METRICS_H_
#define MESHCA_CLI_SERVER_METRICS_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "ca/authn/jwt_authenticator.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/authority/authority_store.h"
#include "ca/authority/jwt_key_control.h"
#include "ca/authority/rotation_control.h"
#include "ca/base/clock.h"
#include "ca/base/judged_clock.h"
#include "ca/issuance/issuance_pipeline.h"
#include "ca/issuance/jwt_minter.h"
#include "ca/issuance/readiness.h"
#include "ca/issuance/server_certificate.h"
#include "ca/issuance/store_maintenance.h"
#include "ca/rpc/server.h"
#include "ca/service/agent_service.h"
#include "ca/service/csr_service.h"
#include "cli/server/kubernetes_side.h"
#include "sds/sds_service.h"

namespace meshca::cli {

// The parts that count. A null one is not shown; all outlive the registry.
struct MetricSources {
  std::string version;
  absl::Time started_at;
  const Clock* clock = nullptr;  // never null
  std::vector<const CsrService*> csr_services;
  const IssuancePipeline* pipeline = nullptr;
  const AuthoritySnapshots* authorities = nullptr;
  std::function<std::string()> authority_error;  // AuthorityManager::LastError; there where `authorities` is
  const JudgedClock* judged_clock = nullptr;     // the same
  AuthorityStore* authority_store = nullptr;     // for the live certificates of each authority
  const ServerCertificate* server_certificate = nullptr;
  const StoreMaintenance* store = nullptr;
  const rpc::Server* edge = nullptr;
  const sds::SdsService* sds = nullptr;
  const Readiness* readiness = nullptr;
  RotationControl* rotation = nullptr;
  const JwtKeyControl* jwt_keys = nullptr;
  const JwtMinter* jwt_minter = nullptr;
  const AgentService* agents = nullptr;
  const KubernetesSide* kubernetes = nullptr;
  // True while a plugged-in set is refused or held; an empty one is not shown.
  std::function<bool()> plugged_in_refused;
  // The issuers whose tokens are accepted; an empty one is not shown.
  std::function<std::vector<JwtIssuerReport>()> token_issuers;
  std::function<uint64_t()> certificates_revoked;  // since start
};

// Names no identity: methods, authorities' fingerprints and counts alone. Thread-safe.
class MetricsRegistry {
 public:
  explicit MetricsRegistry(MetricSources sources) : sources_(std::move(sources)) {}

  // Prometheus' text format. May block on the database.
  std::string Render() const;

 private:
  const MetricSources sources_;
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_SERVER_METRICS_H_
