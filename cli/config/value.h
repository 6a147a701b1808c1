// One configuration value as text: how it is read from YAML, flags and the environment, and written back.
#ifndef MESHCA_CLI_CONFIG_VALUE_H_
#define MESHCA_CLI_CONFIG_VALUE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace google::protobuf {
class EnumValueDescriptor;
class FieldDescriptor;
class Message;
}  // namespace google::protobuf

namespace meshca::config {

// "90s", "15m", "24h", "30d", "10y" (of 365 days), "500ms", or several, each unit once and the longest first: "1h30m".
// Whole numbers. InvalidArgument says what is wrong with it; a bare number lacks its unit, so does "0".
absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text);
// The shortest text that ParseDuration reads back: "30d", "1h30m", "0s". Whole milliseconds, not negative.
std::string DurationText(absl::Duration duration);

// How YAML spells an enum's value: LOG_FORMAT_JSON is "json", KEY_TYPE_EC_P256 "ec-p256".
std::string EnumText(const google::protobuf::EnumValueDescriptor& value);

// Is the field one value (a scalar, an enum or a Duration), as against a mapping?
bool IsScalar(const google::protobuf::FieldDescriptor& field);
// What such a field takes, for messages and help: "text", "number", "true|false", "duration", "text|json", "path".
std::string TypeText(const google::protobuf::FieldDescriptor& field);

// `path` if it is absolute or empty, else below `folder`; as it is where `folder` is "".
std::string Absolute(absl::string_view path, absl::string_view folder);
// The value of `field` that `text` stands for, which was written where relative paths begin at `folder`: a path becomes
// absolute, but for "-" where that is standard input (KeyOptions.standard_input). Any other text is itself.
std::string PlacePath(absl::string_view text, const google::protobuf::FieldDescriptor& field, absl::string_view folder);

// Sets the scalar field, or appends to the repeated one, from text. InvalidArgument without the key's name: "expects a
// duration such as 90s, 24h or 30d, not "soon"". Bounds (KeyOptions) are checked.
absl::Status SetFromText(absl::string_view text, const google::protobuf::FieldDescriptor& field,
                         google::protobuf::Message& message);
// The text SetFromText reads back; `index` for repeated fields, else -1.
std::string ToText(const google::protobuf::Message& message, const google::protobuf::FieldDescriptor& field, int index);

}  // namespace meshca::config

#endif  // MESHCA_CLI_CONFIG_VALUE_H_
