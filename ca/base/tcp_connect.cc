#include "ca/base/tcp_connect.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <memory>

#include "absl/strings/str_cat.h"
#include "ca/base/clock.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

struct AddressListDelete {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};

}  // namespace

bool WaitForSocket(int fd, short events, absl::Duration until) {
  for (;;) {
    // Rounded up: a wait of part of a millisecond would be none at all, over and over.
    const absl::Duration left = absl::Ceil(until - SystemClock().SinceBoot(), absl::Milliseconds(1));
    if (left <= absl::ZeroDuration()) return false;
    pollfd wait = {fd, events, 0};
    const int ready = ::poll(&wait, 1, static_cast<int>(std::min<int64_t>(absl::ToInt64Milliseconds(left), INT_MAX)));
    if (ready == 1) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

absl::StatusOr<UniqueFd> TcpConnect(const std::string& host, const std::string& port, absl::Duration until) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
  if (error != 0) return absl::UnavailableError(::gai_strerror(error));
  const std::unique_ptr<addrinfo, AddressListDelete> list(found);
  absl::Status last = absl::UnavailableError("the name has no address");
  for (const addrinfo* one = list.get(); one != nullptr; one = one->ai_next) {
    UniqueFd fd(::socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd.valid()) continue;
    int result = ::connect(fd.get(), one->ai_addr, one->ai_addrlen) == 0 ? 0 : errno;
    if (result == EINPROGRESS) {
      socklen_t size = sizeof(result);
      if (!WaitForSocket(fd.get(), POLLOUT, until)) {
        result = ETIMEDOUT;
      } else if (::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &result, &size) != 0) {
        result = errno;
      }
    }
    if (result == 0) return fd;
    last = absl::UnavailableError(ErrnoStatus(result, "connect").message());
  }
  return last;
}

}  // namespace meshca
