#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "ca/base/status.h"
#include "ca/base/tcp_listen.h"
#include "ca/rpc/listener.h"

namespace meshca::rpc {
namespace {

// Removes a socket file that nobody listens on any more: what a killed server leaves behind.
absl::Status RemoveStale(const std::string& path, const sockaddr_un& name) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return errno == ENOENT ? absl::OkStatus() : ErrnoStatus(errno, "stat");
  if (!S_ISSOCK(info.st_mode)) return absl::AlreadyExistsError("the path is taken by a file that is not a socket");
  UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!probe.valid()) return ErrnoStatus(errno, "socket");
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0 || errno != ECONNREFUSED) {
    return absl::AlreadyExistsError("another process listens there");
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoStatus(errno, "remove the stale socket");
  return absl::OkStatus();
}

absl::Status SetOwner(const std::string& path, const ListenerOptions& options) {
  if (!options.unix_group.empty()) {
    const group* entry = ::getgrnam(options.unix_group.c_str());
    if (entry == nullptr) return absl::InvalidArgumentError(absl::StrCat("there is no group ", options.unix_group));
    if (::chown(path.c_str(), static_cast<uid_t>(-1), entry->gr_gid) != 0) return ErrnoStatus(errno, "chown");
  }
  if (::chmod(path.c_str(), options.unix_mode) != 0) return ErrnoStatus(errno, "chmod");
  return absl::OkStatus();
}

absl::Status BindUnix(const std::string& path, Listener& listener) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof name.sun_path) {
    return absl::InvalidArgumentError(
        absl::StrCat("the path of a Unix socket is 1 to ", sizeof name.sun_path - 1, " bytes long"));
  }
  std::memcpy(name.sun_path, path.data(), path.size());
  MESHCA_RETURN_IF_ERROR(RemoveStale(path, name));
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "socket");
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0) return ErrnoStatus(errno, "bind");
  // Nobody can connect before listen(), so nobody gets in under other permissions than these.
  absl::Status status = SetOwner(path, listener.options);
  struct stat info {};
  if (status.ok() && ::stat(path.c_str(), &info) != 0) status = ErrnoStatus(errno, "stat");
  if (status.ok() && ::listen(fd.get(), kListenBacklog) != 0) status = ErrnoStatus(errno, "listen");
  if (!status.ok()) {
    ::unlink(path.c_str());
    return status;
  }
  listener.fd = std::move(fd);
  listener.is_unix = true;
  listener.unix_device = info.st_dev;
  listener.unix_inode = info.st_ino;
  return absl::OkStatus();
}

// "unix:/path" and "unix:///path" -> "/path"; nothing for other addresses.
bool UnixPath(absl::string_view address, std::string& path) {
  if (!absl::ConsumePrefix(&address, "unix:")) return false;
  absl::ConsumePrefix(&address, "//");
  path = std::string(address);
  return true;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Listener>> BindListener(ListenerOptions options, std::string& address) {
  auto listener = std::make_unique<Listener>();
  listener->options = std::move(options);
  std::string path;
  if (UnixPath(listener->options.address, path)) {
    absl::Status status = BindUnix(path, *listener);
    if (!status.ok()) return Annotate(status, absl::StrCat("listen on unix:", path));
    address = absl::StrCat("unix:", path);
    listener->options.address = address;
    return listener;
  }
  MESHCA_ASSIGN_OR_RETURN(listener->fd, BindTcp(listener->options.address));
  address = BoundAddress(listener->fd.get());
  return listener;
}

void CloseListener(Listener& listener) {
  listener.fd.Reset();
  std::string path;
  struct stat info {};
  if (!listener.is_unix || !UnixPath(listener.options.address, path) || ::lstat(path.c_str(), &info) != 0) return;
  if (info.st_dev == listener.unix_device && info.st_ino == listener.unix_inode) ::unlink(path.c_str());
}

}  // namespace meshca::rpc
