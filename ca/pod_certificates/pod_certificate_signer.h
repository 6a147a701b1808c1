// Answers the PodCertificateRequests of one signer: pods get their certificates with no client of ours.
#ifndef MESHCA_CA_POD_CERTIFICATES_POD_CERTIFICATE_SIGNER_H_
#define MESHCA_CA_POD_CERTIFICATES_POD_CERTIFICATE_SIGNER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/authn/known_pods.h"
#include "ca/authn/service_account_template.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/base/clock.h"
#include "ca/base/entropy.h"
#include "ca/issuance/certificate_profile.h"
#include "ca/issuance/issuance_pipeline.h"
#include "ca/kubernetes/api_server.h"
#include "ca/pod_certificates/admission_watch.h"
#include "ca/pod_certificates/pod_request_kind.h"
#include "ca/request_signing/request_signer.h"

namespace meshca {

struct PodSignerOptions {
  std::string signer_name;  // "meshca.io/workload"
  ServiceAccountTemplate spiffe_id;
  CertificateProfile profile;   // PodCertificateProfile
  bool without_policy = false;  // sign though no admission policy keeps strangers away (admission_guard.h)
  // Of the API, the preferred one first: the first that the API server serves is used.
  std::vector<std::string> versions = {"v1", "v1beta1"};
  PendingOptions pending = {};
  absl::Duration guard_every = absl::Seconds(10);       // how often the admission policy is looked at
  absl::Duration guard_retry = absl::Seconds(5);        // where it is missing
  absl::Duration guard_asked = absl::Milliseconds(50);  // AdmissionWatchOptions::asked
  std::string guard_memory = {};                        // AdmissionWatchOptions::memory_file
};

struct PodSignerStatus : RequestSignerStatus {
  std::string signer_name;
  absl::Status admission;  // why nothing is signed: the policy is missing, or was not seen yet; Ok: it is there
};

// RequestSigner of PodRequestKind, behind AdmissionWatch. Thread-safe.
class PodCertificateSigner {
 public:
  // All outlive it.
  struct Parts {
    kubernetes::ApiServer& server;
    const KnownPods& pods;
    const AuthoritySnapshots& authorities;
    IssuancePipeline& pipeline;  // of the options' profile; one of the signer's own
    const Clock& clock;
    EntropySource& entropy;
    kubernetes::Leadership* leadership = nullptr;  // RequestSigner::Parts
    kubernetes::EventSink* events = nullptr;       // PodRequestKind::Parts
  };

  // Nothing is read or signed before Start.
  PodCertificateSigner(PodSignerOptions options, Parts parts);
  ~PodCertificateSigner() { Shutdown(); }

  void Start() { signer_.Start(); }
  PodSignerStatus Status() const;

  // Nothing is followed, signed or written any more when it returns. Idempotent; not on the API server's client thread.
  // The pipeline is still running.
  void Shutdown();

 private:
  const std::string signer_name_;
  AdmissionWatch admission_;
  const PodRequestKind kind_;
  RequestSigner signer_;
};

}  // namespace meshca

#endif  // MESHCA_CA_POD_CERTIFICATES_POD_CERTIFICATE_SIGNER_H_
