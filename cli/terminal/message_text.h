// Messages as JSON and YAML, for `-o json` and `-o yaml`.
#ifndef MESHCA_CLI_TERMINAL_MESSAGE_TEXT_H_
#define MESHCA_CLI_TERMINAL_MESSAGE_TEXT_H_

#include <string>

namespace google::protobuf {
class Message;
}

namespace meshca::cli {

// Every field, set or not, under its name in the .proto file, in the order of declaration: programs find the same keys
// each time. A Timestamp is RFC 3339 in UTC ("2026-11-23T20:15:00Z"), a Duration whole seconds with their unit ("600s",
// "1.5s"), both null when absent, as is an absent message; 64-bit numbers are numbers; bytes are base64.
// Characters that a terminal obeys are escaped (ca/base/printable.h), in YAML within double quotes.
//
// On one line, without a newline at the end.
std::string ToJson(const google::protobuf::Message& message);
// The same as a YAML mapping, a newline behind each line; every string is quoted where YAML might read it otherwise.
std::string ToYaml(const google::protobuf::Message& message);
// One item of a YAML list: ToYaml behind "- ".
std::string ToYamlItem(const google::protobuf::Message& message);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_TERMINAL_MESSAGE_TEXT_H_
