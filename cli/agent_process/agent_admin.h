// The part of the admin API that an agent has: GetStatus and Check.
#ifndef MESHCA_CLI_AGENT_PROCESS_AGENT_ADMIN_H_
#define MESHCA_CLI_AGENT_PROCESS_AGENT_ADMIN_H_

#include <functional>

#include "ca/edge/worker_pool.h"
#include "ca/rpc/router.h"
#include "cli/agent_process/agent_view.h"

namespace meshca::cli {

// Commands that an agent has no answer for are Unimplemented: they are the CA's. Thread-safe.
class AgentAdmin {
 public:
  // `view` is called on threads of this object's own, and may block.
  explicit AgentAdmin(std::function<AgentView()> view) : view_(std::move(view)), workers_(kThreads, kQueueMax) {}

  // Adds the two methods to `router`, which is the admin socket's and is gone before this object.
  void AddTo(rpc::Router& router);

 private:
  static constexpr size_t kThreads = 1;
  static constexpr size_t kQueueMax = 64;

  template <typename Response>
  void AddMethod(rpc::Router& router, absl::string_view name, Response (*answer)(const AgentView&));

  const std::function<AgentView()> view_;
  WorkerPool workers_;  // last: its work uses the above
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_AGENT_PROCESS_AGENT_ADMIN_H_
