#include "cli/config/gather.h"

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
#include "cli/config/loader.h"
#include "cli/config/value.h"
#include "meshca/config/v1/options.pb.h"

extern char** environ;

namespace meshca::config {
namespace {

namespace pb = google::protobuf;

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
            const ConfigInput& input, Gathered& gathered, Faults& faults) {
  auto [message, field] = Locate(flag.key, gathered.values);
  message->GetReflection()->ClearField(message, field);
  gathered.origins[flag.key] = origin;
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
    item = PlacePath(item, *field, input.working_directory);
    if (flag.is_bool && item.empty()) item = "true";
    if (absl::Status status = SetFromText(item, *field, *message); !status.ok()) {
      faults.Add({}, origin.where, status.message());
    }
  }
}

void ApplyEnvironment(const ConfigInput& input, Gathered& gathered, Faults& faults) {
  std::vector<std::string> known = {std::string(ConfigFileVariable(gathered.program))};
  for (const ConfigFlag& flag : ConfigFlags(gathered.program)) {
    known.push_back(flag.environment);
    // Empty counts as unset: compose files and charts write NAME= for "nothing".
    const std::string value = Variable(input, flag.environment);
    if (!value.empty()) {
      SetKey(flag, {value}, {OriginKind::kEnvironment, flag.environment}, input, gathered, faults);
    }
  }
  // No error: Kubernetes itself sets MESHCA_SERVICE_HOST and its like in every pod beside a Service called meshca.
  for (const auto& [name, value] : input.environment) {
    const bool an_agents = absl::StartsWith(name, "MESHCA_AGENT_");
    if (!absl::StartsWith(name, "MESHCA_") || absl::StartsWith(name, "MESHCA_SERVICE_") ||
        absl::StartsWith(name, "MESHCA_PORT") || an_agents != (gathered.program == Program::kAgent)) {
      continue;
    }
    const std::string meant = DidYouMean(name, known);
    if (meant == name || meant.empty()) continue;
    gathered.warnings.push_back(absl::StrCat(name, ": no key has this name; did you mean ", meant, "?"));
  }
}

void ApplyFlags(const ConfigInput& input, Gathered& gathered, Faults& faults) {
  for (const auto& [key, values] : input.flags) {
    const ConfigFlag* flag = FindConfigFlag(key, gathered.program);
    if (flag == nullptr) {
      const Program other = gathered.program == Program::kServer ? Program::kAgent : Program::kServer;
      const ConfigFlag* others = FindConfigFlag(key, other);
      if (others == nullptr) {
        faults.Add({}, key, "no flag has this key");
      } else if (!values.empty()) {
        faults.Add({}, others->flag,
                   other == Program::kServer ? "is a flag of `meshca serve`, and an agent's configuration is meant"
                                             : "is a flag of `meshca agent`: say --agent");
      }
    } else if (!values.empty()) {
      SetKey(*flag, values, {OriginKind::kFlag, flag->flag}, input, gathered, faults);
    }
  }
}

void ApplyDefaults(Gathered& gathered) {
  for (const ConfigFlag& flag : ConfigFlags(gathered.program)) {
    auto [message, field] = Locate(flag.key, gathered.values);
    const bool set = field->is_repeated() ? message->GetReflection()->FieldSize(*message, field) > 0
                                          : message->GetReflection()->HasField(*message, field);
    if (set) continue;
    const std::string& text = field->options().GetExtension(v1::key).default_value();
    if (!text.empty()) SetFromText(text, *field, *message).IgnoreError();  // a test reads every default
    gathered.origins[flag.key] = Origin();
  }
}

}  // namespace

std::string Variable(const ConfigInput& input, const std::string& name) {
  const auto it = input.environment.find(name);
  return it == input.environment.end() ? "" : it->second;
}

std::string DefaultStateDir(const ConfigInput& input, absl::string_view name) {
  if (input.is_root) return absl::StrCat("/var/lib/", name);
  // The XDG specification: a relative path there is to be ignored.
  const std::string xdg = Variable(input, "XDG_STATE_HOME");
  if (absl::StartsWith(xdg, "/")) return Absolute(name, xdg);
  const std::string home = Variable(input, "HOME");
  return home.empty() ? "" : Absolute(absl::StrCat(".local/state/", name), home);
}

SocketPlaces SocketsOfRoot(const ConfigInput& input, Program program) {
  if (program == Program::kAgent) return {input.run_folder + "/agent/admin.sock", input.run_folder + "/agent/api.sock"};
  return {input.run_folder + "/admin.sock", input.run_folder + "/public/api.sock"};
}

void TakeScheme(absl::string_view scheme, std::string& address) {
  if (absl::StatusOr<std::string> bare = WithoutScheme(address, scheme); bare.ok()) address = *std::move(bare);
}

absl::Status Gather(const ConfigInput& input, Gathered gathered, Faults& faults) {
  const std::string file = input.config_file.empty()
                               ? Variable(input, std::string(ConfigFileVariable(gathered.program)))
                               : input.config_file;
  if (!file.empty()) {
    gathered.config_file = Absolute(file, input.working_directory);
    MESHCA_RETURN_IF_ERROR(LoadYamlFile(gathered.config_file, gathered.values, gathered.origins));
  }
  ApplyEnvironment(input, gathered, faults);
  ApplyFlags(input, gathered, faults);
  ApplyDefaults(gathered);
  return absl::OkStatus();
}

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

}  // namespace meshca::config
