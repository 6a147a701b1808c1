// How an agent stands with its CA, for `meshca status`, probes and metrics.
#ifndef MESHCA_CLI_AGENT_CA_CONNECTION_STATUS_H_
#define MESHCA_CLI_AGENT_CA_CONNECTION_STATUS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/base/clock.h"

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
  // What the CA's clock showed when this machine booted, as the last welcome says: with the time since boot it gives
  // the CA's time. Absent where no CA that believes its own clock has welcomed this agent.
  std::optional<absl::Time> ca_time_at_boot;
  // The last trust that was told and not taken, since the agent started; Ok: every one was.
  absl::Status trust_refused;

  // How far the wall clock is ahead of the CA's. nullopt: the CA's time is not known.
  std::optional<absl::Duration> ClockAhead(const Clock& clock) const;

  // One sentence for people: what the state is, since when, why, and what to do where something can be done.
  std::string Words() const;
};

}  // namespace meshca::agent

#endif  // MESHCA_CLI_AGENT_CA_CONNECTION_STATUS_H_
