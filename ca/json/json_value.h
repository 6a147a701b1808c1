// JSON read strictly into a value, for what is small: tokens, key sets (RFC 8259).
#ifndef MESHCA_CA_JSON_JSON_VALUE_H_
#define MESHCA_CA_JSON_JSON_VALUE_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meshca {

struct JsonMember;

// One value and what is inside it. Numbers are doubles: what tokens count in (seconds) is exact that way.
struct JsonValue {
  enum class Kind { kNull, kBool, kNumber, kString, kArray, kObject };

  Kind kind = Kind::kNull;
  bool boolean = false;
  double number = 0;
  std::string text;                 // kString, UTF-8
  std::vector<JsonValue> items;     // kArray
  std::vector<JsonMember> members;  // kObject, in order, names unique

  // The member of that name, or null; null too when this is no object.
  const JsonValue* Find(absl::string_view name) const;
  // The text of a string member, or "".
  absl::string_view FindText(absl::string_view name) const;
  bool is_object() const { return kind == Kind::kObject; }
  bool is_text() const { return kind == Kind::kString; }
};

struct JsonMember {
  std::string name;
  JsonValue value;
};

// One value and white space. InvalidArgument: not JSON, bytes after it, a name twice in one object (RFC 7519 §4 lets us
// refuse that, and two readers never disagree then), nesting deeper than `depth_max` (JsonStream::kDepthMax at most),
// more than 1000 members in one object, a number that is no finite double, a name or text of JsonStream::kTextBytesMax.
absl::StatusOr<JsonValue> ParseJson(absl::string_view text, size_t depth_max = 16);

}  // namespace meshca

#endif  // MESHCA_CA_JSON_JSON_VALUE_H_
