// grpc.health.v1.Health: whether a service answers, asked once or watched.
#ifndef MESHCA_CA_RPC_HEALTH_H_
#define MESHCA_CA_RPC_HEALTH_H_

#include <memory>

#include "absl/strings/string_view.h"
#include "ca/rpc/router.h"

namespace meshca::rpc {

// Thread-safe. Outlives every Server whose router it was added to. Service "" is the process as a whole and serves from
// the start; other services are unknown (Check: NotFound, Watch: SERVICE_UNKNOWN) until set.
class HealthService {
 public:
  static std::unique_ptr<HealthService> Create();
  virtual ~HealthService() = default;

  // Check and Watch.
  virtual void AddTo(Router& router) = 0;

  // Tells the watchers of `service` when it changes. After Retire: ignored.
  virtual void Set(absl::string_view service, bool serving) = 0;

  // Everything NOT_SERVING for good: the first step of a shutdown.
  virtual void Retire() = 0;
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_HEALTH_H_
