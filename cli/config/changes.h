// What differs between two configurations of one program: what a SIGHUP finds.
#ifndef MESHCA_CLI_CONFIG_CHANGES_H_
#define MESHCA_CLI_CONFIG_CHANGES_H_

#include <google/protobuf/message.h>

#include <string>
#include <vector>

namespace meshca::config {

struct ConfigChanges {
  std::vector<std::string> reloadable;  // keys whose new value holds from now on
  std::vector<std::string> restart;     // keys whose new value waits for a restart
};

// Both are of one type, whose keys say by their options whether they are reloadable. A list is one key.
ConfigChanges CompareConfigs(const google::protobuf::Message& before, const google::protobuf::Message& after);

}  // namespace meshca::config

#endif  // MESHCA_CLI_CONFIG_CHANGES_H_
