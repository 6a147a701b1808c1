#include "cli/config/loader.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <map>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/file.h"
#include "ca/base/status.h"
#include "cli/config/faults.h"
#include "cli/config/value.h"
#include "cli/config/yaml_tree.h"
#include "meshca/config/v1/options.pb.h"

namespace meshca::config {
namespace {

namespace pb = google::protobuf;

const v1::KeyOptions& OptionsOf(const pb::FieldDescriptor& field) { return field.options().GetExtension(v1::key); }

std::string Join(absl::string_view path, absl::string_view key) {
  return path.empty() ? std::string(key) : absl::StrCat(path, ".", key);
}

std::vector<std::string> KeysOf(const pb::Descriptor& type) {
  std::vector<std::string> keys;
  keys.reserve(type.field_count());
  for (int i = 0; i < type.field_count(); ++i) keys.push_back(type.field(i)->name());
  return keys;
}

// Walks tree and descriptor side by side. Every fault is noted and the walk goes on.
class Walk {
 public:
  Walk(absl::string_view name, absl::string_view folder, Faults& faults, Origins& origins)
      : name_(name), folder_(folder), faults_(faults), origins_(origins) {}

  void Mapping(const YamlNode& node, const std::string& path, pb::Message& message) {
    if (node.kind != YamlNode::Kind::kMapping) {
      return faults_.Add(node.place, path, absl::StrCat("expects a mapping of keys, not ", KindText(node)));
    }
    const pb::Descriptor& type = *message.GetDescriptor();
    std::map<std::string, Place> seen;
    std::map<const pb::OneofDescriptor*, std::string> chosen;
    for (size_t i = 0; i + 1 < node.children.size(); i += 2) {
      const YamlNode& key = node.children[i];
      if (key.kind != YamlNode::Kind::kScalar) {
        faults_.Add(key.place, path, absl::StrCat("expects a word as key, not ", KindText(key)));
        continue;
      }
      const std::string key_path = Join(path, absl::Utf8SafeCHexEscape(key.text.substr(0, 64)));
      const auto [first, fresh] = seen.emplace(key.text, key.place);
      if (!fresh) {
        faults_.Add(key.place, key_path, absl::StrCat("stands twice; the first is in line ", first->second.line));
        continue;
      }
      const pb::FieldDescriptor* field = type.FindFieldByName(key.text);
      if (field == nullptr) {
        faults_.Add(key.place, key_path, UnknownKey(key.text, type));
        continue;
      }
      if (const pb::OneofDescriptor* oneof = field->real_containing_oneof(); oneof != nullptr) {
        const auto [other, first_kind] = chosen.emplace(oneof, key.text);
        if (!first_kind) {
          faults_.Add(key.place, key_path, absl::StrCat("stands beside ", other->second, "; one of the two must go"));
          continue;
        }
      }
      origins_[key_path] = {OriginKind::kFile, absl::StrCat(name_, ":", key.place.line, ":", key.place.column)};
      const YamlNode& value = node.children[i + 1];
      if (value.kind == YamlNode::Kind::kNull) {
        // At the key: nothing stands nowhere, or a line further down.
        faults_.Add(key.place, key_path, "has no value; give it one or leave the key out");
      } else {
        Value(value, key_path, *field, message);
      }
    }
    CheckComplete(node, path, type, seen, chosen);
  }

 private:
  static std::string UnknownKey(const std::string& key, const pb::Descriptor& type) {
    const std::vector<std::string> keys = KeysOf(type);
    if (const std::string meant = DidYouMean(key, keys); !meant.empty()) {
      return absl::StrCat("unknown key; did you mean \"", meant, "\"?");
    }
    return absl::StrCat("unknown key; there are ", absl::StrJoin(keys, ", "));
  }

  void Value(const YamlNode& node, const std::string& path, const pb::FieldDescriptor& field, pb::Message& message) {
    if (field.is_repeated()) return List(node, path, field, message);
    if (!IsScalar(field)) return Mapping(node, path, *message.GetReflection()->MutableMessage(&message, &field));
    Scalar(node, path, field, message);
  }

  void List(const YamlNode& node, const std::string& path, const pb::FieldDescriptor& field, pb::Message& message) {
    if (node.kind != YamlNode::Kind::kList) {
      return faults_.Add(node.place, path,
                         absl::StrCat("expects a list, not ", KindText(node), "; begin each item with \"- \""));
    }
    for (size_t i = 0; i < node.children.size(); ++i) {
      const std::string item = absl::StrCat(path, "[", i, "]");
      if (node.children[i].kind == YamlNode::Kind::kNull) {
        faults_.Add(node.place, item, "has no value; give it one or remove the item");
      } else if (IsScalar(field)) {
        Scalar(node.children[i], item, field, message);
      } else {
        Mapping(node.children[i], item, *message.GetReflection()->AddMessage(&message, &field));
      }
    }
  }

  void Scalar(const YamlNode& node, const std::string& path, const pb::FieldDescriptor& field, pb::Message& message) {
    if (node.kind != YamlNode::Kind::kScalar) {
      return faults_.Add(node.place, path, absl::StrCat("expects ", TypeText(field), ", not ", KindText(node)));
    }
    const bool bare = field.cpp_type() == pb::FieldDescriptor::CPPTYPE_BOOL ||
                      field.cpp_type() == pb::FieldDescriptor::CPPTYPE_UINT32;
    if (bare && node.quoted) {
      return faults_.Add(node.place, path, absl::StrCat("expects ", TypeText(field), ", not text in quotes"));
    }
    if (absl::Status status = SetFromText(PlacePath(node.text, field, folder_), field, message); !status.ok()) {
      faults_.Add(node.place, path, status.message());
    }
  }

  // Required keys, and mappings that must choose one key.
  void CheckComplete(const YamlNode& node, const std::string& path, const pb::Descriptor& type,
                     const std::map<std::string, Place>& seen,
                     const std::map<const pb::OneofDescriptor*, std::string>& chosen) {
    for (int i = 0; i < type.field_count(); ++i) {
      const pb::FieldDescriptor& field = *type.field(i);
      if (!OptionsOf(field).required()) continue;
      if (seen.count(field.name()) == 0) {
        faults_.Add(node.place, path, absl::StrCat("lacks the key \"", field.name(), "\": ", OptionsOf(field).help()));
      }
    }
    for (int i = 0; i < type.real_oneof_decl_count(); ++i) {
      const pb::OneofDescriptor& oneof = *type.oneof_decl(i);
      if (chosen.count(&oneof) != 0) continue;
      std::vector<std::string> kinds;
      kinds.reserve(oneof.field_count());
      for (int j = 0; j < oneof.field_count(); ++j) kinds.push_back(oneof.field(j)->name());
      faults_.Add(node.place, path, absl::StrCat("expects one of the keys ", absl::StrJoin(kinds, ", ")));
    }
  }

  const absl::string_view name_;
  const absl::string_view folder_;
  Faults& faults_;
  Origins& origins_;
};

}  // namespace

absl::Status LoadYaml(absl::string_view text, absl::string_view name, absl::string_view folder, pb::Message& out,
                      Origins& origins) {
  Faults faults(name);
  const YamlNode root = ParseYaml(text, faults);
  // What stands behind a fault of syntax is a guess; faults of content are looked for in sound YAML only.
  if (faults.empty() && root.kind != YamlNode::Kind::kNull) Walk(name, folder, faults, origins).Mapping(root, "", out);
  return faults.ToStatus();
}

absl::Status LoadYamlFile(const std::string& path, pb::Message& out, Origins& origins) {
  absl::StatusOr<std::string> text = ReadFile(path, kFileBytesMax, FileSecrecy::kPublic);
  if (!text.ok()) return Annotate(text.status(), "configuration file");
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash == 0 ? 1 : slash);
  return LoadYaml(*text, path, folder, out, origins);
}

absl::Status LoadYamlList(absl::string_view text, absl::string_view name, absl::string_view key, pb::Message& out,
                          pb::Message& item, absl::FunctionRef<bool(Place place)> on_item) {
  Faults faults(name);
  Origins origins;
  bool left = false;
  const auto take = [&](const YamlNode& node, size_t index) {
    const std::string path = absl::StrCat(key, "[", index, "]");
    item.Clear();
    if (node.kind == YamlNode::Kind::kNull) {
      faults.Add(node.place, path, "has no value; give it one or remove the item");
    } else {
      Walk(name, "", faults, origins).Mapping(node, path, item);
    }
    origins.clear();
    if (!faults.empty()) return faults.size() < kFaultsShown;
    left = !on_item(node.place);
    return !left;
  };
  const YamlNode root = ParseYamlList(text, key, take, faults);
  if (left) return absl::OkStatus();
  if (faults.empty() && root.kind != YamlNode::Kind::kNull) Walk(name, "", faults, origins).Mapping(root, "", out);
  return faults.ToStatus();
}

}  // namespace meshca::config
