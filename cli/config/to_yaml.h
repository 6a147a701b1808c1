// A configuration message as YAML.
#ifndef MESHCA_CLI_CONFIG_TO_YAML_H_
#define MESHCA_CLI_CONFIG_TO_YAML_H_

#include <string>

#include "cli/config/value_origin.h"

namespace google::protobuf {
class Message;
}

namespace meshca::config {

// What is set in `message`, in the schema's order, as LoadYaml reads it back; secret keys as <secret>. `show_origin`
// puts each value's origin behind it as a comment.
std::string ToYaml(const google::protobuf::Message& message, const Origins& origins, bool show_origin);

}  // namespace meshca::config

#endif  // MESHCA_CLI_CONFIG_TO_YAML_H_
