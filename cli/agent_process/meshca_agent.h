// The running agent: everything `meshca agent` is made of, built once, in order, and taken down in reverse.
#ifndef MESHCA_CLI_AGENT_PROCESS_MESHCA_AGENT_H_
#define MESHCA_CLI_AGENT_PROCESS_MESHCA_AGENT_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/agent_process/agent_screen.h"
#include "cli/config/resolve_agent.h"

namespace meshca::cli {

// One thread at a time, but for Reload and CancelJoin. From Serve on it serves on its own threads.
class Agent {
 public:
  // Opens the state directory, making what a fresh one lacks. Errors: agent::AgentState's; each says what to do.
  static absl::StatusOr<std::unique_ptr<Agent>> Open(config::ResolvedAgentConfig config);

  virtual ~Agent() = default;

  // Joins by token where the state has no certificate yet. Blocks until that is done, refused or cancelled: a CA that
  // is away is asked again and again. Errors: agent::Joining's; FailedPrecondition (TOKEN_MISSING) where there is
  // nothing to join with.
  virtual absl::Status Join() = 0;

  // Starts every part and serves. After Join. On an error nothing serves; the message names what to do.
  virtual absl::Status Serve() = 0;

  // What holds now, real ports included. After Serve.
  virtual AgentScreen Screen() const = 0;

  // Any thread: takes the keys of `next` that may change while it runs and logs which of the others wait for a restart.
  virtual void Reload(const config::ResolvedAgentConfig& next) = 0;

  // Any thread: ends the Join under way, and every later one, with Cancelled.
  virtual void CancelJoin() = 0;

  // New calls are refused, those under way end within the grace, then everything stops. Idempotent.
  virtual void Stop() = 0;
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_AGENT_PROCESS_MESHCA_AGENT_H_
