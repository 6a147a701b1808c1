#include "cli/config/resolve.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <unistd.h>

#include <climits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "ca/base/status.h"
#include "ca/base/typed_address.h"
#include "cli/config/faults.h"
#include "cli/config/flags.h"
#include "cli/config/loader.h"
#include "cli/config/validate.h"
#include "cli/config/value.h"
#include "meshca/config/v1/options.pb.h"

extern char** environ;

namespace meshca::config {
namespace {

namespace pb = google::protobuf;

constexpr char kConfigVariable[] = "MESHCA_CONFIG";

std::string Absolute(absl::string_view path, absl::string_view folder) {
  if (path.empty() || path[0] == '/') return std::string(path);
  return absl::StrCat(folder, absl::EndsWith(folder, "/") ? "" : "/", path);
}

std::string Variable(const ConfigInput& input, const std::string& name) {
  const auto it = input.environment.find(name);
  return it == input.environment.end() ? "" : it->second;
}

// The message that holds `key`, made on the way where it is missing, and the field in it.
std::pair<pb::Message*, const pb::FieldDescriptor*> Locate(absl::string_view key, pb::Message& root) {
  pb::Message* message = &root;
  const std::vector<std::string> names = absl::StrSplit(key, '.');
  for (size_t i = 0;; ++i) {
    const pb::FieldDescriptor* field = message->GetDescriptor()->FindFieldByName(names[i]);
    if (i + 1 == names.size()) return {message, field};
    message = message->GetReflection()->MutableMessage(message, field);
  }
}

// Sets one key from outside the file; what the file said about it goes.
void SetKey(const ConfigFlag& flag, const std::vector<std::string>& values, const Origin& origin,
            const ConfigInput& input, ResolvedConfig& config, Faults& faults) {
  auto [message, field] = Locate(flag.key, config.values);
  message->GetReflection()->ClearField(message, field);
  config.origins[flag.key] = origin;
  std::vector<std::string> items;
  for (const std::string& value : values) {
    if (flag.repeated) {
      for (absl::string_view item : absl::StrSplit(value, ',')) items.emplace_back(item);
    } else {
      items.push_back(value);
    }
  }
  if (!flag.repeated && items.size() > 1) return faults.Add({}, origin.where, "is given twice");
  for (std::string& item : items) {
    if (flag.type == "path") item = Absolute(item, input.working_directory);
    if (flag.is_bool && item.empty()) item = "true";
    if (absl::Status status = SetFromText(item, *field, *message); !status.ok()) {
      faults.Add({}, origin.where, status.message());
    }
  }
}

void ApplyEnvironment(const ConfigInput& input, ResolvedConfig& config, Faults& faults) {
  std::vector<std::string> known = {kConfigVariable};
  for (const ConfigFlag& flag : ConfigFlags()) {
    known.push_back(flag.environment);
    // Empty counts as unset: compose files and charts write NAME= for "nothing".
    const std::string value = Variable(input, flag.environment);
    if (!value.empty()) {
      SetKey(flag, {value}, {OriginKind::kEnvironment, flag.environment}, input, config, faults);
    }
  }
  // No error: Kubernetes itself sets MESHCA_SERVICE_HOST and its like in every pod beside a Service called meshca.
  for (const auto& [name, value] : input.environment) {
    if (!absl::StartsWith(name, "MESHCA_") || absl::StartsWith(name, "MESHCA_SERVICE_") ||
        absl::StartsWith(name, "MESHCA_PORT")) {
      continue;
    }
    const std::string meant = DidYouMean(name, known);
    if (meant == name || meant.empty()) continue;
    config.warnings.push_back(absl::StrCat(name, ": no key has this name; did you mean ", meant, "?"));
  }
}

void ApplyFlags(const ConfigInput& input, ResolvedConfig& config, Faults& faults) {
  for (const auto& [key, values] : input.flags) {
    const ConfigFlag* flag = FindConfigFlag(key);
    if (flag == nullptr) {
      faults.Add({}, key, "no flag has this key");
    } else if (!values.empty()) {
      SetKey(*flag, values, {OriginKind::kFlag, flag->flag}, input, config, faults);
    }
  }
}

void ApplyDefaults(ResolvedConfig& config) {
  for (const ConfigFlag& flag : ConfigFlags()) {
    auto [message, field] = Locate(flag.key, config.values);
    const bool set = field->is_repeated() ? message->GetReflection()->FieldSize(*message, field) > 0
                                          : message->GetReflection()->HasField(*message, field);
    if (set) continue;
    const std::string& text = field->options().GetExtension(v1::key).default_value();
    if (!text.empty()) SetFromText(text, *field, *message).IgnoreError();  // a test reads every default
    config.origins[flag.key] = Origin();
  }
}

// Where state goes when nobody says; "" when HOME is unset too.
std::string DefaultStateDir(const ConfigInput& input) {
  if (input.is_root) return "/var/lib/meshca";
  // The XDG specification: a relative path there is to be ignored.
  const std::string xdg = Variable(input, "XDG_STATE_HOME");
  if (absl::StartsWith(xdg, "/")) return Absolute("meshca", xdg);
  const std::string home = Variable(input, "HOME");
  return home.empty() ? "" : Absolute(".local/state/meshca", home);
}

void ApplyPaths(const ConfigInput& input, ResolvedConfig& config, Faults& faults) {
  v1::Config& values = config.values;
  const std::string usual = DefaultStateDir(input);
  if (!values.has_state_dir()) {
    if (usual.empty()) {
      return faults.Add({}, "state_dir", "HOME and XDG_STATE_HOME are not set; say where state goes: --state-dir DIR");
    }
    values.set_state_dir(usual);
  }
  // A state directory of one's own brings its sockets along, so that the same --state-dir finds the server; for the
  // usual place, said aloud or not, they are where everybody looks.
  const std::string runtime = Variable(input, "XDG_RUNTIME_DIR");
  std::string admin = Absolute("admin.sock", values.state_dir());
  std::string api = Absolute("api.sock", values.state_dir());
  if (values.state_dir() == usual && input.is_root) {
    admin = "/run/meshca/admin.sock";
    api = "/run/meshca/public/api.sock";
  } else if (values.state_dir() == usual && absl::StartsWith(runtime, "/")) {
    admin = Absolute("meshca/admin.sock", runtime);
    api = Absolute("meshca/api.sock", runtime);
  }
  if (!values.has_admin_socket()) values.set_admin_socket(admin);
  if (!values.has_api_socket()) values.set_api_socket(api);
  if (!values.has_kek_file()) values.set_kek_file(Absolute("kek", values.state_dir()));
}

// Addresses to listen on are pasted as URLs too. What is no address stays as it is, for Validate to say so: commands
// that only look for a socket do not mind.
void ApplySchemes(v1::Config& values) {
  const auto take = [](absl::string_view scheme, std::string& address) {
    if (absl::StatusOr<std::string> bare = WithoutScheme(address, scheme); bare.ok()) address = *std::move(bare);
  };
  take("https", *values.mutable_listen());
  take("http", *values.mutable_http_listen());
}

absl::StatusOr<ResolvedConfig> Gather(const ConfigInput& input) {
  ResolvedConfig config;
  std::string file = input.config_file.empty() ? Variable(input, kConfigVariable) : input.config_file;
  if (!file.empty()) {
    config.config_file = Absolute(file, input.working_directory);
    MESHCA_RETURN_IF_ERROR(LoadYamlFile(config.config_file, config.values, config.origins));
  }
  Faults faults("");
  ApplyEnvironment(input, config, faults);
  ApplyFlags(input, config, faults);
  ApplyDefaults(config);
  ApplyPaths(input, config, faults);
  ApplySchemes(config.values);
  MESHCA_RETURN_IF_ERROR(faults.ToStatus());
  return config;
}

}  // namespace

ConfigInput ConfigInput::OfProcess() {
  ConfigInput input;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(absl::string_view(*variable), absl::MaxSplits('=', 1));
    input.environment.insert(parts);
  }
  input.is_root = geteuid() == 0;
  char folder[PATH_MAX];
  input.working_directory = getcwd(folder, sizeof(folder)) != nullptr ? folder : "/";
  return input;
}

absl::StatusOr<ResolvedConfig> ResolveConfig(const ConfigInput& input) {
  MESHCA_ASSIGN_OR_RETURN(ResolvedConfig config, Gather(input));
  MESHCA_RETURN_IF_ERROR(Validate(config));
  return config;
}

absl::StatusOr<ResolvedConfig> ResolvePaths(const ConfigInput& input) {
  MESHCA_ASSIGN_OR_RETURN(ResolvedConfig config, Gather(input));
  Faults faults("");
  CheckSockets(config, faults);
  MESHCA_RETURN_IF_ERROR(faults.ToStatus());
  return config;
}

namespace {

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

ConfigChanges ReloadableDiff(const ResolvedConfig& before, const ResolvedConfig& after) {
  ConfigChanges changes;
  Compare(before.values, after.values, "", changes);
  return changes;
}

}  // namespace meshca::config
