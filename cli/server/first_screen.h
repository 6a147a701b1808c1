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
  std::string state_dir_flag;  // " --state-dir DIR" where commands need it to find the sockets, else ""

  // Five lines that scripts may read: each begins with its word, values are as given, the last begins with "next".
  std::string ToText() const;
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_SERVER_FIRST_SCREEN_H_
