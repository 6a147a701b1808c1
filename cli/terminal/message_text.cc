#include "cli/terminal/message_text.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "ca/base/printable.h"
#include "ca/base/utc_text.h"

namespace meshca::cli {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// A field's one value as JSON: scalars, and the two messages that are scalars to a reader.
std::string Scalar(const Message& message, const FieldDescriptor& field, int index) {
  const auto& reflection = *message.GetReflection();
  const bool repeated = field.is_repeated();
  // An optional number that is absent is none, not 0: there is a user 0.
  if (field.has_presence() && !reflection.HasField(message, &field)) return "null";
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return (repeated ? reflection.GetRepeatedBool(message, &field, index) : reflection.GetBool(message, &field))
                 ? "true"
                 : "false";
    case FieldDescriptor::CPPTYPE_INT32:
      return absl::StrCat(repeated ? reflection.GetRepeatedInt32(message, &field, index)
                                   : reflection.GetInt32(message, &field));
    case FieldDescriptor::CPPTYPE_UINT32:
      return absl::StrCat(repeated ? reflection.GetRepeatedUInt32(message, &field, index)
                                   : reflection.GetUInt32(message, &field));
    case FieldDescriptor::CPPTYPE_INT64:
      return absl::StrCat(repeated ? reflection.GetRepeatedInt64(message, &field, index)
                                   : reflection.GetInt64(message, &field));
    case FieldDescriptor::CPPTYPE_UINT64:
      return absl::StrCat(repeated ? reflection.GetRepeatedUInt64(message, &field, index)
                                   : reflection.GetUInt64(message, &field));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return absl::StrCat(repeated ? reflection.GetRepeatedDouble(message, &field, index)
                                   : reflection.GetDouble(message, &field));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return absl::StrCat(repeated ? reflection.GetRepeatedFloat(message, &field, index)
                                   : reflection.GetFloat(message, &field));
    case FieldDescriptor::CPPTYPE_ENUM:
      return JsonString(
          (repeated ? reflection.GetRepeatedEnum(message, &field, index) : reflection.GetEnum(message, &field))
              ->name());
    case FieldDescriptor::CPPTYPE_STRING: {
      const std::string text =
          repeated ? reflection.GetRepeatedString(message, &field, index) : reflection.GetString(message, &field);
      return JsonString(field.type() == FieldDescriptor::TYPE_BYTES ? absl::Base64Escape(text) : text);
    }
    case FieldDescriptor::CPPTYPE_MESSAGE: break;
  }
  return "null";
}

// "2026-11-23T20:15:00Z" or "600s" for the two well-known types; "" for any other message.
std::string WellKnown(const Message& message) {
  if (message.GetDescriptor() == google::protobuf::Timestamp::descriptor()) {
    const auto& time = static_cast<const google::protobuf::Timestamp&>(message);
    return JsonString(Rfc3339Text(absl::FromUnixSeconds(time.seconds())));
  }
  if (message.GetDescriptor() == google::protobuf::Duration::descriptor()) {
    const auto& duration = static_cast<const google::protobuf::Duration&>(message);
    if (duration.nanos() == 0) return absl::StrFormat("\"%ds\"", duration.seconds());
    return absl::StrFormat("\"%gs\"", static_cast<double>(duration.seconds()) + duration.nanos() * 1e-9);
  }
  return "";
}

const Message& SubMessage(const Message& message, const FieldDescriptor& field, int index) {
  const auto& reflection = *message.GetReflection();
  return field.is_repeated() ? reflection.GetRepeatedMessage(message, &field, index)
                             : reflection.GetMessage(message, &field);
}

bool IsMessage(const FieldDescriptor& field) { return field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE; }

// The JSON of one value of `field`.
std::string Value(const Message& message, const FieldDescriptor& field, int index) {
  if (!IsMessage(field)) return Scalar(message, field, index);
  if (index < 0 && !message.GetReflection()->HasField(message, &field)) return "null";
  const Message& sub = SubMessage(message, field, index);
  const std::string known = WellKnown(sub);
  return known.empty() ? ToJson(sub) : known;
}

// Plain words stay bare in YAML; whatever it might take for something else is written as JSON, which YAML includes.
std::string YamlScalar(const std::string& json) {
  if (json.size() < 2 || json.front() != '"') return json;
  const absl::string_view inner = absl::string_view(json).substr(1, json.size() - 2);
  if (inner.empty() || !absl::ascii_isalpha(inner.front())) return json;
  for (const char c : inner) {
    if (!absl::ascii_isalnum(c) && c != '-' && c != '_' && c != '.' && c != '/') return json;
  }
  static constexpr absl::string_view kWords[] = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"};
  for (const absl::string_view word : kWords) {
    if (absl::AsciiStrToLower(inner) == word) return json;
  }
  return std::string(inner);
}

void AppendYaml(const Message& message, const std::string& indent, std::string& out) {
  const auto& descriptor = *message.GetDescriptor();
  for (int i = 0; i < descriptor.field_count(); ++i) {
    const FieldDescriptor& field = *descriptor.field(i);
    absl::StrAppend(&out, indent, field.name(), ":");
    const bool nested = IsMessage(field) && field.message_type() != google::protobuf::Timestamp::descriptor() &&
                        field.message_type() != google::protobuf::Duration::descriptor();
    if (!field.is_repeated()) {
      if (nested && message.GetReflection()->HasField(message, &field)) {
        out += "\n";
        AppendYaml(SubMessage(message, field, -1), indent + "  ", out);
      } else {
        absl::StrAppend(&out, " ", YamlScalar(Value(message, field, -1)), "\n");
      }
      continue;
    }
    const int count = message.GetReflection()->FieldSize(message, &field);
    out += count == 0 ? " []\n" : "\n";
    for (int j = 0; j < count; ++j) {
      if (nested) {
        const size_t begin = out.size();
        AppendYaml(SubMessage(message, field, j), indent + "  ", out);
        if (out.size() > begin) out[begin + indent.size()] = '-';
      } else {
        absl::StrAppend(&out, indent, "- ", YamlScalar(Value(message, field, j)), "\n");
      }
    }
  }
}

}  // namespace

std::string ToJson(const Message& message) {
  std::string out = "{";
  const auto& descriptor = *message.GetDescriptor();
  for (int i = 0; i < descriptor.field_count(); ++i) {
    const FieldDescriptor& field = *descriptor.field(i);
    absl::StrAppend(&out, i == 0 ? "" : ",", "\"", field.name(), "\":");
    if (!field.is_repeated()) {
      out += Value(message, field, -1);
      continue;
    }
    out += "[";
    const int count = message.GetReflection()->FieldSize(message, &field);
    for (int j = 0; j < count; ++j) absl::StrAppend(&out, j == 0 ? "" : ",", Value(message, field, j));
    out += "]";
  }
  return out + "}";
}

std::string ToYaml(const Message& message) {
  std::string out;
  AppendYaml(message, "", out);
  return out;
}

std::string ToYamlItem(const Message& message) {
  std::string out;
  AppendYaml(message, "  ", out);
  if (!out.empty()) out[0] = '-';
  return out;
}

}  // namespace meshca::cli
