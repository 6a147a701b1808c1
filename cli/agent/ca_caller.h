// Single calls to the CA, over whichever connection there is to one of its servers.
#ifndef MESHCA_CLI_AGENT_CA_CALLER_H_
#define MESHCA_CLI_AGENT_CA_CALLER_H_

#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace meshca::agent {

inline constexpr char kJoinMethod[] = "/meshca.agent.v1.Agent/Join";
inline constexpr char kChallengeMethod[] = "/meshca.agent.v1.Agent/Challenge";
inline constexpr char kAttachMethod[] = "/meshca.agent.v1.Agent/Attach";
inline constexpr char kSignMethod[] = "/meshca.agent.v1.Agent/Sign";
inline constexpr char kMintJwtMethod[] = "/meshca.agent.v1.Agent/MintJwt";

// Thread-safe.
class CaCaller {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<std::string> response) &&>;
  virtual ~CaCaller() = default;

  // Calls `method` (kSignMethod) with a serialised request. Where there is no connection yet, or none any more, the
  // call waits a while for one. `done` runs once, on the agent's executor, and must not block.
  // Errors: the server's own; Unavailable where there is no connection, with the words that the agent's status has.
  virtual void Call(const char* method, std::string request, Done done) = 0;
};

// `status` of a whole call, as it is told of the one request that was in it: Unauthenticated and PermissionDenied are
// of the agent and not of a workload, and InvalidArgument is this program's mistake. So none of them is final for a
// key.
absl::Status OfOneRequest(const absl::Status& status);

}  // namespace meshca::agent

#endif  // MESHCA_CLI_AGENT_CA_CALLER_H_
