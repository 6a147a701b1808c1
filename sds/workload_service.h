// SpiffeWorkloadAPI: the five methods of the SPIFFE Workload API, from the same hub as SDS.
#ifndef MESHCA_SDS_WORKLOAD_SERVICE_H_
#define MESHCA_SDS_WORKLOAD_SERVICE_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "ca/authn/fair_pool.h"
#include "ca/rpc/router.h"
#include "sds/jwt_source.h"
#include "sds/secret_hub.h"
#include "sds/workload_response.h"

namespace meshca::sds {

// The standard gives the service no package.
inline constexpr absl::string_view kWorkloadServiceName = "SpiffeWorkloadAPI";

// Thread-safe.
class WorkloadService {
 public:
  // `hub` and `jwt` outlive the service; `jwt` may be null: FetchJWTSVID then answers Unavailable.
  WorkloadService(SecretHub& hub, JwtSource* jwt);

  // Adds the five methods to `router`, which is a Unix socket's. Methods of newer editions are Unimplemented.
  void AddTo(rpc::Router& router);

  // Runs what waits for a signature. Before the hub's Shutdown; idempotent, by one thread.
  void Shutdown() { pool_.Stop(); }

  uint64_t responses_serialised() const { return responses_.serialised(); }

 private:
  SecretHub& hub_;
  JwtSource* const jwt_;
  WorkloadResponses responses_;
  FairPool pool_;  // last: its work uses the others
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_WORKLOAD_SERVICE_H_
