// Answers the requests of one kind that the API server holds for one signer.
#ifndef MESHCA_CA_REQUEST_SIGNING_REQUEST_SIGNER_H_
#define MESHCA_CA_REQUEST_SIGNING_REQUEST_SIGNER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/base/clock.h"
#include "ca/base/entropy.h"
#include "ca/base/mutex.h"
#include "ca/base/serial_executor.h"
#include "ca/issuance/issuance_pipeline.h"
#include "ca/kubernetes/api_server.h"
#include "ca/kubernetes/leadership.h"
#include "ca/kubernetes/open_calls.h"
#include "ca/kubernetes/reachability.h"
#include "ca/kubernetes/served_watch.h"
#include "ca/request_signing/pending_requests.h"
#include "ca/request_signing/request_kind.h"

namespace meshca {

struct RequestSignerOptions {
  std::string signer_name;  // "meshca.io/workload"
  PendingOptions pending;
  absl::Duration call_timeout = kubernetes::kLeadersWriteMax;
  absl::Duration look_again = absl::Minutes(10);  // for an API that is not served
  // Not Ok: nothing is judged or signed at the moment, and requests wait. Null: always Ok.
  std::function<absl::Status()> gate = nullptr;
  // What the gate and the kind need done: SerialExecutor::AddDuty's, on the signer's thread. Null: nothing.
  std::function<absl::Duration()> duty = nullptr;
};

struct RequestSignerStatus {
  bool unserved = false;  // the API server serves no such requests
  absl::Status watching;  // why the requests are not followed at the moment; Ok: they are
  absl::Duration age;     // of what is known of them (ListWatch::Age)
  size_t pending = 0;     // not answered yet
  // PendingRequests::Summary.
  std::string waits = {};
  size_t awaiting = 0;
  std::string awaits = {};
  // Since the start.
  uint64_t issued = 0;
  uint64_t denied = 0;
  uint64_t failed = 0;  // attempts that ended without an answer, and were or will be made again
};

// Each request is judged (RequestKind), recorded, and only then answered: its certificate is in the inventory before
// the API server has it. What may pass is never answered by a refusal, which ends somebody's wait for ever, but tried
// again later and later. An answer that somebody else was first to give counts: it is looked at again, and is no error.
// Thread-safe.
class RequestSigner {
 public:
  // All outlive it.
  struct Parts {
    kubernetes::ApiServer& server;
    const RequestKind& kind;
    IssuancePipeline& pipeline;
    const Clock& clock;
    EntropySource& entropy;
    // While it is another's, requests are followed and none is answered; null: nobody else is to be expected.
    kubernetes::Leadership* leadership = nullptr;
  };

  // Nothing is read or signed before Start.
  RequestSigner(RequestSignerOptions options, Parts parts);
  ~RequestSigner();  // Shutdown

  void Start();
  RequestSignerStatus Status() const;
  // The gate may have opened, and what requests wait for (RequestVerdict::Kind::kSoon) may be there. From any thread.
  void JudgeAgain();

  // Nothing is followed, signed or written any more when it returns. Idempotent; not on the API server's client thread.
  // The pipeline is still running.
  void Shutdown();

 private:
  class Sink;
  enum class Reply { kCertificate, kRefusal, kApproval };

  absl::Duration Work();
  std::string version() const { return versions_[watch_.version()]; }

  // The steps of one request, which `uid` names; each hands it on to the next, or ends the attempt.
  void Begin(const std::string& uid);
  void ReadAgain(const std::string& uid, const ApiRequest& request, const std::string& version);
  void OnRead(const std::string& uid, const std::string& elsewhere,
              const absl::StatusOr<kubernetes::PickedFields>& object);
  void Judge(const std::string& uid, const PendingRequests::Known& known);
  void Issue(const std::string& uid, const PendingRequests::Known& known, SubmittedRequest submitted);
  void OnIssued(const std::string& uid, absl::StatusOr<IssuedCertificate> issued);
  void HandOut(const std::string& uid, const ApiRequest& request, const IssuedCertificate& issued);
  void Refuse(const std::string& uid, const ApiRequestPtr& request, const RequestReply& reply);
  // The one place from which the API server is told anything.
  void Write(const std::string& uid, const kubernetes::ApiCall& call, Reply reply,
             std::function<void()> written = nullptr);
  void OnWritten(const std::string& uid, const absl::Status& status, Reply reply);

  bool MayWrite() const { return parts_.leadership == nullptr || parts_.leadership->Held(); }

  // Ends of an attempt, beside those of PendingRequests.
  void TryLater(const std::string& uid, const absl::Status& why, bool read_first = false);
  void Drop(const std::string& uid);

  const RequestSignerOptions options_;
  const Parts parts_;
  const std::vector<std::string> versions_;
  PendingRequests pending_;
  kubernetes::OpenCalls calls_;
  const std::unique_ptr<Sink> sink_;
  kubernetes::ServedWatch watch_;

  mutable Mutex mutex_;
  CondVar ended_;                                       // an issuance has
  size_t issuing_ ABSL_GUARDED_BY(mutex_) = 0;          // in the pipeline
  RequestSignerStatus counts_ ABSL_GUARDED_BY(mutex_);  // its counters alone

  SerialExecutor executor_;
  std::optional<kubernetes::ReturnListener> on_return_;
};

}  // namespace meshca

#endif  // MESHCA_CA_REQUEST_SIGNING_REQUEST_SIGNER_H_
