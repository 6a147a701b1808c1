#include "cli/config/to_yaml.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/printable.h"
#include "cli/config/resolve.h"
#include "cli/config/value.h"
#include "meshca/config/v1/options.pb.h"

namespace meshca::config {
namespace {

namespace pb = google::protobuf;

// Text that YAML reads back as itself without quotes. Narrower than YAML's rule: what is in doubt is quoted.
bool IsPlain(absl::string_view text) {
  if (text.empty() || !(absl::ascii_isalnum(text[0]) || text[0] == '/')) return false;
  if (absl::EqualsIgnoreCase(text, "null") || text.back() == ':') return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_isalnum(c) || absl::StrContains("/._-+@:{}", c); });
}

std::string YamlText(absl::string_view text) {
  if (IsPlain(text)) return std::string(text);
  return JsonString(text);  // a double-quoted scalar of YAML
}

class Writer {
 public:
  Writer(const Origins& origins, bool show_origin) : origins_(origins), show_origin_(show_origin) {}

  void Mapping(const pb::Message& message, const std::string& path, int indent) {
    const pb::Descriptor& type = *message.GetDescriptor();
    const pb::Reflection& reflection = *message.GetReflection();
    for (int i = 0; i < type.field_count(); ++i) {
      const pb::FieldDescriptor& field = *type.field(i);
      const std::string key = path.empty() ? field.name() : absl::StrCat(path, ".", field.name());
      if (field.is_repeated()) {
        if (reflection.FieldSize(message, &field) > 0) List(message, field, key, indent);
      } else if (reflection.HasField(message, &field)) {
        if (IsScalar(field)) {
          Line(indent, absl::StrCat(field.name(), ": ", Shown(message, field, -1)), key);
        } else {
          Section(reflection.GetMessage(message, &field), field, key, indent);
        }
      }
    }
  }

  std::string Take() { return std::move(out_); }

 private:
  // A section that says nothing is an empty mapping: its bare name would be null, which no section can be.
  void Section(const pb::Message& message, const pb::FieldDescriptor& field, const std::string& key, int indent) {
    const size_t before = out_.size();
    Line(indent, absl::StrCat(field.name(), ":"), "");
    const size_t inside = out_.size();
    Mapping(message, key, indent + 2);
    if (out_.size() > inside) return;
    out_.resize(before);
    Line(indent, absl::StrCat(field.name(), ": {}"), "");
  }

  void List(const pb::Message& message, const pb::FieldDescriptor& field, const std::string& key, int indent) {
    const pb::Reflection& reflection = *message.GetReflection();
    const int size = reflection.FieldSize(message, &field);
    if (IsScalar(field)) {
      std::vector<std::string> items;
      items.reserve(size);
      for (int i = 0; i < size; ++i) items.push_back(Shown(message, field, i));
      // Quoted here where a block would not need it: braces and commas have a meaning inside brackets.
      for (std::string& item : items) {
        if (item[0] != '"' && item.find_first_of("{},:") != std::string::npos) item = absl::StrCat("\"", item, "\"");
      }
      return Line(indent, absl::StrCat(field.name(), ": [", absl::StrJoin(items, ", "), "]"), key);
    }
    Line(indent, absl::StrCat(field.name(), ":"), key);
    for (int i = 0; i < size; ++i) {
      const size_t item = out_.size();
      Mapping(reflection.GetRepeatedMessage(message, &field, i), absl::StrCat(key, "[", i, "]"), indent + 2);
      if (out_.size() > item) out_[item + static_cast<size_t>(indent)] = '-';
    }
  }

  static std::string Shown(const pb::Message& message, const pb::FieldDescriptor& field, int index) {
    if (field.options().GetExtension(v1::key).secret()) return "<secret>";
    return YamlText(ToText(message, field, index));
  }

  void Line(int indent, absl::string_view text, const std::string& key) {
    absl::StrAppend(&out_, std::string(static_cast<size_t>(indent), ' '), text);
    if (show_origin_ && !key.empty()) {
      const auto it = origins_.find(key);
      absl::StrAppend(&out_, "  # ", it == origins_.end() ? "default" : it->second.where);
    }
    out_ += '\n';
  }

  const Origins& origins_;
  const bool show_origin_;
  std::string out_;
};

}  // namespace

std::string ToYaml(const pb::Message& message, const Origins& origins, bool show_origin) {
  Writer writer(origins, show_origin);
  writer.Mapping(message, "", 0);
  return writer.Take();
}

std::string ResolvedConfig::ToYaml(bool show_origin) const { return config::ToYaml(values, origins, show_origin); }

}  // namespace meshca::config
