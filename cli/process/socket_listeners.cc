#include "cli/process/socket_listeners.h"

#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "ca/base/status.h"
#include "ca/rpc/reflection.h"

namespace meshca::cli {
namespace {

// Whose members may use the admin socket, where the group exists.
constexpr char kAdminGroup[] = "meshca";

std::string AdminGroup() {
  // Only root, or a member, may give a file to the group; for others the socket is theirs alone.
  return geteuid() == 0 && getgrnam(kAdminGroup) != nullptr ? kAdminGroup : "";
}

// Makes the folder of a Unix socket where it is missing, with its parents (0755: the socket's own mode and peer
// credentials decide who may do what).
absl::Status MakeSocketFolder(const std::string& socket_path) {
  const std::filesystem::path folder = std::filesystem::path(socket_path).parent_path();
  std::filesystem::path made;
  for (const std::filesystem::path& part : folder) {
    made /= part;
    if (mkdir(made.c_str(), 0755) == 0) {
      // The umask of a process with keys is strict; whoever is to connect must be able to pass through here.
      if (chmod(made.c_str(), 0755) != 0) return ErrnoStatus(errno, absl::StrCat("chmod 755 ", made.string()));
    } else if (errno != EEXIST) {
      return ErrnoStatus(errno, absl::StrCat("make the folder ", made.string(), " of the socket ", socket_path));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Bind(rpc::Server& server, const std::string& path, rpc::ListenerOptions options) {
  MESHCA_RETURN_IF_ERROR(MakeSocketFolder(path));
  options.address = absl::StrCat("unix:", path);
  MESHCA_ASSIGN_OR_RETURN(const std::string address, server.AddListener(std::move(options)));
  return std::string(absl::StripPrefix(address, "unix:"));
}

}  // namespace

std::shared_ptr<const rpc::Router> WithHealthAndReflection(std::shared_ptr<rpc::Router> router,
                                                           rpc::HealthService& health) {
  health.AddTo(*router);
  rpc::AddReflection(*router);
  return router;
}

absl::StatusOr<std::string> BindApiSocket(rpc::Server& server, const std::string& path,
                                          std::shared_ptr<const rpc::Router> router,
                                          const rpc::ConnectionLimits& limits) {
  rpc::ListenerOptions options;
  options.unix_mode = 0666;
  options.router = std::move(router);
  options.limits = limits;
  return Bind(server, path, std::move(options));
}

absl::StatusOr<std::string> BindAdminSocket(rpc::Server& server, const std::string& path,
                                            std::shared_ptr<const rpc::Router> router,
                                            const rpc::ConnectionLimits& limits) {
  rpc::ListenerOptions options;
  options.unix_group = AdminGroup();
  // Without that group the socket would be in the user's primary one, which many people may share.
  options.unix_mode = options.unix_group.empty() ? 0600 : 0660;
  options.privileged = true;
  options.router = std::move(router);
  options.limits = limits;
  return Bind(server, path, std::move(options));
}

}  // namespace meshca::cli
