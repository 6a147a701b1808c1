#include "cli/config/resolve.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "cli/config/faults.h"
#include "cli/config/gather.h"
#include "cli/config/validate.h"
#include "cli/config/value.h"
#include "meshca/config/v1/options.pb.h"

namespace meshca::config {
namespace {

namespace pb = google::protobuf;

void ApplyPaths(const ConfigInput& input, ResolvedConfig& config, Faults& faults) {
  v1::Config& values = config.values;
  const std::string usual = DefaultStateDir(input, "meshca");
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
    const SocketPlaces roots = SocketsOfRoot(input, Program::kServer);
    admin = roots.admin;
    api = roots.api;
  } else if (values.state_dir() == usual && absl::StartsWith(runtime, "/")) {
    admin = Absolute("meshca/admin.sock", runtime);
    api = Absolute("meshca/api.sock", runtime);
  }
  if (!values.has_admin_socket()) values.set_admin_socket(admin);
  if (!values.has_api_socket()) values.set_api_socket(api);
  if (!values.has_kek_file()) values.set_kek_file(Absolute("kek", values.state_dir()));
}

absl::StatusOr<ResolvedConfig> GatherServer(const ConfigInput& input) {
  ResolvedConfig config;
  Faults faults("");
  MESHCA_RETURN_IF_ERROR(
      Gather(input, {Program::kServer, config.values, config.origins, config.warnings, config.config_file}, faults));
  ApplyPaths(input, config, faults);
  TakeScheme("https", *config.values.mutable_listen());
  TakeScheme("http", *config.values.mutable_http_listen());
  MESHCA_RETURN_IF_ERROR(faults.ToStatus());
  return config;
}

}  // namespace

absl::StatusOr<ResolvedConfig> ResolveConfig(const ConfigInput& input) {
  MESHCA_ASSIGN_OR_RETURN(ResolvedConfig config, GatherServer(input));
  MESHCA_RETURN_IF_ERROR(Validate(config));
  return config;
}

absl::StatusOr<ResolvedConfig> ResolvePaths(const ConfigInput& input) {
  MESHCA_ASSIGN_OR_RETURN(ResolvedConfig config, GatherServer(input));
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
