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
  std::string state_dir_flag;  // " --state-dir DIR" where commands need it to find the sockets, else ""

  // Five lines that scripts may read: each begins with its word, values are as given, the last begins with "next".
  std::string ToText() const;
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_AGENT_PROCESS_AGENT_SCREEN_H_
