// istio.v1.auth.IstioCertificateService: a CSR in, a chain whose record is durable out.
#ifndef MESHCA_CA_SERVICE_CSR_SERVICE_H_
#define MESHCA_CA_SERVICE_CSR_SERVICE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "ca/authn/authenticator.h"
#include "ca/base/clock.h"
#include "ca/base/entropy.h"
#include "ca/base/mutex.h"
#include "ca/issuance/issuance_pipeline.h"
#include "ca/rpc/call.h"
#include "ca/rpc/router.h"
#include "ca/service/claimed_clusters.h"

namespace meshca {

// Since start, with istiod's meaning; the sum over a server's CsrServices is what /metrics shows.
struct CsrStats {
  uint64_t requests = 0;                 // citadel_server_csr_count
  uint64_t issued = 0;                   // citadel_server_success_cert_issuance_count
  uint64_t authentication_failures = 0;  // citadel_server_authentication_failure_count
  uint64_t csr_parsing_errors = 0;       // citadel_server_csr_parsing_err_count
  uint64_t id_extraction_errors = 0;     // citadel_server_id_extraction_err_count
  uint64_t csr_sign_errors = 0;          // citadel_server_csr_sign_err_count
  uint64_t turned_away = 0;              // ResourceExhausted: istiod has no name for it

  CsrStats& operator+=(const CsrStats& other);
};

// One for each way in (the TLS port, the two Unix sockets), because each has its own authenticators.
//
// A call is answered with
//   InvalidArgument    the message, the CSR, the lifetime, the metadata: says which rule
//   Unauthenticated    no credential or an invalid one
//   PermissionDenied   a valid credential that may not have the name asked for
//   ResourceExhausted  a full queue
//   Unavailable        database away, no active authority, shutdown: clients retry
//   Internal           with a request id and nothing more
// and else with the chain, one certificate an element, leaf first; the last element holds every trusted root.
//
// Thread-safe. Handlers never block a loop.
class CsrService {
 public:
  static constexpr char kMethod[] = "/istio.v1.auth.IstioCertificateService/CreateCertificate";

  // All references outlive the service, and the service outlives the servers it was added to and the pipeline's last
  // callback.
  CsrService(Authenticator& authenticator, IssuancePipeline& pipeline, const Clock& clock, EntropySource& entropy);

  void AddTo(rpc::Router& router);

  // What AddTo registers; for tests.
  void CreateCertificate(std::shared_ptr<rpc::Call> call);

  CsrStats Stats() const;

 private:
  struct Wanted;
  // What every answer under one snapshot ends with: the authorities' certificates and the roots, serialised once.
  struct AnswerTail {
    std::shared_ptr<const AuthoritySnapshot> authorities;
    std::string bytes;
  };
  std::shared_ptr<const AnswerTail> TailFor(const std::shared_ptr<const AuthoritySnapshot>& authorities);
  void Submit(std::shared_ptr<rpc::Call> call, Wanted wanted, CallerIdentity caller);
  void Finish(rpc::Call& call, absl::StatusOr<IssuedCertificate> issued);
  void Refuse(rpc::Call& call, const absl::Status& error);
  void Count(const absl::Status& error);

  Authenticator& authenticator_;
  IssuancePipeline& pipeline_;
  ClaimedClusters claimed_clusters_;
  const Clock& clock_;
  EntropySource& entropy_;

  Mutex mutex_;
  std::shared_ptr<const AnswerTail> tail_ ABSL_GUARDED_BY(mutex_);  // the last one used

  std::atomic<uint64_t> requests_ = 0;
  std::atomic<uint64_t> issued_ = 0;
  std::atomic<uint64_t> authentication_failures_ = 0;
  std::atomic<uint64_t> csr_parsing_errors_ = 0;
  std::atomic<uint64_t> id_extraction_errors_ = 0;
  std::atomic<uint64_t> csr_sign_errors_ = 0;
  std::atomic<uint64_t> turned_away_ = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_SERVICE_CSR_SERVICE_H_
