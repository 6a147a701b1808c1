// What a newcomer sees when `meshca serve` is ready.
#ifndef MESHCA_CLI_SERVER_FIRST_SCREEN_H_
#define MESHCA_CLI_SERVER_FIRST_SCREEN_H_

#include <string>

#include "absl/time/time.h"

namespace meshca::cli {

struct FirstScreen {
  std::string version;
  std::string trust_domain;
  std::string root_fingerprint;  // hex SHA-256 of the root's SubjectPublicKeyInfo
  absl::Time root_ends;
  bool root_is_new = false;  // made by this start: the trust domain can still be changed, by starting anew
  std::string state_dir;
  std::string grpc_address;
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

#endif  // MESHCA_CLI_SERVER_FIRST_SCREEN_H_
