#include "cli/client/tcp.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "cli/client/address.h"

namespace meshca::cli {
namespace {

struct AddressListDelete {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};

int MillisecondsUntil(absl::Time until) {
  const int64_t left = absl::ToInt64Milliseconds(until - absl::Now());
  return left < 0 ? 0 : static_cast<int>(left);
}

}  // namespace

absl::StatusOr<UniqueFd> ConnectTcp(const std::string& address, absl::Time until) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(HostOf(address).c_str(), PortOf(address).c_str(), &hints, &found);
  if (error != 0) return absl::UnavailableError(absl::StrCat(address, ": ", ::gai_strerror(error)));
  const std::unique_ptr<addrinfo, AddressListDelete> list(found);
  absl::Status last = absl::UnavailableError(absl::StrCat(address, ": no address"));
  for (const addrinfo* one = list.get(); one != nullptr; one = one->ai_next) {
    UniqueFd fd(::socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd.valid()) continue;
    int result = ::connect(fd.get(), one->ai_addr, one->ai_addrlen) == 0 ? 0 : errno;
    if (result == EINPROGRESS) {
      pollfd wait = {fd.get(), POLLOUT, 0};
      socklen_t size = sizeof(result);
      if (::poll(&wait, 1, MillisecondsUntil(until)) != 1) {
        result = ETIMEDOUT;
      } else if (::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &result, &size) != 0) {
        result = errno;
      }
    }
    if (result == 0) return fd;
    last = absl::UnavailableError(absl::StrCat(address, ": ", ErrnoStatus(result, "connect").message()));
  }
  return last;
}

absl::StatusOr<int> HttpStatus(const std::string& address, const std::string& path, absl::Time until) {
  MESHCA_ASSIGN_OR_RETURN(const UniqueFd fd, ConnectTcp(address, until));
  const std::string request =
      absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: ", HostOf(address), "\r\nConnection: close\r\n\r\n");
  if (::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size())) {
    return ErrnoStatus(errno, address);
  }
  // "HTTP/1.1 200": the first twelve bytes say it.
  std::string answer;
  while (answer.size() < 12) {
    pollfd wait = {fd.get(), POLLIN, 0};
    char bytes[64];
    if (::poll(&wait, 1, MillisecondsUntil(until)) != 1) break;
    const ssize_t count = ::recv(fd.get(), bytes, sizeof(bytes), 0);
    if (count <= 0) break;
    answer.append(bytes, static_cast<size_t>(count));
  }
  int code = 0;
  if (answer.size() < 12 || !absl::StartsWith(answer, "HTTP/1.") || !absl::SimpleAtoi(answer.substr(9, 3), &code)) {
    return absl::UnavailableError(absl::StrCat(address, ": no answer by HTTP"));
  }
  return code;
}

}  // namespace meshca::cli
