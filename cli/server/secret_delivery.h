// Everybody whom this server keeps supplied with keys and trust: subscribers of SDS and the Workload API, and agents.
#ifndef MESHCA_CLI_SERVER_SECRET_DELIVERY_H_
#define MESHCA_CLI_SERVER_SECRET_DELIVERY_H_

#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "ca/authn/node_key_authenticator.h"
#include "ca/base/entropy.h"
#include "ca/issuance/issuance_pipeline.h"
#include "ca/issuance/jwt_minter.h"
#include "ca/service/admin_context.h"
#include "ca/service/agent_service.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/subscribers/evidence_source.h"
#include "cli/config/resolve.h"
#include "cli/server/all_subscribers.h"
#include "cli/server/authority_trust_source.h"
#include "cli/server/inventory_certificates.h"
#include "cli/server/key_ring_reissuer.h"
#include "cli/server/kubernetes_side.h"
#include "cli/server/minter_jwt_source.h"
#include "cli/server/pipeline_svid_source.h"
#include "cli/server/sds_subscribers.h"
#include "cli/server/server_edge.h"
#include "cli/server/server_state.h"
#include "cli/server/shared_reissuer.h"
#include "sds/sds_service.h"

namespace meshca::cli {

// Thread-safe between Start and Shutdown, which are one thread's.
class SecretDelivery {
 public:
  // All outlive it; `kubernetes`, whose published objects are subscribers too, may be null.
  struct Parts {
    const config::ResolvedConfig& config;
    const TrustDomain& trust_domain;
    ServerState& state;
    IssuancePipeline& pipeline;
    Doors& doors;
    KubernetesSide* kubernetes;
    EntropySource& entropy;
  };
  explicit SecretDelivery(const Parts& parts);

  // Reads what is remembered of subscribers and nodes. Errors: the store's.
  absl::Status Start();
  // The registration entries have changed.
  void EntriesChanged();

  sds::SdsService& sds() { return sds_; }
  AgentService& agents() { return agents_; }
  JwtMinter& jwt_minter() { return jwt_minter_; }
  // For the admin service and for rotations: all of them.
  LiveSubscribers& subscribers() { return subscribers_; }
  const EvidenceSource& evidence() const { return evidence_; }
  KeyReissuer& reissuer() { return reissuer_; }
  // Nothing: no agent of that node is or was attached.
  std::optional<AttachedAgent> FindAgent(absl::string_view node) const;

  // Nobody is told anything any more when it returns.
  void Shutdown();

 private:
  sds::SdsService::Parts SdsParts(const Parts& parts);
  AgentService::Parts AgentParts(const Parts& parts);
  void TellAgentsOfEntries();

  ServerState& state_;
  // What sds_ serves from.
  AuthorityTrustSource trust_source_;
  PipelineSvidSource svid_source_;
  InventoryCertificates certificates_;
  JwtMinter jwt_minter_;
  MinterJwtSource jwt_source_;
  sds::SdsService sds_;
  KeyRingReissuer own_reissuer_;
  SdsSubscribers sds_subscribers_;
  NodeKeyAuthenticator node_keys_;
  AgentService agents_;
  SharedReissuer reissuer_;
  AllSubscribers subscribers_;
  EvidenceUnion evidence_;
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_SERVER_SECRET_DELIVERY_H_
