#include "cli/config/changes.h"

#include <google/protobuf/descriptor.h>

#include "absl/strings/str_cat.h"
#include "cli/config/value.h"
#include "meshca/config/v1/options.pb.h"

namespace meshca::config {
namespace {

namespace pb = google::protobuf;

// Appends the keys below `path` whose values differ; a list is one key.
void Compare(const pb::Message& before, const pb::Message& after, const std::string& path, ConfigChanges& changes) {
  const pb::Descriptor& type = *before.GetDescriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    const pb::FieldDescriptor& field = *type.field(i);
    const std::string key = path.empty() ? field.name() : absl::StrCat(path, ".", field.name());
    const pb::Reflection& reflection = *before.GetReflection();
    if (!field.is_repeated() && !IsScalar(field)) {
      Compare(reflection.GetMessage(before, &field), reflection.GetMessage(after, &field), key, changes);
      continue;
    }
    bool same = true;
    if (field.is_repeated()) {
      const int size = reflection.FieldSize(before, &field);
      same = size == reflection.FieldSize(after, &field);
      for (int j = 0; same && j < size; ++j) {
        same = IsScalar(field) ? ToText(before, field, j) == ToText(after, field, j)
                               : reflection.GetRepeatedMessage(before, &field, j).SerializeAsString() ==
                                     reflection.GetRepeatedMessage(after, &field, j).SerializeAsString();
      }
    } else {
      same = ToText(before, field, -1) == ToText(after, field, -1);
    }
    if (same) continue;
    (field.options().GetExtension(v1::key).reloadable() ? changes.reloadable : changes.restart).push_back(key);
  }
}

}  // namespace

ConfigChanges CompareConfigs(const pb::Message& before, const pb::Message& after) {
  ConfigChanges changes;
  Compare(before, after, "", changes);
  return changes;
}

}  // namespace meshca::config
