// What somebody who starts `meshca agent` sees when it is ready.
#ifndef MESHCA_CLI_AGENT_PROCESS_AGENT_SCREEN_H_
#define MESHCA_CLI_AGENT_PROCESS_AGENT_SCREEN_H_

#include <string>
#include <vector>

#include "absl/time/time.h"

namespace meshca::cli {

struct AgentScreen {
  std::string version;
  std::string node;
  std::string trust_domain;
  std::vector<std::string> servers;
  std::string root_fingerprint;  // hex SHA-256 of the SubjectPublicKeyInfo of the root that it believes first
  absl::Time certificate_ends;   // the agent's own
  bool joined_now = false;       // by this start
  std::string state_dir;
  std::string http_address;  // "off": none is served
  std::string api_socket;
  std::string admin_socket;
  std::string api_socket_shut = "";  // why other users cannot reach the API socket (socket_reach.h); "": they can
  std::string place_flag = "";       // what the next command needs to find this process: config::FlagToFind

  // Five lines that scripts may read: each begins with its word, values are as given, the last begins with "next".
  // Before that one stands a line "note" where the API socket is shut to other users.
  std::string ToText() const;
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_AGENT_PROCESS_AGENT_SCREEN_H_
