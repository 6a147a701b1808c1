#include "cli/config/flags.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "cli/config/value.h"
#include "meshca/config/v1/config.pb.h"

namespace meshca::config {
namespace {

namespace pb = google::protobuf;

void Collect(const pb::Descriptor& type, const std::string& path, std::vector<ConfigFlag>& flags) {
  for (int i = 0; i < type.field_count(); ++i) {
    const pb::FieldDescriptor& field = *type.field(i);
    const std::string key = path.empty() ? field.name() : absl::StrCat(path, ".", field.name());
    if (!IsScalar(field)) {
      if (!field.is_repeated()) Collect(*field.message_type(), key, flags);
      continue;
    }
    const v1::KeyOptions& options = field.options().GetExtension(v1::key);
    ConfigFlag flag;
    flag.key = key;
    flag.flag = absl::StrCat("--", absl::StrReplaceAll(key, {{".", "-"}, {"_", "-"}}));
    flag.environment = absl::StrCat("MESHCA_", absl::AsciiStrToUpper(absl::StrReplaceAll(key, {{".", "_"}})));
    flag.help = options.help();
    if (!options.default_value().empty()) absl::StrAppend(&flag.help, " (default ", options.default_value(), ")");
    flag.type = TypeText(field);
    flag.is_bool = field.cpp_type() == pb::FieldDescriptor::CPPTYPE_BOOL;
    flag.repeated = field.is_repeated();
    flag.reloadable = options.reloadable();
    flags.push_back(std::move(flag));
  }
}

}  // namespace

const std::vector<ConfigFlag>& ConfigFlags() {
  static const std::vector<ConfigFlag> flags = [] {
    std::vector<ConfigFlag> collected;
    Collect(*v1::Config::descriptor(), "", collected);
    return collected;
  }();
  return flags;
}

const ConfigFlag* FindConfigFlag(absl::string_view key) {
  const std::vector<ConfigFlag>& flags = ConfigFlags();
  const auto it = std::find_if(flags.begin(), flags.end(), [key](const ConfigFlag& flag) { return flag.key == key; });
  return it == flags.end() ? nullptr : &*it;
}

}  // namespace meshca::config
