#include "cli/config/flags.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "cli/config/value.h"
#include "meshca/config/v1/agent_config.pb.h"
#include "meshca/config/v1/config.pb.h"

namespace meshca::config {
namespace {

namespace pb = google::protobuf;

absl::string_view VariablePrefix(Program program) { return program == Program::kServer ? "MESHCA_" : "MESHCA_AGENT_"; }

void Collect(const pb::Descriptor& type, const std::string& path, Program program, std::vector<ConfigFlag>& flags) {
  for (int i = 0; i < type.field_count(); ++i) {
    const pb::FieldDescriptor& field = *type.field(i);
    const std::string key = path.empty() ? field.name() : absl::StrCat(path, ".", field.name());
    if (!IsScalar(field)) {
      if (!field.is_repeated()) Collect(*field.message_type(), key, program, flags);
      continue;
    }
    const v1::KeyOptions& options = field.options().GetExtension(v1::key);
    ConfigFlag flag;
    flag.key = key;
    flag.flag = absl::StrCat("--", absl::StrReplaceAll(key, {{".", "-"}, {"_", "-"}}));
    flag.environment =
        absl::StrCat(VariablePrefix(program), absl::AsciiStrToUpper(absl::StrReplaceAll(key, {{".", "_"}})));
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

const std::vector<ConfigFlag>& ConfigFlags(Program program) {
  const auto collect = [](const pb::Descriptor& type, Program whose) {
    std::vector<ConfigFlag> collected;
    Collect(type, "", whose, collected);
    return collected;
  };
  static const std::vector<ConfigFlag> server = collect(*v1::Config::descriptor(), Program::kServer);
  static const std::vector<ConfigFlag> agent = collect(*v1::AgentConfig::descriptor(), Program::kAgent);
  return program == Program::kServer ? server : agent;
}

const ConfigFlag* FindConfigFlag(absl::string_view key, Program program) {
  const std::vector<ConfigFlag>& flags = ConfigFlags(program);
  const auto it = std::find_if(flags.begin(), flags.end(), [key](const ConfigFlag& flag) { return flag.key == key; });
  return it == flags.end() ? nullptr : &*it;
}

absl::string_view ConfigFileVariable(Program program) {
  return program == Program::kServer ? "MESHCA_CONFIG" : "MESHCA_AGENT_CONFIG";
}

}  // namespace meshca::config
