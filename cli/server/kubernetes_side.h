// What a server does for a Kubernetes cluster: it judges the tokens of its pods, publishes the roots there, and keeps
// Secrets with servers' certificates.
#ifndef MESHCA_CLI_SERVER_KUBERNETES_SIDE_H_
#define MESHCA_CLI_SERVER_KUBERNETES_SIDE_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/base/checked_fact.h"
#include "ca/base/entropy.h"
#include "ca/base/judged_clock.h"
#include "ca/base/mutex.h"
#include "ca/issuance/issuance_pipeline.h"
#include "ca/kubernetes/cluster.h"
#include "ca/kubernetes/event_sender.h"
#include "ca/kubernetes/lease_holder.h"
#include "ca/pod_certificates/cluster_advisor.h"
#include "ca/pod_certificates/pod_certificate_signer.h"
#include "ca/pod_certificates/pod_request_policy.h"
#include "ca/publishing/publisher.h"
#include "ca/request_signing/request_signer.h"
#include "ca/server_secrets/server_secret_keeper.h"
#include "ca/signing_requests/signing_request_kind.h"
#include "ca/subscribers/evidence_source.h"
#include "cli/config/resolve.h"
#include "cli/server/rotation_events.h"

namespace meshca::cli {

// Thread-safe; Open, Start and Shutdown are one thread's.
class KubernetesSide final : public EvidenceSource {
 public:
  // Null: the configuration has no `kubernetes`. Begins to watch the cluster's pods; an API server that is away stops
  // no start. Errors of config::ToApiServer, ToServiceAccounts and Cluster::Open.
  static absl::StatusOr<std::unique_ptr<KubernetesSide>> Open(const config::ResolvedConfig& config,
                                                              const JudgedClock& clock, EntropySource& entropy);
  ~KubernetesSide() override;  // Shutdown

  // Before Start, once: answers PodCertificateRequests and CertificateSigningRequests, where the configuration has a
  // signer. All outlive this one.
  struct Signing {
    const AuthoritySnapshots& authorities;
    IssuanceStore& store;
    RequestPolicy& policy;
    EntropySource& serials;
  };
  absl::Status AddSigner(const config::v1::Config& config, const Signing& signing, const Clock& clock,
                         EntropySource& entropy);
  // The same for the Secrets with servers' certificates.
  absl::Status AddServerSecrets(const config::v1::Config& config, const Signing& signing, const JudgedClock& clock,
                                EntropySource& entropy);

  // Begins to publish, and to sign.
  void Start();
  // What is trusted has changed, or is told for the first time.
  void OnAuthorities(const AuthoritySnapshot& snapshot);

  // Who judges service account tokens, and whether the pod that gave a right is there.
  std::shared_ptr<Authenticator> authenticator() const { return kubernetes::Cluster::AuthenticatorOf(cluster_); }
  const std::shared_ptr<const PodRights>& rights() const { return cluster_->rights(); }

  // Issuers whose JWTs are judged by the configuration's `authenticators`.
  void SetOtherIssuers(std::vector<std::string> issuers) { cluster_->SetOtherIssuers(std::move(issuers)); }

  // What the cluster's pods say of a rotation.
  const RotationAdvisor& advisor() const { return advisor_; }
  // Every published object.
  std::vector<SubscriberRecord> List() const override;

  // For `meshca check`.
  std::vector<CheckedFact> Check() const;
  // For metrics.
  std::vector<kubernetes::CallCount> Calls() const { return cluster_->CallCounts(); }
  kubernetes::ClusterReport Report() const { return cluster_->Report(); }
  std::vector<PublisherStatus> Published() const;
  std::vector<ServerSecretStatus> ServerSecrets() const;
  std::optional<PodSignerStatus> Signer() const;                    // nothing: there is none
  std::optional<RequestSignerStatus> SigningRequestSigner() const;  // of CertificateSigningRequests; likewise
  // Whether this server may write in the cluster; nothing: it has nothing to write there.
  std::optional<kubernetes::LeaseStatus> Lease() const;
  std::optional<kubernetes::EventCounts> Events() const;  // nothing: none are written

  // Nothing is published or signed any more when it returns, and no token judged: whoever waited for that has been
  // answered, and later ones are Unavailable. Before the services end whose callers it judges. Idempotent.
  void Shutdown();

 private:
  KubernetesSide(std::shared_ptr<kubernetes::Cluster> cluster, std::vector<AccountName> node_accounts,
                 const Clock& clock)
      : cluster_(std::move(cluster)), advisor_(cluster_->pods(), std::move(node_accounts), clock) {}

  void AddSigningRequests(SigningRules rules, const std::string& signer_name, const Signing& signing,
                          const Clock& clock, EntropySource& entropy);

  // The Lease, as what events are about.
  kubernetes::ObjectReference LeaseObject() const;
  void TellLeaseChange();

  const std::shared_ptr<kubernetes::Cluster> cluster_;
  const ClusterAdvisor advisor_;
  std::unique_ptr<kubernetes::EventSender> events_;  // null: none are written
  std::unique_ptr<kubernetes::LeaseHolder> lease_;   // what all below write by; null: nothing is written
  kubernetes::LeasePlace lease_place_;
  Mutex rotation_mutex_;
  RotationEvents rotation_events_ ABSL_GUARDED_BY(rotation_mutex_);
  std::vector<std::unique_ptr<Publisher>> publishers_;
  // null where there is no signer, like the next two. Pods' certificates have a profile of their own.
  std::unique_ptr<PodRequestPolicy> signer_policy_;
  std::unique_ptr<IssuancePipeline> signer_pipeline_;
  std::unique_ptr<PodCertificateSigner> signer_;
  // null where there are no Secrets. What is made here has a key type of its own.
  std::unique_ptr<IssuancePipeline> secrets_pipeline_;
  std::vector<std::unique_ptr<ServerSecretKeeper>> secrets_;
  // Of CertificateSigningRequests; null where there is no signer, like the next two.
  std::unique_ptr<IssuancePipeline> signing_pipeline_;
  std::unique_ptr<SigningRequestKind> signing_kind_;
  std::unique_ptr<RequestSigner> signing_signer_;
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_SERVER_KUBERNETES_SIDE_H_
