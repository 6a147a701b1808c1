// meshca.admin.v1.Admin: what the operator's commands ask and order. See proto/meshca/admin/v1/admin.proto.
#ifndef MESHCA_CA_SERVICE_ADMIN_SERVICE_H_
#define MESHCA_CA_SERVICE_ADMIN_SERVICE_H_

#include <memory>

#include "ca/rpc/router.h"
#include "ca/service/admin_context.h"

namespace meshca {

// Whoever can connect to the admin socket may do everything here, so it is added to that socket's router alone; a call
// that comes in over anything but a Unix socket is PermissionDenied all the same.
//
// Every call runs on a small pool of threads, never on a loop; when too many wait, the answer is ResourceExhausted.
// Lists without a natural bound (certificates, audit) are streams: at most a few hundred records are in memory however
// long the list, and the database is read no faster than the client takes them.
//
// Thread-safe. Outlives the servers whose routers it was added to.
class AdminService {
 public:
  explicit AdminService(AdminContext context);
  // The servers are shut down by now, so every list has lost its client; waits for the calls under way.
  ~AdminService();

  void AddTo(rpc::Router& router);

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace meshca

#endif  // MESHCA_CA_SERVICE_ADMIN_SERVICE_H_
