#include "cli/config/value.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "meshca/config/v1/options.pb.h"

namespace meshca::config {
namespace {

namespace pb = google::protobuf;

struct Unit {
  absl::string_view name;
  absl::Duration length;
};
const std::array<Unit, 6>& Units() {
  static const std::array<Unit, 6> units = {{{"y", absl::Hours(24 * 365)},
                                             {"d", absl::Hours(24)},
                                             {"h", absl::Hours(1)},
                                             {"m", absl::Minutes(1)},
                                             {"s", absl::Seconds(1)},
                                             {"ms", absl::Milliseconds(1)}}};
  return units;
}
constexpr int kYearsMax = 1000;

std::string Quoted(absl::string_view text) {
  return absl::StrCat("\"", absl::Utf8SafeCHexEscape(text.substr(0, 100)), text.size() > 100 ? "..." : "", "\"");
}

absl::Status Wrong(absl::string_view sentence) { return absl::InvalidArgumentError(sentence); }

bool IsDuration(const pb::FieldDescriptor& field) {
  return field.cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE && field.message_type() == pb::Duration::descriptor();
}

std::vector<std::string> EnumTexts(const pb::EnumDescriptor& type) {
  std::vector<std::string> texts;
  for (int i = 0; i < type.value_count(); ++i) {
    if (type.value(i)->number() != 0) texts.push_back(EnumText(*type.value(i)));
  }
  return texts;
}

absl::StatusOr<int64_t> ParseNumber(absl::string_view text, const v1::KeyOptions& options) {
  absl::string_view digits = text;
  if (!digits.empty() && digits[0] == '-') digits.remove_prefix(1);
  if (digits.empty() || !std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit)) {
    return Wrong(absl::StrCat("expects a whole number, not ", Quoted(text)));
  }
  if (digits.size() > 1 && digits[0] == '0') {
    const size_t first = std::min(digits.find_first_not_of('0'), digits.size() - 1);
    return Wrong(absl::StrCat("has a leading zero, which some readers take for octal: write ", digits.substr(first)));
  }
  int64_t number = 0;
  const int64_t least = options.has_minimum() ? options.minimum() : 0;
  const int64_t most = options.has_maximum() ? options.maximum() : std::numeric_limits<uint32_t>::max();
  if (!absl::SimpleAtoi(text, &number) || number < least || number > most) {
    return Wrong(absl::StrCat("expects a number from ", least, " to ", most, ", not ", text.substr(0, 30)));
  }
  return number;
}

absl::Status SetDuration(absl::string_view text, const v1::KeyOptions& options, pb::Message& out) {
  absl::StatusOr<absl::Duration> duration = ParseDuration(text);
  if (!duration.ok()) return duration.status();
  if (!options.shortest().empty() && *duration < *ParseDuration(options.shortest())) {
    return Wrong(absl::StrCat("expects at least ", options.shortest(), ", not ", text));
  }
  if (!options.longest().empty() && *duration > *ParseDuration(options.longest())) {
    return Wrong(absl::StrCat("expects at most ", options.longest(), ", not ", text));
  }
  pb::Duration value;
  value.set_seconds(absl::ToInt64Seconds(*duration));
  value.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(*duration % absl::Seconds(1))));
  out.CopyFrom(value);
  return absl::OkStatus();
}

absl::Status CheckText(absl::string_view text) {
  if (text.empty()) return Wrong("is empty; give it a value or leave the key out");
  if (std::any_of(text.begin(), text.end(), absl::ascii_iscntrl)) {
    return Wrong(absl::StrCat("holds a control character: ", Quoted(text)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text) {
  const std::string fault =
      absl::StrCat("expects a duration such as 90s, 24h, 30d or 1h30m (ms s m h d y), not ", Quoted(text));
  absl::Duration total;
  auto unit = Units().begin();
  absl::string_view rest = text;
  if (rest.empty()) return Wrong(fault);
  while (!rest.empty()) {
    const size_t digits = std::min(rest.find_first_not_of("0123456789"), rest.size());
    size_t letters = std::min(rest.find_first_of("0123456789", digits), rest.size()) - digits;
    const absl::string_view name = rest.substr(digits, letters);
    const auto named = std::find_if(unit, Units().end(), [name](const Unit& each) { return each.name == name; });
    uint32_t count = 0;
    if (digits == 0 || named == Units().end() || !absl::SimpleAtoi(rest.substr(0, digits), &count)) {
      return Wrong(name.empty() && digits == text.size() ? absl::StrCat(fault, ": it lacks its unit") : fault);
    }
    total += count * named->length;
    unit = named + 1;
    rest.remove_prefix(digits + letters);
  }
  if (total > kYearsMax * Units()[0].length) {
    return Wrong(absl::StrCat("expects at most ", kYearsMax, "y, not ", Quoted(text)));
  }
  return total;
}

std::string DurationText(absl::Duration duration) {
  std::string text;
  const bool hours_lead = duration < absl::Hours(48);  // 24h and 36h say more than 1d and 1d12h
  for (const Unit& unit : Units()) {
    if (hours_lead && unit.length >= absl::Hours(24)) continue;
    const int64_t count = absl::IDivDuration(duration, unit.length, &duration);
    if (count != 0) absl::StrAppend(&text, count, unit.name);
  }
  return text.empty() ? "0s" : text;
}

std::string EnumText(const pb::EnumValueDescriptor& value) {
  // LogFormat -> LOG_FORMAT_, the prefix that the values share.
  std::string prefix;
  for (char c : value.type()->name()) {
    if (absl::ascii_isupper(c) && !prefix.empty()) prefix += '_';
    prefix += absl::ascii_toupper(c);
  }
  absl::string_view name = value.name();
  if (absl::StartsWith(name, prefix)) name.remove_prefix(std::min(prefix.size() + 1, name.size()));
  return absl::StrReplaceAll(absl::AsciiStrToLower(name), {{"_", "-"}});
}

bool IsScalar(const pb::FieldDescriptor& field) {
  return field.cpp_type() != pb::FieldDescriptor::CPPTYPE_MESSAGE || IsDuration(field);
}

std::string TypeText(const pb::FieldDescriptor& field) {
  if (IsDuration(field)) return "duration";
  switch (field.cpp_type()) {
    case pb::FieldDescriptor::CPPTYPE_BOOL: return "true|false";
    case pb::FieldDescriptor::CPPTYPE_ENUM: return absl::StrJoin(EnumTexts(*field.enum_type()), "|");
    case pb::FieldDescriptor::CPPTYPE_UINT32: return "number";
    case pb::FieldDescriptor::CPPTYPE_MESSAGE: return "mapping";
    default: return field.options().GetExtension(v1::key).path() ? "path" : "text";
  }
}

std::string Absolute(absl::string_view path, absl::string_view folder) {
  if (path.empty() || path[0] == '/' || folder.empty()) return std::string(path);
  return absl::StrCat(folder, absl::EndsWith(folder, "/") ? "" : "/", path);
}

std::string PlacePath(absl::string_view text, const pb::FieldDescriptor& field, absl::string_view folder) {
  const v1::KeyOptions& options = field.options().GetExtension(v1::key);
  if (!options.path() || (options.standard_input() && text == "-")) return std::string(text);
  return Absolute(text, folder);
}

absl::Status SetFromText(absl::string_view text, const pb::FieldDescriptor& field, pb::Message& message) {
  const v1::KeyOptions& options = field.options().GetExtension(v1::key);
  const pb::Reflection& reflection = *message.GetReflection();
  const bool add = field.is_repeated();
  if (IsDuration(field)) {
    pb::Duration value;
    if (absl::Status status = SetDuration(text, options, value); !status.ok()) return status;
    (add ? reflection.AddMessage(&message, &field) : reflection.MutableMessage(&message, &field))->CopyFrom(value);
    return absl::OkStatus();
  }
  switch (field.cpp_type()) {
    case pb::FieldDescriptor::CPPTYPE_STRING: {
      if (absl::Status status = CheckText(text); !status.ok()) return status;
      add ? reflection.AddString(&message, &field, std::string(text))
          : reflection.SetString(&message, &field, std::string(text));
      return absl::OkStatus();
    }
    case pb::FieldDescriptor::CPPTYPE_BOOL: {
      if (text != "true" && text != "false") return Wrong(absl::StrCat("expects true or false, not ", Quoted(text)));
      add ? reflection.AddBool(&message, &field, text == "true") : reflection.SetBool(&message, &field, text == "true");
      return absl::OkStatus();
    }
    case pb::FieldDescriptor::CPPTYPE_UINT32: {
      absl::StatusOr<int64_t> number = ParseNumber(text, options);
      if (!number.ok()) return number.status();
      add ? reflection.AddUInt32(&message, &field, static_cast<uint32_t>(*number))
          : reflection.SetUInt32(&message, &field, static_cast<uint32_t>(*number));
      return absl::OkStatus();
    }
    case pb::FieldDescriptor::CPPTYPE_ENUM: {
      const pb::EnumDescriptor& type = *field.enum_type();
      for (int i = 0; i < type.value_count(); ++i) {
        if (type.value(i)->number() == 0 || EnumText(*type.value(i)) != text) continue;
        add ? reflection.AddEnum(&message, &field, type.value(i)) : reflection.SetEnum(&message, &field, type.value(i));
        return absl::OkStatus();
      }
      return Wrong(absl::StrCat("expects one of ", absl::StrJoin(EnumTexts(type), ", "), ", not ", Quoted(text)));
    }
    default: return Wrong("expects a mapping of keys");
  }
}

std::string ToText(const pb::Message& message, const pb::FieldDescriptor& field, int index) {
  const pb::Reflection& reflection = *message.GetReflection();
  const bool repeated = index >= 0;
  if (IsDuration(field)) {
    const auto& value = static_cast<const pb::Duration&>(
        repeated ? reflection.GetRepeatedMessage(message, &field, index) : reflection.GetMessage(message, &field));
    return DurationText(absl::Seconds(value.seconds()) + absl::Nanoseconds(value.nanos()));
  }
  switch (field.cpp_type()) {
    case pb::FieldDescriptor::CPPTYPE_STRING:
      return repeated ? reflection.GetRepeatedString(message, &field, index) : reflection.GetString(message, &field);
    case pb::FieldDescriptor::CPPTYPE_BOOL:
      return (repeated ? reflection.GetRepeatedBool(message, &field, index) : reflection.GetBool(message, &field))
                 ? "true"
                 : "false";
    case pb::FieldDescriptor::CPPTYPE_UINT32:
      return absl::StrCat(repeated ? reflection.GetRepeatedUInt32(message, &field, index)
                                   : reflection.GetUInt32(message, &field));
    case pb::FieldDescriptor::CPPTYPE_ENUM:
      return EnumText(
          *(repeated ? reflection.GetRepeatedEnum(message, &field, index) : reflection.GetEnum(message, &field)));
    default: return "";
  }
}

}  // namespace meshca::config
