#include "ca/rpc/bind.h"

#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "ca/base/status.h"
#include "ca/rpc/listener.h"

namespace meshca::rpc {
namespace {

constexpr int kBacklog = 4096;

struct HostPort {
  std::string host;  // "": all addresses
  std::string port;
};

absl::StatusOr<HostPort> SplitHostPort(absl::string_view address) {
  const auto bad = [address](absl::string_view what) {
    return absl::InvalidArgumentError(
        absl::StrCat("listen address \"", address, "\": ", what, "; give HOST:PORT, [IPV6]:PORT, :PORT or unix:/PATH"));
  };
  const size_t colon = address.rfind(':');
  if (colon == absl::string_view::npos) return bad("it has no port");
  absl::string_view host = address.substr(0, colon);
  const absl::string_view port = address.substr(colon + 1);
  int number = -1;
  if (!absl::SimpleAtoi(port, &number) || number < 0 || number > 65535) return bad("the port is not 0 to 65535");
  if (absl::ConsumePrefix(&host, "[")) {
    if (!absl::ConsumeSuffix(&host, "]")) return bad("the bracket is not closed");
  } else if (host.find(':') != absl::string_view::npos) {
    return bad("an IPv6 address stands in brackets");
  }
  if (host == "*") host = "";
  return HostPort{std::string(host), absl::StrCat(number)};
}

absl::StatusOr<UniqueFd> BindTo(const addrinfo& target, bool all_addresses) {
  UniqueFd fd(::socket(target.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "socket");
  const int on = 1;
  const int off = 0;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (target.ai_family == AF_INET6) {
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, all_addresses ? &off : &on, sizeof on);
  }
  if (::bind(fd.get(), target.ai_addr, target.ai_addrlen) != 0 || ::listen(fd.get(), kBacklog) != 0) {
    if (errno == EADDRINUSE) return absl::AlreadyExistsError("another process listens there");
    return ErrnoStatus(errno, "bind");
  }
  return fd;
}

}  // namespace

std::string BoundAddress(int fd) {
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  char host[NI_MAXHOST] = "";
  char port[NI_MAXSERV] = "";
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size);
  ::getnameinfo(reinterpret_cast<sockaddr*>(&bound), size, host, sizeof host, port, sizeof port,
                NI_NUMERICHOST | NI_NUMERICSERV);
  if (bound.ss_family == AF_INET6) return absl::StrCat("[", host, "]:", port);
  return absl::StrCat(host, ":", port);
}

absl::StatusOr<UniqueFd> BindTcp(absl::string_view address) {
  MESHCA_ASSIGN_OR_RETURN(const HostPort where, SplitHostPort(address));
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error =
      ::getaddrinfo(where.host.empty() ? nullptr : where.host.c_str(), where.port.c_str(), &hints, &found);
  if (error != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("listen address \"", address, "\": host ", where.host, ": ", gai_strerror(error)));
  }
  // All addresses: IPv6 first, its socket takes IPv4 as well. A name: IPv4 first, which every client reaches.
  const int first = where.host.empty() ? AF_INET6 : AF_INET;
  absl::Status failure = absl::InvalidArgumentError("the host has no address");
  UniqueFd fd;
  for (const bool preferred : {true, false}) {
    for (addrinfo* target = found; target != nullptr && !fd.valid(); target = target->ai_next) {
      if ((target->ai_family == first) != preferred) continue;
      auto bound = BindTo(*target, where.host.empty());
      if (bound.ok()) {
        fd = *std::move(bound);
      } else {
        failure = bound.status();
      }
    }
  }
  ::freeaddrinfo(found);
  if (!fd.valid()) return Annotate(failure, absl::StrCat("listen on ", address));
  return fd;
}

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
  if (status.ok() && ::listen(fd.get(), kBacklog) != 0) status = ErrnoStatus(errno, "listen");
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
