// Answers the PodCertificateRequests of one signer: pods get their certificates with no client of ours.
#ifndef MESHCA_CA_POD_CERTIFICATES_POD_CERTIFICATE_SIGNER_H_
#define MESHCA_CA_POD_CERTIFICATES_POD_CERTIFICATE_SIGNER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authn/known_pods.h"
#include "ca/authn/service_account_template.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/base/clock.h"
#include "ca/base/entropy.h"
#include "ca/base/mutex.h"
#include "ca/base/serial_executor.h"
#include "ca/issuance/certificate_profile.h"
#include "ca/issuance/issuance_pipeline.h"
#include "ca/kubernetes/api_server.h"
#include "ca/kubernetes/leadership.h"
#include "ca/kubernetes/list_watch.h"
#include "ca/kubernetes/object_event.h"
#include "ca/pod_certificates/pod_request.h"
#include "ca/pod_certificates/pod_request_answer.h"
#include "ca/pod_certificates/pod_request_judge.h"

namespace meshca {

struct PodSignerOptions {
  std::string signer_name;  // "meshca.io/workload"
  ServiceAccountTemplate spiffe_id;
  CertificateProfile profile;   // PodCertificateProfile
  bool without_policy = false;  // sign though no admission policy keeps strangers away (admission_guard.h)
  // Of the API, the preferred one first: the first that the API server serves is used.
  std::vector<std::string> versions = {"v1", "v1beta1"};
  size_t at_once = 32;         // requests under way
  size_t pending_max = 16384;  // requests known at once; what is beyond is listed again when there is room
  absl::Duration call_timeout = kubernetes::kLeadersWriteMax;
  // Between attempts at one request: up to the first, up to twice as long each time, up to the last.
  absl::Duration retry_first = absl::Milliseconds(250);
  absl::Duration retry_last = absl::Seconds(30);
  absl::Duration guard_every = absl::Seconds(10);  // how often the admission policy is looked at
  absl::Duration guard_retry = absl::Seconds(5);   // where it is missing
  absl::Duration look_again = absl::Minutes(10);   // for an API that is not served
};

struct PodSignerStatus {
  std::string signer_name;
  bool unserved = false;   // the API server serves no PodCertificateRequests
  absl::Status admission;  // why nothing is signed: the policy is missing, or was not seen yet; Ok: it is there
  absl::Status watching;   // why the requests are not followed at the moment; Ok: they are
  absl::Duration age;      // of what is known of them (ListWatch::Age)
  size_t pending = 0;      // not answered yet
  std::string waits;       // of one of them that was tried several times: why it is not answered; "": none
  // Since the start.
  uint64_t issued = 0;
  uint64_t denied = 0;
  uint64_t failed = 0;  // attempts that ended without an answer, and were or will be made again
};

// Each request is judged (pod_request_judge.h), recorded, and only then answered: its certificate is in the inventory
// before the API server has it. What may pass is never answered by Denied or Failed, which end a pod's wait for ever,
// but tried again later and later. An answer that somebody else was first to give counts: it is looked at again, and is
// no error. Thread-safe.
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
    // While it is another's, requests are followed and none is answered; null: nobody else is to be expected.
    kubernetes::Leadership* leadership = nullptr;
    kubernetes::EventSink* events = nullptr;  // is told of requests that are denied; null: nobody is
  };

  // Nothing is read or signed before Start.
  PodCertificateSigner(PodSignerOptions options, Parts parts);
  ~PodCertificateSigner();  // Shutdown

  void Start();
  PodSignerStatus Status() const;

  // Nothing is followed, signed or written any more when it returns. Idempotent; not on the API server's client thread.
  // The pipeline is still running.
  void Shutdown();

 private:
  class Requests;
  struct Pending;
  using Answered = absl::AnyInvocable<void(absl::StatusOr<std::string>) &&>;

  absl::Duration Work();
  void LookForServedVersion();
  void Follow(size_t version);
  void LookForGuard();
  void JudgeGuard(absl::StatusOr<std::string> policy, absl::StatusOr<std::string> binding);
  std::vector<std::string> TakeDue(absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // The steps of one request, which `uid` names; each hands it on to the next, or ends the attempt.
  void Begin(const std::string& uid);
  void ReadAgain(const std::string& uid, const PodRequest& request, const std::string& version);
  void OnRead(const std::string& uid, bool by_own_version, const absl::StatusOr<std::string>& json);
  void Judge(const std::string& uid, const PodRequest& request);
  void Issue(const std::string& uid, SubmittedRequest submitted);
  void OnIssued(const std::string& uid, const absl::StatusOr<IssuedCertificate>& issued);
  absl::StatusOr<PodCertificate> Check(const IssuedCertificate& issued, absl::Duration max_expiration) const;
  void Deny(const std::string& uid, const PodRequest& request, const PodDenial& denial);
  void WriteIssued(const std::string& uid, const PodRequest& request, const PodCertificate& certificate);
  void OnWritten(const std::string& uid, const absl::Status& status, bool is_denial);

  // Ends of an attempt.
  void TryLater(const std::string& uid, const absl::Status& why, bool read_first = false);
  void Drop(const std::string& uid);
  // Nobody waits for an answer any more. An attempt that is under way finds that out by itself.
  void Forget(const std::string& uid);
  std::optional<PodRequest> RequestOf(const std::string& uid) const;

  // Sends a call that Shutdown ends. `done` runs once, or not at all during Shutdown.
  void Send(const kubernetes::ApiCall& call, Answered done);
  bool MayWrite() const { return parts_.leadership == nullptr || parts_.leadership->Held(); }
  std::string version() const;
  std::shared_ptr<kubernetes::ListWatch> watch() const;

  const PodSignerOptions options_;
  const Parts parts_;
  const std::unique_ptr<Requests> requests_;

  mutable Mutex mutex_;
  CondVar ended_;                                                                 // a call or an issuance has
  absl::flat_hash_map<std::string, Pending> pending_ ABSL_GUARDED_BY(mutex_);     // by uid
  std::set<std::pair<absl::Duration, std::string>> due_ ABSL_GUARDED_BY(mutex_);  // since boot, uid
  size_t under_way_ ABSL_GUARDED_BY(mutex_) = 0;
  bool overflowed_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t list_ ABSL_GUARDED_BY(mutex_) = 0;  // number of the list that began last
  // Of the calls that are under way; nullopt: it has only just been sent.
  absl::flat_hash_map<uint64_t, std::optional<kubernetes::ApiServer::CallId>> calls_ ABSL_GUARDED_BY(mutex_);
  uint64_t calls_made_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t issuing_ ABSL_GUARDED_BY(mutex_) = 0;  // in the pipeline
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status admission_ ABSL_GUARDED_BY(mutex_);
  absl::Time guarded_since_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();      // PodFacts::guarded_since
  bool looking_ ABSL_GUARDED_BY(mutex_) = false;                                 // for the admission policy
  absl::Duration look_at_guard_ ABSL_GUARDED_BY(mutex_) = absl::ZeroDuration();  // since boot
  PodSignerStatus counts_ ABSL_GUARDED_BY(mutex_);                               // its counters alone

  size_t version_ ABSL_GUARDED_BY(mutex_) = 0;  // of options_.versions, that is used or tried
  bool unserved_ ABSL_GUARDED_BY(mutex_) = false;
  // null: of an API that is not served.
  std::shared_ptr<kubernetes::ListWatch> watch_ ABSL_GUARDED_BY(mutex_);

  absl::Duration look_again_ = absl::InfiniteDuration();  // the executor's; since boot
  SerialExecutor executor_;
};

}  // namespace meshca

#endif  // MESHCA_CA_POD_CERTIFICATES_POD_CERTIFICATE_SIGNER_H_
