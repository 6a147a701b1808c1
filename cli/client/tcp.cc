#include "cli/client/tcp.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "ca/base/clock.h"
#include "ca/base/status.h"
#include "ca/base/tcp_connect.h"
#include "cli/client/address.h"

namespace meshca::cli {
namespace {

// The same moment by the clock that nobody sets.
absl::Duration SinceBoot(absl::Time until) { return SystemClock().SinceBoot() + (until - absl::Now()); }

}  // namespace

absl::StatusOr<UniqueFd> ConnectTcp(const std::string& address, absl::Time until) {
  absl::StatusOr<UniqueFd> fd = TcpConnect(HostOf(address), PortOf(address), SinceBoot(until));
  if (!fd.ok()) return Annotate(fd.status(), address);
  return fd;
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
    char bytes[64];
    if (!WaitForSocket(fd.get(), POLLIN, SinceBoot(until))) break;
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
