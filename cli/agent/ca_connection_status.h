// How an agent stands with its CA, for `meshca status`, probes and metrics.
#ifndef MESHCA_CLI_AGENT_CA_CONNECTION_STATUS_H_
#define MESHCA_CLI_AGENT_CA_CONNECTION_STATUS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace meshca::agent {

enum class CaConnectionState {
  kConnecting,   // the first try is under way
  kAttached,     // the CA has welcomed this agent
  kAway,         // no server answers; tried again soon
  kNotBelieved,  // a server answers that is not the CA, or cannot be known for it
  kRefused,      // the CA does not take this agent: its certificate is not believed any more, or its node is banned
  kNoVersion,    // the CA speaks no version of the protocol that this agent speaks
  kExpired,      // the agent's own certificate has ended: it has to join again
  kEnded,        // shut down
};

// "attached", "away", "refused", ...: for programs and metrics.
absl::string_view CaConnectionStateName(CaConnectionState state);

struct CaConnectionStatus {
  CaConnectionState state = CaConnectionState::kConnecting;
  absl::Time since = absl::InfinitePast();  // of the state
  std::string server;                       // the address of the connection, or of the last try
  std::string node;                         // whose agent this is
  absl::Status why;                         // why it is not attached; Ok: it is, or was not tried yet
  absl::Time attached_last = absl::InfinitePast();
  // Told in the last welcome; 0 and "" before there was one.
  uint32_t protocol_version = 0;
  std::string server_version;
  absl::Duration delivered_after = absl::Seconds(60);
  // The last trust that was told and not taken, since the agent started; Ok: every one was.
  absl::Status trust_refused;

  // One sentence for people: what the state is, since when, why, and what to do where something can be done.
  std::string Words() const;
};

}  // namespace meshca::agent

#endif  // MESHCA_CLI_AGENT_CA_CONNECTION_STATUS_H_
