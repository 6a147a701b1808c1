#include "cli/config/host_places.h"

#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "cli/config/gather.h"
#include "cli/config/resolve.h"
#include "cli/config/resolve_agent.h"

namespace meshca::config {
namespace {

bool IsChosen(const Origins& origins, const std::string& key) {
  const auto it = origins.find(key);
  return it != origins.end() && it->second.kind != OriginKind::kDefault;
}

bool IsThere(const std::string& path) {
  struct stat ignored {};
  return ::lstat(path.c_str(), &ignored) == 0;
}

void TakeRootsWhereOwnIsAbsent(const Origins& origins, const std::string& key, const std::string& roots,
                               std::string& socket) {
  if (!IsChosen(origins, key) && !IsThere(socket) && IsThere(roots)) socket = roots;
}

template <typename Resolved>
HostPlaces PlacesOf(const Resolved& resolved, const ConfigInput& input, Program program) {
  HostPlaces places{resolved.values.state_dir(), resolved.values.admin_socket(), resolved.values.api_socket()};
  if (input.is_root || IsChosen(resolved.origins, "state_dir")) return places;
  const SocketPlaces roots = SocketsOfRoot(input, program);
  TakeRootsWhereOwnIsAbsent(resolved.origins, "admin_socket", roots.admin, places.admin_socket);
  TakeRootsWhereOwnIsAbsent(resolved.origins, "api_socket", roots.api, places.api_socket);
  return places;
}

}  // namespace

absl::StatusOr<HostPlaces> FindHostPlaces(const ConfigInput& input, Program program) {
  if (program == Program::kAgent) {
    MESHCA_ASSIGN_OR_RETURN(const ResolvedAgentConfig resolved, ResolveAgentPaths(input));
    return PlacesOf(resolved, input, program);
  }
  MESHCA_ASSIGN_OR_RETURN(const ResolvedConfig resolved, ResolvePaths(input));
  return PlacesOf(resolved, input, program);
}

std::string FlagToFind(const Origins& origins, const std::string& socket_key, absl::string_view socket,
                       absl::string_view state_dir) {
  if (IsChosen(origins, socket_key)) return absl::StrCat(" ", FindConfigFlag(socket_key)->flag, " ", socket);
  return IsChosen(origins, "state_dir") ? absl::StrCat(" --state-dir ", state_dir) : "";
}

}  // namespace meshca::config
