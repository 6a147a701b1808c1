#include "cli/process/service_manager.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "ca/base/status.h"

namespace meshca::cli {
namespace {

constexpr int kFirstStoredFd = 3;  // SD_LISTEN_FDS_START
constexpr timeval kPatience = {.tv_sec = 5, .tv_usec = 0};
// systemd's own bound is the unit's FileDescriptorStoreMax=.
constexpr uint32_t kStoredMax = 4096;

const char* ManagersAddress() {
  const char* path = std::getenv("NOTIFY_SOCKET");
  return path != nullptr && (path[0] == '/' || path[0] == '@') ? path : nullptr;
}

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

std::vector<StoredDescriptor> TakeStoredDescriptors() {
  uint32_t pid = 0, count = 0;
  const bool for_us = absl::SimpleAtoi(Variable("LISTEN_PID"), &pid) && pid == static_cast<uint32_t>(getpid()) &&
                      absl::SimpleAtoi(Variable("LISTEN_FDS"), &count) && count <= kStoredMax;
  const std::vector<std::string> names = absl::StrSplit(Variable("LISTEN_FDNAMES"), ':');
  for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) unsetenv(name);
  std::vector<StoredDescriptor> stored;
  if (!for_us) return stored;
  for (uint32_t i = 0; i < count; ++i) {
    const int fd = kFirstStoredFd + static_cast<int>(i);
    const int flags = fcntl(fd, F_GETFD);
    if (flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) != 0) continue;
    stored.push_back({i < names.size() && !names[i].empty() ? names[i] : "stored", UniqueFd(fd)});
  }
  return stored;
}

bool HasServiceManager() { return ManagersAddress() != nullptr; }

absl::Status NotifyManager(absl::string_view assignments, int fd) {
  const char* path = ManagersAddress();
  if (path == nullptr) return absl::FailedPreconditionError("no service manager listens ($NOTIFY_SOCKET)");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const size_t length = std::strlen(path);
  if (length >= sizeof address.sun_path) return absl::FailedPreconditionError("$NOTIFY_SOCKET is too long");
  std::memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = '\0';

  UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return ErrnoStatus(errno, "make a socket to the service manager");
  setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
  iovec bytes{const_cast<char*>(assignments.data()), assignments.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_name = &address;
  message.msg_namelen = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* const rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(rights), &fd, sizeof(int));
  }
  ssize_t sent = 0;
  do {
    sent = sendmsg(socket.get(), &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("the service manager does not hear: ", std::strerror(errno)));
}

absl::Status StoreDescriptor(const std::string& name, int fd) {
  // Not watched (FDPOLL=0): a file in memory never hangs up.
  return NotifyManager(absl::StrCat("FDSTORE=1\nFDNAME=", name, "\nFDPOLL=0"), fd);
}

absl::Status RemoveStoredDescriptor(const std::string& name) {
  return NotifyManager(absl::StrCat("FDSTOREREMOVE=1\nFDNAME=", name));
}

}  // namespace meshca::cli
